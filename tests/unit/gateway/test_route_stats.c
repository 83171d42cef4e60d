/* route_stats: bounded, merged by host, rid of what a snapshot no longer has; peer_text beside it.
 */
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

enum { ROUTES_MAX = 200 };

static struct route_counts *at(struct route_stats *t, unsigned number)
{
    char host[32];
    int len = snprintf(host, sizeof host, "h%u.test", number);
    const struct route route = {
        .host = {host, (size_t)len}, .worktree = STR("w"), .service = STR("s")};
    return route_stats_at(t, &route);
}

/* With the routes h0.test to h<count - 1>.test. */
static struct snapshot *snapshot_of(unsigned count)
{
    static char hosts[ROUTES_MAX][16];
    static struct route routes[ROUTES_MAX];
    for (unsigned i = 0; i < count; i++) {
        int len = snprintf(hosts[i], sizeof hosts[i], "h%u.test", i);
        routes[i] = (struct route){.host = {hosts[i], (size_t)len}, .port = 1};
    }
    const struct policy policy = {0};
    const struct snapshot_spec spec = {.generation = 1,
                                       .tls_min = 2,
                                       .public_port = 443,
                                       .limits = limits_default,
                                       .routes = routes,
                                       .route_count = count,
                                       .policies = &policy,
                                       .policy_count = 1};
    struct buf bytes = {0};
    struct err err = {0};
    snapshot_encode(&spec, &bytes);
    struct snapshot *snapshot = snapshot_decode(buf_str(&bytes), &err);
    assert_non_null(snapshot);
    buf_fini(&bytes);
    return snapshot;
}

static void test_count_and_bound(void **state)
{
    (void)state;
    const uint32_t sizes[] = {0, 1, 3, 200};
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        struct route_stats *t = route_stats_new(sizes[s]);
        for (unsigned round = 0; round < 3; round++) {
            for (unsigned i = 0; i < sizes[s] + 50; i++) {
                at(t, i)->requests++;
            }
        }
        assert_int_equal(t->count, sizes[s]);
        for (unsigned i = 0; i < sizes[s]; i++) {
            assert_int_equal(at(t, i)->requests, 3);
        }
        assert_int_equal(t->other.requests, 150);
        route_stats_free(t);
    }
    route_stats_free(NULL);
}

static void test_labels_are_cut_between_characters(void **state)
{
    (void)state;
    char name[200];
    for (size_t i = 0; i < sizeof name; i += 2) {
        memcpy(name + i, "\xc3\xa9", 2);
    }
    const struct route route = {
        .host = STR("a.test"), .worktree = {name, sizeof name}, .service = STR_NONE};
    struct route_stats *t = route_stats_new(1);
    route_stats_at(t, &route)->requests++;
    assert_int_equal(strlen(t->rows[0].worktree), ROUTE_LABEL_MAX - 1);
    assert_memory_equal(t->rows[0].worktree, name, ROUTE_LABEL_MAX - 1);
    assert_string_equal(t->rows[0].service, "");
    route_stats_free(t);
}

/* What the workers have for one route goes to one row, or all of it to `other`. */
static void test_merge(void **state)
{
    (void)state;
    struct route_stats *told = route_stats_new(10);
    struct route_stats *worker = route_stats_new(30);
    for (unsigned i = 0; i < 30; i++) {
        struct route_counts *c = at(worker, i);
        c->requests = i + 1;
        c->responses[2] = i + 1;
        c->latency[13] = 2;
        c->faults[3] = 5;
    }
    worker->other.requests = 7;
    route_stats_merge(told, worker);
    route_stats_merge(told, worker);
    assert_int_equal(told->count, 10);
    assert_string_equal(told->rows[9].host, "h9.test");
    assert_string_equal(told->rows[9].worktree, "w");
    assert_string_equal(told->rows[9].service, "s");
    assert_int_equal(told->rows[9].counts.requests, 20);
    assert_int_equal(told->rows[9].counts.responses[2], 20);
    assert_int_equal(told->rows[9].counts.latency[13], 4);
    assert_int_equal(told->rows[9].counts.faults[3], 10);
    assert_int_equal(told->other.requests, 2 * (30 * 31 / 2 - 10 * 11 / 2 + 7));
    assert_int_equal(told->other.faults[3], 2 * 20 * 5);
    route_stats_free(worker);
    route_stats_free(told);
}

