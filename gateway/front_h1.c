/* front_h1: see front_h1.h. The worker's thread. Requests of a connection are
 * answered one after the other; pipelined bytes wait in the connection. */
#include "gateway/front_h1.h"

#include <stdlib.h>

#include "base/auto.h"
#include "gateway/admit.h"
#include "gateway/exchange.h"
#include "gateway/h1.h"
#include "gateway/hsts.h"
#include "gateway/review.h"

enum {
    FRONT_MAGIC = 0x66723168,
    ANSWERS_MAX = 64 * 1024, /* queued, before the next request of a pipeline is looked at */
};

enum front_state {
    FRONT_HEAD,   /* waiting for, or reading, a request head */
    FRONT_BODY,   /* reading the request body */
    FRONT_WAIT,   /* request read; the answer is under way */
    FRONT_TUNNEL, /* upgraded */
};

struct front_h1 {
    uint32_t magic;
    enum front_state state;
    struct loop_call freeing;
    struct conn *conn;   /* borrowed: it outlives us */
    struct exchange *x;  /* borrowed; NULL between requests */
    struct h1_body body; /* of the request */
    uint32_t head_seen;  /* bytes of a head that were looked at */
    bool in_head;        /* the first byte of it came */
    bool close_after;    /* this answer is the last */
    bool chunked;        /* the answer is sent chunked */
    bool framed;         /* so, or with its length: an end before its end is seen */
};

static const struct front_ops front_ops;

static void front_free(struct loop_call *call)
{
    struct front_h1 *f = OWNER_OF(call, struct front_h1, freeing);
    f->magic = 0;
    free(f);
}

/* Nothing more will be done with this connection. */
static void front_leave(struct front_h1 *f, bool gracefully)
{
    struct conn *c = f->conn;
    if (c == NULL) {
        return;
    }
    f->conn = NULL;
    loop_defer_call(c->worker->loop, &f->freeing, front_free);
    if (gracefully) {
        conn_close(c);
    } else {
        conn_reset(c);
    }
}

/* How long the client may keep us waiting where nothing is left to be sent to it; 0: the wait is
 * the service's. */
static uint64_t reading_timeout_ms(const struct front_h1 *f)
{
    const struct limits *limits = worker_limits(f->conn->worker);
    if (f->x == NULL) {
        return f->in_head ? limits->header_timeout_ms : limits->idle_timeout_ms;
    }
    bool is_waited_for =
        f->state == FRONT_BODY && !f->x->head_sent && (f->conn->pauses & CONN_PAUSE_PEER) == 0;
    return is_waited_for ? limits->body_timeout_ms : 0;
}

/* Who does not take what is queued has a deadline for that, and what it sends is no matter. */
static void arm_reading(struct front_h1 *f)
{
    if (!f->conn->blocked) {
        conn_set_deadline(f->conn, reading_timeout_ms(f));
    }
}

static void next_request(struct front_h1 *f)
{
    struct conn *c = f->conn;
    f->state = FRONT_HEAD;
    f->in_head = false;
    f->head_seen = 0;
    f->chunked = false;
    f->framed = false;
    admit_set_idle(c, true);
    if (c->blocked) { /* CONN_BLOCKED was told while the answer was under way */
        conn_pause(c, CONN_PAUSE_WRITE);
        conn_set_deadline(c, worker_limits(c->worker)->write_timeout_ms);
    } else {
        conn_set_deadline(c, worker_limits(c->worker)->idle_timeout_ms);
    }
    conn_resume(c, CONN_PAUSE_ORDER);
    conn_resume(c, CONN_PAUSE_PEER);
}

static char *put_field(char *to, struct str name, struct str value)
{
    to = str_put(str_put(to, name), STR(": "));
    return str_put(str_put(to, value), STR("\r\n"));
}

