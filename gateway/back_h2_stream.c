/* back_h2_stream: see back_h2_stream.h. The request's way to the service. The worker's thread. */
#include "gateway/back_h2_stream.h"

#include <stdlib.h>

#include "base/auto.h"

static bool wants_websocket(const struct head *h)
{
    if (h->is_h2) {
        return h->protocol.len > 0;
    }
    return h->wants_upgrade && str_eq_nocase(h->upgrade, STR("websocket")) &&
           head_find(h, STR("sec-websocket-key")) != NULL;
}

struct back_stream *back_stream_new(struct back_h2 *b, struct exchange *x, struct back_stream *old)
{
    struct back_stream *s = try_zalloc(sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    s->back = b;
    s->next = b->streams;
    s->prev = &b->streams;
    if (s->next != NULL) {
        s->next->prev = &s->next;
    }
    b->streams = s;
    b->stream_count++;
    s->reused = b->settled;
    s->is_connect = wants_websocket(&x->request);
    s->request_ended = !x->has_body && !s->is_connect;
    if (old != NULL) {
        s->queue = old->queue;
        s->end_fields = old->end_fields;
        s->request_ended = old->request_ended;
        s->held = old->held;
        old->queue = (struct wbuf){0};
    }
    s->paused = x->room == 0;
    s->x = x;
    x->back = &back_h2_ops;
    x->back_owner = s;
    return s;
}

void back_stream_free(struct back_stream *s)
{
    CHECK(s->x == NULL);
    *s->prev = s->next;
    if (s->next != NULL) {
        s->next->prev = s->prev;
    }
    s->back->stream_count--;
    wbuf_release(&s->back->worker->wbufs, &s->queue);
    free(s);
}

struct exchange *back_stream_detach(struct back_stream *s)
{
    struct exchange *x = s->x;
    x->front_conn->wide_answers -= s->wide ? 1 : 0;
    s->wide = false;
    s->x = NULL;
    x->back_owner = NULL;
    return x;
}

void back_stream_reset(struct back_stream *s, uint32_t code)
{
    struct back_h2 *b = s->back;
    CHECK(s->x == NULL);
    if (s->id == 0) {
        back_stream_free(s);
        back_h2_on_idle(b);
        return;
    }
    (void)nghttp2_submit_rst_stream(h2_memory_session(&b->memory), NGHTTP2_FLAG_NONE, s->id,
                                    code); /* may be closed */
    back_h2_touch(b);
}

void back_stream_unprocessed(struct back_stream *s, const char *why)
{
    struct exchange *x = back_stream_detach(s);
    if (x->retried || s->body_left) {
        exchange_fail(x, 502, why);
        return;
    }
    x->retried = true;
    back_h2_restart(x, s);
}

void back_stream_died(struct back_stream *s, const char *why)
{
    if (s->x == NULL) {
        return;
    }
    bool unseen = s->reused && !s->answered && !s->body_left;
    if (unseen && (!s->head_left || exchange_can_repeat(s->x))) {
        back_stream_unprocessed(s, why);
    } else if (s->x->tunnel && s->x->head_sent) {
        s->x->aborted = ABORT_SERVICE;
        exchange_response_end(back_stream_detach(s), NULL);
    } else {
        exchange_fail(back_stream_detach(s), 502, why);
    }
}

void back_stream_arm(struct back_stream *s)
{
    struct worker *w = s->back->worker;
    const struct limits *limits = worker_limits(w);
    uint32_t after_ms = s->held        ? limits->write_timeout_ms
                        : !s->has_head ? limits->response_timeout_ms
                                       : limits->tunnel_idle_timeout_ms;
    s->due_ms = after_ms == 0 ? 0 : loop_now_ms(w->loop) + after_ms;
    if (s->due_ms != 0) {
        back_h2_arm(s->back, s->due_ms);
    }
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *to, size_t max,
                       uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    (void)to;
    (void)arg;
    struct back_stream *s = source->ptr;
    size_t len = wbuf_len(&s->queue);
    if (s->x == NULL || (len == 0 && !s->request_ended)) {
        s->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (len <= max && s->request_ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->end_fields.count > 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (nghttp2_submit_trailer(session, id, s->end_fields.items, s->end_fields.count) !=
                0) {
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
    struct back_h2 *b = arg;
    struct back_stream *s = source->ptr;
    (void)session;
    CHECK(b->magic == BACK_H2_MAGIC && frame->data.padlen == 0 && len <= wbuf_len(&s->queue));
    if (b->conn->blocked || conn_pending(b->conn) >= BACK_H2_FLUSH_MAX) {
        return NGHTTP2_ERR_WOULDBLOCK; /* this frame comes first next time */
    }
    conn_write(b->conn, head, 9);
    if (len == 0) {
        return 0;
    }
    conn_write(b->conn, wbuf_data(&s->queue), len);
    wbuf_consume(&b->worker->wbufs, &s->queue, len);
    s->body_left = true;
    if (s->held && s->x != NULL && wbuf_len(&s->queue) < BACK_H2_QUEUE_MAX / 2) {
        s->held = false;
        s->x->front->want(s->x, true);
    }
    back_stream_arm(s);
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    (void)arg;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        struct back_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
        if (s != NULL) {
            s->head_left = true;
        }
    }
    return 0;
}

void back_stream_set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
}

bool back_stream_submit(struct back_stream *s)
{
    struct exchange *x = s->x;
    struct back_h2 *b = s->back;
    struct head_forward fwd = exchange_forward(x, s->is_connect);
    struct h2_fields fields = head_to_h2(&b->worker->wbufs, &x->arena, &x->request, &fwd);
    nghttp2_data_provider provider = {.source.ptr = s, .read_callback = on_read};
    if (x->arena.failed) {
        return false;
    }
    bool has_body = x->has_body || s->is_connect;
    int32_t id = nghttp2_submit_request(h2_memory_session(&b->memory), NULL, fields.items,
                                        fields.count, has_body ? &provider : NULL, s);
    s->id = id > 0 ? id : 0;
    x->arena.failed = x->arena.failed || id == NGHTTP2_ERR_NOMEM;
    back_h2_touch(b);
    return id > 0;
}

static void resume_data(struct back_stream *s)
{
    if (s->deferred) {
        s->deferred = false;
        /* the stream may be closing */
        (void)nghttp2_session_resume_data(h2_memory_session(&s->back->memory), s->id);
    }
    back_h2_touch(s->back);
}

static void back_body(struct exchange *x, const char *data, size_t len)
{
    struct back_stream *s = x->back_owner;
    CHECK(s->x == x);
    wbuf_add(&x->worker->wbufs, &s->queue, data, len);
    if (s->queue.failed) {
        exchange_out_of_memory(x);
        return;
    }
    if (!s->held && wbuf_len(&s->queue) >= BACK_H2_QUEUE_MAX) {
        s->held = true;
        x->front->want(x, false);
    }
    back_stream_arm(s);
    resume_data(s);
}

static void back_end(struct exchange *x, const struct head *trailers)
{
    struct back_stream *s = x->back_owner;
    CHECK(s->x == x);
    s->request_ended = true;
    s->end_fields = head_trailers_to_h2(&x->arena, trailers);
    if (x->arena.failed) {
        exchange_out_of_memory(x);
        return;
    }
    back_stream_arm(s);
    resume_data(s);
}

static void back_cancel(struct exchange *x)
{
    struct back_stream *s = x->back_owner;
    CHECK(s->x == x);
    (void)back_stream_detach(s);
    back_stream_reset(s, NGHTTP2_CANCEL);
}

static void back_room(struct exchange *x)
{
    struct back_stream *s = x->back_owner;
    CHECK(s->x == x);
    s->paused = x->room == 0;
    back_stream_widen(s);
    if (!s->paused && s->unconsumed > 0) {
        (void)nghttp2_session_consume_stream(h2_memory_session(&s->back->memory), s->id,
                                             s->unconsumed);
        s->unconsumed = 0;
        back_h2_touch(s->back);
    }
}

const struct back_ops back_h2_ops = {back_body, back_end, back_cancel, back_room};
