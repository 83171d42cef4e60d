/* The login form's body, and where it may lead. */
#include "gateway/form.h"

#include "tests/unit/gateway/heads.h"

static struct str got;

static enum form_result get(const char *body)
{
    arena_reset(&arena);
    return form_get(str_of(body), STR("secret"), &arena, &got);
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        const char *value;
    } rows[] = {
        {"secret=abc", "abc"},
        {"secret=", ""},
        {"secret", ""},
        {"secret=a+b%20c%2B%26%3d", "a b c+&="},
        {"next=/&secret=a=b", "a=b"},
        {"secret=a&", "a"},
        {"&&secret=a&x=%7e", "a"},
        {"s%65cret=%c3%A9", "\xc3\xa9"},
        {"x=1&secret=%25", "%"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(get(rows[i].body), FORM_FOUND);
        if (!str_eq(got, str_of(rows[i].value))) {
            fail_msg("%s: %.*s", rows[i].body, STR_ARG(got));
        }
    }
    assert_int_equal(get(""), FORM_ABSENT);
    assert_int_equal(get("Secret=a&secrets=b"), FORM_ABSENT);
}

static void test_malformed(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "secret=%",     "secret=%4",       "secret=%4&x=1", "secret=%4g",
        "secret=%g4",   "secret=%00",      "secret=%0d%0a", "secret=a b",
        "secret=\x01",  "secret=\xc3\xa9", "secret=a\n",    "secret=a&secret=b",
        "x=%&secret=a", "secret=a&x=%",    "secret=%7f",    "%73ecret=a&secret=a",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (get(rows[i]) != FORM_MALFORMED) {
            fail_msg("taken: %s", rows[i]);
        }
    }
}

static void test_local_paths(void **state)
{
    (void)state;
    static const char *const local[] = {"/", "/a", "/a//b", "/a?next=//x", "/..//x", "/%0d%0a"};
    static const char *const others[] = {
        "",           "a",     "//x", "//", "/\\x",  "\\/x",      "/a\\b", "http://x", "/a b",
        "/a\r\nX: y", "/\t/x", "\t/", " /", "/\x7f", "/\xc3\xa9", "?a",    "#",        "."};
    for (size_t i = 0; i < COUNT_OF(local); i++) {
        assert_true(form_path_is_local(str_of(local[i])));
    }
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        if (form_path_is_local(str_of(others[i]))) {
            fail_msg("taken: %s", others[i]);
        }
    }
    char path[FORM_PATH_MAX + 1];
    memset(path, '/', 1);
    memset(path + 1, 'a', sizeof path - 1);
    assert_true(form_path_is_local((struct str){path, FORM_PATH_MAX}));
    assert_false(form_path_is_local((struct str){path, FORM_PATH_MAX + 1}));
    assert_false(form_path_is_local(STR_NONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_local_paths),
    };
    arena_init(&arena, 0);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_fini(&arena);
    return failed;
}
