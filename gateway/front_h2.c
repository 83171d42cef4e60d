/* front_h2: the connection half: session, frames in, flush, end. The answers
 * of its streams are in front_h2_stream.c. The worker's thread.
 *
 * nghttp2 serialises only in on_flush, once a turn; nothing else calls
 * nghttp2_session_mem_send. Flow control windows open as bytes leave towards
 * the service. */
#include "gateway/front_h2.h"

#include <stdlib.h>

#include "base/auto.h"
#include "gateway/account.h"
#include "gateway/admit.h"
#include "gateway/front_h2_stream.h"

enum {
    QUEUE_ITEMS = 1000,       /* frames nghttp2 may hold for a client, beside 4 a stream */
    HEAD_BLOCK_MAX = 4 << 20, /* heads are bounded where they are read */
    GOAWAY_WAIT_MS = 1000,    /* between the two GOAWAYs, for requests on their way */
    CONTROL_MAX = 64,         /* a few frames without a head or a body */
};

static void front_free(struct loop_call *call)
{
    struct front_h2 *f = OWNER_OF(call, struct front_h2, freeing);
    CHECK(f->magic == FRONT_H2_MAGIC && f->streams == NULL);
    h2_memory_end(&f->memory);
    free(f->early);
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
    loop_defer_call(w->loop, &f->freeing, front_free);
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
    if (f->unstarted > 0 || !f->guard.got_settings) {
        return WAIT_HEAD;
    }
    if (f->uploading > 0) {
        return WAIT_BODY;
    }
    if (f->queued > 0) {
        return WAIT_WINDOW;
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
        [WAIT_WINDOW] = limits->write_timeout_ms,
    };
    enum front_wait wait = present_wait(f);
    /* What the client sends does not put these off: a head has to be complete by then, only a
     * request ends being idle, only taking bytes counts as taking them, and each body has a time
     * of its own. */
    bool absolute = wait == WAIT_HEAD || wait == WAIT_GOAWAY || wait == WAIT_WINDOW ||
                    wait == WAIT_WRITE || wait == WAIT_BODY ||
                    (wait == WAIT_REQUEST && f->last_id == f->idle_id);
    if (absolute && wait == f->wait) {
        return;
    }
    f->wait = wait;
    f->idle_id = f->last_id;
    /* Idle is also who has not said a word yet. */
    admit_set_idle(f->conn, wait == WAIT_REQUEST || (wait == WAIT_HEAD && f->unstarted == 0));
    uint64_t after = after_ms[wait];
    if (wait == WAIT_WINDOW) {
        uint64_t waited = loop_now_ms(f->conn->worker->loop) - f->moved_ms;
        after = waited < after ? after - waited : 1;
    }
    if (wait == WAIT_BODY) {
        after = h2_stream_next_stall(f, after);
    }
    conn_set_deadline(f->conn, after);
}

/* Answers wait, and the client has not let a byte of them go for too long. */
static bool is_stalled(const struct front_h2 *f)
{
    return f->queued > 0 && !f->conn->blocked &&
           loop_now_ms(f->conn->worker->loop) - f->moved_ms >=
               worker_limits(f->conn->worker)->write_timeout_ms;
}

void h2_terminate(struct front_h2 *f, uint32_t error)
{
    if (!f->failed && f->conn != NULL) {
        f->failed = true;
        if (error != NGHTTP2_NO_ERROR) {
            account_refusal(f->conn->worker, (const struct sockaddr *)&f->conn->peer, REFUSED_HTTP2,
                            nghttp2_http2_strerror(error));
        }
        (void)nghttp2_session_terminate_session(h2_memory_session(&f->memory),
                                                error); /* fails only without memory */
        conn_mark_dirty(f->conn);
    }
}

static uint32_t error_of(ssize_t result)
{
    switch (result) {
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
        return NGHTTP2_PROTOCOL_ERROR;
    case NGHTTP2_ERR_FLOODED:
    case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS:
        return NGHTTP2_ENHANCE_YOUR_CALM;
    default:
        return NGHTTP2_INTERNAL_ERROR;
    }
}

