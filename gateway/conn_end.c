/* conn_end: how a connection ends: at once, with a reset, or by itself.
 * The worker's thread. */
#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "gateway/admit.h"
#include "gateway/conn_private.h"
#include "gateway/tls.h"

enum {
    LINGER_MS = 2000,  /* for the peer to see our FIN, or to send more: a body nobody wants */
    LINGER_ROUNDS = 8, /* batches of it in one turn */
};

static void conn_free(struct loop_call *call)
{
    struct conn *c = OWNER_OF(call, struct conn, later);
    CHECK(c->magic == CONN_MAGIC && c->state == CONN_GONE && !c->in_dirty && !c->in_again);
    c->magic = 0;
    free(c->detail);
    free(c);
}

void conn_leave_dirty(struct conn *c)
{
    if (!c->in_dirty) {
        return;
    }
    struct conn **at = &c->worker->dirty;
    while (*at != c) {
        at = &(*at)->dirty_next;
    }
    *at = c->dirty_next;
    c->dirty_next = NULL;
    c->in_dirty = false;
}

void conn_leave_again(struct conn *c)
{
    struct worker *w = c->worker;
    if (!c->in_again) {
        return;
    }
    struct conn **at = &w->again;
    while (*at != c) {
        at = &(*at)->again_next;
    }
    *at = c->again_next;
    if (w->again_tail == &c->again_next) {
        w->again_tail = at;
    }
    c->again_next = NULL;
    c->in_again = false;
}

/* Descriptor, TLS state and buffers go at once; the memory at the end of the turn. */
void conn_end(struct conn *c)
{
    struct worker *w = c->worker;
    if (c->state == CONN_GONE) {
        return;
    }
    if (c->ssl != NULL) {
        w->bio_conn = c;
        SSL_free(c->ssl);
        c->ssl = NULL;
    }
    if (w->bio_conn == c) {
        w->bio_conn = NULL;
    }
    if (c->fd >= 0) { /* a dial may have failed before it had a socket */
        (void)event_del(&c->event);
        (void)close(c->fd);
        c->fd = -1;
    }
    c->state = CONN_GONE;
    deadline_clear(&w->wheel, &c->deadline);
    wbuf_release(&w->wbufs, &c->in);
    wbuf_release(&w->wbufs, &c->cipher_in);
    wbuf_release(&w->wbufs, &c->stage);
    wbuf_release(&w->wbufs, &c->out);
    conn_leave_dirty(c);
    conn_leave_again(c);
    conn_leave_suspects(c);
    if (c->is_front) {
        stat_add(&w->stats.bytes_in, c->bytes_in);
        stat_add(&w->stats.bytes_out, c->bytes_out);
        *c->front_prev = c->front_next;
        if (c->front_next != NULL) {
            c->front_next->front_prev = c->front_prev;
        }
        admit_release(c);
        worker_on_front_closed(w);
    }
    if (c->later.fn != NULL) {
        c->later.fn = conn_free; /* nobody is there any more whom a failed dial could be told */
    } else {
        loop_defer_call(w->loop, &c->later, conn_free);
    }
}

/* Dies by itself: the owner, if there still is one, hears of it last. */
void conn_die(struct conn *c, int error)
{
    if (c->state == CONN_GONE) {
        return;
    }
    if (c->error == 0) {
        c->error = error;
    }
    bool owned = c->state < CONN_FLUSHING;
    conn_end(c);
    if (owned) {
        c->ops->on_event(c, CONN_DEAD);
    }
}

void conn_abort(struct conn *c)
{
    CHECK(c->magic == CONN_MAGIC);
    conn_end(c);
}

void conn_reset(struct conn *c)
{
    CHECK(c->magic == CONN_MAGIC);
    const struct linger now = {.l_onoff = 1};
    conn_push(c); /* what was whole is the client's */
    if (c->fd >= 0) {
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now); /* a FIN then, at worst */
    }
    conn_end(c);
}

void conn_evict(struct conn *c)
{
    CHECK(c->magic == CONN_MAGIC);
    if (c->state == CONN_OPEN) {
        c->ops->on_event(c, CONN_EVICTED);
        conn_flush(c); /* last words; the owner may close it behind them */
    }
    if (c->state == CONN_OPEN) {
        tls_send_close_notify(c);
        conn_push(c);
    }
    conn_die(c, ECONNABORTED);
}

