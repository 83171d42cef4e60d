/* route_stats: bounded, merged by host, pruned by a snapshot; peer_text beside it. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/auto.h"
#include "gateway/peer_text.h"
#include "gateway/route_stats.h"

static struct route_counts *at(struct route_stats *t, unsigned number)
{
    char host[32];
    int len = snprintf(host, sizeof host, "h%u.test", number);
    const struct route route = {
        .host = {host, (size_t)len}, .worktree = STR("w"), .service = STR("s")};
    return route_stats_at(t, &route);
}

static void test_count_and_bound(void **state)
{
    (void)state;
    struct route_stats *t = route_stats_new();
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < ROUTE_STATS_MAX + 500; i++) {
            at(t, i)->requests++;
        }
    }
    assert_int_equal(t->count, ROUTE_STATS_MAX);
    assert_int_equal(at(t, 5)->requests, 3);
    assert_int_equal(t->other.requests, 1500);
    route_stats_free(t);
    route_stats_free(NULL);
}

static void test_top_and_merge(void **state)
{
    (void)state;
    const struct route_entry *top[10];
    struct route_counts other = {0};
    struct route_stats *sum = route_stats_new();
    struct route_stats *worker = route_stats_new();
    for (unsigned i = 0; i < 50; i++) {
        struct route_counts *c = at(worker, i);
        c->requests = i;
        c->responses[2] = i;
        c->body_out = 10;
    }
    worker->other.requests = 7;
    route_stats_merge(sum, worker);
    route_stats_merge(sum, worker);
    assert_int_equal(route_stats_top(sum, top, COUNT_OF(top), &other), 10);
    assert_string_equal(top[0]->host, "h49.test");
    assert_string_equal(top[0]->worktree, "w");
    assert_string_equal(top[0]->service, "s");
    assert_int_equal(top[0]->counts.requests, 98);
    assert_int_equal(top[9]->counts.requests, 80);
    assert_int_equal(other.requests, 2 * (39 * 40 / 2) + 14);
    assert_int_equal(other.body_out, 40 * 20);
    route_stats_free(worker);
    route_stats_free(sum);
}

static void test_prune(void **state)
{
    (void)state;
    char hosts[10][16];
    struct route routes[10];
    const struct policy policy = {0};
    for (unsigned i = 0; i < 10; i++) {
        int len = snprintf(hosts[i], sizeof hosts[i], "h%u.test", i);
        routes[i] = (struct route){.host = {hosts[i], (size_t)len}, .port = 1};
    }
    const struct snapshot_spec spec = {.generation = 1,
                                       .tls_min = 2,
                                       .public_port = 443,
                                       .limits = limits_default,
                                       .routes = routes,
                                       .route_count = 10,
                                       .policies = &policy,
                                       .policy_count = 1};
    struct buf bytes = {0};
    struct err err = {0};
    snapshot_encode(&spec, &bytes);
    struct snapshot *snapshot = snapshot_decode(buf_str(&bytes), &err);
    assert_non_null(snapshot);
    struct route_stats *t = route_stats_new();
    for (unsigned i = 0; i < 100; i++) {
        at(t, i)->requests++;
    }
    route_stats_prune(t, snapshot);
    assert_int_equal(t->count, 100); /* there is room: a route may come back */
    for (unsigned i = 0; i < ROUTE_STATS_MAX; i++) {
        at(t, i)->requests++;
    }
    route_stats_prune(t, snapshot);
    assert_int_equal(t->count, 10);
    assert_int_equal(at(t, 3)->requests, 2);
    assert_int_equal(t->other.requests, 90 * 2 + ROUTE_STATS_MAX - 100);
    route_stats_free(t);
    snapshot_unref(snapshot);
    buf_fini(&bytes);
}

static void test_peer_text(void **state)
{
    (void)state;
    static struct peer_texts cache;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 1000; i++) {
            char expected[48];
            struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = (in_port_t)i};
            v4.sin_addr.s_addr = htonl(0x0a000000u + i);
            (void)snprintf(expected, sizeof expected, "10.0.%u.%u", i / 256, i % 256);
            const struct peer_text *text = peer_text(&cache, (const struct sockaddr *)&v4);
            assert_string_equal(text->text, expected);
            assert_false(text->is_v6);
            struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
            (void)snprintf(expected, sizeof expected, "2001:db8::%x", i + 1);
            assert_int_equal(inet_pton(AF_INET6, expected, &v6.sin6_addr), 1);
            text = peer_text(&cache, (const struct sockaddr *)&v6);
            assert_string_equal(text->text, expected);
            assert_true(text->is_v6);
        }
    }
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6};
    assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", &mapped.sin6_addr), 1);
    assert_string_equal(peer_text(&cache, (const struct sockaddr *)&mapped)->text, "192.0.2.1");
    const struct sockaddr none = {.sa_family = AF_UNSPEC};
    assert_string_equal(peer_text(&cache, &none)->text, "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_count_and_bound),
        cmocka_unit_test(test_top_and_merge),
        cmocka_unit_test(test_prune),
        cmocka_unit_test(test_peer_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
