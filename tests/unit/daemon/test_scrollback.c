/* What is kept of a program's output: the bound, the numbers, the streams, where one goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"
#include "daemon/scrollback.h"

static void assert_piece(const struct scrollback *s, uint64_t seq, size_t max, unsigned stream,
                         const char *text)
{
    unsigned found = 9;
    struct str piece = scrollback_piece(s, seq, max, &found);
    assert_int_equal(piece.len, strlen(text));
    assert_memory_equal(piece.ptr, text, piece.len);
    assert_int_equal(found, stream);
}

static void test_numbers_and_streams(void **state)
{
    (void)state;
    struct scrollback s;
    scrollback_init(&s, 100);
    assert_int_equal(scrollback_end(&s), 0);
    assert_piece(&s, 0, 10, 0, "");
    scrollback_add(&s, 0, STR("out"));
    scrollback_add(&s, 1, STR("err"));
    scrollback_add(&s, 1, STR("or"));
    scrollback_add(&s, 0, STR("x"));
    assert_int_equal(scrollback_end(&s), 9);
    assert_piece(&s, 0, 100, 0, "out");
    assert_piece(&s, 0, 2, 0, "ou");
    assert_piece(&s, 3, 100, 1, "error");
    assert_piece(&s, 5, 100, 1, "ror");
    assert_piece(&s, 8, 100, 0, "x");
    scrollback_fini(&s);
}

static void test_bound(void **state)
{
    (void)state;
    struct scrollback s;
    scrollback_init(&s, 10);
    for (int i = 0; i < 1000; i++) {
        scrollback_add(&s, i % 2 == 0 ? 0 : 1, STR("abc"));
        scrollback_trim(&s, UINT64_MAX);
        assert_true(s.bytes.len <= 10 + 3 + 10 / 4 && s.segment_count <= 6);
    }
    assert_int_equal(scrollback_end(&s), 3000);
    assert_int_equal(s.start, 2990);
    assert_piece(&s, 2990, 100, 0, "c");
    assert_piece(&s, 2991, 100, 1, "abc");
    /* A reader that may not lose anything holds it. */
    scrollback_add(&s, 0, STR("0123456789"));
    scrollback_trim(&s, 2995);
    assert_int_equal(s.start, 2995);
    assert_piece(&s, 2997, 100, 1, "abc");
    scrollback_trim(&s, 3007);
    assert_int_equal(s.start, 3000);
    scrollback_fini(&s);
}

static void test_segments_are_bounded(void **state)
{
    (void)state;
    struct scrollback s;
    scrollback_init(&s, (size_t)1 << 20);
    for (unsigned i = 0; i < 3 * SCROLLBACK_SEGMENTS_MAX; i++) {
        scrollback_add(&s, i % 2, STR("z"));
        assert_true(s.segment_count <= SCROLLBACK_SEGMENTS_MAX);
    }
    uint64_t end = scrollback_end(&s);
    assert_piece(&s, end - 1, 100, 1, "z");
    assert_piece(&s, end - 2, 100, 0, "z");
    scrollback_fini(&s);
}

static void test_resume(void **state)
{
    (void)state;
    struct scrollback s;
    scrollback_init(&s, 8);
    assert_int_equal(scrollback_resume(&s, 5), 0); /* of an earlier program */
    scrollback_add(&s, 0, STR("first\nsecond\nthird"));
    assert_int_equal(scrollback_resume(&s, 0), 0);
    scrollback_trim(&s, UINT64_MAX); /* "nd\nthird" */
    assert_int_equal(scrollback_resume(&s, 0), 13);
    assert_int_equal(scrollback_resume(&s, 11), 11);
    assert_int_equal(scrollback_resume(&s, 18), 18);
    assert_int_equal(scrollback_resume(&s, 99), 18);
    scrollback_add(&s, 0, STR("no line"));
    scrollback_trim(&s, UINT64_MAX);
    assert_int_equal(scrollback_resume(&s, 0), s.start);
    scrollback_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_and_streams),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_segments_are_bounded),
        cmocka_unit_test(test_resume),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
