/* back_h2: see back_h2.h. The connection half: session, choice of a connection, deadlines, end.
 * Requests are in back_h2_stream.c, answers in back_h2_answer.c. The worker's thread.
 *
 * nghttp2 serialises only in on_flush, once a turn; nothing else calls nghttp2_session_mem_send.
 */
#include "gateway/back_h2.h"

#include <errno.h>
#include <stdlib.h>

#include "base/auto.h"
#include "gateway/back_h2_stream.h"

enum {
    WINDOW_CONNECTION = 8 << 20, /* given back at once: only to keep the wire busy */
    HEAD_BLOCK_MAX = 4 << 20,    /* heads are bounded where they are read */
};

static const struct conn_ops back_conn_ops;

static void back_free(struct loop_call *call)
{
    struct back_h2 *b = OWNER_OF(call, struct back_h2, freeing);
    CHECK(b->magic == BACK_H2_MAGIC && b->streams == NULL);
    h2_memory_end(&b->memory);
    b->magic = 0;
    free(b);
}

/* The connection is over: ends every stream; b goes at the end of the turn. */
static void back_forget(struct back_h2 *b, uint16_t status, const char *why)
{
    bool is_v6 = b->conn->is_v6;
    upstream_remove(&b->link);
    b->conn = NULL;
    b->leaving = true;
    while (b->streams != NULL) {
        struct back_stream *s = b->streams;
        if (s->x != NULL) {
            s->x->upstream_v6 = is_v6;
        }
        if (s->x != NULL && status != 502) {
            exchange_fail(back_stream_detach(s), status, why);
        }
        back_stream_died(s, why);
        back_stream_free(s);
    }
    loop_defer_call(b->worker->loop, &b->freeing, back_free);
}

static void back_leave(struct back_h2 *b, uint16_t status, const char *why)
{
    struct conn *c = b->conn;
    if (c != NULL) {
        back_forget(b, status, why);
        conn_close(c);
    }
}

static void back_drop(void *owner)
{
    back_leave(owner, 502, "the gateway ends");
}

void back_h2_touch(struct back_h2 *b)
{
    if (b->conn != NULL) {
        conn_mark_dirty(b->conn);
    }
}

void back_h2_arm(struct back_h2 *b, uint64_t at_ms)
{
    struct conn *c = b->conn;
    if (c == NULL || !b->settled || c->blocked || (b->armed_ms != 0 && b->armed_ms <= at_ms)) {
        return;
    }
    uint64_t now = loop_now_ms(b->worker->loop);
    b->armed_ms = at_ms;
    conn_set_deadline(c, at_ms > now ? at_ms - now : 1);
}

/* The earliest deadline anew, after what the last one said does not hold any more. */
static void rearm(struct back_h2 *b)
{
    uint64_t due = b->streams == NULL ? b->idle_due_ms : 0;
    for (struct back_stream *s = b->streams; s != NULL; s = s->next) {
        if (s->due_ms != 0 && (due == 0 || s->due_ms < due)) {
            due = s->due_ms;
        }
    }
    b->armed_ms = 0;
    conn_set_deadline(b->conn, 0);
    if (due != 0) {
        back_h2_arm(b, due);
    }
}

void back_h2_on_idle(struct back_h2 *b)
{
    if (b->conn == NULL || b->streams != NULL) {
        return;
    }
    b->idle_due_ms =
        loop_now_ms(b->worker->loop) + worker_limits(b->worker)->upstream_idle_timeout_ms;
    back_h2_arm(b, b->idle_due_ms);
    conn_mark_dirty(b->conn); /* it may have waited for this to leave */
}

static void fail_stream(struct back_stream *s, uint16_t status, const char *why)
{
    struct exchange *x = back_stream_detach(s);
    back_stream_reset(s, NGHTTP2_CANCEL);
    exchange_fail(x, status, why);
}

