/* Tests of base/str: slices, lists, numbers, and the growing buffer. */
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
// clang-format off
#include <cmocka.h>
// clang-format on

/* Every pair of bytes, at a place compared with others and at one compared alone. */
static void test_compare_without_case(void **state)
{
    (void)state;
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            bool equal = ascii_lower((char)a) == ascii_lower((char)b);
            for (size_t at = 0; at < 9; at += 4) {
                char one[] = "aZ\x80\xff@[`{9";
                char other[] = "Az\x80\xff@[`{9";
                one[at] = (char)a;
                other[at] = (char)b;
                assert_int_equal(str_eq_nocase((struct str){one, 9}, (struct str){other, 9}),
                                 equal);
            }
        }
    }
    assert_true(str_eq_nocase(STR_NONE, STR("")));
}

static void test_compare(void **state)
{
    (void)state;
    assert_true(str_eq(STR("abc"), STR("abc")));
    assert_false(str_eq(STR("abc"), STR("abd")));
    assert_false(str_eq(STR("abc"), STR("ab")));
    assert_true(str_eq(STR_NONE, STR("")));
    assert_true(str_eq(STR("a\0b"), STR("a\0b")));
    assert_false(str_eq(STR("a\0b"), STR("a\0c")));
    assert_true(str_eq_nocase(STR("Content-Type"), STR("cONTENT-tYPE")));
    /* '[' and '{' differ by the case bit, but are no letters. */
    assert_false(str_eq_nocase(STR("["), STR("{")));
    assert_false(str_eq_nocase(STR("\xc4"), STR("\xe4")));
    assert_true(str_starts(STR("abc"), STR("ab")));
    assert_true(str_starts(STR("abc"), STR("")));
    assert_false(str_starts(STR("a"), STR("ab")));
    assert_true(str_ends(STR("abc"), STR("bc")));
    assert_true(str_ends(STR_NONE, STR_NONE));
    assert_false(str_ends(STR("c"), STR("bc")));
    assert_int_equal(str_of(NULL).len, 0);
}

static void test_find_and_trim(void **state)
{
    (void)state;
    assert_int_equal(str_find(STR("a:b:"), ':'), 1);
    assert_int_equal(str_find(STR("abc"), ':'), 3);
    assert_int_equal(str_find(STR_NONE, ':'), 0);
    assert_true(str_eq(str_trim(STR(" \t a b\t ")), STR("a b")));
    assert_true(str_eq(str_trim(STR(" \t ")), STR("")));
    /* Line ends are no OWS. */
    assert_true(str_eq(str_trim(STR("\ra\n")), STR("\ra\n")));
}

static void test_next(void **state)
{
    (void)state;
    struct str rest = STR("a,,b,");
    struct str part;
    assert_true(str_next(&rest, ',', &part));
    assert_true(str_eq(part, STR("a")));
    assert_true(str_next(&rest, ',', &part));
    assert_int_equal(part.len, 0);
    assert_true(str_next(&rest, ',', &part));
    assert_true(str_eq(part, STR("b")));
    assert_true(str_next(&rest, ',', &part));
    assert_int_equal(part.len, 0);
    assert_false(str_next(&rest, ',', &part));
    assert_null(rest.ptr);
    assert_false(str_next(&rest, ',', &part));
}

static void test_list_has(void **state)
{
    (void)state;
    assert_true(str_list_has(STR("keep-alive, Upgrade"), STR("upgrade")));
    assert_true(str_list_has(STR(" ,\tclose ,"), STR("close")));
    assert_false(str_list_has(STR("not-close, closed"), STR("close")));
    assert_false(str_list_has(STR_NONE, STR("close")));
}

static void test_numbers(void **state)
{
    (void)state;
    uint64_t value = 7;
    assert_true(str_to_u64(STR("0"), &value));
    assert_int_equal(value, 0);
    assert_true(str_to_u64(STR("18446744073709551615"), &value));
    assert_true(value == UINT64_MAX);
    const char *bad[] = {"",
                         "-1",
                         "+1",
                         " 1",
                         "1 ",
                         "0x1",
                         "1a",
                         "18446744073709551616",
                         "99999999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        value = 7;
        assert_false(str_to_u64(str_of(bad[i]), &value));
        assert_int_equal(value, 7);
    }
    uint16_t port = 7;
    assert_true(str_to_u16(STR("65535"), &port));
    assert_int_equal(port, 65535);
    assert_false(str_to_u16(STR("65536"), &port));
    assert_int_equal(port, 65535);
}

static void test_buf(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_string_equal(buf_cstr(&b), "");
    buf_add_text(&b, "abc");
    buf_add_char(&b, '-');
    buf_printf(&b, "%d/%s", 42, "x");
    buf_add(&b, NULL, 0);
    assert_string_equal(buf_cstr(&b), "abc-42/x");
    buf_consume(&b, 4);
    assert_true(str_eq(buf_str(&b), STR("42/x")));
    for (int i = 0; i < 10000; i++) {
        buf_add_str(&b, STR("0123456789"));
    }
    assert_int_equal(b.len, 100004);
    buf_consume(&b, 100000);
    assert_string_equal(buf_cstr(&b), "6789");
    char *taken = buf_take(&b);
    assert_string_equal(taken, "6789");
    assert_null(b.ptr);
    free(taken);
    buf_fini(&b);
    char *copy = str_dup(STR_NONE);
    assert_string_equal(copy, "");
    free(copy);
}

static void put_is(uint64_t n, const char *decimal, const char *hex)
{
    char text[U64_DIGITS + 4];
    assert_true(str_eq((struct str){text, (size_t)(u64_put(text, n) - text)}, str_of(decimal)));
    assert_true(str_eq((struct str){text, (size_t)(u64_put_hex(text, n) - text)}, str_of(hex)));
}

static void test_put(void **state)
{
    (void)state;
    put_is(0, "0", "0");
    put_is(9, "9", "9");
    put_is(10, "10", "a");
    put_is(200, "200", "c8");
    put_is(65535, "65535", "ffff");
    put_is(UINT64_MAX, "18446744073709551615", "ffffffffffffffff");
    char text[8];
    assert_ptr_equal(str_put(text, STR_NONE), text);
    assert_ptr_equal(str_put(text, STR("abc")), text + 3);
    assert_memory_equal(text, "abc", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_compare_without_case),
        cmocka_unit_test(test_find_and_trim),
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_list_has),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_buf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
