/* exchange: see exchange.h. The worker's thread. */
#include "gateway/exchange.h"

#include <stdlib.h>

#include "base/auto.h"
#include "gateway/access.h"
#include "gateway/account.h"
#include "gateway/admit.h"
#include "gateway/back_h1.h"
#include "gateway/back_h2.h"
#include "gateway/client_address.h"
#include "gateway/conn.h"
#include "gateway/cookie.h"
#include "gateway/notice.h"
#include "gateway/redirect.h"
#include "gateway/tls.h"

enum {
    RECYCLED_MAX = 256,
    ARENA_FIRST = 4000, /* both heads of most requests: a second block would be freed each time */
};

struct exchange *exchange_new(struct worker *w, const struct front_ops *front, void *owner)
{
    struct exchange *x = w->exchanges_free;
    if (x != NULL) {
        w->exchanges_free = x->next;
        w->exchanges_free_count--;
    } else {
        x = try_zalloc(sizeof *x);
        if (x == NULL) {
            admit_out_of_memory(w);
            return NULL;
        }
        arena_init(&x->arena, ARENA_FIRST);
    }
    struct arena arena = x->arena;
    *x = (struct exchange){.magic = EXCHANGE_MAGIC,
                           .worker = w,
                           .arena = arena,
                           .front = front,
                           .front_owner = owner,
                           .room = EXCHANGE_ROOM_ANY,
                           .abort_code = EXCHANGE_ABORT_CODE,
                           .started_us = clock_now_us()};
    x->view = view_pin(w->view);
    return x;
}

void exchange_free(struct exchange *x)
{
    arena_fini(&x->arena);
    free(x);
}

void exchange_discard(struct exchange *x)
{
    struct worker *w = x->worker;
    CHECK(x->magic == EXCHANGE_MAGIC && x->back_owner == NULL);
    view_unpin(x->view);
    x->magic = 0;
    x->view = NULL;
    if (w->exchanges_free_count >= RECYCLED_MAX) {
        exchange_free(x);
        return;
    }
    arena_reset(&x->arena);
    x->next = w->exchanges_free;
    w->exchanges_free = x;
    w->exchanges_free_count++;
}

static void exchange_finish(struct exchange *x)
{
    account_exchange(x);
    quota_leave(x->quota);
    exchange_discard(x);
}

/* The one X-Request-Id of a head, if it has just one and that is sane. */
static struct str given_id(const struct head *h)
{
    struct str found = STR_NONE;
    for (uint32_t i = 0; i < h->count; i++) {
        if (!str_eq_nocase(h->fields[i].name, STR("x-request-id"))) {
            continue;
        }
        if (found.len > 0 || !request_id_is_sane(h->fields[i].value)) {
            return STR_NONE;
        }
        found = h->fields[i].value;
    }
    return found;
}

struct str exchange_id(struct exchange *x)
{
    struct worker *w = x->worker;
    if (x->id.len > 0) {
        return x->id;
    }
    if (x->view != NULL && x->front_conn != NULL &&
        peer_list_has(&x->view->snapshot->spec.trusted_proxies,
                      (const struct sockaddr *)&x->front_conn->peer)) {
        x->id = given_id(&x->request);
    }
    if (x->id.len == 0) {
        request_id_make(&w->ids, ((int64_t)x->started_us + w->wall_offset_us) / 1000, x->id_text);
        x->id = (struct str){x->id_text, REQUEST_ID_LEN};
    }
    return x->id;
}

static enum exchange_deny deny_of_status(uint16_t status)
{
    switch (status) {
    case 408:
        return EXCHANGE_DENY_TIMEOUT;
    case 413:
    case 414:
    case 431:
        return EXCHANGE_DENY_LIMIT;
    case 400:
    case 405:
    case 417:
    case 421:
    case 501:
    case 505:
        return EXCHANGE_DENY_MALFORMED;
    default:
        return EXCHANGE_ALLOWED; /* an upstream error */
    }
}

