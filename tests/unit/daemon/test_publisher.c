/* publisher: stable names, whole snapshots, waiting for the gateway. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/publisher.h"
#include "routing/snapshot.h"

struct fixture {
    struct loop *loop;
    struct config *config;
    struct publisher *publisher;
    size_t published;          /* snapshots that came to the sink */
    struct snapshot *snapshot; /* the newest, decoded */
};

static void on_snapshot(void *arg, uint64_t generation, struct str bytes)
{
    struct fixture *f = arg;
    struct err err = {.msg = ""};
    snapshot_unref(f->snapshot);
    f->snapshot = snapshot_decode(bytes, &err);
    if (f->snapshot == NULL) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(f->snapshot->spec.generation, generation);
    f->published++;
}

static struct fixture *fixture_new(const char *config)
{
    struct err err;
    struct fixture *f = xcalloc(1, sizeof *f);
    f->loop = loop_new(&err);
    f->config = config_parse("/nowhere", str_of(config));
    f->publisher = publisher_new(f->loop, f->config, on_snapshot, f);
    return f;
}

static const char CONFIG[] = "{\"tunnel\": {\"enabled\": true, \"domain\": \"d.test\", "
                             "\"serviceTunnels\": {\"enabled\": true, \"whitelistIps\": "
                             "[\"127.0.0.1\"]}}}";

static void fixture_free(struct fixture *f)
{
    publisher_free(f->publisher);
    config_free(f->config);
    snapshot_unref(f->snapshot);
    loop_free(f->loop);
    free(f);
}

/* Lets the publisher's timers of this turn fire. */
static void turns(struct fixture *f)
{
    for (int i = 0; i < 3; i++) {
        loop_turn(f->loop, false);
    }
}

static void give(struct fixture *f, const char *owner, const char *worktree, const char *service,
                 uint16_t port, bool is_first, const char *expected)
{
    struct err err = {.msg = ""};
    autofree char *host =
        publisher_name(f->publisher, owner, worktree, service, port, is_first, &err);
    assert_non_null(host);
    assert_string_equal(host, expected);
}

static void set_one(struct fixture *f, const char *owner, const char *host, uint16_t port,
                    publisher_done_fn *done, void *arg)
{
    const struct publish_route route = {.host = host,
                                        .worktree = "w",
                                        .service = "web",
                                        .service_port = 3000,
                                        .port = port,
                                        .state = ROUTE_LIVE};
    publisher_set_routes(f->publisher, owner, &route, 1, done, arg);
}

static const struct route *route_of(const struct fixture *f, const char *host)
{
    const struct route *route = route_match(f->snapshot, str_of(host));
    assert_non_null(route);
    return route;
}

/* The page of a starting service names its phase, and how long it takes: not since the last
 * publish of any other route of its owner. */
static void test_phase_and_since_of_starting_routes(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(CONFIG);
    struct publish_route routes[] = {
        {.host = "a.d.test", .service = "a", .port = 1, .service_port = 1, .state = ROUTE_STARTING},
        {.host = "b.d.test", .service = "b", .port = 2, .service_port = 2, .state = ROUTE_LIVE},
    };
    publisher_set_phase(f->publisher, "s", "nobody knows it yet");
    publisher_set_routes(f->publisher, "s", routes, 2, NULL, NULL);
    turns(f);
    assert_int_equal(route_of(f, "a.d.test")->phase.len, 0);
    uint64_t since = route_of(f, "a.d.test")->since_ms;
    size_t published = f->published;
    publisher_set_phase(f->publisher, "s", "health checks");
    turns(f);
    publisher_set_phase(f->publisher, "s", "health checks");
    turns(f);
    assert_int_equal(f->published, published + 1);
    assert_true(str_eq(route_of(f, "a.d.test")->phase, STR("health checks")));
    assert_int_equal(route_of(f, "b.d.test")->phase.len, 0);
    while ((uint64_t)clock_wall_ms() == since) {
    }
    publisher_set_routes(f->publisher, "s", routes, 2, NULL, NULL);
    turns(f);
    assert_int_equal(route_of(f, "a.d.test")->since_ms, since);
    publisher_set_state(f->publisher, "s", "a", 1, ROUTE_LIVE);
    turns(f);
    assert_int_equal(route_of(f, "a.d.test")->phase.len, 0);
    fixture_free(f);
}

struct answer {
    int count;
    char error[128];
};

