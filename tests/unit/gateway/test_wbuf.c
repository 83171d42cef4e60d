/* Queues of bytes and the pool their memory comes from. */
#include "gateway/wbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"

static void test_empty(void **state)
{
    (void)state;
    struct wbuf_pool pool = {0};
    struct wbuf b = {0};
    assert_int_equal(wbuf_len(&b), 0);
    wbuf_add(&pool, &b, NULL, 0);
    assert_null(b.ptr);
    wbuf_release(&pool, &b);
    assert_int_equal(pool.count, 0);
    wbuf_pool_fini(&pool);
}

static void test_far_too_much(void **state)
{
    (void)state;
    struct wbuf_pool pool = {0};
    struct wbuf b = {0};
    wbuf_add_str(&pool, &b, STR("kept"));
    assert_null(wbuf_reserve(&pool, &b, (size_t)1 << 30));
    assert_true(b.failed);
    assert_null(wbuf_reserve(&pool, &b, 1));
    wbuf_release(&pool, &b);
    assert_null(wbuf_reserve(&pool, &b, SIZE_MAX));
    assert_true(b.failed);
    wbuf_release(&pool, &b);
    wbuf_pool_fini(&pool);
}

static void test_order(void **state)
{
    (void)state;
    struct wbuf_pool pool = {0};
    struct wbuf b = {0};
    wbuf_add_str(&pool, &b, STR("one "));
    char *to = wbuf_reserve(&pool, &b, 4);
    memcpy(to, "two ", 4);
    wbuf_commit(&b, 4);
    wbuf_add(&pool, &b, "three", 5);
    wbuf_consume(&pool, &b, 2);
    assert_int_equal(wbuf_len(&b), 11);
    assert_memory_equal(wbuf_data(&b), "e two three", 11);
    wbuf_consume(&pool, &b, 11);
    assert_null(b.ptr); /* an empty queue owns nothing */
    assert_int_equal(pool.small_count, 1);
    wbuf_pool_fini(&pool);
    assert_int_equal(pool.small_count, 0);
}

static void add_bytes(struct wbuf_pool *pool, struct wbuf *b, size_t len)
{
    char *to = wbuf_reserve(pool, b, len);
    assert_non_null(to);
    memset(to, 'x', len);
    wbuf_commit(b, len);
}

static void test_memory_is_used_again(void **state)
{
    (void)state;
    struct wbuf_pool pool = {0};
    const size_t sizes[] = {WBUF_SMALL, WBUF_SIZE};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct wbuf a = {0};
        struct wbuf b = {0};
        add_bytes(&pool, &a, sizes[i]);
        const char *first = a.ptr;
        assert_int_equal(a.cap, sizes[i]);
        wbuf_release(&pool, &a);
        assert_int_equal(pool.small_count + pool.count, i + 1);
        add_bytes(&pool, &b, sizes[i]);
        assert_ptr_equal(b.ptr, first);
        assert_int_equal(pool.small_count + pool.count, i);
        wbuf_release(&pool, &b);
    }
    wbuf_pool_fini(&pool);
}

static void test_a_small_one_grows(void **state)
{
    (void)state;
    struct wbuf_pool pool = {0};
    struct wbuf b = {0};
    wbuf_add(&pool, &b, "head", 4);
    assert_int_equal(b.cap, WBUF_SMALL);
    add_bytes(&pool, &b, WBUF_SMALL);
    assert_int_equal(b.cap, WBUF_SIZE);
    assert_int_equal(pool.small_count, 1); /* what it grew out of */
    assert_memory_equal(wbuf_data(&b), "headx", 5);
    wbuf_release(&pool, &b);
    wbuf_pool_fini(&pool);
}

static void test_start_takes_no_more_than_needed(void **state)
{
    (void)state;
    struct wbuf_pool pool = {0};
    struct wbuf a = {0};
    struct wbuf b = {0};
    wbuf_start(&pool, &a, 1);
    wbuf_start(&pool, &b, 5000);
    assert_int_equal(a.cap, WBUF_SMALL);
    assert_int_equal(b.cap, 5000);
    wbuf_release(&pool, &a);
    wbuf_release(&pool, &b);
    assert_int_equal(pool.small_count, 1);
    assert_int_equal(pool.count, 0);
    wbuf_pool_fini(&pool);
}

