/* The token bucket and the exchanges under way of a route, by a clock of the test's own. */
#include "gateway/quota.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"

enum { SECOND_US = 1000000, START_US = 5 * SECOND_US };

/* One route per policy, named a.test, b.test, …; tls off. */
static struct snapshot *snapshot_of(const struct policy *policies, uint32_t count)
{
    static const struct str hosts[] = {{"a.test", 6}, {"b.test", 6}, {"c.test", 6}};
    struct route routes[COUNT_OF(hosts)];
    assert_true(count <= COUNT_OF(hosts));
    for (uint32_t i = 0; i < count; i++) {
        routes[i] = (struct route){
            .host = hosts[i], .owner = STR("test"), .service = STR("s"), .port = 80, .policy = i};
    }
    struct snapshot_spec spec = {.generation = 1,
                                 .tls_min = 2,
                                 .public_port = 80,
                                 .limits = limits_default,
                                 .routes = routes,
                                 .route_count = count,
                                 .policies = policies,
                                 .policy_count = count};
    struct buf bytes = {0};
    struct err err = {0};
    snapshot_encode(&spec, &bytes);
    struct snapshot *s = snapshot_decode(buf_str(&bytes), &err);
    if (s == NULL) {
        fail_msg("%s", err.msg);
    }
    buf_fini(&bytes);
    return s;
}

static uint32_t ask(struct quota_set *set, const struct snapshot *s, const char *host,
                    uint64_t now_us)
{
    struct quota *q;
    const struct route *route = route_match(s, str_of(host));
    assert_non_null(route);
    uint32_t wait_s = quota_enter(set, s, route, now_us, &q);
    quota_leave(q);
    return wait_s;
}

static struct quota_set *make_set(const struct snapshot *now, const struct snapshot *before,
                                  const struct quota_set *old)
{
    struct quota_set *set = NULL;
    assert_true(quota_set_new(now, before, old, &set));
    return set;
}

static void test_no_limit_no_set(void **state)
{
    (void)state;
    static const struct policy open_policy;
    struct snapshot *s = snapshot_of(&open_policy, 1);
    assert_false(quota_is_needed(&open_policy));
    assert_null(make_set(s, NULL, NULL));
    assert_null(quota_set_ref(NULL));
    assert_int_equal(ask(NULL, s, "a.test", START_US), 0);
    quota_set_unref(NULL);
    snapshot_unref(s);
}

static void test_burst_then_rate(void **state)
{
    (void)state;
    const struct policy policy = {.rate_per_second = 2, .rate_burst = 3};
    struct snapshot *s = snapshot_of(&policy, 1);
    struct quota_set *set = make_set(s, NULL, NULL);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(set, s, "a.test", START_US), 0);
    }
    assert_int_equal(ask(set, s, "a.test", START_US), 1);
    assert_int_equal(ask(set, s, "a.test", START_US + SECOND_US / 2 - 1), 1);
    assert_int_equal(ask(set, s, "a.test", START_US + SECOND_US / 2), 0);
    assert_int_equal(ask(set, s, "a.test", START_US + SECOND_US / 2), 1);
    uint64_t later_us = START_US + 60 * (uint64_t)SECOND_US; /* full, not fuller */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(set, s, "a.test", later_us), 0);
    }
    assert_int_equal(ask(set, s, "a.test", later_us), 1);
    quota_set_unref(set);
    snapshot_unref(s);
}

static void test_refusals_cost_no_token(void **state)
{
    (void)state;
    const struct policy policy = {.rate_per_second = 1, .rate_burst = 1};
    struct snapshot *s = snapshot_of(&policy, 1);
    struct quota_set *set = make_set(s, NULL, NULL);
    assert_int_equal(ask(set, s, "a.test", START_US), 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(ask(set, s, "a.test", START_US + SECOND_US / 2), 1);
    }
    assert_int_equal(ask(set, s, "a.test", START_US + SECOND_US), 0);
    quota_set_unref(set);
    snapshot_unref(s);
}

