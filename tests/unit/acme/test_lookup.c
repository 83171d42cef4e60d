/* Tests of acme/lookup's addresses; tests/integration/test_acme_dns.py has the questions. */
#include "acme/lookup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
// clang-format off
#include <cmocka.h>
// clang-format on

#include "acme/nameservers.h"
#include "base/auto.h"

static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *again; /* NULL: refused */
    } cases[] = {
        {"1.2.3.4", "1.2.3.4"},
        {" 1.2.3.4:53 ", "1.2.3.4"},
        {"1.2.3.4:5353", "1.2.3.4:5353"},
        {"::1", "::1"},
        {"[::1]", "::1"},
        {"[2001:db8::1]:5353", "[2001:db8::1]:5353"},
        {"", NULL},
        {"1.2.3", NULL},
        {"1.2.3.4:0", NULL},
        {"1.2.3.4:", NULL},
        {"1.2.3.4:65536", NULL},
        {"1.2.3.4:5x", NULL},
        {"[::1]5353", NULL},
        {"[1.2.3.4", NULL},
        {"resolver.example", "resolver.example"},
        {"dns.example:5353", "dns.example:5353"},
        {"localhost:53", "localhost"},
        {"[localhost]:53", NULL},
        {"999.1.1.1:53", NULL},
        {"dns..example:53", NULL},
        {"dns example:53", NULL},
        {"1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21.22.23", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct lookup_server server;
        bool ok = lookup_server_parse(str_of(cases[i].text), 53, &server);
        assert_int_equal(ok, cases[i].again != NULL);
        if (ok) {
            char text[LOOKUP_SERVER_TEXT];
            lookup_server_text(&server, text);
            assert_string_equal(text, cases[i].again);
        }
    }
}

static void test_resolvers_of_the_settings(void **state)
{
    (void)state;
    struct lookup_server servers[LOOKUP_SERVERS_MAX];
    struct acme_settings settings = {.bootstrap_resolvers = "127.0.0.1:5300, -?,[::1]:53"};
    assert_int_equal(nameservers_resolvers(&settings, servers), 2);
    assert_int_equal(servers[0].port, 5300);
    assert_true(servers[1].is_v6);
    const char *list[] = {"9.9.9.9:53"};
    settings.resolvers = list;
    settings.resolver_count = 1;
    assert_int_equal(nameservers_resolvers(&settings, servers), 1);
    assert_int_equal(servers[0].address[0], 9);
    settings = (struct acme_settings){.provider = ACME_PROVIDER_HOOK};
    assert_int_equal(nameservers_resolvers(&settings, servers), 0);
}

static void test_within(void **state)
{
    (void)state;
    assert_true(nameservers_is_within("a.b.c", "b.c"));
    assert_true(nameservers_is_within("b.c", "b.c"));
    assert_false(nameservers_is_within("ab.c", "b.c"));
    assert_false(nameservers_is_within("c", "b.c"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_resolvers_of_the_settings),
        cmocka_unit_test(test_within),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
