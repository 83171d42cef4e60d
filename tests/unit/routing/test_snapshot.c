/* The snapshot's encoding: what goes in comes out, and nothing bad gets in. */
#include "routing/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"

static const uint8_t keys[2][80] = {{1, 2, 3}, {9, 8, 7}};

/* A spec with one of everything. Its arrays are the fixture's and may be changed. */
struct fixture {
    struct snapshot_spec spec;
    struct route routes[3];
    struct policy policies[2];
    struct ip_prefix allow[2];
    struct snapshot_cert certs[2];
    uint64_t revoked[2];
};

static void fixture_init(struct fixture *f)
{
    *f = (struct fixture){.allow = {{.family = 4, .bits = 8, .bytes = {10}},
                                    {.family = 6, .bits = 32, .bytes = {0x20, 1, 0xd, 0xb8}}}};
    f->policies[1] = (struct policy){.allow = f->allow,
                                     .allow_count = 2,
                                     .route_allow = &f->allow[1],
                                     .route_allow_count = 1,
                                     .access = POLICY_SECRET,
                                     .rate_per_second = 10,
                                     .rate_burst = 20,
                                     .exchanges_max = 30};
    f->certs[0] = (struct snapshot_cert){STR("chain one"), STR("key one")};
    f->certs[1] = (struct snapshot_cert){STR("chain two"), STR("key two")};
    f->routes[0] = (struct route){.host = STR("a-web.wos.localhost"),
                                  .owner = STR("session-a"),
                                  .worktree = STR("a"),
                                  .service = STR("web"),
                                  .service_port = 3000,
                                  .port = 40001,
                                  .policy = 1};
    f->routes[1] = (struct route){.host = STR("wos.wos.localhost"),
                                  .owner = STR("daemon"),
                                  .port = 4949,
                                  .route_class = ROUTE_WEB_UI,
                                  .host_mode = ROUTE_HOST_REWRITE,
                                  .backend = BACKEND_H2C,
                                  .since_ms = UINT64_C(0x123456789a),
                                  .phase = STR("health checks")};
    f->routes[2] = (struct route){.host = STR("b.wos.localhost"),
                                  .owner = STR("publish"),
                                  .route_class = ROUTE_PUBLISHED,
                                  .state = ROUTE_STARTING};
    f->spec = (struct snapshot_spec){.generation = UINT64_C(0x1122334455667788),
                                     .tls = true,
                                     .public_port = 5858,
                                     .domain = STR("wos.localhost"),
                                     .tls_min = 2,
                                     .no_tickets = true,
                                     .limits = limits_default,
                                     .routes = f->routes,
                                     .route_count = 3,
                                     .policies = f->policies,
                                     .policy_count = 2,
                                     .certs = f->certs,
                                     .cert_count = 2,
                                     .ticket_keys = keys,
                                     .ticket_key_count = 2,
                                     .ca_pem = STR("authorities"),
                                     .hsts_seconds = 86400,
                                     .access = {.has_secret = true,
                                                .key = "0123456789abcdef0123456789abcde",
                                                .digest = "fedcba9876543210fedcba987654321",
                                                .revoked = f->revoked,
                                                .revoked_count = 2},
                                     .trusted_proxies = {f->allow, 2},
                                     .proxy_protocol = {f->allow, 1}};
    f->revoked[0] = 7;
    f->revoked[1] = UINT64_MAX;
}

static struct snapshot *round_trip(const struct snapshot_spec *spec, struct err *err)
{
    struct buf bytes = {0};
    snapshot_encode(spec, &bytes);
    struct snapshot *s = snapshot_decode(buf_str(&bytes), err);
    if (s != NULL) {
        struct buf again = {0};
        snapshot_encode(&s->spec, &again);
        assert_true(str_eq(buf_str(&bytes), buf_str(&again)));
        buf_fini(&again);
    }
    buf_fini(&bytes);
    return s;
}

