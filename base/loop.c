/* loop: see loop.h. One thread: the one that runs it. */
#include "base/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"

enum {
    FLUSH_MAX = 4,
    LOOP_MAGIC = 0x6c6f6f70,
};

/* A delay beyond this cannot be told from "never", and cannot overflow. */
static const uint64_t DELAY_MAX_MS = 10ull * 365 * 24 * 3600 * 1000;

struct deferred {
    loop_fn *fn;
    void *arg; /* borrowed */
};

/* A call of loop_defer. */
struct own_call {
    struct loop_call call;
    struct deferred deferred;
};

struct deferred_list {
    struct deferred *items; /* owned */
    size_t count;
    size_t cap;
};

struct loop {
    uint32_t magic;
    struct event_base *base; /* owned */
    struct loop_call *calls; /* borrowed: what is deferred, in order */
    struct loop_call **calls_end;
    struct deferred_list at_free;
    struct deferred flush[FLUSH_MAX];
    size_t flush_count;
    uint64_t now_ms; /* 0: not read in this turn yet */
    bool stopping;
    bool in_turn;       /* turns do not nest */
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
    /* EVENT_NOEPOLL and the like in the environment must not choose for us. */
    (void)event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
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
    NEED(loop->wake != NULL);
    loop->calls_end = &loop->calls;
    return loop;
}

static void list_add(struct deferred_list *list, loop_fn *fn, void *arg)
{
    if (list->count == list->cap) {
        list->cap = list->cap == 0 ? 16 : list->cap * 2;
        list->items = xrealloc(list->items, list->cap * sizeof *list->items);
    }
    list->items[list->count++] = (struct deferred){fn, arg};
}

static void run_deferred(struct loop *loop)
{
    while (loop->calls != NULL) {
        struct loop_call *call = loop->calls;
        void (*fn)(struct loop_call *) = call->fn;
        loop->calls = call->next;
        if (loop->calls == NULL) {
            loop->calls_end = &loop->calls;
        }
        call->fn = NULL; /* who is called may defer it again, or free it */
        fn(call);
    }
}

static void end_of_turn(struct loop *loop)
{
    /* A deferred call may leave something to flush, and a flush something deferred. */
    enum { ROUNDS_MAX = 4 };
    for (int round = 0; round < ROUNDS_MAX; round++) {
        for (size_t i = 0; i < loop->flush_count; i++) {
            loop->flush[i].fn(loop->flush[i].arg);
        }
        if (loop->calls == NULL) {
            break;
        }
        run_deferred(loop);
        if (round == ROUNDS_MAX - 1) {
            loop_wake(loop);
        }
    }
    loop->now_ms = 0;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    CHECK(loop->magic == LOOP_MAGIC && !loop->in_turn);
    run_deferred(loop); /* mostly memory that waits to be freed */
    while (loop->at_free.count > 0) {
        struct deferred call = loop->at_free.items[--loop->at_free.count];
        call.fn(call.arg);
    }
    run_deferred(loop);
    if (loop->signal_event != NULL) {
        event_free(loop->signal_event);
    }
    if (loop->signal_fd >= 0) {
        (void)close(loop->signal_fd);
    }
    event_free(loop->wake);
    event_base_free(loop->base);
    free(loop->at_free.items);
    loop->magic = 0;
    free(loop);
}

struct event_base *loop_base(struct loop *loop)
{
    CHECK(loop->magic == LOOP_MAGIC);
    return loop->base;
}

void loop_turn(struct loop *loop, bool block)
{
    CHECK(loop->magic == LOOP_MAGIC && !loop->in_turn);
    loop->in_turn = true;
    loop->now_ms = 0; /* somebody may have asked between two turns */
    (void)event_base_loop(loop->base, EVLOOP_ONCE | (block ? 0 : EVLOOP_NONBLOCK));
    end_of_turn(loop);
    loop->in_turn = false;
}