/* Framing and Connection of a final answer (RFC 9112 6.1, 9.3). */
static char *put_framing(struct front_h1 *f, char *to, const struct head *h, bool end)
{
    bool old = f->x->request.minor == 0;
    if (h->status == 204) {
        f->chunked = false; /* RFC 9110 8.6: neither length nor coding */
    } else if (h->content_length != LENGTH_NONE) {
        to = str_put(to, STR("content-length: "));
        to = str_put(u64_put(to, (uint64_t)h->content_length), STR("\r\n"));
        f->framed = true;
    } else if (!end) {
        f->chunked = !old;
        f->close_after = f->close_after || old;
        if (f->chunked) {
            to = str_put(to, STR("transfer-encoding: chunked\r\n"));
            f->framed = true;
        }
    }
    if (f->close_after) {
        to = str_put(to, STR("connection: close\r\n"));
    } else if (old) {
        to = str_put(to, STR("connection: keep-alive\r\n"));
    }
    return to;
}

static char *put_status_line(char *to, const struct head *h)
{
    to = u64_put(str_put(to, STR("HTTP/1.1 ")), h->status); /* has three digits */
    to = str_put(str_put(to, STR(" ")), h->reason);
    return str_put(to, STR("\r\n"));
}

/* Room for the head: its own texts, and what write_head adds. */
static size_t head_room(const struct head *h)
{
    enum { ADDED = 512, FIELD_ENDS = 4 };
    size_t room = ADDED + h->reason.len + h->upgrade.len;
    for (uint32_t i = 0; i < h->count; i++) {
        room += h->fields[i].name.len + h->fields[i].value.len + FIELD_ENDS;
    }
    return room;
}

static void write_head(struct front_h1 *f, const struct head *h, bool end)
{
    struct conn *c = f->conn;
    struct wbuf out = {0};
    struct str id = h->status == 101 || h->status >= 200 ? exchange_id(f->x) : STR_NONE;
    struct str hsts = h->status >= 200 ? hsts_value(f->x, h) : STR_NONE;
    bool has_date = false;
    char *start = wbuf_reserve(&c->worker->wbufs, &out, head_room(h) + id.len + hsts.len);
    if (start == NULL || f->x->arena.failed) {
        out.failed = true;
        conn_write_all(c, &out);
        return;
    }
    char *to = put_status_line(start, h);
    for (uint32_t i = 0; i < h->count; i++) {
        const struct head_field *field = &h->fields[i];
        if (head_is_hop_by_hop(h, field->name) || head_is_request_id(field->name) ||
            str_eq_nocase(field->name, STR("content-length"))) {
            continue;
        }
        has_date = has_date || str_eq_nocase(field->name, STR("date"));
        to = put_field(to, field->name, field->value);
    }
    if (id.len > 0) {
        to = put_field(to, STR("x-request-id"), id);
    }
    if (h->status == 101) {
        to = str_put(to, STR("connection: Upgrade\r\n"));
        to = put_field(to, STR("upgrade"), h->upgrade);
    } else if (h->status >= 200) {
        if (!has_date) {
            to = put_field(to, STR("date"), worker_date(c->worker));
        }
        to = put_framing(f, to, h, end);
        if (hsts.len > 0) {
            to = put_field(to, STR("strict-transport-security"), hsts);
        }
    }
    wbuf_commit(&out, (size_t)(str_put(to, STR("\r\n")) - start));
    conn_write_all(c, &out);
}

static void front_head(struct exchange *x, const struct head *response, bool end)
{
    struct front_h1 *f = x->front_owner;
    CHECK(f->magic == FRONT_MAGIC && f->x == x);
    if (response->status < 200 && response->status != 101) {
        if (x->request.minor > 0) {
            write_head(f, response, false);
        }
        return;
    }
    f->close_after = f->close_after || f->conn->worker->draining;
    if (f->state == FRONT_BODY && !x->tunnel) {
        f->close_after = true; /* answered before the request was read: the rest is not wanted */
    }
    write_head(f, response, end);
    if (x->tunnel) {
        f->state = FRONT_TUNNEL;
        f->conn->awaiting = true;
        conn_resume(f->conn, CONN_PAUSE_ORDER);
    }
    if (f->state != FRONT_WAIT) {
        arm_reading(f); /* from here on only silence ends it, and that is the service's side */
    }
}

