/* back_h1: see back_h1.h. The worker's thread. */
#include "gateway/back_h1.h"

#include <errno.h>
#include <stdlib.h>

#include "base/auto.h"
#include "gateway/conn.h"
#include "gateway/h1.h"
#include "gateway/upstream.h"
#include "gateway/wskey.h"

enum { BACK_MAGIC = 0x6261636b };

enum back_state {
    BACK_HEAD, /* waiting for, or reading, the response head */
    BACK_BODY,
    BACK_TUNNEL,
    BACK_IDLE, /* in the pool */
};

struct back_h1 {
    uint32_t magic;
    struct loop_call freeing;
    enum back_state state;
    struct conn *conn;   /* owned */
    struct exchange *x;  /* borrowed; NULL when idle */
    struct h1_body body; /* of the response */
    bool reused;
    uint64_t sent_before; /* conn->bytes_out when the exchange began */
    bool answered;        /* some byte of an answer came */
    uint32_t interims;    /* 1xx answers to this request */
    bool chunk_request;   /* the request body is sent chunked */
    bool keep;            /* the service lets us keep the connection */
    bool is_upgrade;
    struct upstream_link link; /* in the pool */
};

static const struct conn_ops back_conn_ops;
static const struct back_ops back_ops;

static void back_free(struct loop_call *call)
{
    struct back_h1 *b = OWNER_OF(call, struct back_h1, freeing);
    b->magic = 0;
    free(b);
}

/* The connection is over; b goes at the end of the turn. */
static void back_drop(struct back_h1 *b)
{
    if (b->state == BACK_IDLE) {
        upstream_remove(&b->link);
    }
    if (b->conn != NULL) {
        struct conn *c = b->conn;
        b->conn = NULL;
        loop_defer_call(c->worker->loop, &b->freeing, back_free);
        conn_abort(c);
    }
}

static struct exchange *back_detach(struct back_h1 *b)
{
    struct exchange *x = b->x;
    b->x = NULL;
    if (x != NULL) {
        x->back_owner = NULL;
    }
    return x;
}

/* The answer cannot be had, or not to its end. `b` is dropped. */
static void back_failed(struct back_h1 *b, uint16_t status, const char *text)
{
    struct exchange *x = back_detach(b);
    bool is_v6 = b->conn != NULL && b->conn->is_v6;
    back_drop(b);
    if (x != NULL) {
        x->upstream_v6 = is_v6;
        exchange_fail(x, status, text);
    }
}

/* Only a kept connection may have been closed by a service that never saw the request. */
static void retry_or_fail(const struct back_h1 *b, struct exchange *x, const char *text)
{
    if (b->reused && !b->answered && exchange_can_repeat(x)) {
        x->retried = true;
        back_h1_start(x);
    } else {
        exchange_fail(x, 502, text);
    }
}

/* The connection ended before the answer did. `b` is dropped. */
static void back_died(struct back_h1 *b, const char *text)
{
    struct exchange *x = back_detach(b);
    back_drop(b);
    if (x != NULL) {
        retry_or_fail(b, x, text);
    }
}

static void send_head(struct back_h1 *b, struct exchange *x)
{
    struct conn *c = b->conn;
    struct worker *w = c->worker;
    bool from_h2 = x->request.is_h2 && x->request.protocol.len > 0;
    if (from_h2) {
        wskey_make(x->ws_key);
    }
    b->is_upgrade = from_h2 || x->request.wants_upgrade;
    b->chunk_request = x->has_body && x->request.content_length == LENGTH_NONE && !from_h2;
    struct head_forward fwd = exchange_forward(x, from_h2);
    if (c->ssl == NULL) {
        head_write_request(&w->wbufs, &c->out, &x->request, &fwd);
        if (c->out.failed) {
            conn_out_of_memory(c);
        }
        conn_mark_dirty(c);
        return;
    }
    struct wbuf text = {0};
    head_write_request(&w->wbufs, &text, &x->request, &fwd);
    conn_write_all(c, &text);
}

static void drop_idle(void *owner)
{
    struct back_h1 *b = owner;
    CHECK(b->magic == BACK_MAGIC);
    back_drop(b);
}

