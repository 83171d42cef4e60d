/* front: see front.h. One thread. */
#include "tests/fuzz/front.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "gateway/conn_private.h"
#include "gateway/front_h1.h"
#include "gateway/front_h2.h"
#include "gateway/limit.h"

const char front_ws_key[] = "dGhlIHNhbXBsZSBub25jZQ==";

void __wrap_exchange_start(struct exchange *x, bool has_body);

static struct worker *worker;
static struct front *present; /* whose connection is running */
static bool answers;
static unsigned open_count;

static const struct route route = {.host = {"a.example", 9}, .port = 3000};

static struct front_request *request_of(struct exchange *x)
{
    struct front_request *r = x->back_owner;
    CHECK(r != NULL && r->x == x);
    return r;
}

static void answer(struct exchange *x)
{
    struct head *h = &x->response;
    head_init(h, false);
    h->status = 200;
    h->reason = STR("OK");
    h->content_length = 2;
    CHECK(head_add(h, &x->arena, STR("content-length"), STR("2"), 100));
    bool is_head = str_eq(x->request.method, STR("HEAD"));
    exchange_response_head(x, is_head);
    if (!is_head) {
        exchange_response_body(x, "ok", 2);
    }
    exchange_response_end(x, NULL);
}

static void service_body(struct exchange *x, const char *data, size_t len)
{
    struct front_request *r = request_of(x);
    CHECK(!r->ended);
    buf_add(&r->body, data, len);
}

static void service_end(struct exchange *x, const struct head *trailers)
{
    struct front_request *r = request_of(x);
    struct wbuf out = {0};
    CHECK(!r->ended && (r->has_body || r->is_upgrade));
    r->ended = true;
    head_write_trailers(&worker->wbufs, &out, trailers);
    buf_add(&r->trailers, wbuf_data(&out), wbuf_len(&out));
    wbuf_release(&worker->wbufs, &out);
    if (answers && !r->is_upgrade) {
        r->x = NULL;
        x->back_owner = NULL;
        answer(x);
    }
}

static void service_cancel(struct exchange *x)
{
    struct front_request *r = request_of(x);
    r->cut = !r->ended;
    r->x = NULL;
    x->back_owner = NULL;
}

static void service_room(struct exchange *x)
{
    (void)x;
}

static const struct back_ops service = {service_body, service_end, service_cancel, service_room};

/* Takes the place of exchange_start: no route is looked up, no policy asked. */
void __wrap_exchange_start(struct exchange *x, bool has_body)
{
    static struct front_request spare;
    struct front *f = present;
    bool is_upgrade = x->request.wants_upgrade || x->request.protocol.len > 0;
    if (f->count++ >= FRONT_REQUESTS_MAX) {
        exchange_reply(x, 503, "tunnel: enough");
        return;
    }
    struct front_request *r = &f->requests[f->count - 1];
    CHECK(memcmp(r, &spare, sizeof *r) == 0);
    x->route = &route;
    x->id = STR("id");
    x->has_body = has_body;
    x->request_ended = !has_body;
    memcpy(x->ws_key, front_ws_key, sizeof front_ws_key);
    *r = (struct front_request){
        .is_h2 = x->request.is_h2,
        .has_body = has_body,
        .is_upgrade = is_upgrade,
        .x = x,
        .ended = !has_body,
    };
    const struct head_forward fwd = exchange_forward(x, x->request.protocol.len > 0);
    struct wbuf out = {0};
    head_write_request(&worker->wbufs, &out, &x->request, &fwd);
    buf_add(&r->head, wbuf_data(&out), wbuf_len(&out));
    wbuf_release(&worker->wbufs, &out);
    x->back = &service;
    x->back_owner = r;
    if (!has_body && answers && !is_upgrade) {
        r->x = NULL;
        x->back_owner = NULL;
        answer(x);
    }
}

