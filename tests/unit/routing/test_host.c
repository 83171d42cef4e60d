/* Host names: what is legal, what they become, and the labels made from them. */
#include "routing/host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"

static void legal(const char *value, const char *name, uint16_t port, bool is_ip)
{
    struct host host;
    if (!host_parse(str_of(value), &host)) {
        fail_msg("%s was refused", value);
    }
    assert_string_equal(host.name, name);
    assert_int_equal(host.len, strlen(name));
    assert_int_equal(host.port, port);
    assert_int_equal(host.is_ip, is_ip);
    assert_int_equal(host_is_canonical(str_of(value)), strcmp(value, name) == 0);
    assert_true(host_is_canonical(str_of(name)));
}

static void test_legal(void **state)
{
    (void)state;
    legal("example.com", "example.com", 0, false);
    legal("A-Web.Wos.LocalHost:5858", "a-web.wos.localhost", 5858, false);
    legal("localhost", "localhost", 0, false);
    legal("a_b.example", "a_b.example", 0, false);
    legal("example.com.", "example.com", 0, false);
    legal("example.com.:443", "example.com", 443, false);
    legal("example.com:", "example.com", 0, false);
    legal("example.com:65535", "example.com", 65535, false);
    legal("127.0.0.1:80", "127.0.0.1", 80, true);
    legal("[::1]", "[::1]", 0, true);
    legal("[2001:DB8:0:0::1]:8080", "[2001:db8::1]", 8080, true);
    legal("xn--bcher-kva.example", "xn--bcher-kva.example", 0, false);
    legal("3com.example", "3com.example", 0, false);
}

static void test_illegal(void **state)
{
    (void)state;
    static const char *const values[] = {
        "",
        ".",
        "..",
        "a..b",
        ".a",
        "a.b..",
        ":80",
        "a:0",
        "a:65536",
        "a:8o",
        "a:-1",
        "a:80:80",
        "a:000080",
        "user@a",
        "a%41",
        "a b",
        "a\tb",
        " a",
        "a ",
        "a/b",
        "a\\b",
        "-a.example",
        "a-.example",
        "[::1",
        "[::1]x",
        "[::1]:x",
        "[]",
        "[1.2.3.4]",
        "[fe80::1%1]",
        "::1",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "01.2.3.4",
        "4294967295",
        "a.1",
        "b\xc3\xbc.x",
        "*.example.com",
        "a,b",
        "[v1.x]",
        "a#",
        "a?",
    };
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        struct host host = {.len = 77};
        if (host_parse(str_of(values[i]), &host)) {
            fail_msg("\"%s\" was accepted as %s", values[i], host.name);
        }
        assert_int_equal(host.len, 77);
        assert_false(host_is_canonical(str_of(values[i])));
    }
    struct host host;
    assert_false(host_parse((struct str){"a\0b", 3}, &host));
    assert_false(host_parse((struct str){"[::1\0]", 6}, &host));
}

/* What is wrong shows late in each of these. */
static void test_untouched_when_illegal(void **state)
{
    (void)state;
    const char *const values[] = {
        "a.b:70000", "a.b:1x",  "1.2.3.256", "1.2.3.4:0",  "[::1]:0",          "[::1]x",
        "[::1",      "[::1::]", "a.b-",      "long.1.2.3", "1.2.3.4.5.6.7.8.9"};
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        struct host before;
        memset(&before, 0x5a, sizeof before);
        struct host host = before;
        assert_false(host_parse(str_of(values[i]), &host));
        assert_memory_equal(&host, &before, sizeof host);
    }
}

static void test_lengths(void **state)
{
    (void)state;
    char label63[64];
    memset(label63, 'a', 63);
    label63[63] = '\0';
    struct host host;
    assert_true(host_parse(str_of(label63), &host));
    autofree char *label64 = xasprintf("%sa", label63);
    assert_false(host_parse(str_of(label64), &host));
    assert_true(host_is_canonical(str_of(label63)));
    assert_false(host_is_canonical(str_of(label64)));
    autofree char *name253 = xasprintf("%s.%s.%s.%.61s", label63, label63, label63, label63);
    assert_int_equal(strlen(name253), 253);
    assert_true(host_parse(str_of(name253), &host));
    autofree char *dotted = xasprintf("%s.", name253);
    assert_true(host_parse(str_of(dotted), &host));
    autofree char *name254 = xasprintf("%s.%s.%s.%.62s", label63, label63, label63, label63);
    assert_false(host_parse(str_of(name254), &host));
    assert_true(host_is_canonical(str_of(name253)));
    assert_false(host_is_canonical(str_of(dotted)));
    assert_false(host_is_canonical(str_of(name254)));
}

