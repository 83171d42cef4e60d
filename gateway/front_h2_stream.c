/* front_h2_stream: see front_h2_stream.h. The request's half: nghttp2's callbacks for what the
 * client sends. The worker's thread. */
#include "gateway/front_h2_stream.h"

#include <stdlib.h>

#include "base/auto.h"
#include "gateway/review.h"

void h2_stream_gone(struct h2_stream *s, struct worker *w)
{
    struct exchange *x = s->x;
    s->x = NULL;
    s->front->unstarted -= s->started ? 0 : 1;
    s->front->uploading -= s->uploading ? 1 : 0;
    s->front->queued -= wbuf_len(&s->queue);
    *s->prev = s->next;
    if (s->next != NULL) {
        s->next->prev = s->prev;
    }
    wbuf_release(&w->wbufs, &s->queue);
    wbuf_release(&w->wbufs, &s->early);
    struct front_h2 *f = s->front;
    free(s->end_fields);
    free(s);
    if (x != NULL) {
        exchange_front_gone(x);
    }
    h2_share_room(f);
}

void h2_count_upload(struct h2_stream *s)
{
    bool uploading = s->started && s->x != NULL && !s->x->head_sent && !s->request_ended &&
                     !s->held && !s->is_connect;
    if (uploading != s->uploading) {
        s->uploading = uploading;
        s->body_ms = loop_now_ms(s->front->conn->worker->loop);
        s->front->uploading += uploading ? 1 : UINT32_MAX; /* or minus one */
    }
}

/* NULL when out of memory. */
static struct h2_stream *stream_new(struct front_h2 *f, int32_t id)
{
    struct worker *w = f->conn->worker;
    struct exchange *x = exchange_new(w, &h2_front_ops, NULL);
    struct h2_stream *s = x == NULL ? NULL : try_zalloc(sizeof *s);
    if (s == NULL) {
        if (x != NULL) {
            exchange_discard(x);
        }
        return NULL;
    }
    s->front = f;
    s->id = id;
    s->next = f->streams;
    s->prev = &f->streams;
    if (s->next != NULL) {
        s->next->prev = &s->next;
    }
    f->streams = s;
    f->last_id = id;
    f->unstarted++;
    s->x = x;
    x->front_owner = s;
    x->front_conn = f->conn;
    x->peer = (const struct sockaddr *)&f->conn->peer;
    x->tls = f->conn->ssl != NULL;
    head_init(&x->request, true);
    x->request.is_h2 = true;
    x->room = f->crowded ? H2_SIP : EXCHANGE_ROOM_ANY;
    s->priority.urgency = PRIORITY_URGENCY_DEFAULT;
    return s;
}

static struct h2_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct front_h2 *f = arg;
    CHECK(f->magic == FRONT_H2_MAGIC);
    if (frame->hd.type != NGHTTP2_HEADERS || f->conn == NULL) {
        return 0;
    }
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        struct h2_stream *s = stream_new(f, frame->hd.stream_id);
        if (s == NULL) {
            return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                             NGHTTP2_REFUSED_STREAM);
        }
        CHECK(nghttp2_session_set_stream_user_data(session, s->id, s) == 0);
        return 0;
    }
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);
    if (s != NULL && s->x != NULL && s->trailers == NULL) {
        s->trailers = arena_try_alloc(&s->x->arena, sizeof *s->trailers);
        if (s->trailers == NULL) {
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
        head_init(s->trailers, false);
    }
    return 0;
}

static void add_pseudo(struct head *h, struct str name, struct str value)
{
    if (str_eq(name, STR(":method"))) {
        h->method = value;
    } else if (str_eq(name, STR(":path"))) {
        h->target = value;
    } else if (str_eq(name, STR(":authority"))) {
        h->authority = value;
    } else if (str_eq(name, STR(":scheme"))) {
        h->scheme = value;
    } else if (str_eq(name, STR(":protocol"))) {
        h->protocol = value;
    }
}

/* Trailers over the limits, behind a request that a service already has: of the kind that a
 * client may send again and again, so they count as its resets. */
