/* conn: see conn.h. Called by the worker's loop (events, end of turn,
 * deadlines) and by the protocol that owns the connection. */
#include "gateway/conn.h"

#include <errno.h>
#include <linux/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "gateway/account.h"
#include "gateway/admit.h"
#include "gateway/conn_private.h"
#include "gateway/tls.h"

enum {
    READ_ROUNDS = 2, /* batches of a connection in one turn */
};

static void conn_on_ready(evutil_socket_t fd, short what, void *arg);

/* A client's socket takes bytes from the start, and almost always all of them: told of that, each
 * new connection would wake its worker once for nothing. */
bool conn_register(struct conn *c)
{
    const short writing = c->is_front && c->can_write ? 0 : EV_WRITE;
    CHECK(event_assign(&c->event, loop_base(c->worker->loop), c->fd,
                       EV_READ | writing | EV_CLOSED | EV_ET | EV_PERSIST, conn_on_ready, c) == 0);
    return event_add(&c->event, NULL) == 0;
}

static bool hears_of_room(const struct conn *c)
{
    return (event_get_events(&c->event) & EV_WRITE) != 0;
}

/* The socket took less than all, the first time: from here on it tells when it has room, now if it
 * has it already. False: it cannot, and the connection ended. */
static bool hear_of_room(struct conn *c)
{
    if (c->can_write || hears_of_room(c)) {
        return true;
    }
    (void)event_del(&c->event);
    if (!conn_register(c)) {
        conn_cut(c);
        return false;
    }
    return true;
}

/* Accepted, and cannot be served: no memory, or no room in epoll. */
static struct conn *drop_accepted(struct conn *c)
{
    if (c->ssl != NULL) {
        c->worker->bio_conn = c;
        SSL_free(c->ssl);
        c->worker->bio_conn = NULL;
    }
    (void)close(c->fd);
    free(c);
    return NULL;
}

struct conn *conn_new(struct worker *w, const struct conn_ops *ops, void *owner)
{
    struct conn *c = try_zalloc(sizeof *c);
    if (c == NULL) {
        admit_out_of_memory(w);
        return NULL;
    }
    c->magic = CONN_MAGIC;
    c->worker = w;
    c->ops = ops;
    c->owner = owner;
    c->read_max = WORKER_PLAIN_SIZE;
    c->fd = -1;
    return c;
}

struct conn *conn_accept(struct worker *w, int fd, const struct sockaddr *peer, socklen_t peer_len,
                         bool tls, const struct conn_ops *ops, void *owner)
{
    struct conn *c = conn_new(w, ops, owner);
    if (c == NULL) {
        (void)close(fd);
        return NULL;
    }
    c->fd = fd;
    memcpy(&c->peer, peer, peer_len < sizeof c->peer ? peer_len : sizeof c->peer);
    c->is_front = true;
    c->can_write = true;
    c->state = tls ? CONN_HANDSHAKE : CONN_OPEN;
    if ((tls && !tls_attach(c, tlsctx_server(w->tlsctx), true)) || !conn_register(c)) {
        return drop_accepted(c);
    }
    c->front_next = w->fronts;
    c->front_prev = &w->fronts;
    if (c->front_next != NULL) {
        c->front_next->front_prev = &c->front_next;
    }
    w->fronts = c;
    return c;
}

void conn_mark_dirty(struct conn *c)
{
    if (!c->in_dirty && c->state != CONN_GONE) {
        c->in_dirty = true;
        c->dirty_next = c->worker->dirty;
        c->worker->dirty = c;
    }
}

void conn_mark_again(struct conn *c)
{
    if (!c->in_again && c->state != CONN_GONE) {
        c->in_again = true;
        c->again_next = NULL;
        *c->worker->again_tail = c;
        c->worker->again_tail = &c->again_next;
    }
}

void conn_pause(struct conn *c, enum conn_pause why)
{
    c->pauses |= (uint8_t)why;
}

void conn_resume(struct conn *c, enum conn_pause why)
{
    if ((c->pauses & why) == 0) {
        return;
    }
    c->pauses &= (uint8_t)~why;
    if (c->pauses == 0) {
        conn_mark_again(c); /* never read from inside somebody's callback */
    }
}

void conn_set_deadline(struct conn *c, uint64_t after_ms)
{
    deadline_set(&c->worker->wheel, &c->deadline, loop_now_ms(c->worker->loop), after_ms);
}

