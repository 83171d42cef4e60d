/* Where an HPACK block's strings are; the one that is too long, however the bytes come. */
#include "gateway/hpack_walk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Fed in pieces of `step`; where the walk stopped, or len. */
static size_t walk(const char *text, size_t len, size_t step, bool *too_long)
{
    struct hpack_walk w = {0};
    *too_long = false;
    for (size_t at = 0; at < len; at += step) {
        size_t n = len - at < step ? len - at : step;
        size_t used = hpack_walk(&w, (const uint8_t *)text + at, n, too_long);
        if (*too_long) {
            return at + used;
        }
        assert_int_equal(used, n);
    }
    assert_int_equal(w.part, HPACK_FIELD);
    return len;
}

#define EACH_STEP(text, expected, found)                                                           \
    for (size_t step = 1; step <= sizeof(text); step++) {                                          \
        bool too_long;                                                                             \
        assert_int_equal(walk(text, sizeof(text) - 1, step, &too_long), expected);                 \
        assert_int_equal(too_long, found);                                                         \
    }

static void test_legal_blocks_pass(void **state)
{
    (void)state;
    EACH_STEP("", 0, false)
    EACH_STEP("\x82\x87\x84", 3, false)
    EACH_STEP("\xff\x80\x01", 3, false)     /* an index in three bytes */
    EACH_STEP("\x3f\xe1\x1f\x82", 4, false) /* the table's size */
    EACH_STEP("\x41\x08"
              "a.d.test\x82",
              11, false)                 /* indexed name */
    EACH_STEP("\x0f\x01\x01v", 4, false) /* … in two bytes */
    EACH_STEP("\x40\x01n\x01v\x00\x01n\x00\x10\x01n\x83vvv", 16, false)
}

static void test_too_long_strings_are_found(void **state)
{
    (void)state;
    /* 127 + 0x7f + (0x7f << 7) + (n << 14): 65663 with n = 3 */
    EACH_STEP("\x82\x40\x01n\x7f\xff\xff\x03", 7, true)
    EACH_STEP("\x82\x0f\x01\xff\xff\xff\x03", 6, true) /* Huffman counts as it is sent */
    EACH_STEP("\x00\x7f\xff\xff\x03", 4, true)         /* a name */
    EACH_STEP("\x00\x7f\xff\xff\xff\xff\x0f", 6, true)
}

static void test_longest_string_passes(void **state)
{
    (void)state;
    static char text[8 + HPACK_STRING_MAX] = "\x00\x01n\x7f\x81\xff\x03"; /* 65536 */
    bool too_long;
    for (size_t step = 1; step < 20000; step += 1111) {
        assert_int_equal(walk(text, 7 + HPACK_STRING_MAX, step, &too_long), 7 + HPACK_STRING_MAX);
        assert_false(too_long);
    }
    text[4]++;
    assert_int_equal(walk(text, 7 + HPACK_STRING_MAX, 3, &too_long), 6);
    assert_true(too_long);
}

static void test_malformed_lengths_are_left_to_others(void **state)
{
    (void)state;
    static const char text[] = "\x00\x7f\xff\xff\xff\xff\xff\xff\xff\xff";
    struct hpack_walk w = {0};
    bool too_long;
    assert_int_equal(hpack_walk(&w, (const uint8_t *)text, 10, &too_long), 10);
    assert_false(too_long);
    assert_int_equal(w.part, HPACK_LOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_legal_blocks_pass),
        cmocka_unit_test(test_too_long_strings_are_found),
        cmocka_unit_test(test_longest_string_passes),
        cmocka_unit_test(test_malformed_lengths_are_left_to_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