/* False: not even the 503 could be made. */
static bool build_reply(struct exchange *x, const struct reply *r, struct str *out_body)
{
    if (!x->arena.failed) {
        *out_body = reply_build(r, &x->request, &x->response, &x->arena);
        if (!x->arena.failed) {
            return true;
        }
    }
    const struct reply sorry = reply_plain(503, "tunnel: out of memory");
    admit_out_of_memory(x->worker);
    x->arena.failed = false;
    *out_body = reply_build(&sorry, &x->request, &x->response, &x->arena);
    return !x->arena.failed;
}

static void give_up(struct exchange *x)
{
    x->aborted = ABORT_MEMORY;
    if (x->upstream_port == 0) {
        x->abort_code = EXCHANGE_ABORT_REFUSED;
    }
    x->front->abort(x);
    exchange_finish(x);
}

void exchange_answer(struct exchange *x, const struct reply *r)
{
    CHECK(x->magic == EXCHANGE_MAGIC && x->back_owner == NULL && !x->head_sent);
    struct str body;
    if (!build_reply(x, r, &body)) {
        give_up(x);
        return;
    }
    if (x->deny == EXCHANGE_ALLOWED) {
        exchange_deny(x, deny_of_status(x->response.status));
    }
    bool is_head = str_eq(x->request.method, STR("HEAD"));
    x->head_sent = true;
    x->first_byte_us = clock_now_us();
    x->front->head(x, &x->response, is_head);
    if (!is_head) {
        x->response_bytes = body.len;
        x->front->body(x, body.ptr, body.len);
    }
    x->front->end(x, NULL);
    exchange_finish(x);
}

void exchange_out_of_memory(struct exchange *x)
{
    CHECK(x->magic == EXCHANGE_MAGIC);
    if (x->back_owner != NULL) {
        x->back->cancel(x);
    }
    if (x->head_sent) {
        admit_out_of_memory(x->worker);
        give_up(x);
    } else {
        x->arena.failed = true;
        exchange_reply(x, 503, "");
    }
}

void exchange_reply(struct exchange *x, uint16_t status, const char *text)
{
    struct reply r = reply_plain(status, text);
    exchange_answer(x, &r);
}

void exchange_cut(struct exchange *x, enum exchange_abort why)
{
    CHECK(x->magic == EXCHANGE_MAGIC && x->back_owner == NULL && x->head_sent);
    x->aborted = why;
    if (why == ABORT_POLICY) {
        x->abort_code = EXCHANGE_ABORT_REVOKED;
    }
    x->front->abort(x);
    exchange_finish(x);
}

void exchange_fail(struct exchange *x, uint16_t status, const char *text)
{
    CHECK(x->magic == EXCHANGE_MAGIC && x->back_owner == NULL);
    account_upstream_fault(x, status, text);
    if (x->head_sent) {
        exchange_cut(x, ABORT_SERVICE);
        return;
    }
    struct reply r = reply_upstream(x->route, x->upstream_v6, status, text, &x->arena);
    exchange_answer(x, &r);
}

/* A head may have begun long ago, and nothing that is not started is reviewed. */
static void take_present_view(struct exchange *x)
{
    if (x->view != x->worker->view) {
        view_unpin(x->view);
        x->view = view_pin(x->worker->view);
    }
}

bool exchange_check(struct exchange *x)
{
    CHECK(x->magic == EXCHANGE_MAGIC);
    take_present_view(x);
    if (x->arena.failed) {
        exchange_out_of_memory(x);
        return false;
    }
    struct head_fault fault = head_check(&x->request);
    if (x->request.is_h2 && head_fault_is_malformed(fault)) {
        x->abort_code = EXCHANGE_ABORT_MALFORMED; /* RFC 9113 8.1.1: not answered */
        x->front->abort(x);
        exchange_finish(x);
        return false;
    }
    if (fault.status != 0) {
        exchange_reply(x, fault.status, arena_try_printf(&x->arena, "tunnel: %s", fault.why));
        return false;
    }
    x->told_by_proxy = client_address_find(&x->request, &x->view->snapshot->spec.trusted_proxies,
                                           x->peer, &x->arena, &x->client, &x->told);
    if (x->told_by_proxy) {
        x->peer = (const struct sockaddr *)&x->client;
    }
    if (x->arena.failed) { /* so nobody knows who it is */
        exchange_out_of_memory(x);
        return false;
    }
    return true;
}