/* What only shows after nghttp2 took the bytes. */
static uint32_t check_session(struct front_h2 *f, const struct limits *limits)
{
    if (nghttp2_session_get_outbound_queue_size(h2_memory_session(&f->memory)) >
        QUEUE_ITEMS + 4 * (size_t)limits->streams_max) {
        return NGHTTP2_ENHANCE_YOUR_CALM;
    }
    if (is_stalled(f)) {
        return NGHTTP2_ENHANCE_YOUR_CALM;
    }
    if (!f->guard.got_ack &&
        loop_now_ms(f->conn->worker->loop) - f->opened_ms > limits->header_timeout_ms) {
        return NGHTTP2_SETTINGS_TIMEOUT; /* RFC 9113 6.5.3 */
    }
    return NGHTTP2_NO_ERROR;
}

/* The present header block cannot be read, so the compression's state is lost. Its request gets its
 * 431, and the others their answers as far as the client's windows go. */
static void go_deaf(struct front_h2 *f)
{
    if (!h2_stream_refuse_head(f, (int32_t)f->guard.last_id)) {
        h2_terminate(f, NGHTTP2_ENHANCE_YOUR_CALM); /* trailers */
        return;
    }
    f->deaf = true;
    f->goaway_sent = true;
    (void)nghttp2_submit_goaway(h2_memory_session(&f->memory), NGHTTP2_FLAG_NONE, f->last_id,
                                NGHTTP2_NO_ERROR, NULL, 0); /* fails only without memory */
    arm_deadline(f);
}

static size_t front_on_data(struct conn *c, const char *data, size_t len)
{
    struct front_h2 *f = c->owner;
    CHECK(f->magic == FRONT_H2_MAGIC && f->conn == c);
    if (f->failed || f->deaf) {
        return len;
    }
    const struct limits *limits = worker_limits(c->worker);
    uint32_t error;
    size_t allowed = h2_guard_check(&f->guard, limits, loop_now_ms(c->worker->loop),
                                    (const uint8_t *)data, len, &error);
    ssize_t used =
        nghttp2_session_mem_recv(h2_memory_session(&f->memory), (const uint8_t *)data, allowed);
    conn_mark_dirty(c);
    if (f->memory.failed) {
        conn_out_of_memory(c);
        return len;
    }
    if (used < 0) {
        error = error_of(used);
    } else if (error == NGHTTP2_NO_ERROR) {
        error = check_session(f, limits);
    }
    if (error == H2_GUARD_FIELD_TOO_LONG) {
        go_deaf(f);
    } else if (error != NGHTTP2_NO_ERROR) {
        h2_terminate(f, error);
    } else {
        arm_deadline(f);
    }
    return len;
}

static void rest(struct front_h2 *f)
{
    if (f->conn->is_resting && f->streams == NULL) {
        h2_memory_rest(&f->memory);
    }
}

static void front_on_flush(struct conn *c)
{
    struct front_h2 *f = c->owner;
    CHECK(f->magic == FRONT_H2_MAGIC && f->conn == c);
    if (f->memory.failed) { /* what an exchange wanted of it */
        conn_out_of_memory(c);
        return;
    }
    /* What says why it ends goes out even to a client that reads nothing. */
    while (!c->blocked || f->failed) {
        if (conn_pending(c) >= H2_FLUSH_MAX && !f->failed) {
            if (c->can_write) {
                conn_mark_dirty(c); /* again, after this send */
            }
            return;
        }
        const uint8_t *data;
        ssize_t len = nghttp2_session_mem_send(h2_memory_session(&f->memory), &data);
        if (f->memory.failed) {
            conn_out_of_memory(c); /* nothing more can be said */
            return;
        }
        f->failed = f->failed || len < 0;
        if (len <= 0) {
            break;
        }
        conn_write(c, data, (size_t)len);
    }
    if (conn_pending(c) >= H2_FLUSH_MAX && c->can_write && !f->failed) {
        conn_mark_dirty(c); /* a stream had more: again, after this send */
        return;
    }
    if (f->failed || (nghttp2_session_want_read(h2_memory_session(&f->memory)) == 0 &&
                      nghttp2_session_want_write(h2_memory_session(&f->memory)) == 0)) {
        front_leave(f, true);
        return;
    }
    if (f->goaway_sent && f->streams == NULL) {
        front_leave(f, true);
        return;
    }
    if (present_wait(f) != f->wait) {
        arm_deadline(f);
    }
    if (conn_pending(c) <= CONTROL_MAX) {
        conn_put_off(c, c); /* windows of what was read: another stream's may follow */
    }
    rest(f); /* again, if only a PING woke it */
}

