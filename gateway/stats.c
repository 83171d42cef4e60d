/* stats: see stats.h. Called by link.c. */
#include "gateway/stats.h"

#include <stdlib.h>

#include "base/auto.h"
#include "gateway/access_log.h"
#include "gateway/link_protocol.h"
#include "gateway/route_stats.h"

/* One request on its way through the workers. */
struct collect {
    struct gateway *gateway; /* borrowed */
    unsigned waiting;
    struct worker_stats sum;
    struct route_stats *routes; /* owned; NULL: not asked for */
};

/* To one worker and back. */
struct stats_letter {
    struct collect *collect;
    struct worker *worker;
    struct worker_stats stats;
    struct route_stats *routes; /* owned: a copy; NULL: not asked for */
};

_Static_assert(sizeof(struct worker_stats) % sizeof(uint64_t) == 0, "summed as numbers");

static void sum_add(struct worker_stats *sum, const struct worker_stats *stats)
{
    uint64_t *to = (uint64_t *)(void *)sum;
    const uint64_t *from = (const uint64_t *)(const void *)stats;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++) {
        to[i] += from[i];
    }
}

static void add(cJSON *object, const char *name, uint64_t value)
{
    (void)json_add_int(object, name, (int64_t)value);
}

static void add_classes(cJSON *object, const char *name, const uint64_t *classes)
{
    static const char *const names[STATUS_CLASSES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
    cJSON *out = cJSON_AddObjectToObject(object, name);
    for (size_t i = 0; i < STATUS_CLASSES; i++) {
        add(out, names[i], classes[i]);
    }
}

static void add_requests(cJSON *out, const struct worker_stats *sum)
{
    add(out, "requests", sum->requests);
    add_classes(out, "responses", sum->responses);
    cJSON *protocols = cJSON_AddObjectToObject(out, "protocols");
    for (size_t i = 0; i < PROTOCOL_COUNT; i++) {
        add_classes(protocols, request_protocol_name((enum request_protocol)i), sum->protocols[i]);
    }
    cJSON *denied = cJSON_AddObjectToObject(out, "denied");
    for (size_t i = EXCHANGE_ALLOWED + 1; i < EXCHANGE_DENY_COUNT; i++) {
        add(denied, exchange_deny_name((enum exchange_deny)i), sum->denied[i]);
    }
    cJSON *aborted = cJSON_AddObjectToObject(out, "aborted");
    for (size_t i = ABORT_CLIENT; i < ABORT_COUNT; i++) {
        add(aborted, exchange_abort_name((enum exchange_abort)i), sum->aborted[i]);
    }
    add(out, "tunnels", sum->tunnels);
    add(out, "bodyIn", sum->body_in);
    add(out, "bodyOut", sum->body_out);
    add(out, "bytesIn", sum->bytes_in);
    add(out, "bytesOut", sum->bytes_out);
}

/* Cumulative, as Prometheus has them: {"le": seconds, "count"}; all of them is `count`. */
static void add_latency(cJSON *out, const struct worker_stats *sum)
{
    cJSON *latency = cJSON_AddObjectToObject(out, "latency");
    cJSON *buckets = cJSON_AddArrayToObject(latency, "buckets");
    uint64_t total = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        total += sum->latency[i];
        cJSON *bucket = cJSON_CreateObject();
        (void)cJSON_AddNumberToObject(bucket, "le", latency_bounds_us[i] / 1e6);
        add(bucket, "count", total);
        CHECK(cJSON_AddItemToArray(buckets, bucket));
    }
    add(latency, "count", total + sum->latency[LATENCY_BUCKETS]);
    (void)cJSON_AddNumberToObject(latency, "sum", (double)sum->latency_us / 1e6);
}

static void add_connections(cJSON *out, const struct worker_stats *sum)
{
    cJSON *connections = cJSON_AddObjectToObject(out, "connections");
    add(connections, "open", sum->connections);
    add(connections, "accepted", sum->accepted);
    cJSON *refused = cJSON_AddObjectToObject(connections, "refused");
    for (size_t i = 0; i < REFUSED_COUNT; i++) {
        add(refused, refused_reason_name((enum refused_reason)i), sum->refused[i]);
    }
    add(connections, "evicted", sum->evicted);
    add(out, "outOfMemory", sum->out_of_memory);
    cJSON *handshakes = cJSON_AddObjectToObject(out, "handshakes");
    add(handshakes, "full", sum->handshakes - sum->handshakes_resumed);
    add(handshakes, "resumed", sum->handshakes_resumed);
    add(handshakes, "failed", sum->handshake_failures);
    cJSON *upstream = cJSON_AddObjectToObject(out, "upstream");
    add(upstream, "dials", sum->upstream_dials);
    add(upstream, "reuses", sum->upstream_reuses);
    add(upstream, "retries", sum->upstream_retries);
    cJSON *errors = cJSON_AddObjectToObject(upstream, "errors");
    for (size_t i = 0; i < UPSTREAM_FAULT_COUNT; i++) {
        add(errors, upstream_fault_name((enum upstream_fault)i), sum->upstream_faults[i]);
    }
}

