/* front_h2: the connection half: session, frames in, flush, end. The answers
 * of its streams are in front_h2_stream.c. The worker's thread.
 *
 * nghttp2 serialises only in on_flush, once a turn; nothing else calls
 * nghttp2_session_mem_send. Flow control windows open as bytes leave towards
 * the service. */
#include "gateway/front_h2.h"

#include <stdlib.h>

#include "base/auto.h"
#include "gateway/front_h2_stream.h"

enum {
    WINDOW_CONNECTION = 1 << 20,
    GOAWAY_WAIT_MS = 1000, /* between the two GOAWAYs, for requests on their way */
};

static void front_free(void *arg)
{
    struct front_h2 *f = arg;
    CHECK(f->magic == FRONT_H2_MAGIC && f->streams == NULL);
    nghttp2_session_del(f->session);
    f->magic = 0;
    free(f);
}

/* Ends every stream; session and memory go at the end of the turn. */
static void front_forget(struct front_h2 *f, struct worker *w)
{
    f->conn = NULL;
    while (f->streams != NULL) {
        h2_stream_gone(f->streams, w);
    }
    loop_defer(w->loop, front_free, f);
}

static void front_leave(struct front_h2 *f, bool gracefully)
{
    struct conn *c = f->conn;
    if (c == NULL) {
        return;
    }
    front_forget(f, c->worker);
    if (gracefully) {
        conn_close(c);
    } else {
        conn_abort(c);
    }
}

static enum front_wait present_wait(const struct front_h2 *f)
{
    if (f->conn->blocked) {
        return WAIT_WRITE;
    }
    if (f->draining && !f->goaway_sent) {
        return WAIT_GOAWAY;
    }
    if (f->unstarted > 0) {
        return WAIT_HEAD;
    }
    if (f->uploading > 0) {
        return WAIT_BODY;
    }
    return f->streams != NULL ? WAIT_STREAMS : WAIT_REQUEST;
}

static void arm_deadline(struct front_h2 *f)
{
    const struct limits *limits = worker_limits(f->conn->worker);
    const uint64_t after_ms[] = {
        [WAIT_REQUEST] = limits->idle_timeout_ms, [WAIT_HEAD] = limits->header_timeout_ms,
        [WAIT_BODY] = limits->body_timeout_ms,    [WAIT_STREAMS] = limits->tunnel_idle_timeout_ms,
        [WAIT_WRITE] = limits->write_timeout_ms,  [WAIT_GOAWAY] = GOAWAY_WAIT_MS,
    };
    enum front_wait wait = present_wait(f);
    /* Bytes do not put these off: a head has to be complete by then. */
    if ((wait == WAIT_HEAD || wait == WAIT_GOAWAY) && wait == f->wait) {
        return;
    }
    f->wait = wait;
    conn_set_deadline(f->conn, after_ms[wait]);
}

static size_t front_on_data(struct conn *c, const char *data, size_t len)
{
    struct front_h2 *f = c->owner;
    CHECK(f->magic == FRONT_H2_MAGIC && f->conn == c);
    ssize_t used = nghttp2_session_mem_recv(f->session, (const uint8_t *)data, len);
    conn_mark_dirty(c);
    if (used < 0) {
        /* GOAWAY is queued for what nghttp2 could still say; then it ends. */
        f->failed = true;
        return len;
    }
    arm_deadline(f);
    return (size_t)used;
}

static void front_on_flush(struct conn *c)
{
    struct front_h2 *f = c->owner;
    CHECK(f->magic == FRONT_H2_MAGIC && f->conn == c);
    if (present_wait(f) != f->wait) {
        arm_deadline(f);
    }
    while (!c->blocked) {
        if (conn_pending(c) >= H2_FLUSH_MAX) {
            if (c->can_write) {
                conn_mark_dirty(c); /* again, after this send */
            }
            return;
        }
        const uint8_t *data;
        ssize_t len = nghttp2_session_mem_send(f->session, &data);
        if (len < 0) {
            f->failed = true;
        }
        if (len <= 0) {
            break;
        }
        conn_write(c, data, (size_t)len);
    }
    if (conn_pending(c) >= H2_FLUSH_MAX && c->can_write) {
        conn_mark_dirty(c); /* a stream had more: again, after this send */
        return;
    }
    if (f->failed || (nghttp2_session_want_read(f->session) == 0 &&
                      nghttp2_session_want_write(f->session) == 0)) {
        front_leave(f, true);
        return;
    }
    if (f->goaway_sent && f->streams == NULL) {
        front_leave(f, true);
    }
}

static void on_deadline(struct front_h2 *f)
{
    struct conn *c = f->conn;
    if (c->blocked || f->goaway_sent || f->wait == WAIT_HEAD) {
        front_leave(f, false);
        return;
    }
    if (f->wait == WAIT_BODY) {
        h2_stream_refuse_stalled(f);
        arm_deadline(f);
        return;
    }
    if (f->draining || f->streams == NULL) {
        f->goaway_sent = true;
        (void)nghttp2_submit_goaway(f->session, NGHTTP2_FLAG_NONE,
                                    nghttp2_session_get_last_proc_stream_id(f->session),
                                    NGHTTP2_NO_ERROR, NULL, 0); /* fails only without memory */
        conn_mark_dirty(c);
        arm_deadline(f);
        return;
    }
    front_leave(f, false);
}

/* RFC 9113 6.8: announced first, so that requests on their way are still served. */
static void start_drain(struct front_h2 *f)
{
    if (!f->draining) {
        f->draining = true;
        (void)nghttp2_submit_shutdown_notice(f->session); /* fails only without memory */
        conn_mark_dirty(f->conn);
        arm_deadline(f);
    }
}

static void front_on_event(struct conn *c, enum conn_event event)
{
    struct front_h2 *f = c->owner;
    CHECK(f->magic == FRONT_H2_MAGIC && f->conn == c);
    switch (event) {
    case CONN_READY:
        break;
    case CONN_EOF:
        front_leave(f, true);
        break;
    case CONN_BLOCKED:
        arm_deadline(f);
        break;
    case CONN_DRAINED:
        conn_mark_dirty(c);
        arm_deadline(f);
        break;
    case CONN_DEADLINE:
        on_deadline(f);
        break;
    case CONN_DRAIN:
        start_drain(f);
        break;
    case CONN_DEAD:
        front_forget(f, c->worker);
        break;
    }
}

static const struct conn_ops front_conn_ops = {front_on_data, front_on_event, front_on_flush};

static nghttp2_session *session_new(struct front_h2 *f, const struct limits *limits)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    nghttp2_session *session = NULL;
    CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
    CHECK(nghttp2_option_new(&option) == 0);
    h2_stream_set_callbacks(callbacks);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_send_header_block_length(option, 1 << 20);
    CHECK(nghttp2_session_server_new2(&session, callbacks, f, option) == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits->streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_WINDOW_STREAM},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits->header_bytes_max},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
    };
    CHECK(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, COUNT_OF(settings)) == 0);
    CHECK(nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, WINDOW_CONNECTION) ==
          0);
    return session;
}

void front_h2_open(struct conn *c)
{
    struct front_h2 *f = xcalloc(1, sizeof *f);
    f->magic = FRONT_H2_MAGIC;
    f->conn = c;
    f->session = session_new(f, worker_limits(c->worker));
    c->ops = &front_conn_ops;
    c->owner = f;
    c->awaiting = true; /* a reset behind a frame must not leave streams running */
    arm_deadline(f);
    conn_mark_dirty(c);
    if (c->worker->draining) {
        start_drain(f);
    }
}