/* False: refused with a reply. */
static bool enter_quota(struct exchange *x, const struct route *route)
{
    struct reply r = reply_plain(429, "tunnel: too many requests to this service");
    r.message = "The service gets more requests than it may at the moment. Try again in a moment.";
    r.code = "too-many-requests";
    r.retry_after_s =
        quota_enter(x->view->quotas, x->view->snapshot, route, x->started_us, &x->quota);
    if (r.retry_after_s == 0) {
        return true;
    }
    exchange_deny(x, EXCHANGE_DENY_RATE);
    exchange_answer(x, &r);
    return false;
}

/* RFC 9110 7.6.2: OPTIONS and TRACE that must go no further ask who is here. */
static void answer_last_hop(struct exchange *x)
{
    bool options = str_eq(x->request.method, STR("OPTIONS"));
    struct reply r = reply_plain(options ? 200 : 405, "tunnel: Max-Forwards ends here");
    r.allow = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
    exchange_answer(x, &r);
}

void exchange_start(struct exchange *x, bool has_body)
{
    CHECK(x->magic == EXCHANGE_MAGIC);
    struct head *h = &x->request;
    const struct snapshot *snapshot = x->view->snapshot;
    x->has_body = has_body;
    x->request_ended = !has_body;
    if (x->front_conn->is_redirect) {
        redirect_reply(x);
        return;
    }
    const struct route *route = route_match(snapshot, (struct str){h->host.name, h->host.len});
    if (route == NULL) {
        exchange_deny(x, EXCHANGE_DENY_UNKNOWN_HOST);
        struct reply r = reply_no_route((struct str){h->host.name, h->host.len}, &x->arena);
        exchange_answer(x, &r);
        return;
    }
    if (x->tls && !tls_is_for(x->front_conn, &h->host)) {
        exchange_reply(x, 421, "tunnel: this connection is for another host");
        return;
    }
    const struct policy *policy = &snapshot->spec.policies[route->policy];
    x->route = route;
    if (!policy_allows(policy, exchange_client(x))) {
        struct reply r = reply_forbidden();
        notice_denied(x, NOTICE_ADDRESS);
        exchange_answer(x, &r);
        return;
    }
    if (!access_admit(x, policy)) {
        return;
    }
    if (route->state == ROUTE_STARTING || route->state == ROUTE_STOPPED) {
        exchange_deny(x, EXCHANGE_DENY_STATE);
        struct reply r = reply_not_serving(route, (uint64_t)clock_wall_ms(), &x->arena);
        exchange_answer(x, &r);
        return;
    }
    if (h->max_forwards == 0) {
        answer_last_hop(x);
        return;
    }
    /* RFC 9110 9.3.2, 9.3.8. Not every service reads it, and then takes it for the next request. */
    if (has_body && (str_eq(h->method, STR("HEAD")) || str_eq(h->method, STR("TRACE")))) {
        exchange_reply(x, 400, "tunnel: HEAD and TRACE have no content");
        return;
    }
    if (quota_is_needed(policy) && !enter_quota(x, route)) {
        return;
    }
    x->admitted = true;
    if (route->backend == BACKEND_H2C) {
        back_h2_start(x);
    } else {
        back_h1_start(x);
    }
}

