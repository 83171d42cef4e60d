/* metrics: see metrics.h. Called by api/endpoints_stats.c. */
#include "daemon/metrics.h"

#include <stdio.h>

#include "base/auto.h"
#include "base/json.h"

enum { LABELS_MAX = 4 };

/* One label; a NULL name ends a list. */
struct label {
    const char *name;
    const char *value;
};

static void family(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Backslash, quote and newline are the only ones that need it. */
static void add_label_value(struct buf *out, const char *value)
{
    for (const char *at = value == NULL ? "" : value; *at != '\0'; at++) {
        if (*at == '\\' || *at == '"') {
            buf_add_char(out, '\\');
            buf_add_char(out, *at);
        } else if (*at == '\n') {
            buf_add_text(out, "\\n");
        } else {
            buf_add_char(out, *at);
        }
    }
}

static void sample(struct buf *out, const char *name, const struct label *labels, double value)
{
    buf_add_text(out, name);
    for (size_t i = 0; labels != NULL && labels[i].name != NULL; i++) {
        buf_printf(out, "%c%s=\"", i == 0 ? '{' : ',', labels[i].name);
        add_label_value(out, labels[i].value);
        buf_add_char(out, '"');
    }
    if (labels != NULL && labels[0].name != NULL) {
        buf_add_char(out, '}');
    }
    buf_printf(out, " %.17g\n", value);
}

static double number(const cJSON *object, const char *name)
{
    const cJSON *item = json_get(object, name);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

/* A family of one sample without labels. */
static void single(struct buf *out, const char *name, const char *type, const char *help,
                   double value)
{
    family(out, name, type, help);
    sample(out, name, NULL, value);
}

/* A family with a sample for each member of an object. */
static void by_member(struct buf *out, const char *name, const char *type, const char *help,
                      const char *label, const cJSON *object)
{
    family(out, name, type, help);
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        sample(out, name, (const struct label[]){{label, item->string}, {NULL, NULL}},
               item->valuedouble);
    }
}

static void render_requests(const cJSON *g, struct buf *out)
{
    static const char name[] = "wos_requests_total";
    family(out, name, "counter", "Finished requests, by protocol and class of status.");
    const cJSON *protocol;
    cJSON_ArrayForEach(protocol, json_get(g, "protocols"))
    {
        const cJSON *class;
        cJSON_ArrayForEach(class, protocol)
        {
            sample(out, name,
                   (const struct label[]){
                       {"protocol", protocol->string}, {"class", class->string}, {NULL, NULL}},
                   class->valuedouble);
        }
    }
    by_member(out, "wos_requests_denied_total", "counter",
              "Requests the gateway refused itself, by reason.", "reason", json_get(g, "denied"));
    by_member(out, "wos_requests_aborted_total", "counter",
              "Requests that ended before their answer was complete, by who ended them.", "by",
              json_get(g, "aborted"));
}

/* The text of a bound in seconds. */
struct bound {
    char text[32];
};

static struct bound bound_of(const cJSON *bucket)
{
    struct bound bound;
    (void)snprintf(bound.text, sizeof bound.text, "%g", number(bucket, "le"));
    return bound;
}

static void render_latency(const cJSON *latency, struct buf *out)
{
    static const char name[] = "wos_request_duration_seconds_bucket";
    family(out, "wos_request_duration_seconds", "histogram",
           "Time from a request's head to the end of its answer; without WebSockets.");
    const cJSON *bucket;
    cJSON_ArrayForEach(bucket, json_get(latency, "buckets"))
    {
        struct bound bound = bound_of(bucket);
        sample(out, name, (const struct label[]){{"le", bound.text}, {NULL, NULL}},
               number(bucket, "count"));
    }
    sample(out, name, (const struct label[]){{"le", "+Inf"}, {NULL, NULL}},
           number(latency, "count"));
    sample(out, "wos_request_duration_seconds_sum", NULL, number(latency, "sum"));
    sample(out, "wos_request_duration_seconds_count", NULL, number(latency, "count"));
}

static void two_ways(struct buf *out, const char *name, const char *help, double in, double to)
{
    family(out, name, "counter", help);
    sample(out, name, (const struct label[]){{"direction", "in"}, {NULL, NULL}}, in);
    sample(out, name, (const struct label[]){{"direction", "out"}, {NULL, NULL}}, to);
}

static void render_connections(const cJSON *g, struct buf *out)
{
    const cJSON *connections = json_get(g, "connections");
    const cJSON *upstream = json_get(g, "upstream");
    two_ways(out, "wos_body_bytes_total", "Bytes of bodies, from and to clients.",
             number(g, "bodyIn"), number(g, "bodyOut"));
    two_ways(out, "wos_wire_bytes_total", "Bytes of ended client connections, as on the wire.",
             number(g, "bytesIn"), number(g, "bytesOut"));
    single(out, "wos_connections_open", "gauge", "Client connections open now.",
           number(connections, "open"));
    single(out, "wos_connections_accepted_total", "counter", "Client connections accepted.",
           number(connections, "accepted"));
    by_member(out, "wos_connections_refused_total", "counter",
              "Client connections refused before a request, by reason.", "reason",
              json_get(connections, "refused"));
    single(out, "wos_connections_evicted_total", "counter",
           "Idle client connections closed to make room for others.",
           number(connections, "evicted"));
    single(out, "wos_out_of_memory_total", "counter",
           "Client connections and requests that ended for want of memory.",
           number(g, "outOfMemory"));
    single(out, "wos_tunnels_open", "gauge", "WebSockets and other upgraded connections open now.",
           number(g, "tunnels"));
    by_member(out, "wos_tls_handshakes_total", "counter", "TLS handshakes of clients, by result.",
              "result", json_get(g, "handshakes"));
    single(out, "wos_upstream_dials_total", "counter", "Connections opened to services.",
           number(upstream, "dials"));
    single(out, "wos_upstream_reuses_total", "counter",
           "Requests sent over a connection that was open already.", number(upstream, "reuses"));
    single(out, "wos_upstream_retries_total", "counter",
           "Requests sent again because a reused connection had died.",
           number(upstream, "retries"));
    by_member(out, "wos_upstream_errors_total", "counter", "Failures of services, by kind.", "kind",
              json_get(upstream, "errors"));
}

/* The labels of one route, for a further one at the end. */
struct route_labels {
    struct label items[LABELS_MAX + 1];
};

static struct route_labels labels_of(const cJSON *route, const char *name, const char *value)
{
    return (struct route_labels){{
        {"host", json_get_str(route, "host", "other")},
        {"worktree", json_get_str(route, "worktree", "")},
        {"service", json_get_str(route, "service", "")},
        {name, value},
        {NULL, NULL},
    }};
}

/* A sample for each member that is not 0: most routes have few of all there could be. */
static void route_members(struct buf *out, const char *name, const cJSON *route, const char *label,
                          const char *member)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, json_get(route, member))
    {
        if (item->string != NULL && item->valuedouble > 0) {
            struct route_labels labels = labels_of(route, label, item->string);
            sample(out, name, labels.items, item->valuedouble);
        }
    }
}

