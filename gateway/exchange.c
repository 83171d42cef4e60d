/* exchange: see exchange.h. The worker's thread. */
#include "gateway/exchange.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "gateway/back_h1.h"
#include "gateway/client_address.h"
#include "gateway/redirect.h"
#include "gateway/tls.h"

enum { RECYCLED_MAX = 256 };

struct exchange *exchange_new(struct worker *w, const struct front_ops *front, void *owner)
{
    struct exchange *x = w->exchanges_free;
    if (x != NULL) {
        w->exchanges_free = x->next;
        w->exchanges_free_count--;
    } else {
        x = xcalloc(1, sizeof *x);
        arena_init(&x->arena, 0);
    }
    struct arena arena = x->arena;
    *x = (struct exchange){.magic = EXCHANGE_MAGIC,
                           .worker = w,
                           .arena = arena,
                           .front = front,
                           .front_owner = owner,
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
    struct worker_stats *stats = &x->worker->stats;
    stat_add(&stats->requests, 1);
    stat_add(&stats->responses[x->head_sent ? x->response.status / 100 % 6 : 0], 1);
    exchange_discard(x);
}

const char *status_phrase(uint16_t status)
{
    static const struct {
        uint16_t status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < COUNT_OF(phrases); i++) {
        if (phrases[i].status == status) {
            return phrases[i].phrase;
        }
    }
    return "";
}

void exchange_reply(struct exchange *x, uint16_t status, const char *text)
{
    CHECK(x->magic == EXCHANGE_MAGIC && !x->head_sent);
    struct head *h = &x->response;
    bool is_head = str_eq(x->request.method, STR("HEAD"));
    const char *body = arena_printf(&x->arena, "%s\n", text);
    size_t len = strlen(body);
    head_init(h, false);
    h->status = status;
    h->reason = str_of(status_phrase(status));
    h->content_length = (int64_t)len;
    enum { FIELDS_MAX = 8 };
    (void)head_add(h, &x->arena, STR("content-type"), STR("text/plain; charset=utf-8"), FIELDS_MAX);
    (void)head_add(h, &x->arena, STR("cache-control"), STR("no-store"), FIELDS_MAX);
    (void)head_add(h, &x->arena, STR("content-length"), str_of(arena_printf(&x->arena, "%zu", len)),
                   FIELDS_MAX);
    if (status == 405) {
        (void)head_add(h, &x->arena, STR("allow"),
                       STR("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"), FIELDS_MAX);
    }
    if (status == 503) {
        (void)head_add(h, &x->arena, STR("retry-after"), STR("1"), FIELDS_MAX);
    }
    if (x->location != NULL) {
        (void)head_add(h, &x->arena, STR("location"), str_of(x->location), FIELDS_MAX);
    }
    x->head_sent = true;
    x->front->head(x, h, is_head);
    if (!is_head) {
        x->front->body(x, body, len);
    }
    x->front->end(x, NULL);
    exchange_finish(x);
}

void exchange_fail(struct exchange *x, uint16_t status, const char *text)
{
    CHECK(x->magic == EXCHANGE_MAGIC && x->back_owner == NULL);
    stat_add(&x->worker->stats.upstream_errors, 1);
    if (x->head_sent) {
        x->front->abort(x);
        exchange_finish(x);
        return;
    }
    exchange_reply(x, status,
                   arena_printf(&x->arena, "tunnel: upstream error (%.*s -> 127.0.0.1:%u: %s)",
                                STR_ARG(x->route->host), x->route->port, text));
}

static void reply_not_serving(struct exchange *x, const struct route *route)
{
    const char *what = route->state == ROUTE_STARTING ? "is starting" : "is not running";
    exchange_reply(x, 503,
                   arena_printf(&x->arena, "tunnel: %.*s: the service %.*s %s",
                                STR_ARG(route->host), STR_ARG(route->service), what));
}

bool exchange_check(struct exchange *x)
{
    CHECK(x->magic == EXCHANGE_MAGIC);
    struct head_fault fault = head_check(&x->request);
    if (fault.status != 0) {
        exchange_reply(x, fault.status, arena_printf(&x->arena, "tunnel: %s", fault.why));
        return false;
    }
    x->told_by_proxy = client_address_find(&x->request, &x->view->snapshot->spec.trusted_proxies,
                                           x->peer, &x->arena, &x->client, &x->told);
    if (x->told_by_proxy) {
        x->peer = (const struct sockaddr *)&x->client;
    }
    return true;
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
        exchange_reply(x, 404, "tunnel: no route for host");
        return;
    }
    if (x->tls && !tls_is_for(x->front_conn, &h->host)) {
        exchange_reply(x, 421, "tunnel: this connection is for another host");
        return;
    }
    if (!policy_allows(&snapshot->spec.policies[route->policy], x->peer)) {
        exchange_reply(x, 403, "tunnel: forbidden");
        return;
    }
    if (route->state == ROUTE_STARTING || route->state == ROUTE_STOPPED) {
        reply_not_serving(x, route);
        return;
    }
    x->route = route;
    back_h1_start(x);
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
    if (x->back_owner != NULL) {
        x->back->cancel(x);
    }
    exchange_finish(x);
}

void exchange_front_ready(struct exchange *x, bool ready)
{
    if (x->back_owner != NULL) {
        x->back->want(x, ready);
    }
}

void exchange_release_view(struct exchange *x)
{
    struct route *copy = arena_alloc(&x->arena, sizeof *copy);
    *copy = *x->route;
    copy->host = arena_str(&x->arena, x->route->host);
    copy->service = arena_str(&x->arena, x->route->service);
    copy->owner = STR_NONE;
    copy->worktree = STR_NONE;
    x->route = copy;
    view_unpin(x->view);
    x->view = NULL;
}

void exchange_response_interim(struct exchange *x, const struct head *head)
{
    x->front->head(x, head, false);
}

void exchange_response_head(struct exchange *x, bool end)
{
    CHECK(x->magic == EXCHANGE_MAGIC && !x->head_sent);
    x->head_sent = true;
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