static cJSON *counts_json(const struct route_counts *counts)
{
    cJSON *out = cJSON_CreateObject();
    add(out, "requests", counts->requests);
    add_classes(out, "responses", counts->responses);
    add(out, "bodyIn", counts->body_in);
    add(out, "bodyOut", counts->body_out);
    cJSON *latency = cJSON_AddObjectToObject(out, "latency");
    add(latency, "count", counts->latency_count);
    (void)cJSON_AddNumberToObject(latency, "sum", (double)counts->latency_us / 1e6);
    return out;
}

static void add_routes(cJSON *out, const struct route_stats *routes)
{
    const struct route_entry *top[STATS_ROUTES_MAX];
    struct route_counts other = {0};
    size_t count = route_stats_top(routes, top, STATS_ROUTES_MAX, &other);
    cJSON *list = cJSON_AddArrayToObject(out, "routes");
    for (size_t i = 0; i < count; i++) {
        cJSON *row = counts_json(&top[i]->counts);
        (void)json_add_str(row, "host", top[i]->host);
        (void)json_add_str(row, "worktree", top[i]->worktree);
        (void)json_add_str(row, "service", top[i]->service);
        CHECK(cJSON_AddItemToArray(list, row));
    }
    CHECK(cJSON_AddItemToObject(out, "otherRoutes", counts_json(&other)));
}

static void add_gateway(cJSON *out, const struct gateway *g)
{
    uint64_t dropped = g->access.lost;
    for (unsigned i = 0; i < g->worker_count; i++) {
        dropped += __atomic_load_n(&g->access_logs[i]->dropped, __ATOMIC_RELAXED);
    }
    add(out, "workers", g->worker_count);
    add(out, "generation", g->snapshot == NULL ? 0 : g->snapshot->spec.generation);
    add(out, "startedAtMs", (uint64_t)g->started_ms);
    add(out, "publishedAtMs", (uint64_t)g->published_ms);
    add(out, "accessLogDropped", dropped);
}

static void collect_send(struct collect *collect)
{
    struct gateway *g = collect->gateway;
    CHECK(g->magic == GATEWAY_MAGIC);
    cJSON *out = cJSON_CreateObject();
    add_gateway(out, g);
    add_requests(out, &collect->sum);
    add_latency(out, &collect->sum);
    add_connections(out, &collect->sum);
    if (collect->routes != NULL) {
        add_routes(out, collect->routes);
    }
    link_send(g, LINK_STATS, out);
    route_stats_free(collect->routes);
    free(collect);
}

static void on_copied(void *arg)
{
    struct stats_letter *letter = arg;
    struct collect *collect = letter->collect;
    sum_add(&collect->sum, &letter->stats);
    if (letter->routes != NULL) {
        route_stats_merge(collect->routes, letter->routes);
        route_stats_free(letter->routes);
    }
    free(letter);
    if (--collect->waiting == 0) {
        collect_send(collect);
    }
}

/* In the worker's thread. */
static void worker_on_copy(void *arg)
{
    struct stats_letter *letter = arg;
    letter->stats = letter->worker->stats;
    if (letter->routes != NULL) {
        route_stats_merge(letter->routes, letter->worker->routes);
    }
    mail_post(letter->collect->gateway->mail, on_copied, letter);
}

void stats_collect(struct gateway *g, bool with_routes)
{
    struct collect *collect = xcalloc(1, sizeof *collect);
    collect->gateway = g;
    collect->waiting = g->worker_count;
    collect->routes = with_routes ? route_stats_new() : NULL;
    for (unsigned i = 0; i < g->worker_count; i++) {
        struct stats_letter *letter = xcalloc(1, sizeof *letter);
        letter->collect = collect;
        letter->worker = g->workers[i];
        letter->routes = with_routes ? route_stats_new() : NULL; /* no worker ends for it */
        mail_post(g->workers[i]->mail, worker_on_copy, letter);
    }
    if (g->worker_count == 0) {
        collect_send(collect);
    }
}
