/* back_h2_answer: the nghttp2 callbacks for what an HTTP/2 service says. The worker's thread.
 *
 * The connection's window is given back at once, so that one slow client holds up nobody else;
 * a stream's only as bytes leave. nghttp2 has checked frames, pseudo fields and the length of a
 * body; what a head may say is judged by head_check_response as everywhere.
 */
#include <stdio.h>

#include "base/auto.h"
#include "gateway/back_h2_stream.h"

enum { FIELD_OVERHEAD = 32 };

static struct back_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static void refuse(struct back_stream *s, const char *why)
{
    struct exchange *x = back_stream_detach(s);
    back_stream_reset(s, NGHTTP2_PROTOCOL_ERROR);
    exchange_fail(x, 502, why);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct back_h2 *b = arg;
    CHECK(b->magic == BACK_H2_MAGIC);
    struct back_stream *s = stream_of(session, frame->hd.stream_id);
    if (frame->hd.type != NGHTTP2_HEADERS || s == NULL || s->x == NULL) {
        return 0;
    }
    s->answered = true;
    if (!s->has_head) {
        head_init(&s->x->response, false);
        s->x->response.is_h2 = true;
    } else if (s->trailers == NULL) {
        s->trailers = arena_try_alloc(&s->x->arena, sizeof *s->trailers);
        s->too_much = s->trailers == NULL; /* nothing of it is read */
        if (s->trailers != NULL) {
            head_init(s->trailers, false);
        }
    }
    return 0;
}

static uint16_t parse_status(struct str value)
{
    uint16_t status = 0;
    return str_to_u16(value, &status) ? status : 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    (void)flags;
    struct back_h2 *b = arg;
    CHECK(b->magic == BACK_H2_MAGIC);
    struct back_stream *s = stream_of(session, frame->hd.stream_id);
    if (s == NULL || s->x == NULL || s->too_much) {
        return 0;
    }
    struct exchange *x = s->x;
    const struct limits *limits = worker_limits(b->worker);
    struct str field_name = {(const char *)name, name_len};
    struct str field_value = {(const char *)value, value_len};
    struct head *h = s->has_head ? s->trailers : &x->response;
    s->header_bytes += name_len + value_len + FIELD_OVERHEAD;
    if (str_eq(field_name, STR(":status"))) {
        h->status = parse_status(field_value);
    } else if (s->header_bytes > limits->header_bytes_max ||
               !head_add(h, &x->arena, arena_try_str(&x->arena, field_name),
                         arena_try_str(&x->arena, field_value), limits->header_count_max)) {
        s->too_much = true;
    }
    return 0;
}

/* RFC 8441 5: the WebSocket is open. An HTTP/1 client expects what RFC 6455 says. */
static void start_tunnel(struct back_stream *s)
{
    struct exchange *x = s->x;
    struct head *h = &x->response;
    if (!x->request.is_h2) {
        char accept[WSKEY_ACCEPT_SIZE];
        struct str key = head_find(&x->request, STR("sec-websocket-key"))->value;
        struct str value = wskey_accept(key, accept);
        h->status = 101;
        h->upgrade = STR("websocket");
        h->reason = STR("Switching Protocols");
        h->content_length = LENGTH_NONE;
        x->arena.failed = x->arena.failed || value.len == 0; /* exchange_response_head looks */
        (void)head_add(h, &x->arena, STR("sec-websocket-accept"), arena_try_str(&x->arena, value),
                       UINT32_MAX);
    }
    x->tunnel = true;
    exchange_release_view(x);
    x->request_ended = false;
}

static void on_head(struct back_stream *s, bool end)
{
    struct exchange *x = s->x;
    struct head *h = &x->response;
    struct head_fault fault = head_check_response(h);
    if (s->too_much || fault.status != 0) {
        refuse(s, s->too_much ? "the head of its answer is too large" : fault.why);
        return;
    }
    h->reason = str_of(status_phrase(h->status));
    if (h->status == 101) {
        refuse(s, "switched protocols, which HTTP/2 cannot");
        return;
    }
    if (h->status < 200) {
        if (++s->interims > worker_limits(x->worker)->interims_max) {
            refuse(s, "too many 1xx answers");
            return;
        }
        exchange_response_interim(x, h);
        return;
    }
    s->has_head = true;
    if (end && h->content_length == LENGTH_NONE && h->status != 304 &&
        !str_eq(x->request.method, STR("HEAD"))) {
        h->content_length = 0; /* an HTTP/1 client cannot see END_STREAM */
    }
    if (s->is_connect && h->status < 300 && !end) {
        start_tunnel(s);
    }
    back_stream_arm(s);
    exchange_response_head(x, end);
}

