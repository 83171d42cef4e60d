/* conn_write: the owner's bytes on their way into c->out, and out of it where they are many; the
 * rest leaves at the end of the turn (conn_flush). Called by the protocol that owns the
 * connection, in the worker's thread. */
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/auto.h"
#include "gateway/conn_private.h"
#include "gateway/tls.h"

enum {
    SEND_EARLY = 64 * 1024, /* bytes that do not wait for the end of the turn */
    SEND_PIECE = 65000, /* … but for what is beyond whole segments of the loopback interface … */
    SEND_REST = 8192,   /* … if so little that a segment of its own is not worth it */
};

static void stage(struct conn *c, const char *data, size_t len)
{
    wbuf_add(&c->worker->wbufs, &c->stage, data, len);
    if (c->stage.failed) {
        conn_out_of_memory(c);
    }
}

/* TLS: fills records of 16 KiB; what is less waits for more until the turn ends. */
static void write_tls(struct conn *c, const char *data, size_t len)
{
    struct wbuf_pool *pool = &c->worker->wbufs;
    enum tls_result result = TLS_OK;
    size_t staged = wbuf_len(&c->stage);
    if (staged >= CONN_RECORD) { /* collected before the handshake was done */
        result = tls_write(c, wbuf_data(&c->stage), staged);
        wbuf_release(pool, &c->stage);
        staged = 0;
    }
    if (result == TLS_OK && staged > 0 && staged + len >= CONN_RECORD) {
        size_t fill = CONN_RECORD - staged;
        wbuf_add(pool, &c->stage, data, fill);
        data += fill;
        len -= fill;
        result = tls_write(c, wbuf_data(&c->stage), CONN_RECORD);
        wbuf_release(pool, &c->stage);
    }
    while (len >= CONN_RECORD && result == TLS_OK) {
        result = tls_write(c, data, CONN_RECORD);
        data += CONN_RECORD;
        len -= CONN_RECORD;
    }
    if (result != TLS_OK) {
        c->error = c->error == 0 ? EPIPE : c->error; /* conn_flush ends it */
        c->can_write = true;
        c->shut_write = true;
        return;
    }
    stage(c, data, len);
}

void conn_hear_out(struct conn *c, int error)
{
    c->send_error = error;
    wbuf_release(&c->worker->wbufs, &c->out);
    c->shut_write = true;
    c->can_read = true;
    conn_mark_again(c);
}

/* What would not fit the buffer of one turn leaves at once: growing it costs more than
 * the system call. Sends what is queued and, behind it, `len` bytes more, which so are not copied;
 * how many of them left. An error is left for conn_flush, which may call the owner. */
static size_t send_early(struct conn *c, const char *data, size_t len)
{
    const size_t queued = wbuf_len(&c->out);
    if (queued + len < SEND_EARLY || !c->can_write || c->state != CONN_OPEN || c->error != 0 ||
        c->out.failed) {
        return 0;
    }
    size_t rest = (queued + len) % SEND_PIECE;
    rest = rest < SEND_REST ? rest : 0;
    const size_t all = queued + len - rest;
    const size_t first = queued < all ? queued : all;
    struct iovec parts[2];
    struct msghdr message = {.msg_iov = parts};
    if (first > 0) {
        parts[message.msg_iovlen++] = (struct iovec){c->out.ptr + c->out.head, first};
    }
    if (first < all) { /* the kernel only reads it */
        parts[message.msg_iovlen++] = (struct iovec){(void *)(uintptr_t)data, all - first};
    }
    ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL);
    if (n < 0) {
        if (errno == EAGAIN) {
            c->can_write = false;
        } else if (errno != EINTR && !c->is_front) {
            conn_hear_out(c, errno);
        } /* else conn_flush meets it again */
        return 0;
    }
    const size_t sent = (size_t)n;
    const size_t of_queue = sent < queued ? sent : queued;
    c->bytes_out += sent;
    c->progress = true;
    c->can_write = sent == all;
    c->left_rest = rest > 0 && c->can_write;
    c->put_off = false; /* that left; the rest came just now */
    wbuf_consume(&c->worker->wbufs, &c->out, of_queue);
    return sent - of_queue;
}

void conn_write(struct conn *c, const void *data, size_t len)
{
    CHECK(c->magic == CONN_MAGIC);
    if (len == 0 || c->state == CONN_GONE || c->shut_write) {
        return;
    }
    if (!c->in_flush) { /* else it leaves behind on_flush */
        conn_mark_dirty(c);
    }
    c->answer_follows = false;
    if (c->ssl == NULL) {
        size_t sent = send_early(c, data, len);
        if (!c->shut_write) {
            wbuf_add(&c->worker->wbufs, &c->out, (const char *)data + sent, len - sent);
        }
    } else if (c->state == CONN_OPEN) {
        write_tls(c, data, len);
        (void)send_early(c, NULL, 0);
    } else {
        stage(c, data, len);
    }
}

size_t conn_pending(const struct conn *c)
{
    return wbuf_len(&c->out) + wbuf_len(&c->stage);
}

void conn_wait_turn(struct conn *c)
{
    CHECK(c->in_flush);
    if (c->state == CONN_OPEN && c->error == 0 && !c->put_off && !c->shut_write && !c->blocked &&
        c->can_write && conn_pending(c) > 0) {
        c->put_off = true;
        conn_mark_again(c); /* where worker_on_flush finds it */
    }
}

void conn_put_off(struct conn *c, const struct conn *source)
{
    if (source != NULL && source->in_again && source->pauses == 0) {
        conn_wait_turn(c);
    }
}