/* A row is not given for nothing, and one that is there is there in every worker. */
static void test_seed(void **state)
{
    (void)state;
    struct snapshot *snapshot = snapshot_of(20);
    struct route_stats *told = route_stats_new(10);
    struct route_stats *fresh = route_stats_new(10);
    for (unsigned i = 15; i < 25; i++) {
        at(told, i)->requests = 100;
    }
    route_stats_seed(fresh, told, snapshot);
    assert_int_equal(fresh->count, 5); /* h20 and up went */
    for (unsigned i = 0; i < 20; i++) {
        at(fresh, i)->requests++;
    }
    assert_int_equal(at(fresh, 19)->requests, 1);
    assert_int_equal(fresh->other.requests, 10);
    struct route_stats *sum = route_stats_new(20);
    route_stats_merge(sum, told);
    route_stats_merge(sum, fresh);
    assert_int_equal(at(sum, 15)->requests, 101);
    assert_int_equal(at(sum, 24)->requests, 100);
    assert_int_equal(sum->count, 15);
    struct route_stats *idle = route_stats_new(10);
    route_stats_seed(idle, told, snapshot);
    route_stats_merge(sum, idle);
    assert_int_equal(sum->count, 15);
    route_stats_free(idle);
    route_stats_free(sum);
    route_stats_free(fresh);
    route_stats_free(told);
    snapshot_unref(snapshot);
}

static void test_drop_gone(void **state)
{
    (void)state;
    struct snapshot *snapshot = snapshot_of(150);
    struct route_stats *t = route_stats_new(200);
    struct route_counts gone = {0};
    for (unsigned i = 100; i < 300; i++) {
        at(t, i)->requests = i;
    }
    route_stats_drop_gone(t, snapshot, &gone);
    assert_int_equal(t->count, 50);
    assert_int_equal(gone.requests, 150 * (150 + 299) / 2);
    for (unsigned i = 100; i < 150; i++) {
        assert_int_equal(at(t, i)->requests, i);
    }
    assert_int_equal(t->count, 50);
    for (unsigned i = 300; i < 450; i++) { /* there is room again */
        at(t, i)->requests++;
    }
    assert_int_equal(t->count, 200);
    assert_int_equal(t->other.requests, 0);
    route_stats_drop_gone(t, snapshot, NULL);
    assert_int_equal(t->count, 50);
    assert_int_equal(gone.requests, 150 * (150 + 299) / 2);
    route_stats_free(t);
    snapshot_unref(snapshot);
}

static void test_resize(void **state)
{
    (void)state;
    struct route_stats *t = route_stats_new(10);
    for (unsigned i = 0; i < 12; i++) {
        at(t, i)->requests++;
    }
    assert_ptr_equal(route_stats_resize(t, 10), t);
    t = route_stats_resize(t, 20);
    assert_int_equal(t->count, 10);
    assert_int_equal(t->other.requests, 2);
    at(t, 11)->requests++;
    assert_int_equal(t->count, 11);
    t = route_stats_resize(t, 4);
    assert_int_equal(t->count, 4);
    assert_string_equal(t->rows[3].host, "h3.test");
    assert_int_equal(t->other.requests, 9);
    route_stats_free(t);
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
        cmocka_unit_test(test_labels_are_cut_between_characters),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_seed),
        cmocka_unit_test(test_drop_gone),
        cmocka_unit_test(test_resize),
        cmocka_unit_test(test_peer_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
