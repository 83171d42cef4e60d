/* Tests of acme/failure. */
#include "acme/failure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
// clang-format off
#include <cmocka.h>
// clang-format on

static void test_text_is_cleaned(void **state)
{
    (void)state;
    struct failure f = {.retry_at = 7};
    failure_set(&f, "order", "a\nb\x1b[31m%c%s", 0x7f, "\t.");
    assert_string_equal(f.phase, "order");
    assert_string_equal(f.message, "a b [31m  .");
    assert_true(failure_is_set(&f));
    assert_int_equal(f.retry_at, 0);
    failure_set(&f, "key", "again: %s", f.message);
    assert_string_equal(f.message, "again: a b [31m  .");
    failure_set(&f, "key", "%s", "\xff\xc3\xa9\xc3(\xed\xa0\x80\xe2\x82");
    assert_string_equal(f.message, "?\xc3\xa9?(?????");
    struct err err;
    (void)err_set(&err, ERR_FAILED, "no %s", "disk");
    failure_set_err(&f, "storage", &err);
    assert_string_equal(f.message, "no disk");
}

static void test_long_text_is_cut_between_characters(void **state)
{
    (void)state;
    /* Every offset of the cut within "é" (2), "€" (3) and "𝄞" (4). */
    static const char *const characters[] = {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9d\x84\x9e"};
    for (size_t c = 0; c < 4; c++) {
        size_t size = strlen(characters[c]);
        for (size_t shift = 0; shift < 4; shift++) {
            char text[FAILURE_MESSAGE_MAX * 2] = "";
            memset(text, 'a', shift);
            for (size_t at = shift; at + size < sizeof text; at += size) {
                memcpy(text + at, characters[c], size);
                text[at + size] = '\0';
            }
            struct failure f = {0};
            failure_set(&f, "order", "%s", text);
            size_t len = strlen(f.message);
            assert_true(len > FAILURE_MESSAGE_MAX - 1 - size && len < FAILURE_MESSAGE_MAX);
            assert_int_equal((len - shift) % size, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_is_cleaned),
        cmocka_unit_test(test_long_text_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
