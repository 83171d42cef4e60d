/* front_h2_answer: an answer's way to an HTTP/2 client: the front_ops of its streams, and nghttp2's
 * callbacks for their bodies. The worker's thread. */
#include <stdlib.h>

#include "base/auto.h"
#include "gateway/front_h2_stream.h"
#include "gateway/hsts.h"

enum { FRAME_HEAD = 9 };

static void stream_break(struct h2_stream *s, uint32_t code)
{
    (void)nghttp2_submit_rst_stream(h2_memory_session(&s->front->memory), NGHTTP2_FLAG_NONE, s->id,
                                    code);
    conn_mark_dirty(s->front->conn);
}

/* How much more of its answer a stream takes. Where a connection holds much, those with something
 * queued wait until the client took it, and the others take little at once but always some: no
 * answer has to wait for one that the client does not want. */
static void update_room(struct h2_stream *s)
{
    struct exchange *x = s->x;
    size_t len = wbuf_len(&s->queue);
    size_t most = x->room == 0 ? H2_QUEUE_MAX / 2 : H2_QUEUE_MAX;
    size_t room = s->front->crowded ? (len == 0 ? H2_SIP : 0) : len < most ? EXCHANGE_ROOM_ANY : 0;
    if (room != x->room) {
        exchange_front_room(x, room);
    }
}

void h2_share_room(struct front_h2 *f)
{
    bool crowded = f->queued >= (f->crowded ? H2_QUEUED_MAX / 2 : H2_QUEUED_MAX);
    if (crowded == f->crowded) {
        return;
    }
    f->crowded = crowded;
    for (struct h2_stream *s = f->streams; s != NULL; s = s->next) {
        if (s->x != NULL) {
            update_room(s);
        }
    }
}

/* How many of `len` bytes a frame takes: where they are enough for more than a TLS record, just so
 * many that the record ends with the frame. The next one then begins with a frame, and is sealed
 * from where its bytes are. */
static size_t frame_len(const struct h2_stream *s, size_t len, size_t max)
{
    const size_t staged = wbuf_len(&s->front->conn->stage) + FRAME_HEAD;
    size_t fits = staged < CONN_RECORD / 2 ? CONN_RECORD - staged : max;
    fits = fits < max ? fits : max;
    return len < fits ? len : fits;
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *to, size_t max,
                       uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    (void)to;
    (void)arg;
    struct h2_stream *s = source->ptr;
    size_t len = wbuf_len(&s->queue);
    if (len == 0 && !s->ended) {
        s->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    max = frame_len(s, len, max);
    if (len <= max && s->ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->end_count > 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (nghttp2_submit_trailer(session, id, s->end_fields, s->end_count) != 0) {
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
            }
        }
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    return (ssize_t)(len < max ? len : max);
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                        size_t len, nghttp2_data_source *source, void *arg)
{
    struct front_h2 *f = arg;
    struct h2_stream *s = source->ptr;
    (void)session;
    CHECK(frame->data.padlen == 0 && len <= wbuf_len(&s->queue));
    if (!f->failed && (f->conn->blocked || conn_pending(f->conn) >= H2_FLUSH_MAX)) {
        return NGHTTP2_ERR_WOULDBLOCK; /* this frame comes first next time */
    }
    if (len == 0) {
        conn_write(f->conn, head, FRAME_HEAD);
        return 0;
    }
    char *front = wbuf_front(&s->queue, FRAME_HEAD);
    if (front != NULL) { /* in one piece, which conn_write need not copy */
        memcpy(front, head, FRAME_HEAD);
        conn_write(f->conn, front, FRAME_HEAD + len);
    } else {
        conn_write(f->conn, head, FRAME_HEAD);
        conn_write(f->conn, wbuf_data(&s->queue), len);
    }
    wbuf_consume(&f->conn->worker->wbufs, &s->queue, len);
    f->queued -= len;
    f->moved_ms = loop_now_ms(f->conn->worker->loop);
    h2_guard_data_sent(&f->guard, len, wbuf_len(&s->queue) > 0);
    h2_share_room(f);
    if (s->x != NULL) {
        update_room(s);
    }
    return 0;
}

void h2_answer_set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
}

static nghttp2_nv field_of(struct str name, struct str value)
{
    /* nghttp2 copies both before the submit returns: the name in lower case. */
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.ptr, (uint8_t *)(uintptr_t)value.ptr, name.len,
                        value.len, NGHTTP2_NV_FLAG_NONE};
}

static bool is_forwarded(const struct exchange *x, const struct head *h, struct str name)
{
    if (head_is_hop_by_hop(h, name) || head_is_request_id(name)) {
        return false;
    }
    if (h->status == 204 && str_eq_nocase(name, STR("content-length"))) {
        return false; /* RFC 9110 8.6 */
    }
    return !(x->tunnel && str_eq_nocase(name, STR("sec-websocket-accept")));
}

/* What the client sent before the tunnel was open. x may be finished when it returns. */
static void open_tunnel(struct exchange *x, struct h2_stream *s)
{
    struct front_h2 *f = s->front;
    struct wbuf_pool *wbufs = &x->worker->wbufs;
    if (wbuf_len(&s->early) > 0) {
        exchange_request_body(x, wbuf_data(&s->early), wbuf_len(&s->early));
        wbuf_release(wbufs, &s->early);
        if (s->x != x) {
            return; /* the back could not take it */
        }
    }
    if (s->unconsumed > 0) {
        (void)nghttp2_session_consume(h2_memory_session(&f->memory), s->id, s->unconsumed);
        s->unconsumed = 0;
    }
    if (s->request_ended) {
        exchange_request_end(x, NULL);
    }
}

