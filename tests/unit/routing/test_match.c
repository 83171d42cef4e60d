/* Finding routes: exact names only, however full the index. */
#include "routing/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/auto.h"

static struct snapshot *with_routes(struct route *routes, uint32_t count)
{
    struct policy everyone = {.allow_count = 0};
    struct snapshot_spec spec = {.tls_min = 2,
                                 .limits = limits_default,
                                 .routes = routes,
                                 .route_count = count,
                                 .policies = &everyone,
                                 .policy_count = 1};
    struct buf bytes = {0};
    snapshot_encode(&spec, &bytes);
    struct err err;
    struct snapshot *s = snapshot_decode(buf_str(&bytes), &err);
    buf_fini(&bytes);
    if (s == NULL) {
        fail_msg("%s", err.msg);
    }
    return s;
}

static void test_exact(void **state)
{
    (void)state;
    struct route routes[] = {
        {.host = STR("a-web.wos.localhost"), .port = 1},
        {.host = STR("wos.localhost"), .port = 2},
        {.host = STR("[::1]"), .port = 3},
    };
    struct snapshot *s = with_routes(routes, COUNT_OF(routes));
    assert_int_equal(route_match(s, STR("a-web.wos.localhost"))->port, 1);
    assert_int_equal(route_match(s, STR("wos.localhost"))->port, 2);
    assert_int_equal(route_match(s, STR("[::1]"))->port, 3);
    assert_null(route_match(s, STR("b-web.wos.localhost")));
    assert_null(route_match(s, STR("x.a-web.wos.localhost")));
    assert_null(route_match(s, STR("a-web.wos.localhos")));
    assert_null(route_match(s, STR("A-WEB.wos.localhost")));
    assert_null(route_match(s, STR("")));
    snapshot_unref(s);
}

/* Every size around the powers of two where the index grows. */
static void test_every_size(void **state)
{
    (void)state;
    enum { MOST = 200 };
    struct route routes[MOST];
    char names[MOST][32];
    for (uint32_t i = 0; i < MOST; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "s%u.wos.localhost", i);
        routes[i] = (struct route){.host = str_of(names[i]), .port = (uint16_t)(i + 1)};
    }
    for (uint32_t count = 1; count <= MOST; count++) {
        struct snapshot *s = with_routes(routes, count);
        for (uint32_t i = 0; i < MOST; i++) {
            const struct route *route = route_match(s, str_of(names[i]));
            if (i < count) {
                assert_non_null(route);
                assert_int_equal(route->port, i + 1);
            } else {
                assert_null(route);
            }
        }
        snapshot_unref(s);
    }
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(route_class_name(ROUTE_SERVICE), "service");
    assert_string_equal(route_class_name(ROUTE_WEB_UI), "web-ui");
    assert_string_equal(route_class_name(ROUTE_PUBLISHED), "published");
    assert_string_equal(route_state_name(ROUTE_LIVE), "live");
    assert_string_equal(route_state_name(ROUTE_STARTING), "starting");
    assert_string_equal(route_state_name(ROUTE_FAILING), "failing");
    assert_string_equal(route_state_name(ROUTE_STOPPED), "stopped");
    assert_string_equal(route_state_name((enum route_state)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_every_size),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