static void front_body(struct exchange *x, const char *data, size_t len)
{
    struct front_h1 *f = x->front_owner;
    CHECK(f->magic == FRONT_MAGIC);
    if (!f->chunked) {
        conn_write(f->conn, data, len);
        return;
    }
    char line[U64_DIGITS + 2];
    char *end = str_put(u64_put_hex(line, len), STR("\r\n"));
    conn_write(f->conn, line, (size_t)(end - line));
    conn_write(f->conn, data, len);
    conn_write(f->conn, "\r\n", 2);
}

static void front_end(struct exchange *x, const struct head *trailers)
{
    struct front_h1 *f = x->front_owner;
    CHECK(f->magic == FRONT_MAGIC && f->x == x);
    f->x = NULL;
    if (f->chunked) {
        struct wbuf_pool *pool = &f->conn->worker->wbufs;
        struct wbuf out = {0};
        wbuf_add_str(pool, &out, STR("0\r\n"));
        head_write_trailers(pool, &out, trailers);
        conn_write_all(f->conn, &out);
    }
    bool last = f->conn->told_eof && wbuf_len(&f->conn->in) == 0; /* the client sends no more */
    if (last || f->close_after || f->state == FRONT_TUNNEL || f->state == FRONT_BODY) {
        front_leave(f, true);
    } else {
        next_request(f);
    }
}

static void front_abort(struct exchange *x)
{
    struct front_h1 *f = x->front_owner;
    CHECK(f->magic == FRONT_MAGIC && f->x == x);
    f->x = NULL;
    /* Without its last byte, last chunk or close_notify it is visibly cut. A reset would take what
     * is on its way with it, earlier answers too (RFC 9112 9.6): it is for what nothing else tells
     * from a proper end, and for what has to end at once. */
    const bool shows = f->framed || f->conn->ssl != NULL;
    f->conn->is_cut = x->aborted == ABORT_SERVICE && shows;
    front_leave(f, f->conn->is_cut);
}

static void front_want(struct exchange *x, bool more)
{
    struct front_h1 *f = x->front_owner;
    CHECK(f->magic == FRONT_MAGIC);
    if (more) {
        conn_resume(f->conn, CONN_PAUSE_PEER);
    } else {
        conn_pause(f->conn, CONN_PAUSE_PEER);
    }
    if (f->state == FRONT_BODY) {
        arm_reading(f);
    }
}

static void start_exchange(struct front_h1 *f, struct exchange *x)
{
    struct conn *c = f->conn;
    if (!exchange_check(x)) {
        return;
    }
    struct head *h = &x->request;
    bool has_body = h->chunked || h->content_length > 0;
    f->close_after = h->wants_close || c->worker->draining;
    h1_body_init(&f->body,
                 h->chunked ? H1_BODY_CHUNKED
                 : has_body ? H1_BODY_LENGTH
                            : H1_BODY_NONE,
                 has_body && !h->chunked ? (uint64_t)h->content_length : 0);
    f->body.strict = true;
    f->state = has_body ? FRONT_BODY : FRONT_WAIT;
    c->awaiting = has_body;
    arm_reading(f);
    h->wants_upgrade = h->wants_upgrade && !has_body;
    if (!has_body) {
        conn_await_answer(c);
    }
    if (h->wants_upgrade) {
        conn_pause(c, CONN_PAUSE_ORDER); /* what follows is of the new protocol, or not */
    }
    exchange_start(x, has_body);
}

