/* loop: see loop.h. */
#include "base/loop.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"

enum { FLUSH_MAX = 4, LOOP_MAGIC = 0x6c6f6f70 };

struct deferred {
    loop_fn *fn;
    void *arg; /* borrowed */
};

struct loop {
    uint32_t magic;
    struct event_base *base; /* owned */
    struct deferred *deferred; /* owned: growing array */
    size_t deferred_count;
    size_t deferred_cap;
    struct deferred flush[FLUSH_MAX];
    size_t flush_count;
    uint64_t now_ms; /* 0: not read in this turn yet */
    bool stopping;
    struct event *wake; /* owned: makes a turn end when calls were deferred outside one */
    int signal_fd;
    struct event *signal_event; /* owned */
    loop_signal_fn *signal_fn;
    void *signal_arg; /* borrowed */
};

static void loop_on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg; /* waking is all */
}

struct loop *loop_new(struct err *err)
{
    struct event_config *config = event_config_new();
    if (config == NULL) {
        (void)err_set(err, ERR_FAILED, "cannot set up the event loop");
        return NULL;
    }
    /* One thread owns the loop: no locks. Edge triggering needs epoll. */
    (void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    (void)event_config_require_features(config, EV_FEATURE_ET);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    if (base == NULL) {
        (void)err_set(err, ERR_FAILED, "cannot set up the event loop");
        return NULL;
    }
    struct loop *loop = xcalloc(1, sizeof *loop);
    loop->magic = LOOP_MAGIC;
    loop->base = base;
    loop->signal_fd = -1;
    loop->wake = event_new(base, -1, 0, loop_on_wake, loop);
    CHECK(loop->wake != NULL);
    return loop;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    CHECK(loop->magic == LOOP_MAGIC);
    if (loop->signal_event != NULL) {
        event_free(loop->signal_event);
    }
    if (loop->signal_fd >= 0) {
        (void)close(loop->signal_fd);
    }
    event_free(loop->wake);
    event_base_free(loop->base);
    free(loop->deferred);
    loop->magic = 0;
    free(loop);
}

struct event_base *loop_base(struct loop *loop)
{
    CHECK(loop->magic == LOOP_MAGIC);
    return loop->base;
}

static void end_of_turn(struct loop *loop)
{
    for (size_t i = 0; i < loop->flush_count; i++) {
        loop->flush[i].fn(loop->flush[i].arg);
    }
    /* The array may grow and move while calls run: index, never point. */
    for (size_t i = 0; i < loop->deferred_count; i++) {
        struct deferred call = loop->deferred[i];
        call.fn(call.arg);
    }
    loop->deferred_count = 0;
    loop->now_ms = 0;
}

void loop_turn(struct loop *loop, bool block)
{
    CHECK(loop->magic == LOOP_MAGIC);
    (void)event_base_loop(loop->base, EVLOOP_ONCE | (block ? 0 : EVLOOP_NONBLOCK));
    end_of_turn(loop);
}

void loop_run(struct loop *loop)
{
    CHECK(loop->magic == LOOP_MAGIC);
    loop->stopping = false;
    end_of_turn(loop); /* what was deferred before the first turn */
    while (!loop->stopping) {
        if (event_base_loop(loop->base, EVLOOP_ONCE) != 0) {
            break; /* no events left: nothing could ever stop it */
        }
        end_of_turn(loop);
    }
    end_of_turn(loop);
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
    (void)event_base_loopbreak(loop->base);
}

void loop_defer(struct loop *loop, loop_fn *fn, void *arg)
{
    CHECK(loop->magic == LOOP_MAGIC);
    if (loop->deferred_count == loop->deferred_cap) {
        loop->deferred_cap = loop->deferred_cap == 0 ? 64 : loop->deferred_cap * 2;
        loop->deferred = xrealloc(loop->deferred, loop->deferred_cap * sizeof *loop->deferred);
    }
    loop->deferred[loop->deferred_count++] = (struct deferred){fn, arg};
    if (loop->deferred_count == 1) {
        /* End the wait soon even when nothing else is ready. */
        event_active(loop->wake, EV_TIMEOUT, 0);
    }
}

void loop_add_flush(struct loop *loop, loop_fn *fn, void *arg)
{
    CHECK(loop->flush_count < FLUSH_MAX);
    loop->flush[loop->flush_count++] = (struct deferred){fn, arg};
}

uint64_t clock_now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

uint64_t clock_now_ms(void)
{
    return clock_now_us() / 1000u;
}

int64_t clock_wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t loop_now_ms(struct loop *loop)
{
    if (loop->now_ms == 0) {
        loop->now_ms = clock_now_ms();
    }
    return loop->now_ms;
}

static void timer_on_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct loop_timer *t = arg;
    t->fn(t->arg);
}

void loop_timer_init(struct loop_timer *t, struct loop *loop, loop_fn *fn, void *arg)
{
    *t = (struct loop_timer){.fn = fn, .arg = arg};
    t->event = event_new(loop_base(loop), -1, 0, timer_on_event, t);
    CHECK(t->event != NULL);
}

void loop_timer_set(struct loop_timer *t, uint64_t delay_ms)
{
    struct timeval tv = {.tv_sec = (time_t)(delay_ms / 1000u),
                         .tv_usec = (suseconds_t)(delay_ms % 1000u * 1000u)};
    CHECK(event_add(t->event, &tv) == 0);
}

bool loop_timer_is_set(const struct loop_timer *t)
{
    return t->event != NULL && event_pending(t->event, EV_TIMEOUT, NULL) != 0;
}

void loop_timer_clear(struct loop_timer *t)
{
    if (t->event != NULL) {
        (void)event_del(t->event);
    }
}

void loop_timer_fini(struct loop_timer *t)
{
    if (t->event != NULL) {
        event_free(t->event);
        t->event = NULL;
    }
}

static void loop_on_signal(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct loop *loop = arg;
    CHECK(loop->magic == LOOP_MAGIC);
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
        loop->signal_fn((int)info.ssi_signo, loop->signal_arg);
    }
}

int loop_watch_signals(struct loop *loop, const int *signals, int count, loop_signal_fn *fn,
                       void *arg, struct err *err)
{
    sigset_t set;
    (void)sigemptyset(&set);
    for (int i = 0; i < count; i++) {
        (void)sigaddset(&set, signals[i]);
    }
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) {
        return err_set_sys(err, "cannot block signals");
    }
    loop->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (loop->signal_fd < 0) {
        return err_set_sys(err, "cannot open a signal descriptor");
    }
    loop->signal_fn = fn;
    loop->signal_arg = arg;
    loop->signal_event =
        event_new(loop->base, loop->signal_fd, EV_READ | EV_PERSIST, loop_on_signal, loop);
    CHECK(loop->signal_event != NULL && event_add(loop->signal_event, NULL) == 0);
    return 0;
}