void conn_on_due(struct deadline *d, void *arg)
{
    (void)arg;
    struct conn *c = (struct conn *)(void *)((char *)d - offsetof(struct conn, deadline));
    CHECK(c->magic == CONN_MAGIC);
    if (c->state >= CONN_FLUSHING) {
        conn_end(c);
    } else {
        c->in_deadline = true;
        c->ops->on_event(c, CONN_DEADLINE);
        c->in_deadline = false;
    }
}

static uint64_t bytes_acked(const struct conn *c)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    return getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 ? info.tcpi_bytes_acked : 0;
}

bool conn_is_taking(struct conn *c)
{
    uint64_t acked = bytes_acked(c);
    bool is_taking = c->state == CONN_OPEN && acked >= c->acked_seen + CONN_PROGRESS;
    c->acked_seen = acked;
    return is_taking;
}

/* Hands bytes to the owner and keeps what it left. */
static void deliver(struct conn *c, const char *data, size_t len)
{
    struct wbuf_pool *pool = &c->worker->wbufs;
    size_t kept = wbuf_len(&c->in);
    if (kept > 0) {
        wbuf_add(pool, &c->in, data, len);
        if (c->in.failed) {
            conn_out_of_memory(c);
            return;
        }
        data = wbuf_data(&c->in);
        len = wbuf_len(&c->in);
    }
    size_t used = len > 0 ? c->ops->on_data(c, data, len) : 0;
    if (c->state >= CONN_FLUSHING) {
        return; /* closed by the owner: buffers are gone or going */
    }
    CHECK(used <= len);
    if (kept > 0) {
        wbuf_consume(pool, &c->in, used);
    } else {
        wbuf_add(pool, &c->in, data + used, len - used);
        if (c->in.failed) {
            conn_out_of_memory(c);
        }
    }
}

/* One batch from the socket into worker->plain. TLS_OK with bytes, else why not. */
static enum tls_result receive(struct conn *c, size_t *out_len)
{
    struct worker *w = c->worker;
    *out_len = 0;
    if (c->ssl != NULL) {
        enum tls_result result = tls_read(c, w->plain, c->read_max, out_len);
        if (wbuf_len(&c->out) > 0) {
            conn_mark_dirty(c); /* OpenSSL answered by itself: an alert, a key update */
        }
        return result;
    }
    if (!c->can_read) {
        return c->got_eof ? TLS_EOF : TLS_AGAIN;
    }
    ssize_t n = recv(c->fd, w->plain, c->read_max, 0);
    if (n > 0) {
        c->can_read = (size_t)n == c->read_max || c->peer_closed;
        c->only_eof = (size_t)n < c->read_max && c->peer_closed;
        c->bytes_in += (uint64_t)n;
        *out_len = (size_t)n;
        return TLS_OK;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        c->can_read = errno == EINTR;
        return TLS_AGAIN;
    }
    c->can_read = false;
    c->got_eof = true;
    c->error = n < 0 ? errno : 0;
    return TLS_EOF;
}

/* Nothing came of what was read, and more is there: in the next turn, others come first. */
static void read_on(struct conn *c)
{
    if (c->can_read) {
        conn_mark_again(c);
    }
}

static bool handshake(struct conn *c)
{
    struct worker *w = c->worker;
    enum tls_result result = tls_handshake(c);
    conn_mark_dirty(c);
    if (result == TLS_AGAIN) {
        read_on(c);
        return false;
    }
    if (result != TLS_OK) {
        if (c->is_front) {
            stat_add(&w->stats.handshake_failures, 1);
            if (c->bytes_in > 0) { /* else it only looked whether the port is open */
                account_refusal(w, (const struct sockaddr *)&c->peer, REFUSED_HANDSHAKE,
                                conn_error_text(c));
            }
        }
        if (c->is_front && tls_dropped_for_http(c)) {
            c->state = CONN_OPEN;
            c->ops->on_event(c, CONN_READY);
            return false;
        }
        conn_flush(c); /* the alert */
        conn_die(c, c->error != 0 ? c->error : ECONNRESET);
        return false;
    }
    if (c->is_front) {
        c->ticket_queued = tls_has_ticket_queued(c);
        c->tls_version = SSL_get_version(c->ssl);
        c->tls_cipher = SSL_get_cipher_name(c->ssl);
        c->tls_resumed = SSL_session_reused(c->ssl) == 1;
        tls_acknowledge(c);
        stat_add(&w->stats.handshakes, 1);
        stat_add(&w->stats.handshakes_resumed, c->tls_resumed ? 1 : 0);
    }
    c->state = CONN_OPEN;
    c->ops->on_event(c, CONN_READY);
    return c->state == CONN_OPEN;
}