void conn_out_of_memory(struct conn *c)
{
    CHECK(c->magic == CONN_MAGIC);
    if (c->failed || c->state == CONN_GONE) {
        return;
    }
    c->failed = true;
    c->error = ENOMEM;
    c->shut_write = true;
    conn_pause(c, CONN_PAUSE_FAILED);
    wbuf_release(&c->worker->wbufs, &c->out);
    wbuf_release(&c->worker->wbufs, &c->stage);
    admit_out_of_memory(c->worker);
    conn_mark_dirty(c);
}

void conn_cut(struct conn *c)
{
    const struct linger now = {.l_onoff = 1};
    conn_out_of_memory(c);
    if (c->fd >= 0) {
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now); /* a FIN then, at worst */
    }
    conn_die(c, ENOMEM);
}

void conn_kill(struct conn *c)
{
    CHECK(c->magic == CONN_MAGIC);
    c->killed = true;
    conn_die(c, ETIMEDOUT);
}

enum exchange_abort conn_abort_reason(const struct conn *c)
{
    return c->killed ? ABORT_SHUTDOWN : c->in_deadline ? ABORT_TIMEOUT : ABORT_CLIENT;
}

const char *conn_error_text(const struct conn *c)
{
    if (c->detail != NULL) {
        return c->detail;
    }
    if (c->error < 0) {
        const char *text = ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, -c->error));
        return text == NULL ? "TLS error" : text;
    }
    return c->error == 0 ? "connection closed" : strerrordesc_np(c->error);
}

void conn_push(struct conn *c)
{
    if (c->state != CONN_OPEN) {
        return;
    }
    size_t staged = wbuf_len(&c->stage);
    if (c->ssl != NULL && staged > 0) {
        (void)tls_write(c, wbuf_data(&c->stage), staged); /* it ends in any case */
        wbuf_release(&c->worker->wbufs, &c->stage);
    }
    size_t len = wbuf_len(&c->out);
    ssize_t n = c->can_write && len > 0 ? send(c->fd, wbuf_data(&c->out), len, MSG_NOSIGNAL) : 0;
    c->bytes_out += n > 0 ? (uint64_t)n : 0;
}

/* After the last byte: FIN, and wait for the peer's so that no reset eats it. Not where nothing is
 * left to be read, and nothing may follow: closing is no reset then. */
void conn_start_linger(struct conn *c)
{
    if (c->got_eof || c->only_eof || (tls_peer_has_ended(c) && !c->can_read)) {
        conn_end(c);
        return;
    }
    (void)shutdown(c->fd, SHUT_WR);
    if (!c->is_front) {
        conn_end(c);
        return;
    }
    c->state = CONN_LINGER;
    uint32_t most_ms = worker_limits(c->worker)->close_timeout_ms;
    c->linger_until_ms = loop_now_ms(c->worker->loop) + most_ms;
    conn_set_deadline(c, most_ms < LINGER_MS ? most_ms : LINGER_MS);
    if (c->can_read) { /* else an event tells of what comes */
        conn_mark_again(c);
    }
}

/* Bytes are dropped: closing with some unread would be a reset, which takes our answer from a
 * client that has not read it (RFC 9112 9.6). */
void conn_linger(struct conn *c)
{
    uint64_t now = loop_now_ms(c->worker->loop);
    uint64_t before = c->bytes_in;
    for (int round = 0; c->can_read && now < c->linger_until_ms; round++) {
        if (round == LINGER_ROUNDS) {
            conn_mark_again(c);
            break;
        }
        ssize_t n = recv(c->fd, c->worker->plain, WORKER_PLAIN_SIZE, 0);
        if (n <= 0) {
            if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
                conn_end(c);
                return;
            }
            c->can_read = false;
            break;
        }
        c->bytes_in += (uint64_t)n;
    }
    if (now >= c->linger_until_ms) {
        conn_end(c);
    } else if (c->bytes_in > before) {
        uint64_t left = c->linger_until_ms - now;
        conn_set_deadline(c, left < LINGER_MS ? left : LINGER_MS);
    }
}