static void test_round_trip(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct err err;
    struct snapshot *s = round_trip(&f.spec, &err);
    assert_non_null(s);
    assert_true(s->spec.generation == f.spec.generation);
    assert_true(s->spec.tls);
    assert_true(s->spec.no_tickets);
    assert_int_equal(s->spec.public_port, 5858);
    assert_true(str_eq(s->spec.domain, STR("wos.localhost")));
    assert_memory_equal(&s->spec.limits, &limits_default, sizeof(limits_default));
    assert_int_equal(s->spec.policy_count, 2);
    assert_int_equal(s->spec.policies[0].allow_count, 0);
    assert_memory_equal(s->spec.policies[1].allow, f.allow, sizeof(f.allow));
    assert_int_equal(s->spec.policies[0].route_allow_count, 0);
    assert_int_equal(s->spec.policies[1].route_allow_count, 1);
    assert_memory_equal(s->spec.policies[1].route_allow, &f.allow[1], sizeof(f.allow[1]));
    assert_true(str_eq(s->spec.certs[1].key_pem, STR("key two")));
    assert_memory_equal(s->spec.ticket_keys, keys, sizeof(keys));
    assert_true(str_eq(s->spec.ca_pem, STR("authorities")));
    const struct route *r = &s->spec.routes[0];
    assert_true(str_eq(r->owner, STR("session-a")));
    assert_true(str_eq(r->worktree, STR("a")));
    assert_true(str_eq(r->service, STR("web")));
    assert_int_equal(r->service_port, 3000);
    assert_int_equal(r->port, 40001);
    assert_int_equal(r->policy, 1);
    assert_int_equal(s->spec.routes[1].backend, BACKEND_H2C);
    assert_int_equal(s->spec.routes[1].host_mode, ROUTE_HOST_REWRITE);
    assert_true(s->spec.routes[1].since_ms == UINT64_C(0x123456789a));
    assert_true(str_eq(s->spec.routes[1].phase, STR("health checks")));
    assert_int_equal(s->spec.hsts_seconds, 86400);
    assert_true(s->spec.access.has_secret);
    assert_memory_equal(&s->spec.access.key, &f.spec.access.key, SNAPSHOT_ACCESS_KEY);
    assert_memory_equal(&s->spec.access.digest, &f.spec.access.digest, SNAPSHOT_ACCESS_KEY);
    assert_int_equal(s->spec.access.revoked_count, 2);
    assert_memory_equal(s->spec.access.revoked, f.revoked, sizeof(f.revoked));
    assert_int_equal(s->spec.trusted_proxies.count, 2);
    assert_memory_equal(s->spec.trusted_proxies.items, f.allow, sizeof(f.allow));
    assert_int_equal(s->spec.proxy_protocol.count, 1);
    assert_int_equal(s->spec.policies[1].access, POLICY_SECRET);
    assert_int_equal(s->spec.policies[1].rate_per_second, 10);
    assert_int_equal(s->spec.policies[1].rate_burst, 20);
    assert_int_equal(s->spec.policies[1].exchanges_max, 30);
    assert_int_equal(s->spec.routes[2].state, ROUTE_STARTING);
    snapshot_unref(s);
}

static void test_empty(void **state)
{
    (void)state;
    struct snapshot_spec spec = {.tls_min = 2, .limits = limits_default};
    struct err err;
    struct snapshot *s = round_trip(&spec, &err);
    assert_non_null(s);
    assert_null(route_match(s, STR("a")));
    snapshot_unref(s);
    snapshot_unref(NULL);
}

static void test_references(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct snapshot *s = round_trip(&f.spec, NULL);
    assert_ptr_equal(snapshot_ref(s), s);
    snapshot_unref(s);
    assert_non_null(route_match(s, STR("b.wos.localhost")));
    snapshot_unref(s);
}

