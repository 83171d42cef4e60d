/* test_slip: distances, and which word is taken for the one that was meant. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/slip.h"

static void letters_are_counted(void **state)
{
    (void)state;
    assert_int_equal(slip_distance("status", "status"), 0);
    assert_int_equal(slip_distance("staus", "status"), 1);
    assert_int_equal(slip_distance("sttaus", "status"), 2);
    assert_int_equal(slip_distance("", "up"), 2);
    assert_int_equal(slip_distance("a234567890123456789012345678901234567890x", "a"), UINT_MAX);
}

static const char *nearest_of(const char *word)
{
    static const char *const known[] = {"target", "force", "arg", "no-tunnel", "detach"};
    const char *nearest = NULL;
    unsigned distance = SLIP_MAX + 1;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        slip_offer(word, known[i], &nearest, &distance);
    }
    return nearest;
}

static void the_nearest_is_taken_or_none(void **state)
{
    (void)state;
    assert_string_equal(nearest_of("targt"), "target");
    assert_string_equal(nearest_of("args"), "arg");
    assert_string_equal(nearest_of("notunnel"), "no-tunnel");
    assert_null(nearest_of("xyz")); /* as far from "arg" as it is long */
    assert_null(nearest_of("completely-different"));
    assert_null(nearest_of(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_are_counted),
        cmocka_unit_test(the_nearest_is_taken_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
