/* admit: see admit.h. Called by the listener, the fronts, conn_end and the
 * worker's tick, all in the worker's thread. */
#include "gateway/admit.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "gateway/account.h"

enum {
    EVICT_AGE_MS = 1000, /* younger ones may be about to send their request */
    EVICT_LOOK = 256,    /* connections looked at for one to close */
    EVICT_ON_TICK = 16,  /* closed for other workers at a time */
    REST_AGE_MS = 250,   /* from then on memory is worth more than 20 µs at the next request */
    REST_ON_TICK = 256,
    WARN_EVERY_MS = 10000,
};

enum warning { WARN_TOTAL, WARN_ADDRESS, WARN_DESCRIPTORS, WARN_MEMORY };

/* One line in ten seconds for a state that clients can bring about at will. */
static bool may_warn(struct worker *w, enum warning kind)
{
    uint64_t now = loop_now_ms(w->loop);
    if (w->warned_ms[kind] != 0 && now < w->warned_ms[kind] + WARN_EVERY_MS) {
        return false;
    }
    w->warned_ms[kind] = now;
    return true;
}

void admit_out_of_memory(struct worker *w)
{
    stat_add(&w->stats.out_of_memory, 1);
    if (may_warn(w, WARN_MEMORY)) {
        log_warn("gateway", "out of memory: requests fail");
    }
}

/* The longest idle one that may go; of that address, if cell is given. */
static struct conn *find_idle(struct worker *w, const struct limit_cell *cell)
{
    uint64_t now = loop_now_ms(w->loop);
    struct conn *c = w->idle_first;
    for (int i = 0; c != NULL && i < EVICT_LOOK; i++) {
        if (now < c->idle_since_ms + EVICT_AGE_MS) {
            return NULL; /* and the rest is younger */
        }
        bool is_quiet = conn_pending(c) == 0 && wbuf_len(&c->in) == 0 && c->state <= CONN_OPEN;
        if (is_quiet && (cell == NULL || c->address_cell == cell)) {
            return c;
        }
        c = c->idle_next;
    }
    return NULL;
}

static bool evict(struct worker *w, const struct limit_cell *cell)
{
    struct conn *c = find_idle(w, cell);
    if (c == NULL) {
        return false;
    }
    stat_add(&w->stats.evicted, 1);
    conn_evict(c);
    return true;
}

bool admit_reserve(struct worker *w)
{
    uint64_t cap = limit_connections_cap(w->limit);
    uint64_t max = worker_limits(w)->connections_max;
    max = max < cap ? max : cap;
    if (limit_enter(w->limit, max) || (evict(w, NULL) && limit_enter(w->limit, max))) {
        return true;
    }
    limit_want_room(w->limit);
    if (may_warn(w, WARN_TOTAL)) {
        log_warn("gateway", "the connection limit is reached; new clients wait",
                 LOG_INT("worker", w->id), LOG_INT("connections", limit_connections(w->limit)));
    }
    return false;
}

void admit_cancel(struct worker *w)
{
    limit_leave(w->limit);
}

bool admit_address(struct worker *w, const struct sockaddr *peer, struct limit_cell **out_cell)
{
    const struct snapshot_spec *spec = &w->view->snapshot->spec;
    uint32_t max = spec->limits.connections_per_address;
    if (peer_list_has(&spec->proxy_protocol, peer) || peer_list_has(&spec->trusted_proxies, peer)) {
        *out_cell = NULL;
        return true;
    }
    if (limit_address_enter(w->limit, peer, max, out_cell)) {
        return true;
    }
    const struct limit_cell *cell = limit_address_find(w->limit, peer);
    if (cell != NULL && evict(w, cell) && limit_address_enter(w->limit, peer, max, out_cell)) {
        return true;
    }
    if (may_warn(w, WARN_ADDRESS)) {
        char text[64];
        peer_format(peer, text, sizeof text);
        log_warn("gateway", "an address has all the connections it may have", LOG_STR("peer", text),
                 LOG_INT("connections", max));
    }
    return false;
}

void admit_refuse(struct worker *w, int fd, const struct sockaddr *peer, enum refused_reason reason)
{
    const struct linger now = {.l_onoff = 1};
    account_refusal(w, peer, reason, NULL);
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now); /* a FIN then, at worst */
    (void)close(fd);
}

bool admit_shed(struct worker *w, int listen_fd)
{
    if (evict(w, NULL)) {
        return true;
    }
    if (may_warn(w, WARN_DESCRIPTORS)) {
        log_error("gateway", "out of file descriptors; new clients wait", LOG_INT("worker", w->id),
                  LOG_INT("connections", limit_connections(w->limit)));
    }
    if (w->spare_fd >= 0) {
        (void)close(w->spare_fd);
        struct sockaddr_in6 peer = {0};
        socklen_t len = sizeof peer;
        int fd = accept4(listen_fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            admit_refuse(w, fd, (const struct sockaddr *)&peer, REFUSED_LIMIT);
        }
    }
    w->spare_fd = eventfd(0, EFD_CLOEXEC); /* tried again next time if somebody was faster */
    return false;
}

void admit_release(struct conn *c)
{
    admit_set_idle(c, false);
    limit_address_leave(c->address_cell);
    c->address_cell = NULL;
    limit_leave(c->worker->limit);
}

static void idle_append(struct worker *w, struct conn *c)
{
    c->is_idle = true;
    c->idle_since_ms = loop_now_ms(w->loop);
    c->idle_next = NULL;
    c->idle_prev = w->idle_last;
    if (w->idle_last != NULL) {
        w->idle_last->idle_next = c;
    } else {
        w->idle_first = c;
    }
    w->idle_last = c;
    if (w->idle_awake == NULL) {
        w->idle_awake = c;
    }
}

static void idle_remove(struct worker *w, struct conn *c)
{
    c->is_idle = false;
    c->is_resting = false;
    if (w->idle_awake == c) {
        w->idle_awake = c->idle_next;
    }
    if (c->idle_next != NULL) {
        c->idle_next->idle_prev = c->idle_prev;
    } else {
        w->idle_last = c->idle_prev;
    }
    if (c->idle_prev != NULL) {
        c->idle_prev->idle_next = c->idle_next;
    } else {
        w->idle_first = c->idle_next;
    }
    c->idle_next = NULL;
    c->idle_prev = NULL;
}

void admit_set_idle(struct conn *c, bool is_idle)
{
    if (is_idle == c->is_idle) {
        return;
    }
    if (is_idle) {
        idle_append(c->worker, c);
    } else {
        idle_remove(c->worker, c);
    }
}

/* The list is in the order of their idle times, so those told are its first. */
static void tell_rest(struct worker *w)
{
    const uint64_t now = loop_now_ms(w->loop);
    for (int i = 0; i < REST_ON_TICK; i++) {
        struct conn *c = w->idle_awake;
        if (c == NULL || now < c->idle_since_ms + REST_AGE_MS) {
            return;
        }
        w->idle_awake = c->idle_next;
        if (c->state == CONN_OPEN) {
            c->is_resting = true;
            c->ops->on_event(c, CONN_REST);
        }
    }
}

void admit_on_tick(struct worker *w)
{
    tell_rest(w);
    if (w->idle_first == NULL || !limit_take_want(w->limit)) {
        return;
    }
    for (int i = 0; i < EVICT_ON_TICK && evict(w, NULL); i++) {
    }
}