static void refused(const struct fixture *f, const char *says)
{
    struct err err;
    struct snapshot *s = round_trip(&f->spec, &err);
    if (s != NULL) {
        fail_msg("accepted, expected: %s", says);
    }
    if (strstr(err.msg, says) == NULL) {
        fail_msg("expected \"%s\", got: %s", says, err.msg);
    }
}

static void test_bad_hosts(void **state)
{
    (void)state;
    static const char *const hosts[] = {"",      "A.example",  "a.example.", "a.example:80", "a b",
                                        "a..b",  "*.example",  "[::0]x",     "[0::1]",       "a@b",
                                        "1.2.3", "a.example:", "[::1]:80"};
    for (size_t i = 0; i < COUNT_OF(hosts); i++) {
        struct fixture f;
        fixture_init(&f);
        f.routes[1].host = str_of(hosts[i]);
        refused(&f, "not a lower-case host name");
    }
    struct fixture f;
    fixture_init(&f);
    f.spec.domain = STR("Wos.Localhost");
    refused(&f, "domain");
}

static void test_bad_values(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.routes[2].host = f.routes[0].host;
    refused(&f, "two routes for a-web.wos.localhost");
    fixture_init(&f);
    f.routes[0].policy = 2;
    refused(&f, "a policy that is not there");
    fixture_init(&f);
    f.routes[0].route_class = 3;
    refused(&f, "unknown class");
    fixture_init(&f);
    f.routes[0].state = 4;
    refused(&f, "unknown state");
    fixture_init(&f);
    f.routes[0].host_mode = 2;
    refused(&f, "unknown host mode");
    fixture_init(&f);
    f.routes[0].backend = 4;
    refused(&f, "unknown backend");
    fixture_init(&f);
    f.policies[1].access = 2;
    refused(&f, "a policy that makes no sense");
    fixture_init(&f);
    f.policies[1].rate_burst = 0;
    refused(&f, "a policy that makes no sense");
    fixture_init(&f);
    f.revoked[1] = 7;
    refused(&f, "revoked logins are not in order");
    fixture_init(&f);
    f.spec.tls_min = 1;
    refused(&f, "TLS 1.1 as the least version");
    fixture_init(&f);
    f.routes[0].port = 0;
    refused(&f, "no port though it is live");
    fixture_init(&f);
    f.spec.cert_count = 0;
    refused(&f, "TLS without a certificate");
    fixture_init(&f);
    f.certs[1].key_pem = STR_NONE;
    refused(&f, "empty certificate or key");
    fixture_init(&f);
    f.allow[0].bits = 33;
    refused(&f, "bad prefix");
    fixture_init(&f);
    f.allow[1].family = 5;
    refused(&f, "bad prefix");
    fixture_init(&f);
    f.spec.limits.header_bytes_max = 0;
    refused(&f, "limit 11 is 0");
    fixture_init(&f);
    f.spec.limits.connections_max = 0;
    refused(&f, "limit 15 is 0");
}

/* Both were refused although config.json allows them. */
static void test_limits_that_may_be_zero(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.spec.limits.upstream_idle_max = 0;
    f.spec.limits.response_timeout_ms = 0;
    struct err err;
    struct snapshot *s = round_trip(&f.spec, &err);
    assert_non_null(s);
    snapshot_unref(s);
}

/* Every strict prefix is refused, every changed byte gives a snapshot or an
 * error; the sanitiser watches. */
static void test_cut_and_changed(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct buf bytes = {0};
    snapshot_encode(&f.spec, &bytes);
    for (size_t len = 0; len < bytes.len; len++) {
        char *exact = xmalloc(len + 1);
        memcpy(exact, bytes.ptr, len);
        struct err err;
        assert_null(snapshot_decode((struct str){exact, len}, &err));
        assert_int_equal(err.code, ERR_REFUSED);
        free(exact);
    }
    for (size_t at = 0; at < bytes.len; at++) {
        char old = bytes.ptr[at];
        bytes.ptr[at] = (char)(old ^ 0xff);
        snapshot_unref(snapshot_decode(buf_str(&bytes), NULL));
        bytes.ptr[at] = (char)(old + 1);
        snapshot_unref(snapshot_decode(buf_str(&bytes), NULL));
        bytes.ptr[at] = old;
    }
    struct err err;
    buf_add_char(&bytes, 0);
    assert_null(snapshot_decode(buf_str(&bytes), &err));
    assert_non_null(strstr(err.msg, "1 bytes too many"));
    bytes.ptr[4] = 1;
    assert_null(snapshot_decode(buf_str(&bytes), &err));
    assert_non_null(strstr(err.msg, "version 1"));
    assert_null(snapshot_decode(STR_NONE, &err));
    buf_fini(&bytes);
}

