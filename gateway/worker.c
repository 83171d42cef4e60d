/* worker: see worker.h. */
#include "gateway/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "gateway/access_log.h"
#include "gateway/admit.h"
#include "gateway/conn.h"
#include "gateway/exchange.h"
#include "gateway/listener.h"
#include "gateway/notice.h"
#include "gateway/review.h"
#include "gateway/route_stats.h"
#include "gateway/tls.h"
#include "gateway/upstream.h"

enum { PORTS = 65536 };

/* End of turn: read what was put off, then send everything written. */
static void worker_on_flush(void *arg)
{
    struct worker *w = arg;
    CHECK(w->magic == WORKER_MAGIC);
    size_t count = 0;
    for (struct conn *c = w->again; c != NULL; c = c->again_next) {
        count++;
    }
    /* Only those listed now, in turn: a connection may put itself off again. */
    while (count-- > 0 && w->again != NULL) {
        struct conn *c = w->again;
        conn_leave_again(c);
        if (c->put_off) {
            conn_mark_dirty(c);
        }
        conn_read(c);
    }
    while (w->dirty != NULL) {
        conn_flush(w->dirty);
    }
    if (w->again != NULL) {
        loop_wake(w->loop);
    }
}

static void set_wall_offset(struct worker *w)
{
    w->wall_offset_us = clock_wall_ms() * 1000 - (int64_t)clock_now_us();
}

static void worker_on_tick(void *arg)
{
    struct worker *w = arg;
    CHECK(w->magic == WORKER_MAGIC);
    uint64_t now = loop_now_ms(w->loop);
    deadline_wheel_run(&w->wheel, now, conn_on_due, NULL);
    conn_read_suspects(w);
    set_wall_offset(w);
    if (w->access != NULL) {
        access_log_publish(w->access);
    }
    admit_on_tick(w);
    notice_on_tick(w);
    if (w->draining && now >= w->drain_deadline_ms) {
        while (w->fronts != NULL) {
            conn_kill(w->fronts);
        }
    }
    loop_timer_set(&w->tick, DEADLINE_TICK_MS);
}

struct worker *worker_new(unsigned id, struct tlsctx *tlsctx, struct limit *limit, struct err *err)
{
    struct worker *w = xcalloc(1, sizeof *w);
    w->magic = WORKER_MAGIC;
    w->id = id;
    w->tlsctx = tlsctx;
    w->limit = limit;
    w->spare_fd = -1;
    w->again_tail = &w->again;
    w->loop = loop_new(err);
    if (w->loop == NULL) {
        goto fail_loop;
    }
    w->mail = mail_new(w->loop, err);
    if (w->mail == NULL) {
        goto fail_mail;
    }
    w->bio = tls_bio_new(w);
    if (w->bio == NULL) {
        (void)err_set(err, ERR_FAILED, "out of memory");
        goto fail_bio;
    }
    w->spare_fd = eventfd(0, EFD_CLOEXEC); /* without it clients only wait longer */
    w->rx = xmalloc(WORKER_RX_SIZE);
    w->plain = xmalloc(WORKER_PLAIN_SIZE);
    w->pools = xcalloc(PORTS, sizeof *w->pools);
    w->routes = route_stats_new(0); /* the first view says how many */
    NEED(w->routes != NULL);
    set_wall_offset(w);
    deadline_wheel_init(&w->wheel, clock_now_ms());
    loop_timer_init(&w->tick, w->loop, worker_on_tick, w);
    loop_timer_set(&w->tick, DEADLINE_TICK_MS);
    loop_add_flush(w->loop, worker_on_flush, w);
    return w;
fail_bio:
    mail_free(w->mail);
fail_mail:
    loop_free(w->loop);
fail_loop:
    free(w);
    return NULL;
}

static void *worker_run(void *arg)
{
    struct worker *w = arg;
    CHECK(w->magic == WORKER_MAGIC);
    char name[32]; /* the kernel keeps 15 */
    (void)snprintf(name, sizeof name, "wos-worker-%u", w->id);
    (void)prctl(PR_SET_NAME, name);
    loop_run(w->loop);
    return NULL;
}

int worker_start(struct worker *w, struct err *err)
{
    int error = pthread_create(&w->thread, NULL, worker_run, w);
    if (error != 0) {
        errno = error;
        return err_set_sys(err, "cannot start worker %u", w->id);
    }
    return 0;
}

void worker_stop(struct worker *w)
{
    loop_stop(w->loop);
}