bool conn_start_tls(struct conn *c, const char *data, size_t len)
{
    CHECK(c->magic == CONN_MAGIC && c->state == CONN_OPEN && c->ssl == NULL);
    if (!tls_attach(c, tlsctx_server(c->worker->tlsctx), true)) {
        return false;
    }
    wbuf_add(&c->worker->wbufs, &c->cipher_in, data, len);
    c->state = CONN_HANDSHAKE;
    conn_mark_again(c); /* not from inside the owner's callback */
    return !c->cipher_in.failed;
}

static void end_of_input(struct conn *c, enum tls_result result)
{
    c->error = c->error == 0 ? c->send_error : c->error; /* a reset, told to whoever sent first */
    if (c->tls_flood && c->is_front) {
        account_refusal(c->worker, (const struct sockaddr *)&c->peer, REFUSED_TLS, NULL);
    }
    if (result == TLS_ERROR || c->error != 0) {
        conn_mark_dirty(c);
        c->answer_follows = false;
        conn_flush(c); /* an alert, if OpenSSL made one */
        conn_die(c, c->error != 0 ? c->error : ECONNRESET);
    } else if (!c->told_eof) {
        c->told_eof = true;
        c->ops->on_event(c, CONN_EOF);
    }
}

static void read_open(struct conn *c)
{
    for (int round = 0; c->state == CONN_OPEN && c->pauses == 0; round++) {
        if (round == READ_ROUNDS) {
            conn_mark_again(c);
            return;
        }
        size_t len;
        enum tls_result result = receive(c, &len);
        if (len > 0) {
            deliver(c, c->worker->plain, len);
        }
        if (result == TLS_AGAIN) {
            read_on(c);
            return;
        }
        if (result != TLS_OK) {
            if (c->state == CONN_OPEN && c->pauses == 0) {
                end_of_input(c, result);
            } else if (c->state == CONN_OPEN) {
                c->got_eof = true; /* told after the pause */
            }
            return;
        }
    }
}

void conn_read(struct conn *c)
{
    CHECK(c->magic == CONN_MAGIC);
    struct worker *w = c->worker;
    w->rx_pos = 0;
    w->rx_len = 0;
    if (c->failed) {
        return;
    }
    if (c->state == CONN_HANDSHAKE && !handshake(c)) {
        tls_save_rest(c);
        return;
    }
    if (c->state == CONN_LINGER) {
        conn_linger(c);
        return;
    }
    if (c->state == CONN_OPEN && c->pauses == 0 && wbuf_len(&c->in) > 0) {
        deliver(c, NULL, 0); /* what was left when it paused */
    }
    read_open(c);
    if (w->rx_pos < w->rx_len) {
        tls_save_rest(c);
    }
}

static void conn_on_ready(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct conn *c = arg;
    CHECK(c->magic == CONN_MAGIC);
    if ((what & EV_WRITE) != 0) {
        if (c->state == CONN_CONNECTING) {
            conn_dial_finish(c);
            if (c->state == CONN_CONNECTING || c->state == CONN_GONE) {
                return;
            }
            if (c->state == CONN_HANDSHAKE) {
                conn_read(c); /* speaks first */
                return;
            }
        } else if (!c->can_write) {
            c->can_write = true;
            conn_mark_dirty(c);
        }
    }
    c->peer_closed = c->peer_closed || (what & EV_CLOSED) != 0;
    if ((what & (EV_READ | EV_CLOSED)) != 0 && c->state != CONN_CONNECTING) {
        c->can_read = true;
        conn_read(c);
        if ((what & EV_READ) != 0 && ((what & EV_WRITE) != 0 || !hears_of_room(c))) {
            conn_suspect(c);
        }
    }
    if (c->peer_closed && c->is_front && c->state == CONN_OPEN && !c->told_eof &&
        (c->pauses & CONN_PAUSE_ORDER) != 0) {
        c->told_eof = true; /* it waits for an answer nobody will read */
        c->ops->on_event(c, CONN_EOF);
    }
}