/* With and without the one before, it is the same snapshot or the same error. */
static struct snapshot *decode_both(struct str bytes, const struct snapshot *before)
{
    struct err err = {.msg = ""};
    struct err err_after = {.msg = ""};
    struct snapshot *plain = snapshot_decode(bytes, &err);
    struct snapshot *after = snapshot_decode_after(bytes, before, &err_after);
    assert_int_equal(plain == NULL, after == NULL);
    if (after == NULL) {
        assert_string_equal(err.msg, err_after.msg);
        return NULL;
    }
    struct buf again = {0};
    snapshot_encode(&after->spec, &again);
    assert_true(str_eq(bytes, buf_str(&again)));
    buf_fini(&again);
    for (uint32_t i = 0; i < after->spec.route_count; i++) {
        struct str host = after->spec.routes[i].host;
        assert_ptr_equal(route_match(after, host), &after->spec.routes[i]);
    }
    assert_null(route_match(after, STR("nobody.wos.localhost")));
    snapshot_unref(plain);
    return after;
}

/* A letter is a route; a capital one has another port. */
static void set_routes(struct fixture *f, const char *letters, struct route *routes, char *names)
{
    size_t count = strlen(letters);
    for (size_t i = 0; i < count; i++) {
        names[4 * i] = (char)(letters[i] | 0x20);
        memcpy(&names[4 * i + 1], ".xy", 3);
        routes[i] = f->routes[0];
        routes[i].host = (struct str){&names[4 * i], 4};
        routes[i].port = letters[i] < 'a' ? 1 : 2;
    }
    f->spec.routes = routes;
    f->spec.route_count = (uint32_t)count;
}

static void test_decode_after(void **state)
{
    (void)state;
    enum { MOST = 16 };
    static const char *const steps[] = {"abcdefgh", "abcDefgh", "abcdefgh", "abdefgh", "xabdefgh",
                                        "xabdefgY", "hgfedcba", "hgfedcb",  "",        "a",
                                        "ab",       "aB",       "aa",       "ba",      "abcdefgH",
                                        "abCDEFgh", "abgh",     "abxyzgh",  "ghabxyz"};
    struct fixture f;
    fixture_init(&f);
    struct snapshot *before = NULL;
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        struct route routes[MOST];
        char names[4 * MOST];
        struct buf bytes = {0};
        set_routes(&f, steps[i], routes, names);
        snapshot_encode(&f.spec, &bytes);
        struct snapshot *now = decode_both(buf_str(&bytes), before);
        assert_int_equal(now == NULL, strcmp(steps[i], "aa") == 0);
        if (now != NULL) {
            snapshot_unref(before);
            before = now;
        }
        buf_fini(&bytes);
    }
    snapshot_unref(before);
}

/* How many of the routes of `after` are taken over from `before` without a look at each member: a
 * mark that is in memory alone shows them. */