static void route_requests(const cJSON *g, const cJSON *route, struct buf *out)
{
    (void)g;
    route_members(out, "wos_route_requests_total", route, "class", "responses");
}

static void route_denied(const cJSON *g, const cJSON *route, struct buf *out)
{
    (void)g;
    route_members(out, "wos_route_requests_denied_total", route, "reason", "denied");
}

static void route_upstream(const cJSON *g, const cJSON *route, struct buf *out)
{
    (void)g;
    route_members(out, "wos_route_upstream_errors_total", route, "kind", "upstreamErrors");
}

static void route_bytes(const cJSON *g, const cJSON *route, struct buf *out)
{
    (void)g;
    static const char name[] = "wos_route_body_bytes_total";
    struct route_labels in = labels_of(route, "direction", "in");
    struct route_labels to = labels_of(route, "direction", "out");
    sample(out, name, in.items, number(route, "bodyIn"));
    sample(out, name, to.items, number(route, "bodyOut"));
}

/* A route's buckets are counts in the order of the gateway's, which have the bounds. */
static void route_latency(const cJSON *g, const cJSON *route, struct buf *out)
{
    static const char name[] = "wos_route_request_duration_seconds_bucket";
    const cJSON *latency = json_get(route, "latency");
    const cJSON *buckets = json_get(json_get(g, "latency"), "buckets");
    const cJSON *bucket = cJSON_IsArray(buckets) ? buckets->child : NULL;
    const cJSON *count;
    cJSON_ArrayForEach(count, json_get(latency, "buckets"))
    {
        if (bucket == NULL) {
            break;
        }
        struct bound bound = bound_of(bucket);
        struct route_labels labels = labels_of(route, "le", bound.text);
        sample(out, name, labels.items, count->valuedouble);
        bucket = bucket->next;
    }
    struct route_labels all = labels_of(route, "le", "+Inf");
    struct route_labels labels = labels_of(route, NULL, NULL);
    sample(out, name, all.items, number(latency, "count"));
    sample(out, "wos_route_request_duration_seconds_sum", labels.items, number(latency, "sum"));
    sample(out, "wos_route_request_duration_seconds_count", labels.items, number(latency, "count"));
}