void worker_join(struct worker *w)
{
    CHECK(pthread_join(w->thread, NULL) == 0);
}

static void listeners_close(struct worker *w)
{
    while (w->listener_count > 0) {
        listener_close(w->listeners[--w->listener_count]);
    }
}

void worker_free(struct worker *w)
{
    if (w == NULL) {
        return;
    }
    CHECK(w->magic == WORKER_MAGIC);
    mail_free(w->mail); /* runs what is left in it; listeners may come so */
    listeners_close(w);
    w->on_idle = NULL;
    while (w->fronts != NULL) {
        conn_kill(w->fronts);
    }
    upstream_free_all(w);
    loop_turn(w->loop, false); /* what was deferred */
    loop_timer_fini(&w->tick);
    BIO_free(w->bio);
    view_unpin(w->view);
    while (w->exchanges_free != NULL) {
        struct exchange *x = w->exchanges_free;
        w->exchanges_free = x->next;
        exchange_free(x);
    }
    wbuf_pool_fini(&w->wbufs);
    if (w->spare_fd >= 0) {
        (void)close(w->spare_fd);
    }
    free(w->rx);
    free(w->plain);
    free(w->pools);
    route_stats_free(w->routes);
    notice_fini(w);
    loop_free(w->loop);
    w->magic = 0;
    free(w);
}

struct route_stats *worker_take_routes(struct worker *w, struct route_stats *fresh)
{
    struct route_stats *routes = w->routes;
    w->routes = fresh;
    w->routes_taken_ms = loop_now_ms(w->loop);
    return routes;
}

/* Where nobody asks, routes that went must not keep the rows of those that came. */
static void fit_routes(struct worker *w)
{
    enum { UNASKED_MS = 600000 };
    const struct snapshot *snapshot = w->view->snapshot;
    w->routes = route_stats_resize(w->routes, snapshot->spec.limits.metric_routes_max);
    if (w->routes->count == w->routes->max &&
        loop_now_ms(w->loop) - w->routes_taken_ms > UNASKED_MS) {
        route_stats_drop_gone(w->routes, snapshot, &w->routes->other);
    }
}

void worker_set_view(struct worker *w, struct view *view)
{
    CHECK(w->magic == WORKER_MAGIC);
    struct view *old = w->view;
    w->view = view;
    view_unpin(old);
    fit_routes(w);
    if (old != NULL && view->needs_review) {
        review_worker(w);
    }
    for (size_t i = 0; i < w->listener_count; i++) {
        listener_enable(w->listeners[i], !w->draining);
    }
}

void worker_add_listener(struct worker *w, int fd, bool redirect)
{
    CHECK(w->listener_count < WORKER_LISTENERS_MAX);
    struct listener *l = listener_open(w, fd, redirect);
    w->listeners[w->listener_count++] = l;
    listener_enable(l, w->view != NULL && !w->draining);
}

static void check_drained(struct loop_call *call)
{
    struct worker *w = OWNER_OF(call, struct worker, drain_check);
    CHECK(w->magic == WORKER_MAGIC);
    if (w->draining && w->fronts == NULL && w->on_idle != NULL) {
        void (*on_idle)(void *) = w->on_idle;
        w->on_idle = NULL;
        on_idle(w->on_idle_arg);
    }
}

static void defer_check(struct worker *w)
{
    if (w->drain_check.fn == NULL) { /* else it waits already */
        loop_defer_call(w->loop, &w->drain_check, check_drained);
    }
}

void worker_drain(struct worker *w, uint64_t limit_ms)
{
    CHECK(w->magic == WORKER_MAGIC);
    w->draining = true;
    w->drain_deadline_ms = clock_now_ms() + limit_ms;
    listeners_close(w); /* their sockets stay open: nothing queued is reset */
    for (struct conn *c = w->fronts; c != NULL;) {
        struct conn *next = c->front_next;
        if (c->state == CONN_OPEN) {
            c->ops->on_event(c, CONN_DRAIN);
        }
        c = next;
    }
    defer_check(w);
}

void worker_on_front_closed(struct worker *w)
{
    stat_add(&w->stats.connections, UINT64_MAX); /* minus one */
    if (w->draining && w->fronts == NULL) {
        defer_check(w);
    }
}

struct str worker_date(struct worker *w)
{
    time_t now = time(NULL);
    if (now != w->date_s) {
        struct tm utc;
        w->date_s = now;
        (void)gmtime_r(&now, &utc);
        (void)strftime(w->date, sizeof w->date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
    }
    return (struct str){w->date, 29};
}
