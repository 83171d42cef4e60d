/* account: see account.h. */
#include "gateway/account.h"

#include "base/auto.h"
#include "gateway/access_log.h"
#include "gateway/conn.h"
#include "gateway/exchange.h"
#include "gateway/redact.h"
#include "gateway/route_stats.h"

enum { REFUSALS_PER_SECOND = 10, REFUSAL_WINDOW_MS = 1000 };

static enum request_protocol protocol_of(const struct exchange *x)
{
    return x->tunnel               ? PROTOCOL_TUNNEL
           : x->request.is_h2      ? PROTOCOL_HTTP2
           : x->request.minor == 0 ? PROTOCOL_HTTP10
                                   : PROTOCOL_HTTP11;
}

/* What the client saw; 0: nothing. */
static uint16_t status_of(const struct exchange *x)
{
    bool is_connect = x->tunnel && x->request.is_h2; /* RFC 8441: 101 becomes 200 */
    return !x->head_sent ? 0 : is_connect ? 200 : x->response.status;
}

static size_t latency_bucket(uint64_t us)
{
    size_t i = 0;
    while (i < LATENCY_BUCKETS && us > latency_bounds_us[i]) {
        i++;
    }
    return i;
}

static void count_route(struct exchange *x, size_t class, size_t bucket, uint64_t us)
{
    struct route_counts *counts = route_stats_at(x->worker->routes, x->route);
    counts->requests++;
    counts->responses[class]++;
    counts->body_in += x->request_bytes;
    counts->body_out += x->response_bytes;
    counts->denied[x->deny]++;
    if (!x->tunnel) {
        counts->latency[bucket]++;
        counts->latency_us += us;
    }
}

static void count(struct exchange *x, uint64_t us)
{
    struct worker_stats *stats = &x->worker->stats;
    size_t class = status_of(x) / 100 % STATUS_CLASSES;
    size_t bucket = latency_bucket(us);
    stat_add(&stats->requests, 1);
    stat_add(&stats->responses[class], 1);
    stat_add(&stats->protocols[protocol_of(x)][class], 1);
    stat_add(&stats->denied[x->deny], 1);
    stat_add(&stats->body_in, x->request_bytes);
    stat_add(&stats->body_out, x->response_bytes);
    if (x->aborted != ABORT_NONE) {
        stat_add(&stats->aborted[x->aborted], 1);
    }
    if (x->tunnel) {
        stat_add(&stats->tunnels, UINT64_MAX); /* minus one */
    } else {
        stat_add(&stats->latency[bucket], 1);
        stat_add(&stats->latency_us, us);
    }
    if (x->route != NULL) {
        count_route(x, class, bucket, us);
    }
}

static void fill_upstream(struct access_entry *e, const struct exchange *x)
{
    if (x->upstream_port == 0) {
        return;
    }
    e->upstream_port = x->upstream_port;
    e->upstream_v6 = x->upstream_v6;
    e->upstream_reused = x->upstream_reused;
    e->upstream_retried = x->retried;
    e->upstream_error = x->upstream_error;
}

/* Without user information, which no legal host has. */
static struct str host_of(const struct head *h)
{
    struct str host = h->host_text.len > 0 ? h->host_text : h->authority;
    const char *at = host.len > 0 ? memrchr(host.ptr, '@', host.len) : NULL;
    size_t skip = at == NULL ? 0 : (size_t)(at - host.ptr) + 1;
    return (struct str){host.ptr + skip, host.len - skip};
}

static void write_line(struct exchange *x, uint64_t us)
{
    struct worker *w = x->worker;
    char *line = access_log_reserve(w->access);
    if (line == NULL) {
        return;
    }
    char path[REDACT_MAX];
    const struct head *h = &x->request;
    const struct conn *c = x->front_conn;
    struct access_entry e = {
        .wall_us = (int64_t)x->started_us + w->wall_offset_us,
        .id = exchange_id(x),
        .peer = x->peer == NULL ? NULL : peer_text(&w->peers, x->peer)->text,
        .host = host_of(h),
        .method = h->method,
        .path = redact_target(h->target, path),
        .path_is_cut = h->target.len > REDACT_MAX,
        .status = status_of(x),
        .bytes_in = x->request_bytes,
        .bytes_out = x->response_bytes,
        .first_us = x->first_byte_us > x->started_us ? x->first_byte_us - x->started_us : 0,
        .duration_us = us,
        .protocol = request_protocol_name(h->is_h2        ? PROTOCOL_HTTP2
                                          : h->minor == 0 ? PROTOCOL_HTTP10
                                                          : PROTOCOL_HTTP11),
        .reason = exchange_deny_name(x->deny),
        .aborted = exchange_abort_name(x->aborted),
    };
    if (x->told_by_proxy) {
        e.via = x->told.via;
    }
    if (x->tunnel) {
        e.upgrade = h->is_h2 ? h->protocol : x->response.upgrade;
    }
    if (c != NULL) {
        e.tls_version = c->tls_version;
        e.tls_cipher = c->tls_cipher;
        e.tls_resumed = c->tls_resumed;
    }
    if (x->route != NULL) {
        e.route = x->route->host;
        e.worktree = x->route->worktree;
        e.service = x->route->service;
    }
    fill_upstream(&e, x);
    access_log_commit(w->access, access_line_format(&e, line));
}

void account_exchange(struct exchange *x)
{
    uint64_t us = clock_now_us() - x->started_us;
    count(x, us);
    if (access_log_is_on(x->worker->access)) {
        write_line(x, us);
    }
}

/* True if this second has room for another line about a connection. */
static bool refusal_has_room(struct worker *w)
{
    uint64_t now = loop_now_ms(w->loop);
    if (now - w->refusals_since_ms >= REFUSAL_WINDOW_MS) {
        w->refusals_since_ms = now;
        w->refusals = 0;
    }
    if (w->refusals >= REFUSALS_PER_SECOND) {
        w->refusals_suppressed++;
        return false;
    }
    w->refusals++;
    return true;
}

void account_refusal(struct worker *w, const struct sockaddr *peer, enum refused_reason reason,
                     const char *detail)
{
    stat_add(&w->stats.refused[reason], 1);
    if (!access_log_is_on(w->access) || !refusal_has_room(w)) {
        return;
    }
    char *line = access_log_reserve(w->access);
    if (line == NULL) {
        return;
    }
    const struct access_refusal refusal = {
        .wall_us = (int64_t)clock_now_us() + w->wall_offset_us,
        .peer = peer_text(&w->peers, peer)->text,
        .reason = refused_reason_name(reason),
        .detail = detail,
        .suppressed = w->refusals_suppressed,
    };
    w->refusals_suppressed = 0;
    access_log_commit(w->access, access_line_refusal(&refusal, line));
}

void account_upstream_fault(struct exchange *x, uint16_t status, const char *text)
{
    struct worker_stats *stats = &x->worker->stats;
    enum upstream_fault fault = !x->upstream_connected ? UPSTREAM_FAULT_CONNECT
                                : x->head_sent         ? UPSTREAM_FAULT_CUT
                                : status == 504        ? UPSTREAM_FAULT_TIMEOUT
                                                       : UPSTREAM_FAULT_ANSWER;
    stat_add(&stats->upstream_errors, 1);
    stat_add(&stats->upstream_faults[fault], 1);
    route_stats_at(x->worker->routes, x->route)->faults[fault]++;
    x->upstream_error = text;
}