/* False: there is nothing to check the service's certificate with. */
static bool find_tls(const struct exchange *x, SSL_CTX **out_tls)
{
    *out_tls = x->route->backend == BACKEND_HTTPS ? x->view->client
               : x->route->backend == BACKEND_HTTPS_INSECURE
                   ? tlsctx_client_insecure(x->worker->tlsctx)
                   : NULL;
    return *out_tls != NULL || x->route->backend == BACKEND_HTTP;
}

/* NULL when out of memory. */
static struct back_h1 *back_dial(struct exchange *x, SSL_CTX *tls)
{
    struct back_h1 *b = try_zalloc(sizeof *b);
    if (b == NULL) {
        return NULL;
    }
    b->magic = BACK_MAGIC;
    b->link = (struct upstream_link){
        .owner = b, .drop = drop_idle, .backend = (enum route_backend)x->route->backend};
    b->conn = conn_dial(x->worker, x->route->port, tls, &back_conn_ops, b);
    if (b->conn == NULL) {
        free(b);
        return NULL;
    }
    return b;
}

static void back_room(struct exchange *x)
{
    struct back_h1 *b = x->back_owner;
    CHECK(b->magic == BACK_MAGIC);
    if (x->room > 0) {
        b->conn->read_max = (uint32_t)x->room;
        conn_resume(b->conn, CONN_PAUSE_PEER);
    } else {
        conn_pause(b->conn, CONN_PAUSE_PEER);
    }
}

void back_h1_start(struct exchange *x)
{
    struct worker *w = x->worker;
    const struct limits *limits = worker_limits(w);
    struct upstream_link *link =
        x->retried ? NULL : upstream_take(w, x->route->port, (enum route_backend)x->route->backend);
    struct back_h1 *b;
    SSL_CTX *tls;
    if (link != NULL) {
        b = link->owner;
        CHECK(b->magic == BACK_MAGIC && b->state == BACK_IDLE);
        b->reused = true;
        stat_add(&w->stats.upstream_reuses, 1);
    } else if (find_tls(x, &tls)) {
        b = back_dial(x, tls);
        if (b == NULL) {
            exchange_out_of_memory(x);
            return;
        }
    } else {
        exchange_fail(x, 502, "no certificate authority to check its certificate with");
        return;
    }
    b->state = BACK_HEAD;
    b->x = x;
    b->answered = false;
    b->interims = 0;
    x->upstream_port = x->route->port;
    x->upstream_reused = link != NULL;
    x->upstream_connected = link != NULL;
    x->upstream_v6 = link != NULL && b->conn->is_v6;
    stat_add(&w->stats.upstream_retries, x->retried ? 1 : 0);
    b->sent_before = b->conn->bytes_out;
    x->back = &back_ops;
    x->back_owner = b;
    b->conn->awaiting = true;
    back_room(x);
    send_head(b, x);
    if (b->conn->state == CONN_OPEN) {
        conn_set_deadline(b->conn, limits->response_timeout_ms);
    } else {
        conn_set_deadline(b->conn, limits->connect_timeout_ms);
        x->front->want(x, false); /* until somebody takes the bytes */
    }
}

static void back_body(struct exchange *x, const char *data, size_t len)
{
    struct back_h1 *b = x->back_owner;
    CHECK(b->magic == BACK_MAGIC);
    if (len == 0) {
        return;
    }
    if (b->state == BACK_HEAD && b->conn->state == CONN_OPEN && !b->conn->blocked) {
        /* The wait for the answer begins with the last byte of the request. */
        conn_set_deadline(b->conn, worker_limits(x->worker)->response_timeout_ms);
    }
    if (b->state == BACK_TUNNEL || !b->chunk_request) {
        conn_write(b->conn, data, len);
        if (b->state == BACK_TUNNEL) {
            conn_set_deadline(b->conn, worker_limits(x->worker)->tunnel_idle_timeout_ms);
        }
        return;
    }
    char line[U64_DIGITS + 2];
    char *end = str_put(u64_put_hex(line, len), STR("\r\n"));
    conn_write(b->conn, line, (size_t)(end - line));
    conn_write(b->conn, data, len);
    conn_write(b->conn, "\r\n", 2);
}