static void on_deadline(struct front_h2 *f)
{
    struct conn *c = f->conn;
    if (c->blocked && conn_is_taking(c)) {
        f->wait = WAIT_NONE;
        arm_deadline(f);
        return;
    }
    if (c->blocked || f->wait == WAIT_HEAD || (f->goaway_sent && f->streams == NULL)) {
        front_leave(f, false);
        return;
    }
    if (f->wait == WAIT_WINDOW) {
        if (is_stalled(f)) {
            h2_terminate(f, NGHTTP2_ENHANCE_YOUR_CALM);
        } else {
            f->wait = WAIT_NONE;
            arm_deadline(f);
        }
        return;
    }
    const uint64_t silent_ms = loop_now_ms(c->worker->loop) - f->moved_ms;
    const uint64_t allowed_ms = worker_limits(c->worker)->tunnel_idle_timeout_ms;
    if (f->wait == WAIT_STREAMS && silent_ms < allowed_ms) {
        conn_set_deadline(c, allowed_ms - silent_ms); /* the service still has things to say */
        return;
    }
    if (f->wait == WAIT_BODY) {
        h2_stream_refuse_stalled(f, worker_limits(c->worker)->body_timeout_ms);
        f->wait = WAIT_NONE;
        arm_deadline(f);
        return;
    }
    if ((f->draining && !f->goaway_sent) || f->streams == NULL) {
        f->goaway_sent = true;
        (void)nghttp2_submit_goaway(
            h2_memory_session(&f->memory), NGHTTP2_FLAG_NONE,
            nghttp2_session_get_last_proc_stream_id(h2_memory_session(&f->memory)),
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
        (void)nghttp2_submit_shutdown_notice(
            h2_memory_session(&f->memory)); /* fails only without memory */
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
        f->wait = WAIT_NONE; /* it took some */
        arm_deadline(f);
        break;
    case CONN_DRAINED:
        f->moved_ms = loop_now_ms(c->worker->loop);
        conn_mark_dirty(c);
        arm_deadline(f);
        break;
    case CONN_DEADLINE:
        on_deadline(f);
        break;
    case CONN_DRAIN:
        start_drain(f);
        break;
    case CONN_REVIEW:
        h2_stream_review(f);
        break;
    case CONN_REST:
        rest(f);
        break;
    case CONN_EVICTED:
        h2_terminate(f, NGHTTP2_NO_ERROR); /* GOAWAY tells that no request was taken */
        break;
    case CONN_DEAD:
        front_forget(f, c->worker);
        break;
    }
}

static const struct conn_ops front_conn_ops = {front_on_data, front_on_event, front_on_flush};

static void set_options(nghttp2_option *option)
{
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_send_header_block_length(option, HEAD_BLOCK_MAX);
    nghttp2_option_set_builtin_recv_extension_type(option, NGHTTP2_PRIORITY_UPDATE);
    /* The guard counts these, with limits of the configuration. */
    nghttp2_option_set_stream_reset_rate_limit(option, UINT32_MAX, UINT32_MAX);
    nghttp2_option_set_max_continuations(option, UINT32_MAX);
}

/* False when out of memory. */
static bool session_open(struct front_h2 *f, const struct limits *limits)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits->streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits->stream_window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits->header_bytes_max},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    nghttp2_session *session = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0) {
        h2_stream_set_callbacks(callbacks);
        set_options(option);
        nghttp2_mem mem = h2_memory_functions(&f->memory);
        (void)nghttp2_session_server_new3(&session, callbacks, f, option, &mem);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    if (session != NULL &&
        (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, COUNT_OF(settings)) != 0 ||
         nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                               (int32_t)limits->connection_window) != 0)) {
        f->memory.failed = true;
    }
    f->memory.session = session;
    return session != NULL && !f->memory.failed;
}

void front_h2_open(struct conn *c)
{
    struct front_h2 *f = try_zalloc(sizeof *f);
    if (f == NULL) {
        conn_out_of_memory(c);
        return;
    }
    if (!h2_memory_init(&f->memory) || !session_open(f, worker_limits(c->worker))) {
        h2_memory_end(&f->memory);
        free(f);
        conn_out_of_memory(c);
        return;
    }
    f->magic = FRONT_H2_MAGIC;
    f->conn = c;
    f->opened_ms = loop_now_ms(c->worker->loop);
    h2_guard_init(&f->guard);
    c->ops = &front_conn_ops;
    c->owner = f;
    c->awaiting = true;       /* a reset behind a frame must not leave streams running */
    admit_set_idle(c, false); /* its idle time begins with the session */
    arm_deadline(f);
    conn_mark_dirty(c);
    if (c->worker->draining) {
        start_drain(f);
    }
}
