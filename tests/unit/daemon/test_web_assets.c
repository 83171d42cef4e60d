/* web_assets: which coding a client takes, which copy it has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/auto.h"
#include "daemon/api/web_assets.h"
#include "daemon/api/web_assets_data.h"

static void test_codings(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        bool gzip;
    } cases[] = {
        {NULL, false},
        {"", false},
        {"gzip", true},
        {"GZip", true},
        {"br, gzip", true},
        {"br", false},
        {"gzip;q=0", false},
        {"gzip;q=0.000", false},
        {"gzip;q=0.1", true},
        {"gzip ; Q=1", true},
        {"*", true},
        {"*;q=0", false},
        {"*, gzip;q=0", false},
        {"gzip;q=0, *", false},
        {"xgzip", false},
        {"gzipx", false},
        {",,gzip,", true},
        {";q=1", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(web_assets_accepts(cases[i].accept, STR("gzip")), cases[i].gzip);
    }
}

static void test_tags(void **state)
{
    (void)state;
    const struct str tag = STR("\"abc-gzip\"");
    assert_true(web_assets_matches("\"abc-gzip\"", tag));
    assert_true(web_assets_matches("\"x\", W/\"abc-gzip\"", tag));
    assert_true(web_assets_matches("*", tag));
    assert_false(web_assets_matches("\"abc\"", tag));
    assert_false(web_assets_matches("abc-gzip", tag));
    assert_false(web_assets_matches("", tag));
    assert_false(web_assets_matches(NULL, tag));
}

static void test_there_is_a_page(void **state)
{
    (void)state;
    bool found = false;
    for (size_t i = 0; i < web_asset_count; i++) {
        assert_non_null(web_assets[i].plain.ptr);
        found = found || str_eq(str_of(web_assets[i].path), STR("/index.html"));
    }
    assert_true(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codings),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_there_is_a_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