static void back_end(struct exchange *x, const struct head *trailers)
{
    struct back_h1 *b = x->back_owner;
    CHECK(b->magic == BACK_MAGIC);
    if (b->state == BACK_TUNNEL) {
        conn_shutdown_write(b->conn);
        return;
    }
    if (b->chunk_request) {
        struct wbuf text = {0};
        wbuf_add_str(&x->worker->wbufs, &text, STR("0\r\n"));
        head_write_trailers(&x->worker->wbufs, &text, trailers);
        conn_write_all(b->conn, &text);
    }
}

static void back_cancel(struct exchange *x)
{
    struct back_h1 *b = x->back_owner;
    CHECK(b->magic == BACK_MAGIC);
    (void)back_detach(b);
    back_drop(b);
}

/* The response is complete: keep the connection or not, then tell. */
static void response_done(struct back_h1 *b, const struct head *trailers, bool clean)
{
    struct exchange *x = back_detach(b);
    struct worker *w = x->worker;
    /* A service that answered without the whole request may never read the rest of it, and one
     * that refused some of it takes no other: only its answer was still to be read. */
    bool keep = clean && b->keep && x->request_ended && conn_pending(b->conn) == 0 &&
                b->conn->state == CONN_OPEN && !b->conn->got_eof && !b->conn->shut_write &&
                upstream_put(w, &b->link, x->route->port, worker_limits(w)->upstream_idle_max);
    b->conn->awaiting = false;
    if (keep) {
        b->state = BACK_IDLE;
        conn_resume(b->conn, CONN_PAUSE_PEER);
        conn_set_deadline(b->conn, worker_limits(w)->upstream_idle_timeout_ms);
    } else {
        back_drop(b);
    }
    exchange_response_end(x, trailers);
}

/* The head is of a body that must not come (HEAD, 204, 304). Services that send it all the same
 * would have it read as their next answer: the connection is not used again. */
static bool body_may_follow(const struct exchange *x, const struct head *h)
{
    bool is_head = str_eq(x->request.method, STR("HEAD"));
    if (!is_head && h->status != 204 && h->status != 304) {
        return false;
    }
    return h->chunked || h->content_length > 0 || (is_head && h->content_length == LENGTH_NONE);
}

static void start_tunnel(struct back_h1 *b)
{
    struct exchange *x = b->x;
    b->state = BACK_TUNNEL;
    b->keep = false;
    x->tunnel = true;
    exchange_release_view(x);
    x->request_ended = false;
    h1_body_init(&b->body, H1_BODY_CLOSE, 0);
    conn_set_deadline(b->conn, worker_limits(x->worker)->tunnel_idle_timeout_ms);
    exchange_response_head(x, false);
}

/* RFC 6455 4.1: the service has understood what it was asked for. */
static bool accept_is_right(struct exchange *x, const struct head *h)
{
    const struct head_field *accept = head_find(h, STR("sec-websocket-accept"));
    char text[WSKEY_ACCEPT_SIZE];
    struct str expected = wskey_accept(str_of(x->ws_key), text);
    if (expected.len == 0) {
        x->arena.failed = true; /* out of memory: exchange_response_head looks */
        return true;
    }
    return accept != NULL && str_eq(accept->value, expected);
}

/* A head is there. b may be gone after it. */
static void on_head(struct back_h1 *b, struct head *h)
{
    struct exchange *x = b->x;
    struct head_fault fault = head_check_response(h);
    if (fault.status != 0) {
        back_failed(b, 502, fault.why);
        return;
    }
    /* RFC 8441 5: passed on, a 2xx would tell the client that its WebSocket is open. */
    bool opens = h->status / 100 == 2 && x->request.protocol.len > 0;
    if (h->status == 101 || opens) {
        struct str asked = x->request.is_h2 ? STR("websocket") : x->request.upgrade;
        bool legal = !opens && b->is_upgrade && str_eq_nocase(h->upgrade, asked);
        if (!legal || (x->ws_key[0] != '\0' && !accept_is_right(x, h))) {
            back_failed(b, 502, opens ? "did not switch protocols" : "switched protocols unasked");
        } else {
            start_tunnel(b);
        }
        return;
    }
    if (h->status < 200) {
        if (++b->interims > worker_limits(x->worker)->interims_max) {
            back_failed(b, 502, "too many 1xx answers");
        } else {
            exchange_response_interim(x, h);
        }
        return;
    }
    uint64_t length;
    enum h1_framing framing = h1_response_framing(x->request.method, h, &length);
    /* Servers that refuse an Upgrade often close after the answer without saying so. */
    b->keep =
        !h->wants_close && framing != H1_BODY_CLOSE && !body_may_follow(x, h) && !b->is_upgrade;
    b->state = BACK_BODY;
    h1_body_init(&b->body, framing, length);
    conn_set_deadline(b->conn, worker_limits(x->worker)->tunnel_idle_timeout_ms);
    exchange_response_head(x, b->body.done);
}

