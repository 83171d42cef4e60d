/* Tests of base/arena: alignment, growth, reset. */
#include "base/arena.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
// clang-format off
#include <cmocka.h>
// clang-format on

static void test_pieces_do_not_overlap(void **state)
{
    (void)state;
    enum { PIECES = 2000 };
    static unsigned char *pieces[PIECES];
    struct arena a;
    arena_init(&a, 64);
    for (size_t i = 0; i < PIECES; i++) {
        size_t size = i % 97;
        pieces[i] = arena_alloc(&a, size);
        assert_int_equal((uintptr_t)pieces[i] % alignof(max_align_t), 0);
        memset(pieces[i], (int)(i & 0xff), size);
    }
    for (size_t i = 0; i < PIECES; i++) {
        for (size_t k = 0; k < i % 97; k++) {
            assert_int_equal(pieces[i][k], i & 0xff);
        }
    }
    arena_fini(&a);
}

static void test_large_and_zeroed(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    unsigned char *large = arena_zalloc(&a, 300000);
    assert_int_equal(large[0], 0);
    assert_int_equal(large[299999], 0);
    assert_true(a.used >= 300000);
    assert_null(arena_try_alloc(&a, SIZE_MAX));
    assert_null(arena_try_alloc(&a, SIZE_MAX - 16));
    assert_non_null(arena_alloc(&a, 1));
    arena_fini(&a);
}

static void test_reset_reuses_the_first_block(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 256);
    void *first = arena_alloc(&a, 16);
    for (int i = 0; i < 100; i++) {
        (void)arena_alloc(&a, 100);
    }
    arena_reset(&a);
    assert_int_equal(a.used, 0);
    assert_ptr_equal(arena_alloc(&a, 16), first);
    arena_fini(&a);
    arena_fini(&a); /* twice is harmless */
}

static void test_strings(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    struct str copy = arena_str(&a, (struct str){"abcdef", 3});
    assert_int_equal(copy.len, 3);
    assert_string_equal(copy.ptr, "abc");
    assert_string_equal(arena_str(&a, STR_NONE).ptr, "");
    assert_string_equal(arena_strdup(&a, "x"), "x");
    assert_string_equal(arena_printf(&a, "%s-%d", "n", 5), "n-5");
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_do_not_overlap),
        cmocka_unit_test(test_large_and_zeroed),
        cmocka_unit_test(test_reset_reuses_the_first_block),
        cmocka_unit_test(test_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