static void test_under(void **state)
{
    (void)state;
    assert_true(host_is_under(STR("a.example.com"), STR("example.com")));
    assert_true(host_is_under(STR("example.com"), STR("example.com")));
    assert_false(host_is_under(STR("badexample.com"), STR("example.com")));
    assert_false(host_is_under(STR("com"), STR("example.com")));
    assert_false(host_is_under(STR("a"), STR("")));
}

static void sanitises_to(const char *text, const char *expected)
{
    autofree char *label = host_label_sanitise(str_of(text), "service");
    assert_string_equal(label, expected);
}

static void test_sanitise(void **state)
{
    (void)state;
    sanitises_to("Web", "web");
    sanitises_to("feature/x_Y", "feature-x-y");
    sanitises_to("--a---b--", "a-b");
    sanitises_to("b\xc3\xbc"
                 "cher",
                 "b-cher");
    sanitises_to("", "service");
    sanitises_to("///", "service");
}

static void labelled(const char *expected, const char *worktree, unsigned attempt,
                     const char *service, uint16_t port)
{
    autofree char *label = host_service_label(worktree, attempt, service, port);
    assert_string_equal(label, expected);
}

static void test_service_label(void **state)
{
    (void)state;
    labelled("feature-x-web", "feature-x", 1, "web", 0);
    labelled("feature-x2-web", "feature-x", 2, "web", 0);
    labelled("feature-x2-web-9000", "feature-x", 2, "web", 9000);
}

static void test_service_label_overlong(void **state)
{
    (void)state;
    char worktree[61];
    memset(worktree, 'w', 60);
    worktree[60] = '\0';
    /* exactly 63 stays as it is */
    autofree char *fits = host_service_label(worktree, 1, "ab", 0);
    assert_int_equal(strlen(fits), 63);
    assert_true(str_ends(str_of(fits), STR("w-ab")));
    /* 56 bytes, a dash, the first six digits of SHA-256 of the whole */
    autofree char *first = host_service_label(worktree, 1, "abc", 0);
    autofree char *again = host_service_label(worktree, 1, "abc", 0);
    autofree char *second = host_service_label(worktree, 1, "abd", 0);
    assert_int_equal(strlen(first), 63);
    assert_string_equal(first + 55, "w-2a4d40");
    assert_string_equal(first, again);
    assert_string_not_equal(first, second);
    struct host host;
    assert_true(host_parse(str_of(first), &host));
    /* no dash in front of the dash */
    worktree[55] = '\0';
    autofree char *dashes = host_service_label(worktree, 1, "webserver", 0);
    assert_null(strstr(dashes, "--"));
    assert_int_equal(strlen(dashes), 62);
}

static void test_domain(void **state)
{
    (void)state;
    assert_true(host_is_domain(STR("wos.localhost")));
    assert_true(host_is_domain(STR("localhost")));
    assert_true(host_is_domain(STR("Dev.Example.com")));
    assert_false(host_is_domain(STR("")));
    assert_false(host_is_domain(STR("example.com.")));
    assert_false(host_is_domain(STR("a_b.example")));
    assert_false(host_is_domain(STR("10.0.0.1")));
    assert_false(host_is_domain(STR("example.com:80")));
    assert_false(host_is_domain(STR("*.example.com")));
}

static void test_hash(void **state)
{
    (void)state;
    assert_true(host_hash(STR("a.example")) == host_hash(STR("a.example")));
    assert_true(host_hash(STR("a.example")) != host_hash(STR("b.example")));
    /* Each byte counts, whatever the length. */
    char name[] = "abcdefghijklmnopqrstuvwxyz";
    for (size_t len = 1; len < sizeof name; len++) {
        const uint64_t hash = host_hash((struct str){name, len});
        assert_true(hash != host_hash((struct str){name, len - 1}));
        for (size_t i = 0; i < len; i++) {
            name[i] ^= 1;
            assert_true(hash != host_hash((struct str){name, len}));
            name[i] ^= 1;
        }
    }
}

/* The index of a snapshot takes the low bits: names that differ little are to spread. */
static void test_hash_spreads(void **state)
{
    (void)state;
    enum { NAMES = 4096 };
    static uint8_t slots[NAMES];
    size_t most = 0;
    for (int i = 0; i < NAMES; i++) {
        char name[64];
        int len = snprintf(name, sizeof name, "feature-%d-web.wos.localhost", i);
        size_t at = host_hash((struct str){name, (size_t)len}) % NAMES;
        slots[at]++;
        most = slots[at] > most ? slots[at] : most;
    }
    assert_true(most <= 9); /* evenly thrown: 6 or 7 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_legal),
        cmocka_unit_test(test_illegal),
        cmocka_unit_test(test_untouched_when_illegal),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_under),
        cmocka_unit_test(test_sanitise),
        cmocka_unit_test(test_service_label),
        cmocka_unit_test(test_service_label_overlong),
        cmocka_unit_test(test_domain),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_hash_spreads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
