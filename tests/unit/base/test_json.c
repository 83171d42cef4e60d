/* Tests of base/json: what is refused and where, and getters on wrong shapes. */
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
// clang-format off
#include <cmocka.h>
// clang-format on

static void test_errors_name_the_place(void **state)
{
    (void)state;
    static const struct {
        struct str text;
        const char *place;
    } bad[] = {
        {STR("{\n  \"a\": 1,\n  \"b\": x\n}"), "conf:3:8: "},
        {STR(""), "conf:1:1: no JSON value"},
        {STR_NONE, "conf:1:1: no JSON value"},
        {STR(" \n "), "conf:2:2: no JSON value"},
        {STR("{} x"), "conf:1:4: more text"},
        {STR("{}{}"), "conf:1:3: more text"},
        {STR("[\"a\\u0000b\"]"), "conf:1:4: a NUL"},
        {STR("[\"a\0b\"]"), "conf:1:4: a NUL"},
        {STR("[1,"), "conf:1:"},
        {STR("{\"a\":1"), "conf:1:"},
        {STR("\""), "conf:1:"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err err = {0};
        assert_null(json_parse(bad[i].text, "conf", &err));
        assert_int_equal(err.code, ERR_CONFIG);
        if (strncmp(err.msg, bad[i].place, strlen(bad[i].place)) != 0) {
            fail_msg("case %zu: \"%s\" does not begin with \"%s\"", i, err.msg, bad[i].place);
        }
    }
}

static void test_an_escaped_backslash_is_no_nul(void **state)
{
    (void)state;
    autojson cJSON *tree = json_parse(STR("{\"a\":\"\\\\u0000\"}"), "x", NULL);
    assert_non_null(tree);
    assert_string_equal(json_get_str(tree, "a", NULL), "\\u0000");
}

/* The text need not be followed by a NUL: no byte after it is looked at. */
static void test_reads_only_the_slice(void **state)
{
    (void)state;
    char *exact = malloc(4);
    assert_non_null(exact);
    memcpy(exact, "1234", 4);
    autojson cJSON *tree = json_parse((struct str){exact, 4}, "x", NULL);
    assert_true(cJSON_IsNumber(tree));
    assert_int_equal(tree->valueint, 1234);
    free(exact);
}

static void test_deep_nesting_is_refused(void **state)
{
    (void)state;
    struct buf deep = {0};
    for (int i = 0; i < 100000; i++) {
        buf_add_char(&deep, '[');
    }
    assert_null(json_parse(buf_str(&deep), "x", NULL));
    buf_fini(&deep);
}

static void test_getters(void **state)
{
    (void)state;
    autojson cJSON *tree =
        json_parse(STR("\n{\"s\":\"text\",\"n\":42,\"neg\":-7,\"f\":1.5,\"big\":9007199254740992,"
                       "\"huge\":1e300,\"inf\":1e999,\"t\":true,\"z\":null,\"o\":{\"k\":[]}} \n"),
                   "x", NULL);
    assert_non_null(tree);
    assert_string_equal(json_get_str(tree, "s", "-"), "text");
    assert_string_equal(json_get_str(tree, "n", "-"), "-");
    assert_string_equal(json_get_str(tree, "S", "-"), "-");
    assert_int_equal(json_get_int(tree, "n", -1), 42);
    assert_int_equal(json_get_int(tree, "neg", -1), -7);
    assert_int_equal(json_get_int(tree, "big", -1), 9007199254740992);
    assert_int_equal(json_get_int(tree, "f", -1), -1);
    assert_int_equal(json_get_int(tree, "huge", -1), -1);
    assert_int_equal(json_get_int(tree, "inf", -1), -1);
    assert_int_equal(json_get_int(tree, "s", -1), -1);
    assert_true(json_get_bool(tree, "t", false));
    assert_true(json_get_bool(tree, "n", true));
    assert_true(cJSON_IsArray(json_get(json_get(tree, "o"), "k")));
    assert_null(json_get(json_get(tree, "s"), "k"));
    assert_null(json_get(json_get(json_get(tree, "o"), "k"), "k"));
    assert_null(json_get(NULL, "k"));
}

static void test_build_and_print(void **state)
{
    (void)state;
    autojson cJSON *tree = cJSON_CreateObject();
    json_add_int(json_add_str(tree, "a", "x\"y"), "n", 9007199254740991);
    json_add_bool(json_add_str(tree, "z", NULL), "b", false);
    json_add_slice(tree, "s", (struct str){"abcdef", 3});
    char *text = json_print(tree);
    assert_string_equal(
        text, "{\"a\":\"x\\\"y\",\"n\":9007199254740991,\"z\":null,\"b\":false,\"s\":\"abc\"}");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_name_the_place),
        cmocka_unit_test(test_an_escaped_backslash_is_no_nul),
        cmocka_unit_test(test_reads_only_the_slice),
        cmocka_unit_test(test_deep_nesting_is_refused),
        cmocka_unit_test(test_getters),
        cmocka_unit_test(test_build_and_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