static void test_exchanges_under_way(void **state)
{
    (void)state;
    const struct policy policy = {.exchanges_max = 2};
    struct snapshot *s = snapshot_of(&policy, 1);
    struct quota_set *set = make_set(s, NULL, NULL);
    const struct route *route = &s->spec.routes[0];
    struct quota *held[2];
    struct quota *refused;
    assert_int_equal(quota_enter(set, s, route, START_US, &held[0]), 0);
    assert_int_equal(quota_enter(set, s, route, START_US, &held[1]), 0);
    assert_int_equal(quota_enter(set, s, route, START_US, &refused), 1);
    assert_null(refused);
    quota_leave(held[0]);
    assert_int_equal(quota_enter(set, s, route, START_US, &held[0]), 0);
    quota_set_unref(set); /* what is under way outlives its snapshot */
    snapshot_unref(s);
    quota_leave(held[0]);
    quota_leave(held[1]);
}

static void test_routes_are_apart(void **state)
{
    (void)state;
    const struct policy policies[] = {
        {.rate_per_second = 1, .rate_burst = 1}, {.rate_per_second = 1, .rate_burst = 1}, {0}};
    struct snapshot *s = snapshot_of(policies, 3);
    struct quota_set *set = make_set(s, NULL, NULL);
    assert_int_equal(ask(set, s, "a.test", START_US), 0);
    assert_int_equal(ask(set, s, "a.test", START_US), 1);
    assert_int_equal(ask(set, s, "b.test", START_US), 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(ask(set, s, "c.test", START_US), 0);
    }
    quota_set_unref(set);
    snapshot_unref(s);
}

static void test_publishing_refills_nothing(void **state)
{
    (void)state;
    const struct policy large = {.rate_per_second = 1, .rate_burst = 100};
    const struct policy small[] = {{0}, {.rate_per_second = 1, .rate_burst = 1}};
    struct snapshot *before = snapshot_of(&large, 1);
    struct quota_set *old = make_set(before, NULL, NULL);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(ask(old, before, "a.test", START_US), 0);
    }
    struct snapshot *same = snapshot_of(&large, 1);
    struct quota_set *set = make_set(same, before, old);
    quota_set_unref(old);
    snapshot_unref(before);
    assert_int_equal(ask(set, same, "a.test", START_US), 1);
    /* A smaller burst counts from now on: nobody waits for the old one. */
    const struct policy other = {.rate_per_second = 1, .rate_burst = 1};
    struct snapshot *now = snapshot_of(&other, 1);
    struct quota_set *last = make_set(now, same, set);
    assert_int_equal(ask(last, now, "a.test", START_US), 1);
    assert_int_equal(ask(last, now, "a.test", START_US + 100 * (uint64_t)SECOND_US), 0);
    struct snapshot *gone = snapshot_of(small, 2);
    struct quota_set *without = make_set(gone, now, last);
    assert_int_equal(ask(without, gone, "a.test", START_US), 0);
    quota_set_unref(without);
    quota_set_unref(last);
    quota_set_unref(set);
    snapshot_unref(gone);
    snapshot_unref(now);
    snapshot_unref(same);
}

static void test_extreme_values(void **state)
{
    (void)state;
    const struct policy policies[] = {{.rate_per_second = UINT32_MAX, .rate_burst = UINT32_MAX},
                                      {.rate_per_second = 1, .rate_burst = UINT32_MAX},
                                      {.rate_per_second = 1, .rate_burst = 1}};
    struct snapshot *s = snapshot_of(policies, 3);
    struct quota_set *set = make_set(s, NULL, NULL);
    assert_int_equal(ask(set, s, "a.test", UINT64_MAX / 4000), 0);
    assert_int_equal(ask(set, s, "b.test", UINT64_MAX / 4000), 0);
    assert_int_equal(ask(set, s, "c.test", 0), 0);
    assert_int_equal(ask(set, s, "c.test", 0), 1);
    quota_set_unref(set);
    snapshot_unref(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_limit_no_set),
        cmocka_unit_test(test_burst_then_rate),
        cmocka_unit_test(test_refusals_cost_no_token),
        cmocka_unit_test(test_exchanges_under_way),
        cmocka_unit_test(test_routes_are_apart),
        cmocka_unit_test(test_publishing_refills_nothing),
        cmocka_unit_test(test_extreme_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