static int refuse_trailers(struct h2_stream *s)
{
    struct front_h2 *f = s->front;
    struct worker *w = f->conn->worker;
    if (s->refused) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    s->refused = true;
    (void)nghttp2_submit_rst_stream(h2_memory_session(&f->memory), NGHTTP2_FLAG_NONE, s->id,
                                    NGHTTP2_ENHANCE_YOUR_CALM); /* fails only without memory */
    if (!h2_guard_count_reset(&f->guard, worker_limits(w), loop_now_ms(w->loop))) {
        h2_terminate(f, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    (void)flags;
    (void)arg;
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);
    if (s == NULL || s->x == NULL) {
        return 0;
    }
    struct exchange *x = s->x;
    const struct limits *limits = worker_limits(x->worker);
    enum { ENTRY_OVERHEAD = 32 };
    s->header_bytes += name_len + value_len + ENTRY_OVERHEAD;
    if (s->header_bytes > limits->header_bytes_max) {
        s->too_much = "tunnel: header section too large";
    }
    if (s->header_bytes > (size_t)limits->header_bytes_max * H2_GUARD_HEAD_FACTOR) {
        /* One byte of an indexed field can stand for thousands. */
        h2_terminate(s->front, NGHTTP2_ENHANCE_YOUR_CALM);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    if (s->too_much != NULL) {
        /* Not one byte is kept of a list that small frames can make huge. */
        return s->trailers != NULL ? refuse_trailers(s) : 0;
    }
    char *copy = arena_try_alloc(&x->arena, name_len + value_len);
    if (copy == NULL) {
        return 0; /* start and request_ended look at the arena */
    }
    memcpy(copy, name, name_len);
    if (value_len > 0) {
        memcpy(copy + name_len, value, value_len);
    }
    struct str field_name = {copy, name_len};
    struct str field_value = {copy + name_len, value_len};
    uint32_t max = limits->header_count_max;
    if (s->trailers != NULL) {
        return head_add(s->trailers, &x->arena, field_name, field_value, max) ? 0
                                                                              : refuse_trailers(s);
    }
    if (name_len > 0 && name[0] == ':') {
        add_pseudo(&x->request, field_name, field_value);
    } else if (!head_add(&x->request, &x->arena, field_name, field_value, max)) {
        s->too_much = "tunnel: too many header fields";
    }
    return 0;
}

/* RFC 9113 8.2.1: nghttp2 would leave such a field out and go on. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_len, const uint8_t *value,
                             size_t value_len, uint8_t flags, void *arg)
{
    (void)session;
    (void)frame;
    (void)name;
    (void)name_len;
    (void)value;
    (void)value_len;
    (void)flags;
    (void)arg;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* RST_STREAM PROTOCOL_ERROR */
}

static void start(struct h2_stream *s, bool has_body)
{
    struct exchange *x = s->x;
    struct head *h = &x->request;
    s->started = true;
    s->front->unstarted--;
    s->is_connect = h->protocol.len > 0;
    h2_priority_start(s);
    if (s->too_much != NULL) {
        exchange_reply(x, 431, s->too_much);
    } else if (h->target.len > worker_limits(x->worker)->uri_bytes_max) {
        exchange_reply(x, 414, "tunnel: request target too long");
    } else if (exchange_check(x)) {
        exchange_start(x, has_body);
    }
    h2_count_upload(s);
}

static void request_ended(struct h2_stream *s)
{
    s->request_ended = true;
    h2_count_upload(s);
    if (s->x != NULL && s->x->arena.failed) {
        exchange_out_of_memory(s->x); /* of the trailers */
    } else if (s->x != NULL && s->started && s->x->back_owner != NULL &&
               (!s->is_connect || s->x->tunnel)) {
        exchange_request_end(s->x, s->trailers);
    }
}

/* A body is to follow, of nothing. The service must not see such a request whole while
 * data may still come (nghttp2 then resets the stream): it is started at its end. */
static bool waits_for_end(const struct h2_stream *s)
{
    const struct head_field *length = head_find(&s->x->request, STR("content-length"));
    return length != NULL && str_eq(length->value, STR("0"));
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct front_h2 *f = arg;
    CHECK(f->magic == FRONT_H2_MAGIC);
    if (f->memory.failed) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (frame->hd.type == NGHTTP2_PRIORITY_UPDATE && frame->ext.payload != NULL) {
        h2_priority_update(f, frame->ext.payload);
        return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
        return 0;
    }
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);
    if (s == NULL) {
        return 0;
    }
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (!s->started && s->x != NULL) {
        s->request_ended = end;
        if (end || !waits_for_end(s)) {
            start(s, !end);
        }
    } else if (end) {
        request_ended(s);
    }
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t len, void *arg)
{
    struct front_h2 *f = arg;
    (void)flags;
    CHECK(f->magic == FRONT_H2_MAGIC);
    struct h2_stream *s = stream_of(session, id);
    if (s == NULL || s->x == NULL || s->x->back_owner == NULL) {
        /* Nobody wants it; other streams need the connection's window. */
        return nghttp2_session_consume_connection(session, len);
    }
    if (s->is_connect && !s->x->tunnel) {
        wbuf_add(&f->conn->worker->wbufs, &s->early, data, len);
        s->unconsumed += len;
        return s->early.failed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
    }
    s->body_ms = loop_now_ms(f->conn->worker->loop);
    exchange_request_body(s->x, (const char *)data, len);
    if (s->held) {
        s->unconsumed += len;
        return 0;
    }
    return nghttp2_session_consume(session, id, len);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
    struct front_h2 *f = arg;
    (void)error;
    struct h2_stream *s = stream_of(session, id);
    if (s == NULL || f->conn == NULL) {
        return 0;
    }
    size_t unconsumed = s->unconsumed;
    if (s->request_ended) {
        h2_guard_stream_ended(&f->guard, (uint32_t)id);
    }
    (void)nghttp2_session_set_stream_user_data(session, id, NULL);
    h2_stream_gone(s, f->conn->worker);
    return unconsumed > 0 ? nghttp2_session_consume_connection(session, unconsumed) : 0;
}