static void on_end(struct back_stream *s)
{
    nghttp2_session *session = h2_memory_session(&s->back->memory);
    const struct head *trailers = s->too_much ? NULL : s->trailers;
    if (s->too_much) {
        refuse(s, "too many trailer fields");
        return;
    }
    struct exchange *x = back_stream_detach(s);
    if (nghttp2_session_get_stream_local_close(session, s->id) == 0) {
        back_stream_reset(s, NGHTTP2_CANCEL); /* the rest of the request is not wanted */
    }
    exchange_response_end(x, trailers);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct back_h2 *b = arg;
    CHECK(b->magic == BACK_H2_MAGIC);
    if (frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) {
        back_h2_on_settings(b);
    } else if (frame->hd.type == NGHTTP2_GOAWAY) {
        back_h2_on_goaway(b);
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
        return 0;
    }
    struct back_stream *s = stream_of(session, frame->hd.stream_id);
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (s != NULL && s->x != NULL && frame->hd.type == NGHTTP2_HEADERS && !s->has_head) {
        on_head(s, end);
    }
    if (s != NULL && s->x != NULL && end) {
        on_end(s);
    }
    return 0;
}

void back_stream_widen(struct back_stream *s)
{
    struct conn *client = s->x->front_conn;
    if (!s->wide && !s->paused && s->x->response_bytes >= BACK_H2_WINDOW / 2 &&
        client->wide_answers < BACK_H2_WIDE_MAX) {
        s->wide = true;
        client->wide_answers++;
        (void)nghttp2_session_set_local_window_size(h2_memory_session(&s->back->memory),
                                                    NGHTTP2_FLAG_NONE, s->id,
                                                    BACK_H2_WIDE); /* fails only without memory */
        back_h2_touch(s->back);
    }
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t len, void *arg)
{
    (void)flags;
    struct back_h2 *b = arg;
    CHECK(b->magic == BACK_H2_MAGIC);
    int result = nghttp2_session_consume_connection(session, len);
    struct back_stream *s = stream_of(session, id);
    if (result != 0 || s == NULL || s->x == NULL) {
        return result;
    }
    exchange_response_body(s->x, (const char *)data, len);
    if (s->x == NULL) {
        return 0;
    }
    back_stream_arm(s);
    back_stream_widen(s);
    if (s->paused) {
        s->unconsumed += len;
        return 0;
    }
    return nghttp2_session_consume_stream(session, id, len);
}

/* What an HTTP/2 client may know of the service's reasons; the rest is our failure to it. */
static uint32_t code_for_client(uint32_t error)
{
    bool is_shown =
        error == NGHTTP2_NO_ERROR || error == NGHTTP2_CANCEL || error == NGHTTP2_ENHANCE_YOUR_CALM;
    return is_shown ? error : NGHTTP2_INTERNAL_ERROR;
}

/* The service ended the stream, though not with END_STREAM. Node does so with NO_ERROR behind the
 * last byte of an answer: where the length says that it is whole, it is; where nothing does, an
 * HTTP/2 client is told the same, and an HTTP/1 client sees it cut. */
static void on_reset(struct back_stream *s, uint32_t error)
{
    struct exchange *x = back_stream_detach(s);
    if (error == NGHTTP2_NO_ERROR && s->has_head && x->response.content_length >= 0 &&
        x->response_bytes == (uint64_t)x->response.content_length) {
        exchange_response_end(x, NULL);
        return;
    }
    x->abort_code = code_for_client(error);
    exchange_fail(x, 502,
                  arena_try_printf(&x->arena, "ended the stream with %s before the answer",
                                   nghttp2_http2_strerror(error)));
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
    struct back_h2 *b = arg;
    CHECK(b->magic == BACK_H2_MAGIC);
    struct back_stream *s = stream_of(session, id);
    if (s == NULL) {
        return 0;
    }
    (void)nghttp2_session_set_stream_user_data(session, id, NULL); /* it is there */
    if (s->x != NULL && (error == NGHTTP2_REFUSED_STREAM || !s->head_left) && !s->answered) {
        back_stream_unprocessed(s, "refused the request");
    } else if (s->x != NULL) {
        on_reset(s, error);
    }
    back_stream_free(s);
    back_h2_on_idle(b);
    return 0;
}

void back_answer_set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}