/* Small limits, so that inputs reach them. */
static void worker_make(void)
{
    struct err err = {0};
    struct buf bytes = {0};
    struct snapshot_spec spec = {
        .generation = 1,
        .public_port = 443,
        .domain = {"example", 7},
        .tls_min = 2,
        .limits = limits_default,
    };
    spec.limits.header_count_max = 60;
    spec.limits.header_bytes_max = 16384;
    spec.limits.uri_bytes_max = 1000;
    spec.limits.streams_max = 10;
    snapshot_encode(&spec, &bytes);
    struct snapshot *snapshot = snapshot_decode(buf_str(&bytes), &err);
    if (snapshot == NULL) {
        (void)fprintf(stderr, "%s\n", err.msg);
    }
    CHECK(snapshot != NULL);
    buf_fini(&bytes);
    worker = worker_new(0, NULL, limit_new(1024), &err);
    CHECK(worker != NULL);
    worker_set_view(worker, view_new(snapshot, NULL, NULL, NULL));
    snapshot_unref(snapshot);
}

/* A client's connection, listed and counted as conn_accept and the listener do it. */
static struct conn *client_new(void)
{
    static const struct sockaddr_in peer = {.sin_family = AF_INET, .sin_addr = {0x010200c0}};
    struct conn *c = conn_new(worker, NULL, NULL);
    c->state = CONN_OPEN;
    c->is_front = true;
    memcpy(&c->peer, &peer, sizeof peer);
    c->front_next = worker->fronts;
    c->front_prev = &worker->fronts;
    if (c->front_next != NULL) {
        c->front_next->front_prev = &c->front_next;
    }
    worker->fronts = c;
    CHECK(limit_enter(worker->limit, 10));
    return c;
}

void front_open(struct front *f, bool h2, bool answer_them)
{
    if (worker == NULL) {
        worker_make();
    }
    *f = (struct front){0};
    present = f;
    open_count++;
    answers = answer_them;
    f->conn = client_new();
    if (h2) {
        front_h2_open(f->conn);
    } else {
        front_h1_open(f->conn);
    }
}

/* What is to leave leaves, and what was kept for later is read when it may be. */
static void turn(struct front *f)
{
    struct conn *c = f->conn;
    if (c->state == CONN_OPEN) {
        c->ops->on_flush(c);
    }
    if (wbuf_len(&c->out) > 0) {
        buf_add(&f->out, wbuf_data(&c->out), wbuf_len(&c->out));
        wbuf_release(&worker->wbufs, &c->out);
    }
}

/* Everything of it that may be read now. */
static void read_kept(struct conn *c)
{
    size_t used = 1;
    while (used > 0 && c->state == CONN_OPEN && c->pauses == 0 && wbuf_len(&c->in) > 0) {
        /* Exactly as long as what is there, so that a read past the end is seen. */
        size_t size = wbuf_len(&c->in);
        char *exact = xmalloc(size);
        memcpy(exact, wbuf_data(&c->in), size);
        used = c->ops->on_data(c, exact, size);
        free(exact);
        CHECK(used <= size);
        if (c->state == CONN_OPEN) {
            wbuf_consume(&worker->wbufs, &c->in, used);
        }
    }
}

void front_give(struct front *f, const void *data, size_t len)
{
    struct conn *c = f->conn;
    present = f;
    if (f->over) {
        return;
    }
    wbuf_add(&worker->wbufs, &c->in, data, len);
    bool more = true;
    while (more && c->state == CONN_OPEN) {
        read_kept(c);
        more = (c->pauses & CONN_PAUSE_WRITE) != 0; /* until what was answered has left */
        turn(f);
    }
    if (c->state != CONN_OPEN) {
        f->over = true;
    }
}

void front_close(struct front *f)
{
    present = f;
    if (f->conn->state != CONN_GONE) {
        conn_kill(f->conn);
    }
    f->conn = NULL;
    if (--open_count == 0) {
        loop_turn(worker->loop, false); /* what was deferred, such as the memory of conns */
    }
    for (size_t i = 0; i < FRONT_REQUESTS_MAX; i++) {
        struct front_request *r = &f->requests[i];
        CHECK(r->x == NULL);
        buf_fini(&r->head);
        buf_fini(&r->body);
        buf_fini(&r->trailers);
    }
    buf_fini(&f->out);
}