static void each_route(const cJSON *g, struct buf *out,
                       void (*render)(const cJSON *g, const cJSON *route, struct buf *out))
{
    const cJSON *route;
    cJSON_ArrayForEach(route, json_get(g, "routes"))
    {
        render(g, route, out);
    }
    render(g, json_get(g, "otherRoutes"), out);
}

static void render_routes(const cJSON *g, struct buf *out)
{
    family(out, "wos_route_requests_total", "counter",
           "Finished requests of a route; those of routes without a row are in host other.");
    each_route(g, out, route_requests);
    family(out, "wos_route_requests_denied_total", "counter",
           "Requests to a route that the gateway refused itself, by reason.");
    each_route(g, out, route_denied);
    family(out, "wos_route_upstream_errors_total", "counter",
           "Failures of a route's service, by kind.");
    each_route(g, out, route_upstream);
    family(out, "wos_route_body_bytes_total", "counter", "Bytes of bodies of a route.");
    each_route(g, out, route_bytes);
    family(out, "wos_route_request_duration_seconds", "histogram",
           "Time from head to end of a route's requests; without WebSockets.");
    each_route(g, out, route_latency);
}

static void render_gateway(const cJSON *g, struct buf *out)
{
    single(out, "wos_gateway_up", "gauge", "1 if a gateway serves and answers.",
           cJSON_IsObject(g) ? 1 : 0);
    if (!cJSON_IsObject(g)) {
        return;
    }
    single(out, "wos_gateway_start_time_seconds", "gauge",
           "When the gateway started, in seconds since the epoch.",
           number(g, "startedAtMs") / 1000);
    single(out, "wos_gateway_workers", "gauge", "Worker threads of the gateway.",
           number(g, "workers"));
    single(out, "wos_snapshot_published_timestamp_seconds", "gauge",
           "When the gateway took its snapshot, in seconds since the epoch.",
           number(g, "publishedAtMs") / 1000);
    single(out, "wos_access_log_dropped_total", "counter",
           "Lines of the access log that were lost.", number(g, "accessLogDropped"));
    render_requests(g, out);
    render_latency(json_get(g, "latency"), out);
    render_connections(g, out);
    render_routes(g, out);
}

static void render_daemon(const cJSON *stats, struct buf *out)
{
    const cJSON *d = json_get(stats, "daemon");
    const cJSON *snapshot = json_get(stats, "snapshot");
    family(out, "wos_build_info", "gauge", "Always 1; the labels tell the version.");
    sample(out, "wos_build_info",
           (const struct label[]){{"version", json_get_str(d, "version", "")},
                                  {"build", json_get_str(d, "build", "")},
                                  {NULL, NULL}},
           1);
    single(out, "wos_daemon_start_time_seconds", "gauge",
           "When the daemon started, in seconds since the epoch.", number(d, "startedAtMs") / 1000);
    single(out, "wos_daemon_uptime_seconds", "gauge", "How long the daemon runs.",
           number(d, "uptimeMs") / 1000);
    single(out, "wos_daemon_resident_memory_bytes", "gauge", "Resident memory of the daemon.",
           number(d, "memoryBytes"));
    single(out, "wos_daemon_open_fds", "gauge", "File descriptors the daemon has open.",
           number(d, "openFiles"));
    single(out, "wos_sessions", "gauge", "Sessions known.", number(d, "sessions"));
    by_member(out, "wos_services", "gauge", "Services, by state.", "state",
              json_get(d, "services"));
    single(out, "wos_snapshot_generation", "gauge", "Number of the newest snapshot.",
           number(snapshot, "generation"));
    single(out, "wos_snapshot_served_generation", "gauge",
           "Number of the newest snapshot that every worker serves.",
           number(snapshot, "servedGeneration"));
}

static void render_certificates(const cJSON *stats, struct buf *out)
{
    static const char name[] = "wos_certificate_expiry_timestamp_seconds";
    family(out, name, "gauge", "When a certificate ends, in seconds since the epoch.");
    const cJSON *cert;
    cJSON_ArrayForEach(cert, json_get(stats, "certificates"))
    {
        sample(out, name,
               (const struct label[]){{"name", json_get_str(cert, "name", "")},
                                      {"source", json_get_str(cert, "source", "")},
                                      {NULL, NULL}},
               number(cert, "notAfterSeconds"));
    }
}

void metrics_render(const cJSON *stats, struct buf *out)
{
    render_daemon(stats, out);
    render_certificates(stats, out);
    render_gateway(json_get(stats, "gateway"), out);
}