static uint32_t count_taken(struct fixture *f, const char *before, const char *after)
{
    enum { MOST = 16, MARK = 77777 };
    struct route routes[MOST];
    char names[4 * MOST];
    struct buf bytes = {0};
    set_routes(f, before, routes, names);
    snapshot_encode(&f->spec, &bytes);
    struct snapshot *old = snapshot_decode(buf_str(&bytes), NULL);
    assert_non_null(old);
    for (uint32_t i = 0; i < old->spec.route_count; i++) {
        ((struct route *)(uintptr_t)&old->spec.routes[i])->since_ms = MARK;
    }
    bytes.len = 0;
    set_routes(f, after, routes, names);
    snapshot_encode(&f->spec, &bytes);
    struct snapshot *now = snapshot_decode_after(buf_str(&bytes), old, NULL);
    assert_non_null(now);
    uint32_t count = 0;
    for (uint32_t i = 0; i < now->spec.route_count; i++) {
        count += now->spec.routes[i].since_ms == MARK ? 1 : 0;
    }
    snapshot_unref(now);
    snapshot_unref(old);
    buf_fini(&bytes);
    return count;
}

/* Two that changed side by side put all behind them on the slow path. */
static void test_neighbours_that_changed_slow_no_others(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    assert_int_equal(count_taken(&f, "abcdefgh", "abcdefgh"), 8);
    assert_int_equal(count_taken(&f, "abcdefgh", "abCDefgh"), 6);
    assert_int_equal(count_taken(&f, "abcdefgh", "abCDEfgh"), 5);
    assert_int_equal(count_taken(&f, "abcdefgh", "abxyzcdefgh"), 8);
    assert_int_equal(count_taken(&f, "abcdefgh", "abfgh"), 4); /* f shows where it goes on */
}

/* What was right before is looked at again where the rest of the snapshot decides. */
static void test_changed_after(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct buf bytes = {0};
    snapshot_encode(&f.spec, &bytes);
    struct snapshot *before = snapshot_decode(buf_str(&bytes), NULL);
    assert_non_null(before);
    for (size_t at = 0; at < bytes.len; at++) {
        char old = bytes.ptr[at];
        bytes.ptr[at] = (char)(old ^ 0xff);
        snapshot_unref(decode_both(buf_str(&bytes), before));
        bytes.ptr[at] = (char)(old + 1);
        snapshot_unref(decode_both(buf_str(&bytes), before));
        bytes.ptr[at] = old;
    }
    f.spec.policy_count = 1; /* the first route's is gone */
    bytes.len = 0;
    snapshot_encode(&f.spec, &bytes);
    assert_null(decode_both(buf_str(&bytes), before));
    snapshot_unref(before);
    buf_fini(&bytes);
}

static void test_cost_of_many_routes(void **state)
{
    (void)state;
    enum { MANY = 100000, NAME = 48 };
    struct fixture f;
    fixture_init(&f);
    struct route *routes = xcalloc(MANY, sizeof(*routes));
    char(*names)[NAME] = xcalloc(MANY, NAME);
    for (uint32_t i = 0; i < MANY; i++) {
        (void)snprintf(names[i], NAME, "feature-%06u-webserver.wos.localhost", i);
        routes[i] = f.routes[0];
        routes[i].host = str_of(names[i]);
        routes[i].owner = STR("project-feature-000000");
        routes[i].worktree = STR("feature-000000");
        routes[i].service = STR("webserver");
    }
    f.spec.routes = routes;
    f.spec.route_count = MANY;
    struct buf bytes = {0};
    snapshot_encode(&f.spec, &bytes);
    struct snapshot *s = snapshot_decode(buf_str(&bytes), NULL);
    assert_non_null(s);
    assert_in_range(s->arena.used / MANY, 100, 250);
    for (uint32_t i = 0; i < MANY; i++) {
        assert_ptr_equal(route_match(s, str_of(names[i])), &s->spec.routes[i]);
    }
    snapshot_unref(s);
    buf_fini(&bytes);
    free(names);
    free(routes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_bad_hosts),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_limits_that_may_be_zero),
        cmocka_unit_test(test_cut_and_changed),
        cmocka_unit_test(test_decode_after),
        cmocka_unit_test(test_neighbours_that_changed_slow_no_others),
        cmocka_unit_test(test_changed_after),
        cmocka_unit_test(test_cost_of_many_routes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