static void on_done(void *arg, const char *error)
{
    struct answer *answer = arg;
    answer->count++;
    (void)snprintf(answer->error, sizeof answer->error, "%s", error == NULL ? "" : error);
}

static void test_names(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(CONFIG);
    give(f, "s1", "Feature X", "web", 3000, true, "feature-x-web.d.test");
    give(f, "s1", "Feature X", "web", 3001, false, "feature-x-web-3001.d.test");
    /* The same place in another repository: the next number, and it stays. */
    give(f, "s2", "feature-x", "web", 3000, true, "feature-x2-web.d.test");
    give(f, "s3", "feature-x", "web", 3000, true, "feature-x3-web.d.test");
    give(f, "s2", "feature-x", "web", 3000, true, "feature-x2-web.d.test");
    give(f, "s1", "feature-x", "web", 3000, true, "feature-x-web.d.test");
    /* A name of an owner that is gone is free, and only that. */
    publisher_forget(f->publisher, "s2");
    give(f, "s4", "feature-x", "web", 3000, true, "feature-x2-web.d.test");
    give(f, "s2", "feature-x", "web", 3000, true, "feature-x4-web.d.test");
    fixture_free(f);
}

static void test_names_are_kept(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(CONFIG);
    struct publisher *p = f->publisher;
    struct err err = {.msg = ""};
    /* s2 had the plain name in an earlier life; s1, asking first, must not get it. */
    assert_int_equal(publisher_keep_name(p, "s2", "web", 3000, "x-web.d.test", &err), 0);
    assert_int_equal(publisher_keep_name(p, "s2", "web", 3000, "x-web.d.test", &err), 0);
    give(f, "s1", "x", "web", 3000, true, "x2-web.d.test");
    give(f, "s2", "x", "web", 3000, true, "x-web.d.test");
    assert_int_equal(publisher_keep_name(p, "s3", "web", 1, "x-web.d.test", &err), -1);
    assert_int_equal(err.code, ERR_BUSY);
    /* The domain changed since. */
    assert_int_equal(publisher_keep_name(p, "s3", "web", 1, "x-web.old.test", &err), -1);
    assert_int_equal(publisher_keep_name(p, "s3", "web", 1, "d.test", &err), -1);
    assert_int_equal(publisher_keep_name(p, "s3", "web", 1, "x y.d.test", &err), -1);
    assert_string_equal(publisher_name_owner(p, "x-web.d.test"), "s2");
    fixture_free(f);
}

/* A domain of d.test alone must not accept names that merely end in its letters. */
static void test_name_under_a_lookalike_domain(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(CONFIG);
    struct err err = {.msg = ""};
    assert_int_equal(publisher_keep_name(f->publisher, "s", "web", 1, "x.bad-d.test", &err), -1);
    fixture_free(f);
}

static void test_changes_of_a_turn_are_one_snapshot(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(CONFIG);
    turns(f);
    assert_int_equal(f->published, 1); /* without routes: 404s in the right protocol */
    assert_int_equal(f->snapshot->spec.route_count, 0);
    set_one(f, "s1", "a.d.test", 1001, NULL, NULL);
    set_one(f, "s2", "b.d.test", 1002, NULL, NULL);
    set_one(f, "s1", "a.d.test", 1003, NULL, NULL);
    turns(f);
    assert_int_equal(f->published, 2);
    assert_int_equal(f->snapshot->spec.route_count, 2);
    assert_int_equal(route_match(f->snapshot, STR("a.d.test"))->port, 1003);
    assert_int_equal(route_match(f->snapshot, STR("b.d.test"))->port, 1002);
    publisher_set_state(f->publisher, "s2", "web", 3000, ROUTE_STOPPED);
    publisher_drop_routes(f->publisher, "s1");
    turns(f);
    assert_int_equal(f->published, 3);
    assert_null(route_match(f->snapshot, STR("a.d.test")));
    assert_int_equal(route_match(f->snapshot, STR("b.d.test"))->state, ROUTE_STOPPED);
    publisher_set_state(f->publisher, "s2", "web", 3000, ROUTE_STOPPED);
    turns(f);
    assert_int_equal(f->published, 3); /* nothing changed */
    fixture_free(f);
}

