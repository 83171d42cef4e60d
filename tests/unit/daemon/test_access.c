/* access: who a request of the web listener comes from, by its Host, and which pages may ask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/auto.h"
#include "daemon/api/access.h"

static enum access_who who(bool is_exposed, const char *host, const char *here)
{
    char web_host[] = "192.0.2.7";
    char loopback[] = "127.0.0.1";
    char name[] = "wos.example.com";
    struct config c = {.web_host = is_exposed ? web_host : loopback,
                       .web_is_exposed = is_exposed,
                       .web_ui_hostname = name};
    return access_classify(&c, host, here);
}

static void test_on_loopback(void **state)
{
    (void)state;
    static const char *const local[] = {"127.0.0.1",      "127.0.0.1:4949", "localhost",
                                        "LOCALHOST:4949", "[::1]:4949",     "127.9.9.9"};
    static const char *const nobody[] = {"evil.example", "127.0.0.1.evil.example", "192.0.2.7",
                                         "0.0.0.0",      "localhost.evil.example", "",
                                         "a b",          "alpha-web.example.com"};
    for (size_t i = 0; i < COUNT_OF(local); i++) {
        assert_int_equal(who(false, local[i], "127.0.0.1"), ACCESS_LOCAL);
    }
    for (size_t i = 0; i < COUNT_OF(nobody); i++) {
        assert_int_equal(who(false, nobody[i], "127.0.0.1"), ACCESS_NOBODY);
    }
    assert_int_equal(who(false, NULL, "127.0.0.1"), ACCESS_NOBODY);
    assert_int_equal(who(false, "wos.example.com:443", "127.0.0.1"), ACCESS_PUBLIC);
}

static void test_beyond_loopback_nobody_is_local(void **state)
{
    (void)state;
    static const char *const exposed[] = {"192.0.2.7", "192.0.2.7:4949", "localhost", "127.0.0.1",
                                          "[::1]"};
    static const char *const nobody[] = {"192.0.2.8", "evil.example", "0.0.0.0", "[::]"};
    for (size_t i = 0; i < COUNT_OF(exposed); i++) {
        assert_int_equal(who(true, exposed[i], "192.0.2.7"), ACCESS_EXPOSED);
    }
    for (size_t i = 0; i < COUNT_OF(nobody); i++) {
        assert_int_equal(who(true, nobody[i], "192.0.2.7"), ACCESS_NOBODY);
    }
    assert_int_equal(who(true, "[2001:DB8::0:7]:4949", "2001:db8::7"), ACCESS_EXPOSED);
    assert_int_equal(who(true, "[2001:db8::8]", "2001:db8::7"), ACCESS_NOBODY);
    assert_int_equal(who(true, "192.0.2.7", ""), ACCESS_NOBODY);
    assert_int_equal(who(true, "wos.example.com", "127.0.0.1"), ACCESS_PUBLIC);
}

static void test_origins(void **state)
{
    (void)state;
    assert_true(access_origin_is_ours(NULL, "127.0.0.1:4949", false));
    assert_true(access_origin_is_ours("http://127.0.0.1:4949", "127.0.0.1:4949", false));
    assert_true(access_origin_is_ours("https://wos.example.com", "wos.example.com:443", true));
    static const char *const foreign[] = {"ftp://127.0.0.1:4949",
                                          "HTTP://127.0.0.1:4949",
                                          "https://127.0.0.1:4949",
                                          "null",
                                          "",
                                          "http://localhost:4949",
                                          "http://127.0.0.1:4950",
                                          "http://a.test",
                                          "file://",
                                          "127.0.0.1:4949",
                                          "http://127.0.0.1",
                                          "https://[::1]:",
                                          "http://x y"};
    for (size_t i = 0; i < COUNT_OF(foreign); i++) {
        assert_false(access_origin_is_ours(foreign[i], "127.0.0.1:4949", false));
    }
    assert_false(access_origin_is_ours("http://wos.example.com:443", "wos.example.com:443", true));
    assert_true(access_origin_is_ours("http://wos.example.com", "wos.example.com", false));
    assert_true(access_fetch_is_ours(NULL) && access_fetch_is_ours("same-origin") &&
                access_fetch_is_ours("none"));
    assert_false(access_fetch_is_ours("same-site") || access_fetch_is_ours("cross-site") ||
                 access_fetch_is_ours(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_on_loopback),
        cmocka_unit_test(test_beyond_loopback_nobody_is_local),
        cmocka_unit_test(test_origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
