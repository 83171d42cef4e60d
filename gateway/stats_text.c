/* stats_text: see stats_text.h. Called by stats.c, which must survive that there is no memory: so
 * the text is written at once, without a tree of its parts. */
#include "gateway/stats_text.h"

#include <inttypes.h>

static const char *const class_names[STATUS_CLASSES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

/* A comma before all but the first of an object or array. */
static void separate(struct buf *out)
{
    char last = out->len == 0 ? '{' : out->ptr[out->len - 1];
    if (last != '{' && last != '[' && last != ':') {
        buf_add_char(out, ',');
    }
}

static void name(struct buf *out, const char *member)
{
    separate(out);
    buf_printf(out, "\"%s\":", member);
}

static void begin(struct buf *out, const char *member)
{
    name(out, member);
    buf_add_char(out, '{');
}

static void end(struct buf *out)
{
    buf_add_char(out, '}');
}

static void put(struct buf *out, const char *member, uint64_t value)
{
    name(out, member);
    buf_printf(out, "%" PRIu64, value);
}

static void put_seconds(struct buf *out, const char *member, uint64_t us)
{
    name(out, member);
    buf_printf(out, "%" PRIu64 ".%06" PRIu64, us / 1000000, us % 1000000);
}

static void put_text(struct buf *out, const char *member, const char *text)
{
    name(out, member);
    buf_add_char(out, '"');
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\') {
            buf_add_char(out, '\\');
            buf_add_char(out, *at);
        } else if ((uint8_t)*at < ' ') {
            buf_printf(out, "\\u%04x", (unsigned)*at);
        } else {
            buf_add_char(out, *at);
        }
    }
    buf_add_char(out, '"');
}

static void put_classes(struct buf *out, const char *member, const uint64_t *classes)
{
    begin(out, member);
    for (size_t i = 0; i < STATUS_CLASSES; i++) {
        put(out, class_names[i], classes[i]);
    }
    end(out);
}

static void put_gateway(struct buf *out, const struct stats_gateway *gateway)
{
    put(out, "workers", gateway->workers);
    put(out, "generation", gateway->generation);
    put(out, "startedAtMs", gateway->started_ms);
    put(out, "publishedAtMs", gateway->published_ms);
    put(out, "accessLogDropped", gateway->access_log_dropped);
}

static void put_requests(struct buf *out, const struct worker_stats *sum)
{
    put(out, "requests", sum->requests);
    put_classes(out, "responses", sum->responses);
    begin(out, "protocols");
    for (size_t i = 0; i < PROTOCOL_COUNT; i++) {
        put_classes(out, request_protocol_name((enum request_protocol)i), sum->protocols[i]);
    }
    end(out);
    begin(out, "denied");
    for (size_t i = EXCHANGE_ALLOWED + 1; i < EXCHANGE_DENY_COUNT; i++) {
        put(out, exchange_deny_name((enum exchange_deny)i), sum->denied[i]);
    }
    end(out);
    begin(out, "aborted");
    for (size_t i = ABORT_CLIENT; i < ABORT_COUNT; i++) {
        put(out, exchange_abort_name((enum exchange_abort)i), sum->aborted[i]);
    }
    end(out);
    put(out, "tunnels", sum->tunnels);
    put(out, "bodyIn", sum->body_in);
    put(out, "bodyOut", sum->body_out);
    put(out, "bytesIn", sum->bytes_in);
    put(out, "bytesOut", sum->bytes_out);
}

/* Cumulative, as Prometheus has them: {"le": seconds, "count"}; all of them is `count`. */
static void put_latency(struct buf *out, const struct worker_stats *sum)
{
    uint64_t total = 0;
    begin(out, "latency");
    name(out, "buckets");
    buf_add_char(out, '[');
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        total += sum->latency[i];
        separate(out);
        buf_add_char(out, '{');
        put_seconds(out, "le", latency_bounds_us[i]);
        put(out, "count", total);
        end(out);
    }
    buf_add_char(out, ']');
    put(out, "count", total + sum->latency[LATENCY_BUCKETS]);
    put_seconds(out, "sum", sum->latency_us);
    end(out);
}