static void test_policies_by_class(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(CONFIG);
    set_one(f, "s1", "a.d.test", 1001, NULL, NULL);
    set_one(f, PUBLISHER_OWNER_PUBLISH, "p.d.test", 1002, NULL, NULL);
    set_one(f, PUBLISHER_OWNER_DAEMON, "ui.d.test", 1003, NULL, NULL);
    turns(f);
    const struct snapshot_spec *spec = &f->snapshot->spec;
    const struct route *service = route_match(f->snapshot, STR("a.d.test"));
    const struct route *published = route_match(f->snapshot, STR("p.d.test"));
    const struct route *ui = route_match(f->snapshot, STR("ui.d.test"));
    assert_int_equal(service->route_class, ROUTE_SERVICE);
    assert_int_equal(published->route_class, ROUTE_PUBLISHED);
    assert_int_equal(ui->route_class, ROUTE_WEB_UI);
    assert_int_equal(spec->policies[service->policy].allow_count, 1);
    assert_int_equal(spec->policies[published->policy].allow_count, 1);
    assert_int_equal(spec->policies[ui->policy].allow_count, 0);
    fixture_free(f);
}

static void set_options(struct fixture *f, const char *host, const struct publish_options *options)
{
    const struct publish_route route = {.host = host,
                                        .worktree = "w",
                                        .service = "web",
                                        .service_port = 3000,
                                        .port = 1001,
                                        .state = ROUTE_LIVE,
                                        .options = *options};
    publisher_set_routes(f->publisher, host, &route, 1, NULL, NULL);
}

static const struct policy *policy_at(const struct fixture *f, const char *host)
{
    const struct route *route = route_match(f->snapshot, str_of(host));
    assert_non_null(route);
    return &f->snapshot->spec.policies[route->policy];
}

static void test_options_become_policies(void **state)
{
    (void)state;
    struct fixture *f =
        fixture_new("{\"tunnel\": {\"enabled\": true, \"domain\": \"d.test\", \"serviceTunnels\": {"
                    "\"enabled\": true, \"whitelistIps\": [\"10.0.0.0/8\"], \"maxConcurrent\": 7,"
                    "\"rateLimit\": {\"requestsPerSecond\": 100, \"burst\": 9}}}}");
    struct ip_prefix own[1];
    assert_int_equal(ip_prefix_parse(STR("10.1.0.0/16"), &own[0], NULL), 0);
    struct ip_prefix same = own[0];
    const struct publish_options plain = {.backend = BACKEND_H2C};
    const struct publish_options tight = {
        .whitelist = own, .whitelist_count = 1, .rate_per_second = 5, .exchanges_max = 2};
    struct publish_options tight_too = tight;
    tight_too.whitelist = &same;
    tight_too.host_mode = PUBLISH_HOST_REWRITE;
    set_options(f, "a.d.test", &plain);
    set_options(f, "b.d.test", &tight);
    set_options(f, "c.d.test", &tight_too);
    set_options(f, "e.d.test", &plain);
    own[0].bits = 0; /* they were copied */
    turns(f);
    assert_int_equal(f->snapshot->spec.policy_count, 2);
    const struct policy *a = policy_at(f, "a.d.test");
    assert_int_equal(a->route_allow_count, 0);
    assert_int_equal(a->rate_per_second, 100);
    assert_int_equal(a->rate_burst, 9);
    assert_int_equal(a->exchanges_max, 7);
    assert_int_equal(route_match(f->snapshot, STR("a.d.test"))->backend, BACKEND_H2C);
    const struct policy *b = policy_at(f, "b.d.test");
    assert_ptr_equal(b, policy_at(f, "c.d.test"));
    assert_int_equal(b->allow_count, 1);
    assert_int_equal(b->route_allow_count, 1);
    assert_int_equal(b->route_allow[0].bits, 16);
    assert_int_equal(b->rate_per_second, 5);
    assert_int_equal(b->rate_burst, 9);
    assert_int_equal(b->exchanges_max, 2);
    assert_int_equal(route_match(f->snapshot, STR("c.d.test"))->host_mode, ROUTE_HOST_REWRITE);
    fixture_free(f);
}