static bool takes_websockets(struct back_h2 *b)
{
    return nghttp2_session_get_remote_settings(h2_memory_session(&b->memory),
                                               NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

/* Once the service has said what it allows. */
static void submit(struct back_stream *s)
{
    s->x->upstream_connected = true;
    s->x->upstream_v6 = s->back->conn->is_v6;
    if (s->is_connect && !takes_websockets(s->back)) {
        fail_stream(s, 502, "does not take WebSockets over HTTP/2 (RFC 8441)");
    } else if (!back_stream_submit(s)) {
        fail_stream(s, 502, "no stream could be opened");
    } else {
        back_stream_arm(s);
    }
}

/* Until the service has said what it allows, as many may wait for that. */
static uint32_t streams_allowed(struct back_h2 *b)
{
    uint32_t ours = worker_limits(b->worker)->upstream_streams_max;
    uint32_t max =
        b->settled ? nghttp2_session_get_remote_settings(h2_memory_session(&b->memory),
                                                         NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
                   : ours;
    return max < ours ? max : ours;
}

void back_h2_on_settings(struct back_h2 *b)
{
    if (b->settled) {
        return;
    }
    b->settled = true;
    uint32_t room = streams_allowed(b);
    if (room == 0) {
        b->failed = true;
        b->why = "allows no requests at all";
        return;
    }
    for (struct back_stream *s = b->streams; s != NULL;) {
        struct back_stream *next = s->next;
        if (room > 0) {
            room--;
            submit(s);
        } else { /* it goes over another connection */
            back_h2_restart(back_stream_detach(s), s);
            back_stream_free(s);
        }
        s = next;
    }
    rearm(b);
}

void back_h2_on_goaway(struct back_h2 *b)
{
    b->leaving = true;
    upstream_remove(&b->link);
    back_h2_touch(b);
}

static size_t back_on_data(struct conn *c, const char *data, size_t len)
{
    struct back_h2 *b = c->owner;
    CHECK(b->magic == BACK_H2_MAGIC && b->conn == c);
    if (!b->greeted) {
        static const char http1[] = {'H', 'T', 'T', 'P', '/'};
        bool is_http1 = memcmp(data, http1, len < sizeof http1 ? len : sizeof http1) == 0;
        if (is_http1 && len < sizeof http1) {
            return 0; /* the rest of it tells */
        }
        b->greeted = true;
        if (is_http1) {
            back_leave(b, 502, "speaks HTTP/1, not HTTP/2");
            return len;
        }
    }
    ssize_t used =
        nghttp2_session_mem_recv(h2_memory_session(&b->memory), (const uint8_t *)data, len);
    conn_mark_dirty(c);
    if (b->memory.failed) {
        conn_out_of_memory(c);
        return len;
    }
    if (used < 0) {
        b->failed = true; /* GOAWAY is queued for what nghttp2 could still say */
        return len;
    }
    return (size_t)used;
}

static void back_on_flush(struct conn *c)
{
    struct back_h2 *b = c->owner;
    CHECK(b->magic == BACK_H2_MAGIC && b->conn == c);
    if (b->memory.failed) { /* what an exchange wanted of it */
        conn_out_of_memory(c);
        return;
    }
    if (b->leaving && b->streams == NULL) {
        (void)nghttp2_session_terminate_session(h2_memory_session(&b->memory),
                                                NGHTTP2_NO_ERROR); /* says GOAWAY */
    }
    while (!c->blocked && conn_pending(c) < BACK_H2_FLUSH_MAX) {
        const uint8_t *data;
        ssize_t len = nghttp2_session_mem_send(h2_memory_session(&b->memory), &data);
        if (b->memory.failed) {
            conn_out_of_memory(c);
            return;
        }
        b->failed = b->failed || len < 0;
        if (len <= 0) {
            break;
        }
        conn_write(c, data, (size_t)len);
    }
    if (conn_pending(c) >= BACK_H2_FLUSH_MAX) {
        if (c->can_write) {
            conn_mark_dirty(c); /* there may be more: again, after this send */
        }
        return;
    }
    if (b->failed || (nghttp2_session_want_read(h2_memory_session(&b->memory)) == 0 &&
                      nghttp2_session_want_write(h2_memory_session(&b->memory)) == 0)) {
        back_leave(b, 502, b->why != NULL ? b->why : "broke the rules of HTTP/2");
    }
}

static void on_deadline(struct back_h2 *b)
{
    struct conn *c = b->conn;
    uint64_t now = loop_now_ms(b->worker->loop);
    b->armed_ms = 0;
    if (c->state != CONN_OPEN || !b->settled || c->blocked) {
        back_leave(b, 504,
                   c->state != CONN_OPEN ? "connecting timed out"
                   : !b->settled         ? "did not begin to speak HTTP/2 in time"
                                         : "takes no bytes");
        return;
    }
    for (struct back_stream *s = b->streams; s != NULL;) {
        struct back_stream *next = s->next;
        if (s->x != NULL && s->due_ms != 0 && s->due_ms <= now) {
            fail_stream(s, 504,
                        s->has_head ? "stalled in the middle of its answer" : "no answer in time");
        }
        s = next;
    }
    if (b->streams == NULL && b->idle_due_ms <= now) {
        back_h2_on_goaway(b); /* ours: it is idle for long enough */
        return;
    }
    rearm(b);
}

static void on_progress(struct back_h2 *b, bool blocked)
{
    if (!blocked) {
        conn_mark_dirty(b->conn);
    }
    if (!b->settled) {
        return; /* until then the time to connect counts, whatever it takes of our preface */
    }
    if (blocked) {
        conn_set_deadline(b->conn, worker_limits(b->worker)->write_timeout_ms);
    } else {
        rearm(b);
    }
}

static void back_on_event(struct conn *c, enum conn_event event)
{
    struct back_h2 *b = c->owner;
    CHECK(b->magic == BACK_H2_MAGIC && b->conn == c);
    switch (event) {
    case CONN_READY:
        conn_set_deadline(c, worker_limits(b->worker)->connect_timeout_ms);
        break;
    case CONN_EOF:
        back_leave(b, 502, "closed the connection before the end of its answer");
        break;
    case CONN_BLOCKED:
    case CONN_DRAINED:
        on_progress(b, event == CONN_BLOCKED);
        break;
    case CONN_DEADLINE:
        on_deadline(b);
        break;
    case CONN_DRAIN:
    case CONN_REVIEW:
    case CONN_REST:
    case CONN_EVICTED:
        break; /* only client connections are told */
    case CONN_DEAD:
        back_forget(b, c->error == ENOMEM ? 503 : 502, conn_error_text(c));
        break;
    }
}

static const struct conn_ops back_conn_ops = {back_on_data, back_on_event, back_on_flush};

/* NULL when out of memory. */
static bool session_open(struct back_h2 *b, const struct limits *limits)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, BACK_H2_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits->header_bytes_max},
    };
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    nghttp2_session *session = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0) {
        back_stream_set_callbacks(callbacks);
        back_answer_set_callbacks(callbacks);
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_max_send_header_block_length(option, HEAD_BLOCK_MAX);
        nghttp2_mem mem = h2_memory_functions(&b->memory);
        (void)nghttp2_session_client_new3(&session, callbacks, b, option, &mem);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    if (session != NULL &&
        (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, COUNT_OF(settings)) != 0 ||
         nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, WINDOW_CONNECTION) !=
             0)) {
        b->memory.failed = true;
    }
    b->memory.session = session;
    return session != NULL && !b->memory.failed;
}