/* False: stop, either because bytes are missing or because f is gone. */
static bool read_head(struct front_h1 *f, const char *data, size_t len, size_t *out_used)
{
    struct conn *c = f->conn;
    const struct limits *limits = worker_limits(c->worker);
    /* A head that comes in small pieces is parsed once a line at most. */
    if (f->head_seen < len && len <= limits->header_bytes_max &&
        memchr(data + f->head_seen, '\n', len - f->head_seen) == NULL && f->in_head) {
        f->head_seen = (uint32_t)len;
        return false;
    }
    f->head_seen = (uint32_t)len;
    admit_set_idle(c, false);
    struct exchange *x = exchange_new(c->worker, &front_ops, f);
    struct head_fault fault;
    if (x == NULL) {
        front_leave(f, false);
        return false;
    }
    x->front_conn = c;
    x->peer = (const struct sockaddr *)&c->peer;
    x->tls = c->ssl != NULL;
    switch (h1_parse_request(&x->request, &x->arena, data, len, limits, out_used, &fault)) {
    case H1_MORE:
        exchange_discard(x);
        if (!f->in_head) {
            f->in_head = true;
            conn_set_deadline(c, limits->header_timeout_ms);
        }
        return false;
    case H1_FAULT:
        f->x = x;
        f->close_after = true;
        exchange_reply(x, fault.status, arena_try_printf(&x->arena, "tunnel: %s", fault.why));
        return false;
    case H1_DONE:
        break;
    }
    f->x = x;
    f->close_after = true; /* unless the head turns out to be legal */
    start_exchange(f, x);
    return f->conn != NULL;
}

static bool read_body(struct front_h1 *f, const char *data, size_t len, size_t *out_used)
{
    struct exchange *x = f->x;
    struct str piece;
    enum h1_result result =
        h1_body_read(&f->body, &x->arena, data, len, worker_limits(x->worker), &piece, out_used);
    if (result == H1_FAULT) {
        f->close_after = true;
        if (x->head_sent) {
            f->x = NULL;
            exchange_front_gone(x);
            front_leave(f, false);
        } else {
            x->back->cancel(x);
            exchange_reply(x, 400, "tunnel: malformed chunked body");
        }
        return false;
    }
    if (piece.len > 0) {
        exchange_request_body(x, piece.ptr, piece.len);
        if (f->x == NULL) {
            return false; /* it was refused half-way */
        }
        arm_reading(f);
    }
    if (result == H1_DONE) {
        f->state = FRONT_WAIT;
        f->conn->awaiting = false;
        arm_reading(f);
        exchange_request_end(x, f->body.trailers);
        return true;
    }
    return *out_used > 0;
}

static size_t front_on_data(struct conn *c, const char *data, size_t len)
{
    struct front_h1 *f = c->owner;
    CHECK(f->magic == FRONT_MAGIC && f->conn == c);
    size_t at = 0;
    bool go_on = true;
    while (go_on && at < len && f->conn != NULL && c->pauses == 0) {
        size_t used = 0;
        switch (f->state) {
        case FRONT_HEAD:
            if (conn_pending(c) >= ANSWERS_MAX) {
                conn_pause(c, CONN_PAUSE_WRITE); /* what was answered leaves first */
                break;
            }
            go_on = read_head(f, data + at, len - at, &used);
            break;
        case FRONT_BODY:
            go_on = read_body(f, data + at, len - at, &used);
            break;
        case FRONT_WAIT:
            conn_pause(c, CONN_PAUSE_ORDER);
            break;
        case FRONT_TUNNEL:
            exchange_request_body(f->x, data + at, len - at);
            used = len - at;
            break;
        }
        at += used;
    }
    return at;
}

static void on_eof(struct front_h1 *f)
{
    struct exchange *x = f->x;
    if (x == NULL) {
        front_leave(f, true);
        return;
    }
    if (f->state == FRONT_TUNNEL) {
        exchange_request_end(x, NULL);
        return;
    }
    if (f->state == FRONT_WAIT && f->conn->ssl == NULL) {
        /* shutdown(SHUT_WR) after the last request: it waits for the answer. A client that
         * is gone looks the same; the next write or the deadline tells. */
        if (!f->conn->blocked) {
            conn_set_deadline(f->conn, worker_limits(x->worker)->tunnel_idle_timeout_ms);
        }
        return;
    }
    f->x = NULL;
    exchange_front_gone(x);
    front_leave(f, false);
}