static size_t read_head(struct back_h1 *b, const char *data, size_t len)
{
    struct exchange *x = b->x;
    struct head *h = &x->response;
    struct head_fault fault;
    size_t used = 0;
    b->answered = true;
    switch (h1_parse_response(h, &x->arena, data, len, worker_limits(x->worker), &used, &fault)) {
    case H1_MORE:
        return 0;
    case H1_FAULT:
        back_failed(b, 502, fault.why);
        return 0;
    case H1_DONE:
        break;
    }
    on_head(b, h);
    return used;
}

static size_t read_body(struct back_h1 *b, const char *data, size_t len)
{
    struct exchange *x = b->x;
    size_t at = 0;
    for (;;) {
        struct str piece;
        size_t used;
        enum h1_result result = h1_body_read(&b->body, &x->arena, data + at, len - at,
                                             worker_limits(x->worker), &piece, &used);
        at += used;
        if (result == H1_FAULT) {
            back_failed(b, 502, "malformed chunked body");
            return at;
        }
        if (piece.len > 0) {
            exchange_response_body(x, piece.ptr, piece.len);
            if (b->conn == NULL || b->x != x) {
                return at;
            }
        }
        if (result == H1_DONE) {
            response_done(b, b->body.trailers, at == len);
            return at;
        }
        if (used == 0 || at == len) {
            conn_set_deadline(b->conn, worker_limits(x->worker)->tunnel_idle_timeout_ms);
            return at;
        }
    }
}

/* Not a byte of the request has left over a connection that was kept. */
static bool is_unsent(const struct back_h1 *b)
{
    return b->reused && !b->answered && b->state == BACK_HEAD &&
           b->conn->bytes_out == b->sent_before;
}

/* The service closed an idle connection, or spoke unasked, in the turn in which we took it: any
 * request can go over a fresh one, as long as all of it that came is still in `out`. What a closed
 * door refused is not: behind it only the rest of a body would follow, as if it were a request. */
static bool redial(struct back_h1 *b)
{
    struct conn *old = b->conn;
    struct exchange *x = b->x;
    if (old->failed || old->shut_write || !is_unsent(b) ||
        (old->ssl != NULL && wbuf_len(&old->out) > 0)) {
        return false;
    }
    struct conn *c =
        conn_dial(old->worker, x->route->port, old->ssl == NULL ? NULL : SSL_get_SSL_CTX(old->ssl),
                  &back_conn_ops, b);
    if (c == NULL) {
        return false;
    }
    b->conn = c;
    b->reused = false;
    b->sent_before = 0;
    c->out = old->out;
    c->stage = old->stage;
    c->pauses = old->pauses;
    c->read_max = old->read_max;
    c->awaiting = true;
    old->out = (struct wbuf){0};
    old->stage = (struct wbuf){0};
    conn_mark_dirty(c);
    conn_set_deadline(c, worker_limits(x->worker)->connect_timeout_ms);
    conn_abort(old);
    x->front->want(x, false);
    return true;
}