/* True for a reset that the client's frames ask for: not ours, not the service's. */
static bool is_provoked(uint32_t error)
{
    return error == NGHTTP2_PROTOCOL_ERROR || error == NGHTTP2_FLOW_CONTROL_ERROR ||
           error == NGHTTP2_STREAM_CLOSED || error == NGHTTP2_FRAME_SIZE_ERROR ||
           error == NGHTTP2_REFUSED_STREAM;
}

/* RFC 9113 8.1: the answer is complete, the rest of the request is not wanted. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct front_h2 *f = arg;
    if (frame->hd.type == NGHTTP2_RST_STREAM && is_provoked(frame->rst_stream.error_code) &&
        f->conn != NULL) {
        struct worker *w = f->conn->worker;
        if (!h2_guard_count_reset(&f->guard, worker_limits(w), loop_now_ms(w->loop))) {
            h2_terminate(f, NGHTTP2_ENHANCE_YOUR_CALM);
        }
    }
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        struct h2_stream *s = stream_of(session, frame->hd.stream_id);
        if (s != NULL && !s->request_ended) {
            return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
        }
    }
    return 0;
}

void h2_stream_set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    h2_answer_set_callbacks(callbacks);
}

bool h2_stream_refuse_head(struct front_h2 *f, int32_t id)
{
    struct h2_stream *s = stream_of(h2_memory_session(&f->memory), id);
    if (s == NULL || s->x == NULL || s->started) {
        return false;
    }
    s->too_much = "tunnel: header section too large"; /* one field of it */
    start(s, false);
    return true;
}

void h2_stream_refuse_stalled(struct front_h2 *f, uint64_t limit_ms)
{
    uint64_t now = loop_now_ms(f->conn->worker->loop);
    for (struct h2_stream *s = f->streams; s != NULL; s = s->next) {
        if (s->uploading && now >= s->body_ms + limit_ms && s->x->back_owner != NULL) {
            s->x->back->cancel(s->x);
            exchange_reply(s->x, 408, "tunnel: the request body did not come in time");
            h2_count_upload(s);
        }
    }
}

uint64_t h2_stream_next_stall(const struct front_h2 *f, uint64_t limit_ms)
{
    uint64_t now = loop_now_ms(f->conn->worker->loop);
    uint64_t next = now + limit_ms;
    for (const struct h2_stream *s = f->streams; s != NULL; s = s->next) {
        if (s->uploading && s->body_ms + limit_ms < next) {
            next = s->body_ms + limit_ms;
        }
    }
    return next > now ? next - now : 1;
}

void h2_stream_review(struct front_h2 *f)
{
    for (struct h2_stream *s = f->streams; s != NULL; s = s->next) {
        if (s->x != NULL && s->started) {
            review_exchange(s->x);
        }
    }
}