/* The access a route gets, as the status says it; the snapshot has to agree. */
static void access_is(struct fixture *f, const char *allowed, enum publish_access asked,
                      const char *expected, const char *warning)
{
    static const char *const words[] = {"public", "secret", "private"};
    for (uint32_t i = 0; i < COUNT_OF(words); i++) {
        f->config->service_access = strcmp(words[i], allowed) == 0 ? i : f->config->service_access;
    }
    const struct publish_options options = {.access = asked};
    set_options(f, "a.d.test", &options);
    turns(f);
    const struct route *route = route_match(f->snapshot, STR("a.d.test"));
    assert_int_equal(route == NULL, strcmp(expected, "private") == 0);
    if (route != NULL) {
        assert_int_equal(f->snapshot->spec.policies[route->policy].access,
                         strcmp(expected, "secret") == 0 ? POLICY_SECRET : POLICY_PUBLIC);
    }
    autojson cJSON *rows = publisher_tunnels_json(f->publisher, "a.d.test");
    const cJSON *row = cJSON_GetArrayItem(rows, 0);
    assert_string_equal(json_get_str(row, "access", ""), expected);
    assert_int_equal(json_get(row, "url") == NULL, route == NULL);
    assert_string_equal(json_get_str(row, "hostname", ""), "a.d.test");
    const char *says = json_get_str(row, "warning", "");
    if (warning == NULL ? *says != '\0' : strstr(says, warning) == NULL) {
        fail_msg("allowed %s, asked %d: \"%s\"", allowed, asked, says);
    }
}

static void test_access_is_capped(void **state)
{
    (void)state;
    struct fixture *f =
        fixture_new("{\"tunnel\": {\"enabled\": true, \"domain\": \"d.test\", \"serviceTunnels\": {"
                    "\"enabled\": true, \"secret\": \"a long enough secret\"}}}");
    access_is(f, "public", PUBLISH_ACCESS_DEFAULT, "public", NULL);
    access_is(f, "public", PUBLISH_ACCESS_SECRET, "secret", NULL);
    access_is(f, "public", PUBLISH_ACCESS_PRIVATE, "private", NULL);
    access_is(f, "secret", PUBLISH_ACCESS_DEFAULT, "secret", NULL);
    access_is(f, "secret", PUBLISH_ACCESS_PUBLIC, "secret",
              "service web, port 3000 asks for access public; tunnel.serviceTunnels.access allows "
              "secret at most");
    access_is(f, "secret", PUBLISH_ACCESS_PRIVATE, "private", NULL);
    access_is(f, "private", PUBLISH_ACCESS_DEFAULT, "private", NULL);
    access_is(f, "private", PUBLISH_ACCESS_SECRET, "private", "allows private at most");
    fixture_free(f);
}

static void test_no_secret_no_way_in(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(CONFIG);
    static const uint8_t key[SNAPSHOT_ACCESS_KEY] = {1, 2, 3};
    static const uint64_t revoked[] = {5, 9};
    access_is(f, "public", PUBLISH_ACCESS_SECRET, "secret", "closed to everyone");
    assert_false(f->snapshot->spec.access.has_secret);
    f->config->service_secret = xstrdup("a long enough secret");
    publisher_config_changed(f->publisher);
    turns(f);
    assert_false(f->snapshot->spec.access.has_secret); /* no key yet */
    publisher_set_access(f->publisher, key, revoked, COUNT_OF(revoked));
    access_is(f, "public", PUBLISH_ACCESS_SECRET, "secret", NULL);
    const struct snapshot_access *access = &f->snapshot->spec.access;
    assert_true(access->has_secret);
    assert_memory_equal(access->key, key, sizeof key);
    assert_memory_not_equal(access->digest, key, sizeof key);
    assert_int_equal(access->revoked_count, 2);
    assert_int_equal(access->revoked[1], 9);
    fixture_free(f);
}

/* The public UI has its own login: what concerns services does not reach it. */
static void test_web_ui_takes_no_part(void **state)
{
    (void)state;
    struct fixture *f =
        fixture_new("{\"tunnel\": {\"enabled\": true, \"domain\": \"d.test\", \"serviceTunnels\": {"
                    "\"enabled\": true, \"access\": \"private\", \"maxConcurrent\": 1}}}");
    set_one(f, PUBLISHER_OWNER_DAEMON, "ui.d.test", 1003, NULL, NULL);
    set_one(f, PUBLISHER_OWNER_PUBLISH, "p.d.test", 1002, NULL, NULL);
    turns(f);
    assert_int_equal(policy_at(f, "ui.d.test")->access, POLICY_PUBLIC);
    assert_int_equal(policy_at(f, "ui.d.test")->exchanges_max, 0);
    assert_null(route_match(f->snapshot, STR("p.d.test")));
    fixture_free(f);
}