struct head_forward exchange_forward(struct exchange *x, bool as_connect)
{
    const struct peer_text *peer = peer_text(&x->worker->peers, x->peer);
    return (struct head_forward){
        .peer = peer->text,
        .peer_is_v6 = peer->is_v6,
        .told = x->told_by_proxy ? &x->told : NULL,
        .proto = x->tls ? "https" : "http",
        .public_port = x->view->snapshot->spec.public_port,
        .route = x->route,
        .upgrade_from_h2 = as_connect,
        .ws_key = x->ws_key,
        .has_body = x->has_body,
        .request_id = exchange_id(x),
    };
}

bool exchange_can_repeat(const struct exchange *x)
{
    static const struct str idempotent[] = {
        {"GET", 3}, {"HEAD", 4}, {"OPTIONS", 7}, {"PUT", 3}, {"DELETE", 6}, {"TRACE", 5},
    };
    bool body_left = !x->has_body || (!x->body_sent && !x->request_ended);
    for (size_t i = 0; !x->retried && body_left && i < COUNT_OF(idempotent); i++) {
        if (str_eq(x->request.method, idempotent[i])) {
            return true;
        }
    }
    return false;
}

void exchange_request_body(struct exchange *x, const char *data, size_t len)
{
    CHECK(x->magic == EXCHANGE_MAGIC && x->back_owner != NULL);
    x->request_bytes += len;
    x->body_sent = true;
    x->back->body(x, data, len);
}

void exchange_request_end(struct exchange *x, const struct head *trailers)
{
    CHECK(x->magic == EXCHANGE_MAGIC && x->back_owner != NULL);
    if (!x->request_ended) {
        x->request_ended = true;
        x->back->end(x, trailers);
    }
}

void exchange_front_gone(struct exchange *x)
{
    CHECK(x->magic == EXCHANGE_MAGIC);
    if (x->aborted == ABORT_NONE) {
        x->aborted = x->front_conn == NULL ? ABORT_CLIENT : conn_abort_reason(x->front_conn);
    }
    if (x->back_owner != NULL) {
        x->back->cancel(x);
    }
    exchange_finish(x);
}

void exchange_front_room(struct exchange *x, size_t room)
{
    x->room = room;
    if (x->back_owner != NULL) {
        x->back->room(x);
    }
}

void exchange_release_view(struct exchange *x)
{
    bool failed = x->arena.failed;
    struct route *copy = arena_try_alloc(&x->arena, sizeof *copy);
    struct str host = arena_try_str(&x->arena, x->route->host);
    struct str service = arena_try_str(&x->arena, x->route->service);
    struct str worktree = arena_try_str(&x->arena, x->route->worktree);
    stat_add(&x->worker->stats.tunnels, 1);
    if (x->arena.failed) {
        x->arena.failed = failed;
        return; /* then the snapshot stays */
    }
    *copy = *x->route;
    copy->host = host;
    copy->service = service;
    copy->worktree = worktree;
    copy->owner = STR_NONE;
    copy->phase = STR_NONE;
    x->route = copy;
    view_unpin(x->view);
    x->view = NULL;
}

void exchange_response_interim(struct exchange *x, struct head *head)
{
    cookie_strip_set(head);
    x->front->head(x, head, false);
}

void exchange_response_head(struct exchange *x, bool end)
{
    CHECK(x->magic == EXCHANGE_MAGIC && !x->head_sent);
    if (x->arena.failed) {
        if (x->tunnel) { /* which nobody opened: the 503 is an answer */
            x->tunnel = false;
            stat_add(&x->worker->stats.tunnels, UINT64_MAX); /* minus one */
        }
        exchange_out_of_memory(x);
        return;
    }
    cookie_strip_set(&x->response);
    x->head_sent = true;
    x->first_byte_us = clock_now_us();
    x->front->head(x, &x->response, end);
}

void exchange_response_body(struct exchange *x, const char *data, size_t len)
{
    x->response_bytes += len;
    x->front->body(x, data, len);
}

void exchange_response_end(struct exchange *x, const struct head *trailers)
{
    CHECK(x->magic == EXCHANGE_MAGIC && x->back_owner == NULL);
    x->front->end(x, trailers);
    exchange_finish(x);
}