void loop_run(struct loop *loop)
{
    CHECK(loop->magic == LOOP_MAGIC && !loop->in_turn);
    loop->in_turn = true;
    loop->stopping = false;
    end_of_turn(loop); /* what was deferred before the first turn */
    /* Twice without an event, the end of turn between: nothing could ever stop it. */
    for (int idle = 0; !loop->stopping && idle < 2;) {
        idle = event_base_loop(loop->base, EVLOOP_ONCE) == 0 ? 0 : idle + 1;
        end_of_turn(loop);
    }
    loop->in_turn = false;
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
    (void)event_base_loopbreak(loop->base);
}

void loop_wake(struct loop *loop)
{
    event_active(loop->wake, EV_TIMEOUT, 0);
}

void loop_defer_call(struct loop *loop, struct loop_call *call, void (*fn)(struct loop_call *call))
{
    CHECK(loop->magic == LOOP_MAGIC && call->fn == NULL);
    *call = (struct loop_call){.fn = fn};
    bool first = loop->calls == NULL;
    *loop->calls_end = call;
    loop->calls_end = &call->next;
    if (first) {
        /* End the wait soon even when nothing else is ready. */
        loop_wake(loop);
    }
}

static void own_call_run(struct loop_call *call)
{
    struct own_call *own = OWNER_OF(call, struct own_call, call);
    struct deferred deferred = own->deferred;
    free(own);
    deferred.fn(deferred.arg);
}

void loop_defer(struct loop *loop, loop_fn *fn, void *arg)
{
    struct own_call *own = xcalloc(1, sizeof *own);
    own->deferred = (struct deferred){fn, arg};
    loop_defer_call(loop, &own->call, own_call_run);
}

void loop_at_free(struct loop *loop, loop_fn *fn, void *arg)
{
    CHECK(loop->magic == LOOP_MAGIC);
    list_add(&loop->at_free, fn, arg);
}

void loop_at_free_cancel(struct loop *loop, loop_fn *fn, void *arg)
{
    CHECK(loop->magic == LOOP_MAGIC);
    struct deferred_list *list = &loop->at_free;
    for (size_t i = list->count; i-- > 0;) {
        if (list->items[i].fn == fn && list->items[i].arg == arg) {
            memmove(&list->items[i], &list->items[i + 1],
                    (list->count - i - 1) * sizeof list->items[0]);
            list->count--;
            return;
        }
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

static void timer_arm(struct loop_timer *t, uint64_t delay_us)
{
    struct timeval tv = {.tv_sec = (time_t)(delay_us / 1000000u),
                         .tv_usec = (suseconds_t)(delay_us % 1000000u)};
    NEED(event_add(t->event, &tv) == 0);
}

static void timer_on_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct loop_timer *t = arg;
    uint64_t now_us = clock_now_us();
    if (now_us < t->due_us) {
        /* libevent reads a coarse clock, which is up to a tick behind: early. */
        timer_arm(t, t->due_us - now_us);
        return;
    }
    t->loop->now_ms = now_us / 1000u; /* who checks a deadline now finds it passed */
    t->fn(t->arg);
}

void loop_timer_init(struct loop_timer *t, struct loop *loop, loop_fn *fn, void *arg)
{
    *t = (struct loop_timer){.loop = loop, .fn = fn, .arg = arg};
    t->event = event_new(loop_base(loop), -1, 0, timer_on_event, t);
    NEED(t->event != NULL);
}

void loop_timer_set(struct loop_timer *t, uint64_t delay_ms)
{
    uint64_t delay_us = (delay_ms < DELAY_MAX_MS ? delay_ms : DELAY_MAX_MS) * 1000u;
    t->due_us = clock_now_us() + delay_us;
    timer_arm(t, delay_us);
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
    CHECK(loop->signal_fd < 0);
    sigset_t set;
    (void)sigemptyset(&set);
    for (int i = 0; i < count; i++) {
        (void)sigaddset(&set, signals[i]);
    }
    int failed = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (failed != 0) {
        errno = failed;
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