static void front_head(struct exchange *x, const struct head *response, bool end)
{
    struct h2_stream *s = x->front_owner;
    struct front_h2 *f = s->front;
    bool interim = response->status < 200 && !x->tunnel;
    bool has_date = interim;
    size_t count = 0;
    nghttp2_nv *fields = arena_try_alloc(&x->arena, (response->count + 4) * sizeof *fields);
    if (fields == NULL) {
        stream_break(s, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    char status[U64_DIGITS];
    char *end_of_status = u64_put(status, x->tunnel ? 200 : response->status);
    fields[count++] =
        field_of(STR(":status"), (struct str){status, (size_t)(end_of_status - status)});
    for (uint32_t i = 0; i < response->count; i++) {
        const struct head_field *field = &response->fields[i];
        if (is_forwarded(x, response, field->name)) {
            has_date = has_date || str_eq_nocase(field->name, STR("date"));
            fields[count++] = field_of(field->name, field->value);
        }
    }
    if (!interim) {
        h2_priority_answer(s, response);
    }
    if (!has_date) {
        fields[count++] = field_of(STR("date"), worker_date(x->worker));
    }
    struct str hsts = interim ? STR_NONE : hsts_value(x, response);
    if (hsts.len > 0) {
        fields[count++] = field_of(STR("strict-transport-security"), hsts);
    }
    if (!interim) {
        /* Never the same again: kept out of the peer's table, where it would push others out. */
        fields[count] = field_of(STR("x-request-id"), exchange_id(x));
        fields[count++].flags = NGHTTP2_NV_FLAG_NO_INDEX;
    }
    int result = NGHTTP2_ERR_NOMEM;
    if (x->arena.failed) {
        /* some of the fields are not what they should be */
    } else if (interim) {
        result = nghttp2_submit_headers(h2_memory_session(&f->memory), NGHTTP2_FLAG_NONE, s->id,
                                        NULL, fields, count, NULL);
    } else {
        nghttp2_data_provider provider = {.source.ptr = s, .read_callback = on_read};
        result = nghttp2_submit_response(h2_memory_session(&f->memory), s->id, fields, count,
                                         end ? NULL : &provider);
    }
    if (result != 0) {
        stream_break(s, NGHTTP2_INTERNAL_ERROR);
    }
    conn_mark_dirty(f->conn);
    h2_count_upload(s);
    if (x->tunnel) {
        open_tunnel(x, s);
    }
}

static void resume_data(struct h2_stream *s)
{
    if (s->deferred) {
        s->deferred = false;
        /* the stream may be closing */
        (void)nghttp2_session_resume_data(h2_memory_session(&s->front->memory), s->id);
    }
    conn_mark_dirty(s->front->conn);
}

static void front_body(struct exchange *x, const char *data, size_t len)
{
    struct h2_stream *s = x->front_owner;
    if (len <= H2_SIP) {
        wbuf_start(&x->worker->wbufs, &s->queue, len); /* a large block would be far more */
    } else if (s->queue.ptr == NULL) {
        wbuf_leave_front(&x->worker->wbufs, &s->queue, FRAME_HEAD, len);
    }
    wbuf_add(&x->worker->wbufs, &s->queue, data, len);
    if (s->queue.failed) {
        stream_break(s, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    if (s->front->queued == 0) {
        s->front->moved_ms = loop_now_ms(x->worker->loop);
    }
    s->front->queued += len;
    h2_share_room(s->front);
    update_room(s);
    resume_data(s);
}

/* Trailers outlive the exchange: one block of names and values behind the fields. */
static void keep_trailers(struct h2_stream *s, const struct head *trailers)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < trailers->count; i++) {
        bytes += trailers->fields[i].name.len + trailers->fields[i].value.len;
    }
    nghttp2_nv *fields = try_alloc(trailers->count * sizeof *fields + bytes);
    if (fields == NULL) {
        stream_break(s, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    char *at = (char *)(fields + trailers->count);
    for (uint32_t i = 0; i < trailers->count; i++) {
        struct str name = trailers->fields[i].name;
        struct str value = trailers->fields[i].value;
        if (!head_trailer_allowed(name)) {
            continue;
        }
        for (size_t k = 0; k < name.len; k++) {
            at[k] = ascii_lower(name.ptr[k]);
        }
        if (value.len > 0) {
            memcpy(at + name.len, value.ptr, value.len);
        }
        fields[s->end_count++] =
            field_of((struct str){at, name.len}, (struct str){at + name.len, value.len});
        at += name.len + value.len;
    }
    s->end_fields = fields;
}

static void front_end(struct exchange *x, const struct head *trailers)
{
    struct h2_stream *s = x->front_owner;
    CHECK(s->x == x);
    if (trailers != NULL && trailers->count > 0) {
        keep_trailers(s, trailers);
    }
    s->x = NULL;
    s->ended = true;
    resume_data(s);
}

static void front_abort(struct exchange *x)
{
    struct h2_stream *s = x->front_owner;
    CHECK(s->x == x);
    s->x = NULL;
    stream_break(s, x->abort_code);
}

static void front_want(struct exchange *x, bool more)
{
    struct h2_stream *s = x->front_owner;
    s->held = !more;
    h2_count_upload(s);
    if (more && s->unconsumed > 0 && (!s->is_connect || x->tunnel)) {
        (void)nghttp2_session_consume(h2_memory_session(&s->front->memory), s->id, s->unconsumed);
        s->unconsumed = 0;
        conn_mark_dirty(s->front->conn);
    }
}

const struct front_ops h2_front_ops = {front_head, front_body, front_end, front_abort, front_want};