/* Sends c->out; false if the connection ended. The last bytes share their packet with the FIN. */
static bool send_out(struct conn *c)
{
    struct wbuf_pool *pool = &c->worker->wbufs;
    const int flags = MSG_NOSIGNAL | (c->shut_write ? MSG_MORE : 0);
    while (c->can_write && wbuf_len(&c->out) > 0) {
        size_t len = wbuf_len(&c->out);
        ssize_t n = send(c->fd, wbuf_data(&c->out), len, flags);
        if (n < 0) {
            if (errno == EAGAIN) {
                c->can_write = false;
                break;
            }
            if (errno == EINTR) {
                continue;
            }
            if (!c->is_front && c->state == CONN_OPEN) {
                conn_hear_out(c, errno);
                return true;
            }
            conn_die(c, errno);
            return false;
        }
        c->bytes_out += (uint64_t)n;
        c->progress = true;
        wbuf_consume(pool, &c->out, (size_t)n);
        c->can_write = (size_t)n == len;
    }
    return hear_of_room(c);
}

void conn_flush(struct conn *c)
{
    CHECK(c->magic == CONN_MAGIC);
    conn_leave_dirty(c);
    const bool was_put_off = c->put_off;
    if (c->state == CONN_OPEN) {
        c->in_flush = true;
        c->ops->on_flush(c);
        if (c->left_rest && c->worker->again != NULL) {
            conn_wait_turn(c);
        }
        c->in_flush = false;
    }
    c->left_rest = false;
    if (c->failed || c->out.failed) {
        conn_cut(c);
        return;
    }
    c->ticket_queued = false;
    if (c->put_off && !was_put_off) {
        return;
    }
    c->put_off = false;
    if (c->state == CONN_CONNECTING || c->state == CONN_GONE ||
        (c->answer_follows && c->state == CONN_OPEN)) {
        return;
    }
    if (c->ssl != NULL && c->state != CONN_HANDSHAKE && wbuf_len(&c->stage) > 0) {
        enum tls_result result = tls_write(c, wbuf_data(&c->stage), wbuf_len(&c->stage));
        wbuf_release(&c->worker->wbufs, &c->stage);
        if (result != TLS_OK && c->out.failed) {
            conn_cut(c);
            return;
        }
        if (result != TLS_OK) {
            conn_die(c, EPIPE);
            return;
        }
    }
    if (c->state == CONN_FLUSHING && !c->shut_write) {
        if (!c->is_cut) {
            tls_send_close_notify(c);
        }
        c->shut_write = true;
    }
    if (!send_out(c) || c->state == CONN_GONE || c->state == CONN_LINGER) {
        return;
    }
    bool empty = wbuf_len(&c->out) == 0;
    if (c->state == CONN_FLUSHING) {
        if (empty) {
            conn_start_linger(c);
        }
        return;
    }
    if (empty && c->shut_write) {
        if (c->error != 0) {
            conn_die(c, c->error);
            return;
        }
        (void)shutdown(c->fd, SHUT_WR);
    }
    if ((empty == c->blocked || (c->blocked && c->progress)) && c->state == CONN_OPEN) {
        if (!empty) {
            c->acked_seen = bytes_acked(c);
        }
        c->blocked = !empty;
        c->progress = false;
        c->ops->on_event(c, empty ? CONN_DRAINED : CONN_BLOCKED);
    }
}

void conn_shutdown_write(struct conn *c)
{
    if (c->state != CONN_OPEN || c->shut_write) {
        return;
    }
    if (c->ssl != NULL) {
        if (wbuf_len(&c->stage) > 0) {
            (void)tls_write(c, wbuf_data(&c->stage), wbuf_len(&c->stage));
            wbuf_release(&c->worker->wbufs, &c->stage);
        }
        tls_send_close_notify(c);
    }
    c->shut_write = true;
    conn_mark_dirty(c);
}

void conn_close(struct conn *c)
{
    CHECK(c->magic == CONN_MAGIC);
    if (c->state == CONN_CONNECTING || c->state == CONN_HANDSHAKE) {
        conn_end(c);
        return;
    }
    if (c->state != CONN_OPEN) {
        return;
    }
    c->state = CONN_FLUSHING;
    wbuf_release(&c->worker->wbufs, &c->in);
    wbuf_release(&c->worker->wbufs, &c->cipher_in);
    conn_set_deadline(c, worker_limits(c->worker)->close_timeout_ms);
    conn_mark_dirty(c);
}
