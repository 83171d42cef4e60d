/* parsers: everything that reads bytes into a structure, and what publishes it. See scenario.h. */
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/loop.h"
#include "certs/certset.h"
#include "certs/issue.h"
#include "daemon/config.h"
#include "daemon/deploy/manifest.h"
#include "daemon/publisher.h"
#include "gateway/h1.h"
#include "routing/snapshot.h"
#include "tests/faults/scenario.h"

static struct buf snapshot_bytes;
static struct buf chain;
static struct buf key;

static const char config_text[] =
    "{\"tunnel\": {\"enabled\": true, \"domain\": \"d.test\", \"trustedProxies\": [\"10.0.0.0/8\"],"
    "\"serviceTunnels\": {\"enabled\": true, \"access\": \"secret\", \"secret\": "
    "\"" SCENARIO_SECRET "\", \"whitelistIps\": [\"127.0.0.1\"]}}}";

static const char manifest_text[] =
    "mode: shell\napp:\n  services:\n    web:\n      script:\n        - exec npm run dev\n"
    "      ports:\n        - port: 3000\n          access: secret\n      environment:\n"
    "        A: ${app.services.api.url[8000]}\n      dependencies:\n        - api\n    api:\n"
    "      script: [exec api]\n      ports: [8000]\n";

enum scenario_end scenario_refused(const struct err *err)
{
    if (err->code == ERR_NONE || err->msg[0] == '\0') {
        (void)fprintf(stderr, "failed without saying why\n");
        return SCENARIO_WRONG;
    }
    return SCENARIO_REFUSED;
}

void parsers_prepare(void)
{
    struct err err = {0};
    static const struct ip_prefix any = {.bytes = {10}, .family = 4, .bits = 8};
    static const struct policy policy = {.allow = &any, .allow_count = 1};
    static const struct route route = {
        .host = {"a.d.test", 8}, .owner = {"s", 1}, .service = {"web", 3}, .port = 4000};
    CHECK(issue_self_signed("d.test", 1800000000, &chain, &key, &err) == 0);
    const struct snapshot_cert cert = {buf_str(&chain), buf_str(&key)};
    const struct snapshot_spec spec = {
        .generation = 1,
        .public_port = 443,
        .domain = {"d.test", 6},
        .tls = true,
        .tls_min = 2,
        .limits = limits_default,
        .policies = &policy,
        .policy_count = 1,
        .certs = &cert,
        .cert_count = 1,
        .routes = &route,
        .route_count = 1,
    };
    snapshot_encode(&spec, &snapshot_bytes);
}

enum scenario_end run_snapshot(unsigned which)
{
    (void)which;
    struct err err = {0};
    struct snapshot *s = snapshot_decode(buf_str(&snapshot_bytes), &err);
    if (s == NULL) {
        return scenario_refused(&err);
    }
    bool found = route_match(s, STR("a.d.test")) != NULL;
    snapshot_unref(s);
    return found ? SCENARIO_DONE : SCENARIO_WRONG;
}

enum scenario_end run_certset(unsigned which)
{
    (void)which;
    struct err err = {0};
    const struct certset_pair pair = {buf_str(&chain), buf_str(&key)};
    struct certset *set = certset_new(&pair, 1, NULL, &err);
    if (set == NULL) {
        return scenario_refused(&err);
    }
    bool found = certset_find(set, STR("a.d.test")) != NULL;
    certset_unref(set);
    return found ? SCENARIO_DONE : SCENARIO_WRONG;
}

enum scenario_end run_h1(unsigned which)
{
    (void)which;
    char text[6000] = "GET http://a.d.test?q HTTP/1.1\r\nHost: a.d.test\r\n";
    size_t len = strlen(text);
    for (int i = 0; i < 150; i++) { /* so many that the list of fields grows */
        len += (size_t)snprintf(text + len, sizeof text - len, "x-%d: %d\r\n", i, i);
    }
    len += (size_t)snprintf(text + len, sizeof text - len, "\r\n");
    struct arena arena;
    struct head h;
    struct head_fault fault = {0, NULL};
    size_t used = 0;
    arena_init(&arena, 0);
    enum h1_result result = h1_parse_request(&h, &arena, text, len, &limits_default, &used, &fault);
    bool legal = result == H1_DONE && head_check(&h).status == 0;
    arena_fini(&arena);
    if (result == H1_FAULT && fault.status >= 400 && fault.why != NULL) {
        return SCENARIO_REFUSED;
    }
    return legal && used == len ? SCENARIO_DONE : SCENARIO_WRONG;
}

enum scenario_end run_config(unsigned which)
{
    (void)which;
    struct config *c = config_parse("/nowhere", str_of(config_text));
    /* Whatever is missing of it, services are not opened to everybody. */
    bool open = c->service_tunnels_enabled && c->service_access == 0;
    config_free(c);
    return open ? SCENARIO_WRONG : SCENARIO_DONE;
}

enum scenario_end run_manifest(unsigned which)
{
    (void)which;
    struct manifest *m = manifest_parse(str_of(manifest_text), "deploy.yaml");
    bool ok = manifest_ok(m);
    char *errors = manifest_errors_text(m);
    enum scenario_end end = ok                  ? SCENARIO_DONE
                            : errors[0] != '\0' ? SCENARIO_REFUSED
                                                : SCENARIO_WRONG;
    free(errors);
    manifest_free(m);
    return end;
}

static void on_snapshot(void *arg, uint64_t generation, struct str bytes)
{
    struct err err = {0};
    struct snapshot *s = snapshot_decode(bytes, &err);
    (void)generation;
    *(enum scenario_end *)arg = s == NULL ? scenario_refused(&err) : SCENARIO_DONE;
    snapshot_unref(s);
}

enum scenario_end run_publisher(unsigned which)
{
    (void)which;
    struct err err = {0};
    enum scenario_end end = SCENARIO_WRONG;
    struct loop *loop = loop_new(&err);
    if (loop == NULL) {
        return scenario_refused(&err);
    }
    struct config *config = config_parse("/nowhere", str_of(config_text));
    struct publisher *p = publisher_new(loop, config, on_snapshot, &end);
    if (!publisher_is_enabled(p) || !publisher_serves_services(p)) {
        end = SCENARIO_REFUSED; /* the configuration could not be read: nothing is published */
    }
    char *host = publisher_name(p, "s", "w", "web", 3000, true, &err);
    if (host == NULL) {
        end = scenario_refused(&err);
    } else {
        const struct publish_route route = {.host = host,
                                            .worktree = "w",
                                            .service = "web",
                                            .service_port = 3000,
                                            .port = 4000,
                                            .state = ROUTE_LIVE};
        publisher_set_routes(p, "s", &route, 1, NULL, NULL);
        for (int i = 0; i < 3; i++) {
            loop_turn(loop, false);
        }
    }
    free(host);
    publisher_free(p);
    config_free(config);
    loop_free(loop);
    return end;
}