static size_t back_on_data(struct conn *c, const char *data, size_t len)
{
    struct back_h1 *b = c->owner;
    CHECK(b->magic == BACK_MAGIC && b->conn == c);
    if (b->state == BACK_IDLE) {
        back_drop(b); /* an answer nobody asked for */
        return len;
    }
    if (redial(b)) {
        return len; /* … which came in the turn in which we took the connection */
    }
    if (c->shut_write && is_unsent(b)) {
        back_died(b, "closed the connection before the request");
        return len;
    }
    size_t at = 0;
    while (at < len && b->conn != NULL && b->x != NULL && b->state == BACK_HEAD) {
        size_t used = read_head(b, data + at, len - at);
        at += used;
        if (used == 0) {
            return at;
        }
    }
    if (b->conn != NULL && b->x != NULL && (at < len || b->body.done) && b->state != BACK_HEAD) {
        at += read_body(b, data + at, len - at);
    }
    if (b->conn != NULL && b->state == BACK_IDLE && at < len) {
        back_drop(b);
    }
    return at;
}

/* Over TLS only close_notify is an end: a FIN alone may be anybody's (RFC 9112 9.8). */
static bool end_is_proper(const struct back_h1 *b)
{
    SSL *ssl = b->conn->ssl;
    return ssl == NULL || (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
}

static void on_end(struct back_h1 *b)
{
    struct exchange *x = b->x;
    if (x == NULL) {
        back_drop(b);
        return;
    }
    if (b->state == BACK_TUNNEL ||
        (b->state == BACK_BODY && b->body.framing == H1_BODY_CLOSE && end_is_proper(b))) {
        response_done(b, NULL, false);
        return;
    }
    if (!redial(b)) {
        back_died(b, b->answered ? "closed the connection before the end of its answer"
                                 : "closed the connection without an answer");
    }
}

static void on_dead(struct back_h1 *b, struct conn *c)
{
    const char *text = conn_error_text(c);
    b->conn = NULL;
    if (b->state == BACK_IDLE) {
        upstream_remove(&b->link);
    }
    loop_defer_call(c->worker->loop, &b->freeing, back_free);
    struct exchange *x = back_detach(b);
    if (x == NULL) {
        return;
    }
    x->upstream_v6 = c->is_v6;
    if (b->state == BACK_TUNNEL) {
        x->aborted = ABORT_SERVICE;
        exchange_response_end(x, NULL);
    } else if (c->error == ENOMEM) {
        exchange_out_of_memory(x);
    } else {
        retry_or_fail(b, x, text);
    }
}

static void back_on_event(struct conn *c, enum conn_event event)
{
    struct back_h1 *b = c->owner;
    CHECK(b->magic == BACK_MAGIC && b->conn == c);
    struct exchange *x = b->x;
    switch (event) {
    case CONN_READY:
        if (x != NULL) {
            x->upstream_connected = true;
            x->upstream_v6 = c->is_v6;
            conn_set_deadline(c, worker_limits(x->worker)->response_timeout_ms);
            x->front->want(x, true);
        }
        break;
    case CONN_BLOCKED:
    case CONN_DRAINED:
        if (x != NULL) {
            const struct limits *limits = worker_limits(x->worker);
            conn_set_deadline(c, event == CONN_BLOCKED   ? limits->write_timeout_ms
                                 : b->state == BACK_HEAD ? limits->response_timeout_ms
                                                         : limits->tunnel_idle_timeout_ms);
            x->front->want(x, event == CONN_DRAINED);
        }
        break;
    case CONN_EOF:
        on_end(b);
        break;
    case CONN_DEADLINE:
        if (x == NULL) {
            back_drop(b);
        } else if (c->state == CONN_OPEN) {
            back_failed(b, 504,
                        b->state == BACK_HEAD ? "no answer in time"
                                              : "stalled in the middle of its answer");
        } else {
            back_failed(b, 504,
                        c->state == CONN_HANDSHAKE ? "the TLS handshake timed out"
                                                   : "connecting timed out");
        }
        break;
    case CONN_DRAIN:
    case CONN_REVIEW:
    case CONN_REST:
    case CONN_EVICTED:
        break; /* only client connections are told */
    case CONN_DEAD:
        on_dead(b, c);
        break;
    }
}

static void back_on_flush(struct conn *c)
{
    const struct exchange *x = ((const struct back_h1 *)c->owner)->x;
    conn_put_off(c, x != NULL && !x->request_ended ? x->front_conn : NULL);
}

static const struct conn_ops back_conn_ops = {back_on_data, back_on_event, back_on_flush};
static const struct back_ops back_ops = {back_body, back_end, back_cancel, back_room};