/* NULL when out of memory. */
static struct back_h2 *back_dial(struct worker *w, uint16_t port)
{
    struct back_h2 *b = try_zalloc(sizeof *b);
    if (b == NULL) {
        return NULL;
    }
    b->magic = BACK_H2_MAGIC;
    b->worker = w;
    b->port = port;
    b->link = (struct upstream_link){.owner = b, .drop = back_drop, .backend = BACKEND_H2C};
    b->conn = h2_memory_init(&b->memory) && session_open(b, worker_limits(w)) &&
                      upstream_share(w, &b->link, port)
                  ? conn_dial(w, port, NULL, &back_conn_ops, b)
                  : NULL;
    if (b->conn == NULL) {
        upstream_remove(&b->link);
        back_free(&b->freeing);
        return NULL;
    }
    b->conn->awaiting = true; /* a reset behind a frame must not leave exchanges waiting */
    conn_set_deadline(b->conn, worker_limits(w)->connect_timeout_ms);
    return b;
}

static bool has_room(struct back_h2 *b)
{
    return !b->leaving && !b->failed && !b->memory.failed && b->stream_count < streams_allowed(b) &&
           nghttp2_session_check_request_allowed(h2_memory_session(&b->memory)) != 0;
}

/* One with room; for a request that is repeated, one on which the service has not spoken yet. */
static struct back_h2 *find(const struct exchange *x)
{
    struct upstream_link *link = upstream_shared(x->worker, x->route->port);
    for (; link != NULL; link = link->next) {
        struct back_h2 *b = link->owner;
        CHECK(b->magic == BACK_H2_MAGIC);
        if (has_room(b) && !(x->retried && b->settled)) {
            return b;
        }
    }
    return NULL;
}

void back_h2_restart(struct exchange *x, struct back_stream *old)
{
    struct worker *w = x->worker;
    struct back_h2 *b = find(x);
    if (b == NULL) {
        b = back_dial(w, x->route->port);
        if (b == NULL) {
            exchange_out_of_memory(x);
            return;
        }
    } else {
        stat_add(&w->stats.upstream_reuses, 1);
    }
    x->upstream_port = x->route->port;
    x->upstream_reused = b->settled;
    x->upstream_connected = false;
    stat_add(&w->stats.upstream_retries, x->retried ? 1 : 0);
    struct back_stream *s = back_stream_new(b, x, old);
    if (s == NULL) {
        exchange_out_of_memory(x);
    } else if (b->settled) {
        submit(s);
    }
}

void back_h2_start(struct exchange *x)
{
    back_h2_restart(x, NULL);
}
