/* Connections counted in all and by address, from several threads. */
#include "gateway/limit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"

static struct sockaddr_in6 address(const char *text)
{
    struct sockaddr_in6 out = {.sin6_family = AF_INET6};
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&out;
    if (inet_pton(AF_INET6, text, &out.sin6_addr) != 1) {
        assert_int_equal(inet_pton(AF_INET, text, &v4->sin_addr), 1);
        v4->sin_family = AF_INET;
    }
    return out;
}

static bool enter(struct limit *l, const char *text, uint32_t max, struct limit_cell **out_cell)
{
    struct sockaddr_in6 at = address(text);
    return limit_address_enter(l, (const struct sockaddr *)&at, max, out_cell);
}

static const struct limit_cell *find(struct limit *l, const char *text)
{
    struct sockaddr_in6 at = address(text);
    return limit_address_find(l, (const struct sockaddr *)&at);
}

static void test_total(void **state)
{
    (void)state;
    struct limit *l = limit_new(1024);
    assert_true(limit_enter(l, 2));
    assert_true(limit_enter(l, 2));
    assert_false(limit_enter(l, 2));
    assert_int_equal(limit_connections(l), 2);
    limit_leave(l);
    assert_true(limit_enter(l, 2));
    limit_leave(l);
    limit_leave(l);
    assert_int_equal(limit_connections(l), 0);
    limit_free(l);
}

static void test_cap_leaves_descriptors_for_services(void **state)
{
    (void)state;
    static const uint64_t cases[][2] = {{20000, 16000}, {1024, 816}, {5, 4}, {0, 1}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct limit *l = limit_new(cases[i][0]);
        assert_int_equal(limit_connections_cap(l), cases[i][1]);
        limit_free(l);
    }
}

static void test_address_at_its_limit(void **state)
{
    (void)state;
    struct limit *l = limit_new(1024);
    struct limit_cell *cells[4];
    assert_null(find(l, "192.0.2.1"));
    assert_true(enter(l, "192.0.2.1", 2, &cells[0]));
    assert_true(enter(l, "192.0.2.1", 2, &cells[1]));
    assert_ptr_equal(cells[0], cells[1]);
    assert_ptr_equal(find(l, "192.0.2.1"), cells[0]);
    assert_false(enter(l, "192.0.2.1", 2, &cells[2]));
    assert_true(enter(l, "192.0.2.2", 2, &cells[2])); /* nobody else pays for it */
    limit_address_leave(cells[0]);
    assert_true(enter(l, "192.0.2.1", 2, &cells[0]));
    for (int i = 0; i < 3; i++) {
        limit_address_leave(cells[i]);
    }
    assert_null(find(l, "192.0.2.1"));
    assert_null(find(l, "192.0.2.2"));
    limit_address_leave(NULL);
    limit_free(l);
}

static void test_what_counts_as_one_address(void **state)
{
    (void)state;
    static const struct {
        const char *one;
        const char *two;
        bool same;
    } cases[] = {
        {"192.0.2.1", "::ffff:192.0.2.1", true},
        {"2001:db8::1", "2001:db8::ffff:1:2:3", true},
        {"2001:db8:0:1::1", "2001:db8:0:2::1", false},
        {"192.0.2.1", "192.0.2.2", false},
        {"127.0.0.1", "::1", false},
        {"::", "::1", true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct limit *l = limit_new(1024);
        struct limit_cell *one;
        struct limit_cell *two;
        assert_true(enter(l, cases[i].one, 1, &one));
        assert_int_equal(enter(l, cases[i].two, 1, &two), !cases[i].same);
        limit_free(l);
    }
}

/* More addresses than cells: all are let in, memory is what it was, and it empties again. */
static void test_flood_of_addresses(void **state)
{
    (void)state;
    enum { ADDRESSES = LIMIT_BUCKETS * LIMIT_WAYS * 5 / 4 };
    struct limit *l = limit_new(1024);
    struct limit_cell **cells = xcalloc(ADDRESSES, sizeof(struct limit_cell *));
    size_t uncounted = 0;
    for (uint32_t i = 0; i < ADDRESSES; i++) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(i)};
        assert_true(limit_address_enter(l, (const struct sockaddr *)&at, 1, &cells[i]));
        uncounted += cells[i] == NULL;
    }
    assert_in_range(uncounted, ADDRESSES / 5, ADDRESSES / 2);
    for (uint32_t i = 0; i < ADDRESSES; i++) {
        limit_address_leave(cells[i]);
    }
    for (uint32_t i = 0; i < ADDRESSES; i += 1000) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(i)};
        assert_null(limit_address_find(l, (const struct sockaddr *)&at));
    }
    free(cells);
    limit_free(l);
}

enum { THREADS = 4, ROUNDS = 20000, MAX = 3 };

static _Atomic int inside;
static _Atomic int most;
static _Atomic int entered;

static void *enter_and_leave(void *arg)
{
    struct limit *l = arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct limit_cell *cell;
        if (!enter(l, "192.0.2.1", MAX, &cell)) {
            continue;
        }
        int now = atomic_fetch_add(&inside, 1) + 1;
        int seen = atomic_load(&most);
        while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now)) {
        }
        atomic_fetch_add(&entered, 1);
        atomic_fetch_sub(&inside, 1);
        limit_address_leave(cell);
    }
    return NULL;
}

static void test_several_threads(void **state)
{
    (void)state;
    struct limit *l = limit_new(1024);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, enter_and_leave, l), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_true(most <= MAX);
    assert_true(entered > 0);
    assert_null(find(l, "192.0.2.1"));
    limit_free(l);
}

static void test_peak(void **state)
{
    (void)state;
    struct limit *l = limit_new(1024);
    assert_int_equal(limit_take_peak(l), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(limit_enter(l, 3));
    }
    limit_leave(l);
    assert_int_equal(limit_take_peak(l), 3);
    assert_int_equal(limit_take_peak(l), 2);
    limit_free(l);
}

static void test_room_is_wanted_once(void **state)
{
    (void)state;
    struct limit *l = limit_new(1024);
    assert_false(limit_take_want(l));
    limit_want_room(l);
    limit_want_room(l);
    assert_true(limit_take_want(l));
    assert_false(limit_take_want(l));
    limit_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_total),
        cmocka_unit_test(test_cap_leaves_descriptors_for_services),
        cmocka_unit_test(test_address_at_its_limit),
        cmocka_unit_test(test_what_counts_as_one_address),
        cmocka_unit_test(test_flood_of_addresses),
        cmocka_unit_test(test_several_threads),
        cmocka_unit_test(test_peak),
        cmocka_unit_test(test_room_is_wanted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
