/* stats_text: see stats_text.h. Called by stats.c, which must survive that there is no memory: so
 * the text is written at once, without a tree of its parts. */
#include "gateway/stats_text.h"

#include "base/json_text.h"

static const char *const class_names[STATUS_CLASSES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

static void put_classes(struct buf *out, const char *member, const uint64_t *classes)
{
    json_text_begin(out, member);
    for (size_t i = 0; i < STATUS_CLASSES; i++) {
        json_text_uint(out, class_names[i], classes[i]);
    }
    json_text_end(out);
}

static void put_gateway(struct buf *out, const struct stats_gateway *gateway)
{
    json_text_uint(out, "workers", gateway->workers);
    json_text_uint(out, "generation", gateway->generation);
    json_text_uint(out, "startedAtMs", gateway->started_ms);
    json_text_uint(out, "publishedAtMs", gateway->published_ms);
    json_text_uint(out, "accessLogDropped", gateway->access_log_dropped);
}

static void put_requests(struct buf *out, const struct worker_stats *sum)
{
    json_text_uint(out, "requests", sum->requests);
    put_classes(out, "responses", sum->responses);
    json_text_begin(out, "protocols");
    for (size_t i = 0; i < PROTOCOL_COUNT; i++) {
        put_classes(out, request_protocol_name((enum request_protocol)i), sum->protocols[i]);
    }
    json_text_end(out);
    json_text_begin(out, "denied");
    for (size_t i = EXCHANGE_ALLOWED + 1; i < EXCHANGE_DENY_COUNT; i++) {
        json_text_uint(out, exchange_deny_name((enum exchange_deny)i), sum->denied[i]);
    }
    json_text_end(out);
    json_text_begin(out, "aborted");
    for (size_t i = ABORT_CLIENT; i < ABORT_COUNT; i++) {
        json_text_uint(out, exchange_abort_name((enum exchange_abort)i), sum->aborted[i]);
    }
    json_text_end(out);
    json_text_uint(out, "tunnels", sum->tunnels);
    json_text_uint(out, "bodyIn", sum->body_in);
    json_text_uint(out, "bodyOut", sum->body_out);
    json_text_uint(out, "bytesIn", sum->bytes_in);
    json_text_uint(out, "bytesOut", sum->bytes_out);
}

/* Cumulative, as Prometheus has them: {"le": seconds, "count"}; all of them is `count`. */
static void put_latency(struct buf *out, const struct worker_stats *sum)
{
    uint64_t total = 0;
    json_text_begin(out, "latency");
    json_text_array(out, "buckets");
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        total += sum->latency[i];
        json_text_begin(out, NULL);
        json_text_seconds(out, "le", latency_bounds_us[i]);
        json_text_uint(out, "count", total);
        json_text_end(out);
    }
    json_text_array_end(out);
    json_text_uint(out, "count", total + sum->latency[LATENCY_BUCKETS]);
    json_text_seconds(out, "sum", sum->latency_us);
    json_text_end(out);
}

static void put_connections(struct buf *out, const struct worker_stats *sum)
{
    json_text_begin(out, "connections");
    json_text_uint(out, "open", sum->connections);
    json_text_uint(out, "accepted", sum->accepted);
    json_text_begin(out, "refused");
    for (size_t i = 0; i < REFUSED_COUNT; i++) {
        json_text_uint(out, refused_reason_name((enum refused_reason)i), sum->refused[i]);
    }
    json_text_end(out);
    json_text_uint(out, "evicted", sum->evicted);
    json_text_end(out);
    json_text_uint(out, "outOfMemory", sum->out_of_memory);
    json_text_begin(out, "handshakes");
    json_text_uint(out, "full", sum->handshakes - sum->handshakes_resumed);
    json_text_uint(out, "resumed", sum->handshakes_resumed);
    json_text_uint(out, "failed", sum->handshake_failures);
    json_text_end(out);
    json_text_begin(out, "upstream");
    json_text_uint(out, "dials", sum->upstream_dials);
    json_text_uint(out, "reuses", sum->upstream_reuses);
    json_text_uint(out, "retries", sum->upstream_retries);
    json_text_begin(out, "errors");
    for (size_t i = 0; i < UPSTREAM_FAULT_COUNT; i++) {
        json_text_uint(out, upstream_fault_name((enum upstream_fault)i), sum->upstream_faults[i]);
    }
    json_text_end(out);
    json_text_end(out);
}

/* Cumulative too, in the order of the buckets above. */
static void put_route_latency(struct buf *out, const struct route_counts *counts)
{
    uint64_t total = 0;
    json_text_begin(out, "latency");
    json_text_array(out, "buckets");
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        total += counts->latency[i];
        json_text_uint(out, NULL, total);
    }
    json_text_array_end(out);
    json_text_uint(out, "count", total + counts->latency[LATENCY_BUCKETS]);
    json_text_seconds(out, "sum", counts->latency_us);
    json_text_end(out);
}

/* Of the reasons and kinds only those there were: most routes have none. */
static void put_counts(struct buf *out, const struct route_counts *counts)
{
    json_text_uint(out, "requests", counts->requests);
    put_classes(out, "responses", counts->responses);
    json_text_uint(out, "bodyIn", counts->body_in);
    json_text_uint(out, "bodyOut", counts->body_out);
    put_route_latency(out, counts);
    json_text_begin(out, "denied");
    for (size_t i = EXCHANGE_ALLOWED + 1; i < EXCHANGE_DENY_COUNT; i++) {
        if (counts->denied[i] > 0) {
            json_text_uint(out, exchange_deny_name((enum exchange_deny)i), counts->denied[i]);
        }
    }
    json_text_end(out);
    json_text_begin(out, "upstreamErrors");
    for (size_t i = 0; i < UPSTREAM_FAULT_COUNT; i++) {
        if (counts->faults[i] > 0) {
            json_text_uint(out, upstream_fault_name((enum upstream_fault)i), counts->faults[i]);
        }
    }
    json_text_end(out);
}

static void put_routes(struct buf *out, const struct route_stats *routes)
{
    json_text_array(out, "routes");
    for (uint32_t i = 0; i < routes->count; i++) {
        const struct route_row *row = &routes->rows[i];
        json_text_begin(out, NULL);
        json_text_str(out, "host", row->host);
        json_text_str(out, "worktree", row->worktree);
        json_text_str(out, "service", row->service);
        put_counts(out, &row->counts);
        json_text_end(out);
    }
    json_text_array_end(out);
    json_text_begin(out, "otherRoutes");
    put_counts(out, &routes->other);
    json_text_end(out);
}

void stats_text(struct buf *out, const struct stats_gateway *gateway,
                const struct worker_stats *sum, const struct route_stats *routes)
{
    json_text_begin(out, NULL);
    put_gateway(out, gateway);
    put_requests(out, sum);
    put_latency(out, sum);
    put_connections(out, sum);
    if (routes != NULL) {
        put_routes(out, routes);
    }
    json_text_end(out);
}