static void put_connections(struct buf *out, const struct worker_stats *sum)
{
    begin(out, "connections");
    put(out, "open", sum->connections);
    put(out, "accepted", sum->accepted);
    begin(out, "refused");
    for (size_t i = 0; i < REFUSED_COUNT; i++) {
        put(out, refused_reason_name((enum refused_reason)i), sum->refused[i]);
    }
    end(out);
    put(out, "evicted", sum->evicted);
    end(out);
    put(out, "outOfMemory", sum->out_of_memory);
    begin(out, "handshakes");
    put(out, "full", sum->handshakes - sum->handshakes_resumed);
    put(out, "resumed", sum->handshakes_resumed);
    put(out, "failed", sum->handshake_failures);
    end(out);
    begin(out, "upstream");
    put(out, "dials", sum->upstream_dials);
    put(out, "reuses", sum->upstream_reuses);
    put(out, "retries", sum->upstream_retries);
    begin(out, "errors");
    for (size_t i = 0; i < UPSTREAM_FAULT_COUNT; i++) {
        put(out, upstream_fault_name((enum upstream_fault)i), sum->upstream_faults[i]);
    }
    end(out);
    end(out);
}

/* Cumulative too, in the order of the buckets above. */
static void put_route_latency(struct buf *out, const struct route_counts *counts)
{
    uint64_t total = 0;
    begin(out, "latency");
    name(out, "buckets");
    buf_add_char(out, '[');
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        total += counts->latency[i];
        separate(out);
        buf_printf(out, "%" PRIu64, total);
    }
    buf_add_char(out, ']');
    put(out, "count", total + counts->latency[LATENCY_BUCKETS]);
    put_seconds(out, "sum", counts->latency_us);
    end(out);
}

/* Of the reasons and kinds only those there were: most routes have none. */
static void put_counts(struct buf *out, const struct route_counts *counts)
{
    put(out, "requests", counts->requests);
    put_classes(out, "responses", counts->responses);
    put(out, "bodyIn", counts->body_in);
    put(out, "bodyOut", counts->body_out);
    put_route_latency(out, counts);
    begin(out, "denied");
    for (size_t i = EXCHANGE_ALLOWED + 1; i < EXCHANGE_DENY_COUNT; i++) {
        if (counts->denied[i] > 0) {
            put(out, exchange_deny_name((enum exchange_deny)i), counts->denied[i]);
        }
    }
    end(out);
    begin(out, "upstreamErrors");
    for (size_t i = 0; i < UPSTREAM_FAULT_COUNT; i++) {
        if (counts->faults[i] > 0) {
            put(out, upstream_fault_name((enum upstream_fault)i), counts->faults[i]);
        }
    }
    end(out);
}

static void put_routes(struct buf *out, const struct route_stats *routes)
{
    name(out, "routes");
    buf_add_char(out, '[');
    for (uint32_t i = 0; i < routes->count; i++) {
        const struct route_row *row = &routes->rows[i];
        separate(out);
        buf_add_char(out, '{');
        put_text(out, "host", row->host);
        put_text(out, "worktree", row->worktree);
        put_text(out, "service", row->service);
        put_counts(out, &row->counts);
        end(out);
    }
    buf_add_char(out, ']');
    begin(out, "otherRoutes");
    put_counts(out, &routes->other);
    end(out);
}

void stats_text(struct buf *out, const struct stats_gateway *gateway,
                const struct worker_stats *sum, const struct route_stats *routes)
{
    buf_add_char(out, '{');
    put_gateway(out, gateway);
    put_requests(out, sum);
    put_latency(out, sum);
    put_connections(out, sum);
    if (routes != NULL) {
        put_routes(out, routes);
    }
    end(out);
}