static void on_deadline(struct front_h1 *f)
{
    struct exchange *x = f->x;
    if (f->conn->blocked && conn_is_taking(f->conn)) {
        conn_set_deadline(f->conn, worker_limits(f->conn->worker)->write_timeout_ms);
        return;
    }
    if (x == NULL && f->state == FRONT_HEAD && f->in_head) {
        x = exchange_new(f->conn->worker, &front_ops, f);
        if (x == NULL) {
            front_leave(f, false);
            return;
        }
        head_init(&x->request, true);
        x->tls = f->conn->ssl != NULL;
        x->request.minor = 1;
        x->front_conn = f->conn;
        x->peer = (const struct sockaddr *)&f->conn->peer;
        f->x = x;
        f->close_after = true;
        exchange_reply(x, 408, "tunnel: the request head did not come in time");
        return;
    }
    if (x == NULL) {
        front_leave(f, true);
        return;
    }
    if (f->state == FRONT_BODY && !x->head_sent) {
        x->back->cancel(x);
        f->close_after = true;
        exchange_reply(x, 408, "tunnel: the request body did not come in time");
        return;
    }
    f->x = NULL;
    exchange_front_gone(x);
    front_leave(f, false);
}

static void front_on_event(struct conn *c, enum conn_event event)
{
    struct front_h1 *f = c->owner;
    CHECK(f->magic == FRONT_MAGIC && f->conn == c);
    switch (event) {
    case CONN_READY:
        break;
    case CONN_EOF:
        on_eof(f);
        break;
    case CONN_BLOCKED:
    case CONN_DRAINED:
        conn_set_deadline(c, event == CONN_BLOCKED ? worker_limits(c->worker)->write_timeout_ms
                                                   : reading_timeout_ms(f));
        if (f->x != NULL) {
            exchange_front_room(f->x, event == CONN_DRAINED ? EXCHANGE_ROOM_ANY : 0);
        } else if (event == CONN_BLOCKED) {
            conn_pause(c, CONN_PAUSE_WRITE); /* pipelines without reading */
        }
        if (event == CONN_DRAINED) {
            conn_resume(c, CONN_PAUSE_WRITE);
        }
        break;
    case CONN_DEADLINE:
        on_deadline(f);
        break;
    case CONN_DRAIN:
        /* An idle connection stays open: the client may be sending its next request
         * right now. That one is answered with Connection: close. */
        f->close_after = true;
        break;
    case CONN_REVIEW:
        if (f->x != NULL) {
            review_exchange(f->x);
        }
        break;
    case CONN_REST:    /* there is nothing to give back */
    case CONN_EVICTED: /* HTTP/1 has no word for it */
        break;
    case CONN_DEAD: {
        struct exchange *x = f->x;
        f->x = NULL;
        f->conn = NULL;
        loop_defer_call(c->worker->loop, &f->freeing, front_free);
        if (x != NULL) {
            exchange_front_gone(x);
        }
        break;
    }
    }
}

/* Everything was written as it came. A pipeline goes on in the next turn, unless CONN_BLOCKED
 * comes before it. */
static void front_on_flush(struct conn *c)
{
    if (!c->blocked) {
        conn_resume(c, CONN_PAUSE_WRITE);
    }
}

static const struct conn_ops front_conn_ops = {front_on_data, front_on_event, front_on_flush};
static const struct front_ops front_ops = {front_head, front_body, front_end, front_abort,
                                           front_want};

void front_h1_open(struct conn *c)
{
    struct front_h1 *f = try_zalloc(sizeof *f);
    if (f == NULL) {
        conn_out_of_memory(c);
        return;
    }
    f->magic = FRONT_MAGIC;
    f->conn = c;
    c->ops = &front_conn_ops;
    c->owner = f;
    conn_set_deadline(c, worker_limits(c->worker)->idle_timeout_ms);
}
