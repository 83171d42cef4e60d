/* The table that tells each id once in a while. */
#include "gateway/seen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { START = 1000003 };

static void test_once_in_a_while(void **state)
{
    (void)state;
    struct seen *s = seen_new();
    assert_true(seen_is_due(s, 7, START));
    assert_false(seen_is_due(s, 7, START));
    assert_true(seen_is_due(s, 8, START + 1));
    assert_false(seen_is_due(s, 7, START + SEEN_EVERY_MS - 1));
    assert_true(seen_is_due(s, 7, START + SEEN_EVERY_MS));
    assert_false(seen_is_due(s, 7, START + SEEN_EVERY_MS + 1));
    assert_false(seen_is_due(s, 8, START + SEEN_EVERY_MS));
    seen_free(s);
}

/* Ids that meet in one place: those with room are told in time, the rest not at all. */
static void test_places_are_bounded(void **state)
{
    (void)state;
    struct seen *s = seen_new();
    for (uint64_t i = 0; i < SEEN_PROBES; i++) {
        assert_true(seen_is_due(s, 5 + i * SEEN_SLOTS, START));
    }
    assert_false(seen_is_due(s, 5 + SEEN_PROBES * SEEN_SLOTS, START));
    for (uint64_t i = 0; i < SEEN_PROBES; i++) {
        assert_false(seen_is_due(s, 5 + i * SEEN_SLOTS, START + 1));
    }
    assert_true(seen_is_due(s, 5 + SEEN_PROBES * SEEN_SLOTS, START + SEEN_EVERY_MS));
    assert_true(seen_is_due(s, UINT64_MAX, START)); /* the last place wraps around */
    seen_free(s);
}

/* A place that grew old is taken by another; whoever is in a later one is not told twice. */
static void test_old_places_are_used(void **state)
{
    (void)state;
    struct seen *s = seen_new();
    assert_true(seen_is_due(s, 5, START));
    assert_true(seen_is_due(s, 5 + SEEN_SLOTS, START + SEEN_EVERY_MS - 1));
    assert_false(seen_is_due(s, 5 + SEEN_SLOTS, START + SEEN_EVERY_MS));
    assert_true(seen_is_due(s, 5 + 2 * SEEN_SLOTS, START + SEEN_EVERY_MS));
    assert_false(seen_is_due(s, 5 + SEEN_SLOTS, START + SEEN_EVERY_MS + 1));
    seen_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once_in_a_while),
        cmocka_unit_test(test_places_are_bounded),
        cmocka_unit_test(test_old_places_are_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
