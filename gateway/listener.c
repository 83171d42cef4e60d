/* listener: see listener.h. The worker's thread. */
#include "gateway/listener.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "gateway/admit.h"
#include "gateway/conn.h"
#include "gateway/greeting.h"

enum {
    LISTENER_BATCH = 10, /* clients of a turn at most */
    LISTENER_CALM = 8,   /* turns that find as many clients as they take before one takes more */
    PAUSE_MS = 100,
    LISTENER_MAGIC = 0x6c737472,
};

struct listener {
    uint32_t magic;
    struct worker *worker; /* borrowed */
    int fd;                /* borrowed */
    struct event *event;   /* owned */
    struct loop_timer pause;
    int batch; /* clients of the next turn at most */
    int full;  /* turns since accepting found nobody */
    bool enabled;
    bool redirect;
};

static void take_client(struct listener *l, int fd, const struct sockaddr *peer, socklen_t len)
{
    struct worker *w = l->worker;
    struct limit_cell *cell;
    stat_add(&w->stats.accepted, 1);
    if (!admit_address(w, peer, &cell)) {
        admit_refuse(w, fd, peer, REFUSED_ADDRESS);
        admit_cancel(w);
        return;
    }
    struct conn *c = greeting_open(w, fd, peer, len, l->redirect);
    if (c == NULL) {
        limit_address_leave(cell);
        admit_cancel(w);
        return;
    }
    c->address_cell = cell;
    admit_set_idle(c, true);
    stat_add(&w->stats.connections, 1);
}

static void listener_rest(struct listener *l)
{
    (void)event_del(l->event);
    loop_timer_set(&l->pause, PAUSE_MS);
}

/* Where the kernel has no room for it (epoll_ctl: ENOMEM, ENOSPC), a little later. */
static void listener_watch(struct listener *l)
{
    if (event_add(l->event, NULL) != 0) {
        loop_timer_set(&l->pause, PAUSE_MS);
    }
}

static void listener_on_pause_over(void *arg)
{
    struct listener *l = arg;
    CHECK(l->magic == LISTENER_MAGIC);
    if (l->enabled) {
        listener_watch(l);
    }
}

/* Accepting where nobody waits is not free: the kernel makes the socket before it looks. Most turns
 * find one client, so that is what a turn takes, and the event comes again where there are more.
 * Only a queue that does not end gets larger batches. */
static void listener_on_full(struct listener *l)
{
    l->full++;
    if (l->full >= LISTENER_CALM) {
        l->full = LISTENER_CALM;
        l->batch = l->batch * 2 < LISTENER_BATCH ? l->batch * 2 : LISTENER_BATCH;
    }
}

static void listener_on_empty(struct listener *l)
{
    l->full = 0;
    l->batch = 1;
}

static void listener_on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct listener *l = arg;
    CHECK(l->magic == LISTENER_MAGIC);
    struct worker *w = l->worker;
    for (int i = 0; i < l->batch; i++) {
        if (!admit_reserve(w)) {
            listener_rest(l);
            return;
        }
        struct sockaddr_in6 peer = {0};
        socklen_t len = sizeof peer;
        int client = accept4(fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client >= 0) {
            take_client(l, client, (const struct sockaddr *)&peer, len);
            continue;
        }
        int error = errno;
        admit_cancel(w);
        if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
            if (admit_shed(w, fd)) {
                continue;
            }
            listener_rest(l);
        }
        if (error != ECONNABORTED && error != EINTR) {
            listener_on_empty(l);
            return;
        }
    }
    listener_on_full(l);
}

struct listener *listener_open(struct worker *w, int fd, bool redirect)
{
    struct listener *l = xcalloc(1, sizeof *l);
    l->magic = LISTENER_MAGIC;
    l->worker = w;
    l->fd = fd;
    l->redirect = redirect;
    l->batch = 1;
    l->event = event_new(loop_base(w->loop), fd, EV_READ | EV_PERSIST, listener_on_readable, l);
    NEED(l->event != NULL);
    loop_timer_init(&l->pause, w->loop, listener_on_pause_over, l);
    return l;
}

void listener_enable(struct listener *l, bool on)
{
    if (l->enabled == on) {
        return;
    }
    l->enabled = on;
    if (on) {
        listener_watch(l);
    } else {
        (void)event_del(l->event);
        loop_timer_clear(&l->pause);
    }
}

void listener_close(struct listener *l)
{
    if (l == NULL) {
        return;
    }
    CHECK(l->magic == LISTENER_MAGIC);
    event_free(l->event);
    loop_timer_fini(&l->pause);
    l->magic = 0;
    free(l);
}