static void test_big_ones_are_not_pooled(void **state)
{
    (void)state;
    struct wbuf_pool pool = {0};
    struct wbuf b = {0};
    add_bytes(&pool, &b, WBUF_SIZE);
    add_bytes(&pool, &b, WBUF_SIZE + 1);
    assert_int_equal(wbuf_len(&b), 2 * WBUF_SIZE + 1);
    assert_int_equal(pool.count, 1); /* what it grew out of */
    wbuf_release(&pool, &b);
    assert_int_equal(pool.count, 1);
    assert_int_equal(pool.small_count, 0);
    wbuf_pool_fini(&pool);
}

static void test_pool_is_bounded(void **state)
{
    (void)state;
    struct wbuf_pool pool = {0};
    struct wbuf small[WBUF_SMALL_MAX + 8] = {{0}};
    struct wbuf many[WBUF_POOL_MAX + 8] = {{0}};
    for (size_t i = 0; i < COUNT_OF(small); i++) {
        add_bytes(&pool, &small[i], 1);
    }
    for (size_t i = 0; i < COUNT_OF(many); i++) {
        add_bytes(&pool, &many[i], WBUF_SMALL + 1);
    }
    for (size_t i = 0; i < COUNT_OF(small); i++) {
        wbuf_release(&pool, &small[i]);
    }
    for (size_t i = 0; i < COUNT_OF(many); i++) {
        wbuf_release(&pool, &many[i]);
    }
    assert_int_equal(pool.count, WBUF_POOL_MAX);
    assert_int_equal(pool.small_count, WBUF_SMALL_MAX);
    wbuf_pool_fini(&pool);
}

/* Against a model: whatever is added and taken, the bytes stay in order. */
static void test_long_run(void **state)
{
    (void)state;
    struct wbuf_pool pool = {0};
    struct wbuf b = {0};
    uint8_t next_in = 0;
    uint8_t next_out = 0;
    uint32_t seed = 1;
    size_t largest = 0;
    for (int round = 0; round < 3000; round++) {
        seed = seed * 1664525u + 1013904223u;
        size_t add = (seed >> 8) % 20000;
        char *to = wbuf_reserve(&pool, &b, add);
        for (size_t i = 0; i < add; i++) {
            to[i] = (char)next_in++;
        }
        wbuf_commit(&b, add);
        seed = seed * 1664525u + 1013904223u;
        size_t len = wbuf_len(&b);
        size_t take = len < 60000 ? (seed >> 8) % (len + 1) : len - 100;
        for (size_t i = 0; i < take; i++) {
            assert_int_equal((uint8_t)wbuf_data(&b)[i], next_out++);
        }
        wbuf_consume(&pool, &b, take);
        assert_int_equal(wbuf_len(&b), len - take);
        largest = b.cap > largest ? b.cap : largest;
    }
    /* Never more than 80,000 bytes were in it: it must not have grown for ever. */
    assert_true(largest <= 2 * (size_t)WBUF_SIZE);
    wbuf_release(&pool, &b);
    wbuf_pool_fini(&pool);
}

/* A frame's head is written in front of its payload: where room was left, or over what has gone. */
static void test_front(void **state)
{
    (void)state;
    struct wbuf_pool pool = {0};
    struct wbuf b = {0};
    assert_null(wbuf_front(&b, 3));
    wbuf_leave_front(&pool, &b, 3, 5);
    assert_int_equal(wbuf_len(&b), 0);
    assert_null(wbuf_front(&b, 3)); /* of nothing */
    wbuf_add_str(&pool, &b, STR("one, two"));
    wbuf_leave_front(&pool, &b, 3, 5); /* it is not empty: nothing changes */
    assert_int_equal(wbuf_len(&b), 8);
    assert_null(wbuf_front(&b, 4));
    memcpy(wbuf_front(&b, 3), "<1>", 3);
    assert_memory_equal(wbuf_data(&b) - 3, "<1>one, two", 11);
    wbuf_consume(&pool, &b, 5);
    memcpy(wbuf_front(&b, 3), "<2>", 3);
    assert_memory_equal(wbuf_data(&b) - 3, "<2>two", 6);
    wbuf_consume(&pool, &b, 3);
    assert_null(b.ptr); /* back in the pool */
    wbuf_pool_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_far_too_much),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_memory_is_used_again),
        cmocka_unit_test(test_a_small_one_grows),
        cmocka_unit_test(test_start_takes_no_more_than_needed),
        cmocka_unit_test(test_big_ones_are_not_pooled),
        cmocka_unit_test(test_pool_is_bounded),
        cmocka_unit_test(test_long_run),
        cmocka_unit_test(test_front),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