/* serviceTunnels.enabled=false publishes no service, whoever asks; published ports go on. */
static void test_no_service_route_when_switched_off(void **state)
{
    (void)state;
    struct fixture *f = fixture_new("{\"tunnel\": {\"enabled\": true, \"domain\": \"d.test\"}}");
    assert_false(publisher_serves_services(f->publisher));
    set_one(f, "s1", "a.d.test", 1001, NULL, NULL);
    set_one(f, PUBLISHER_OWNER_PUBLISH, "p.d.test", 1002, NULL, NULL);
    turns(f);
    assert_null(route_match(f->snapshot, STR("a.d.test")));
    assert_non_null(route_match(f->snapshot, STR("p.d.test")));
    fixture_free(f);
}

static void test_waiting_for_the_ack(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(CONFIG);
    struct answer first = {0};
    struct answer second = {0};
    struct answer cancelled = {0};
    set_one(f, "s1", "a.d.test", 1001, on_done, &first);
    set_one(f, "s3", "c.d.test", 1003, on_done, &cancelled);
    publisher_cancel(f->publisher, &cancelled);
    turns(f);
    uint64_t generation = publisher_generation(f->publisher);
    set_one(f, "s2", "b.d.test", 1002, on_done, &second);
    turns(f);
    assert_int_equal(first.count + second.count, 0);
    publisher_on_ack(f->publisher, generation);
    assert_int_equal(first.count, 1);
    assert_string_equal(first.error, "");
    assert_int_equal(second.count, 0);
    /* An ack from the future is no ack. */
    publisher_on_ack(f->publisher, generation + 100);
    assert_int_equal(second.count, 0);
    publisher_on_nack(f->publisher, generation + 1, "duplicate host");
    assert_int_equal(second.count, 1);
    assert_string_equal(second.error, "duplicate host");
    assert_string_equal(publisher_error(f->publisher), "duplicate host");
    assert_int_equal(cancelled.count, 0);
    fixture_free(f);
}

static void on_fault(void *arg)
{
    (*(int *)arg)++;
}

static void test_faults_answer_at_once(void **state)
{
    (void)state;
    int told = 0;
    struct fixture *f = fixture_new(CONFIG);
    struct answer before = {0};
    struct answer after = {0};
    publisher_on_fault(f->publisher, on_fault, &told);
    set_one(f, "s1", "a.d.test", 1001, on_done, &before);
    publisher_set_fault(f->publisher, NULL);
    assert_int_equal(told, 0);
    publisher_set_fault(f->publisher, "port 5858 is in use");
    publisher_set_fault(f->publisher, "port 5858 is in use");
    assert_int_equal(told, 1);
    assert_int_equal(before.count, 0); /* never from inside */
    turns(f);
    assert_int_equal(before.count, 1);
    assert_string_equal(before.error, "port 5858 is in use");
    set_one(f, "s1", "a.d.test", 1001, on_done, &after);
    assert_int_equal(after.count, 0);
    turns(f);
    assert_int_equal(after.count, 1);
    autojson cJSON *tunnels = publisher_tunnels_json(f->publisher, "s1");
    const cJSON *row = cJSON_GetArrayItem(tunnels, 0);
    assert_string_equal(json_get_str(row, "state", ""), "failed");
    assert_null(json_get(row, "url"));
    publisher_set_fault(f->publisher, NULL);
    assert_int_equal(told, 2);
    autojson cJSON *healed = publisher_tunnels_json(f->publisher, "s1");
    assert_string_equal(json_get_str(cJSON_GetArrayItem(healed, 0), "url", ""),
                        "http://a.d.test:5858");
    fixture_free(f);
}

static void test_disabled_tunnel(void **state)
{
    (void)state;
    struct fixture *f = fixture_new("{}");
    struct answer answer = {0};
    set_one(f, "s1", "a.d.test", 1001, on_done, &answer);
    turns(f);
    assert_int_equal(answer.count, 1);
    assert_string_equal(answer.error, "the tunnel is disabled");
    assert_int_equal(f->published, 0);
    fixture_free(f);
}

/* With tunnel.ssl on there is no snapshot, and so no listener, until there is a certificate. */
static void test_no_certificate_no_snapshot(void **state)
{
    (void)state;
    struct fixture *f = fixture_new("{\"tunnel\": {\"enabled\": true, \"domain\": \"d.test\", "
                                    "\"ssl\": {\"enabled\": true}}}");
    uint64_t generation;
    turns(f);
    assert_int_equal(f->published, 0);
    assert_int_equal(publisher_snapshot(f->publisher, &generation).len, 0);
    assert_non_null(publisher_error(f->publisher));
    fixture_free(f);
}

static void test_generations_only_rise(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(CONFIG);
    turns(f);
    uint64_t before = publisher_generation(f->publisher);
    publisher_raise_generation(f->publisher, before + 1000);
    turns(f);
    assert_int_equal(f->snapshot->spec.generation, before + 1001);
    publisher_raise_generation(f->publisher, 5);
    turns(f);
    assert_int_equal(publisher_generation(f->publisher), before + 1001);
    fixture_free(f);
}

/* The gateway opens no file: whom a service with TLS may be trusted by comes along. */
static void test_authorities_for_https(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(CONFIG);
    struct publish_route route = {
        .host = "w-web.d.test", .service = "web", .port = 4000, .state = ROUTE_LIVE};
    publisher_set_routes(f->publisher, "s1", &route, 1, NULL, NULL);
    turns(f);
    assert_int_equal(f->snapshot->spec.ca_pem.len, 0);
    route.options.backend = BACKEND_HTTPS;
    publisher_set_routes(f->publisher, "s1", &route, 1, NULL, NULL);
    turns(f);
    assert_int_equal(f->snapshot->spec.routes[0].backend, BACKEND_HTTPS);
    assert_true(f->snapshot->spec.ca_pem.len > 1000); /* Debian's ca-certificates */
    fixture_free(f);
}

/* Thousands of routes, policies in turn: each route has its own in the snapshot. */
static void test_policies_of_many(void **state)
{
    (void)state;
    enum { MANY = 3000 };
    struct fixture *f = fixture_new(CONFIG);
    const struct ip_prefix one = {.family = 4, .bits = 32, .bytes = {192, 0, 2, 1}};
    autofree struct publish_route *routes = xcalloc(MANY, sizeof *routes);
    autofree char(*hosts)[24] = xcalloc(MANY, sizeof *hosts);
    for (uint32_t i = 0; i < MANY; i++) {
        (void)snprintf(hosts[i], sizeof hosts[i], "r%u.d.test", i);
        routes[i] = (struct publish_route){
            .host = hosts[i], .service = "s", .port = (uint16_t)(1 + i), .state = ROUTE_LIVE};
        routes[i].options.rate_per_second = i % 3 == 1 ? 7 : 0;
        routes[i].options.whitelist = i % 3 == 2 ? &one : NULL;
        routes[i].options.whitelist_count = i % 3 == 2 ? 1 : 0;
    }
    publisher_set_routes(f->publisher, "publish", routes, MANY, NULL, NULL);
    publisher_flush(f->publisher); /* at once, and not again at the end of the turn */
    assert_int_equal(f->published, 1);
    turns(f);
    assert_int_equal(f->published, 1);
    routes[5].port = 9;
    publisher_set_routes(f->publisher, "publish", routes, MANY, NULL, NULL);
    turns(f);
    assert_int_equal(f->published, 2);
    const struct snapshot_spec *spec = &f->snapshot->spec;
    assert_int_equal(spec->route_count, MANY);
    assert_int_equal(spec->policy_count, 3);
    for (uint32_t i = 0; i < MANY; i++) {
        const struct route *route = route_match(f->snapshot, str_of(hosts[i]));
        const struct policy *policy = &spec->policies[route->policy];
        assert_int_equal(route->port, i == 5 ? 9 : 1 + i);
        assert_int_equal(policy->rate_per_second, i % 3 == 1 ? 7 : 0);
        assert_int_equal(policy->route_allow_count, i % 3 == 2 ? 1 : 0);
    }
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policies_of_many),
        cmocka_unit_test(test_phase_and_since_of_starting_routes),
        cmocka_unit_test(test_authorities_for_https),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_names_are_kept),
        cmocka_unit_test(test_name_under_a_lookalike_domain),
        cmocka_unit_test(test_changes_of_a_turn_are_one_snapshot),
        cmocka_unit_test(test_policies_by_class),
        cmocka_unit_test(test_options_become_policies),
        cmocka_unit_test(test_access_is_capped),
        cmocka_unit_test(test_no_secret_no_way_in),
        cmocka_unit_test(test_web_ui_takes_no_part),
        cmocka_unit_test(test_no_service_route_when_switched_off),
        cmocka_unit_test(test_waiting_for_the_ack),
        cmocka_unit_test(test_faults_answer_at_once),
        cmocka_unit_test(test_disabled_tunnel),
        cmocka_unit_test(test_no_certificate_no_snapshot),
        cmocka_unit_test(test_generations_only_rise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
