/* The client behind trusted proxies: RFC 7239's examples, and everything that lies. */
#include "gateway/client_address.h"

#include <stdio.h>

#include "tests/unit/gateway/heads.h"

static struct sockaddr_in6 client;
static struct head_told told;

static struct sockaddr_in6 address(const char *text)
{
    struct sockaddr_in6 out;
    assert_true(client_address_parse(str_of(text), &out));
    return out;
}

static struct peer_list list(struct ip_prefix *items, const char *const *texts)
{
    struct peer_list out = {items, 0};
    for (; texts[out.count] != NULL; out.count++) {
        struct err err;
        assert_int_equal(ip_prefix_parse(str_of(texts[out.count]), &items[out.count], &err), 0);
    }
    return out;
}

/* What a request with these fields, from this peer, gives; proxies are 10/8 and fd00::/8. */
static bool find_from(const char *peer, const char *fields)
{
    static const char *const trusted[] = {"10.0.0.0/8", "fd00::/8", NULL};
    struct ip_prefix items[2];
    struct peer_list proxies = list(items, trusted);
    struct sockaddr_in6 from = address(peer);
    char text[8192];
    CHECK(snprintf(text, sizeof text, GET "%s\r\n", fields) < (int)sizeof text);
    legal(text);
    return client_address_find(&head, &proxies, (const struct sockaddr *)&from, &arena, &client,
                               &told);
}

static void client_is(const char *fields, const char *expected, const char *via)
{
    char text[64];
    assert_true(find_from("10.0.0.1", fields));
    peer_format((const struct sockaddr *)&client, text, sizeof text);
    if (strcmp(text, expected) != 0) {
        fail_msg("%s, not %s: %s", text, expected, fields);
    }
    if (via != NULL && !str_eq(told.via, str_of(via))) {
        fail_msg("via %.*s, not %s: %s", STR_ARG(told.via), via, fields);
    }
}

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *expected; /* NULL: refused */
    } rows[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"192.0.2.1:80", "192.0.2.1"},
        {"192.0.2.1:_x", "192.0.2.1"},
        {"2001:db8::1", "2001:db8::1"},
        {"[2001:db8::1]", "2001:db8::1"},
        {"[2001:db8::1]:8080", "2001:db8::1"},
        {"[2001:db8::1]:_abc", "2001:db8::1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"[::ffff:192.0.2.1]", "192.0.2.1"},
        {"::1", "::1"},
        {"", NULL},
        {"unknown", NULL},
        {"_hidden", NULL},
        {"localhost", NULL},
        {"192.0.2.1:", NULL},
        {"192.0.2.1:65536", NULL},
        {"192.0.2.1:80x", NULL},
        {"192.0.2.1:_", NULL},
        {"192.0.2.1 ", NULL},
        {"192.0.2.01", NULL},
        {"192.0.2", NULL},
        {"0xc0000201", NULL},
        {"3221225985", NULL},
        {"192.0.2.1/32", NULL},
        {"[192.0.2.1]", NULL},
        {"[2001:db8::1", NULL},
        {"[2001:db8::1]80", NULL},
        {"[2001:db8::1]:", NULL},
        {"[]", NULL},
        {"2001:db8::1]", NULL},
        {"fe80::1%eth0", NULL},
        {"[fe80::1%25eth0]", NULL},
        {"2001:db8::1::2", NULL},
        {"\"192.0.2.1\"", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct sockaddr_in6 out;
        char text[64] = "refused";
        if (client_address_parse(str_of(rows[i].text), &out)) {
            peer_format((const struct sockaddr *)&out, text, sizeof text);
        }
        if (strcmp(text, rows[i].expected == NULL ? "refused" : rows[i].expected) != 0) {
            fail_msg("%s gave %s", rows[i].text, text);
        }
    }
}

static void test_nobody_trusted(void **state)
{
    (void)state;
    assert_false(find_from("192.0.2.9", "X-Forwarded-For: 203.0.113.7\r\n"));
    assert_false(find_from("2001:db8::1", "Forwarded: for=203.0.113.7\r\n"));
    struct peer_list none = {NULL, 0};
    struct sockaddr_in6 from = address("10.0.0.1");
    assert_false(
        client_address_find(&head, &none, (const struct sockaddr *)&from, &arena, &client, &told));
}

static void test_list(void **state)
{
    (void)state;
    client_is("", "10.0.0.1", "");
    client_is("X-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7", ", 10.0.0.1");
    client_is("X-Forwarded-For: 203.0.113.7:4711\r\n", "203.0.113.7", ", 10.0.0.1");
    client_is("x-forwarded-for:2001:db8::7\r\n", "2001:db8::7", ", 10.0.0.1");
    /* What the client itself wrote stands to the left, and is not believed. */
    client_is("X-Forwarded-For: 1.1.1.1, 203.0.113.7\r\n", "203.0.113.7", ", 10.0.0.1");
    client_is("X-Forwarded-For: 10.0.0.5, 203.0.113.7\r\n", "203.0.113.7", ", 10.0.0.1");
    client_is("X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7", NULL);
    /* Through several proxies of ours, in one field or more. */
    client_is("X-Forwarded-For: 1.1.1.1, 203.0.113.7 ,10.0.0.3,\tfd00::2\r\n", "203.0.113.7",
              ", 10.0.0.3, fd00::2, 10.0.0.1");
    client_is("X-Forwarded-For: 203.0.113.7\r\nAccept: a\r\nX-Forwarded-For: 10.0.0.3\r\n",
              "203.0.113.7", ", 10.0.0.3, 10.0.0.1");
    /* All are ours: the left-most is the client. */
    client_is("X-Forwarded-For: 10.0.0.4, 10.0.0.3\r\n", "10.0.0.4", ", 10.0.0.3, 10.0.0.1");
    /* The walk stops where it cannot read; who told that is the client then. */
    client_is("X-Forwarded-For: unknown\r\n", "10.0.0.1", "");
    client_is("X-Forwarded-For:\r\n", "10.0.0.1", "");
    client_is("X-Forwarded-For: 203.0.113.7, \r\n", "10.0.0.1", "");
    client_is("X-Forwarded-For: 203.0.113.7,, 10.0.0.3\r\n", "10.0.0.3", ", 10.0.0.1");
    client_is("X-Forwarded-For: 203.0.113.7, junk, 10.0.0.3\r\n", "10.0.0.3", ", 10.0.0.1");
    client_is("X-Forwarded-For: 203.0.113.7, _hidden\r\n", "10.0.0.1", "");
    client_is("X-Forwarded-For: 203.0.113.7 10.0.0.3\r\n", "10.0.0.1", "");
    assert_true(find_from("fd00::1", "X-Forwarded-For: 203.0.113.7\r\n"));
    assert_true(str_eq(told.via_forwarded, STR(", for=\"[fd00::1]\"")));
}

/* Sections 4 and 6 of RFC 7239. */
static void test_forwarded(void **state)
{
    (void)state;
    client_is("Forwarded: for=\"_gazonk\"\r\n", "10.0.0.1", "");
    client_is("Forwarded: For=\"[2001:db8:cafe::17]:4711\"\r\n", "2001:db8:cafe::17", NULL);
    client_is("Forwarded: for=192.0.2.60;proto=http;by=203.0.113.43\r\n", "192.0.2.60", NULL);
    assert_string_equal(told.proto, "http");
    client_is("Forwarded: for=192.0.2.43, for=198.51.100.17\r\n", "198.51.100.17", NULL);
    client_is("Forwarded: for=192.0.2.43, for=\"[2001:db8:cafe::17]\"\r\n", "2001:db8:cafe::17",
              NULL);
    client_is("Forwarded: for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=unknown\r\n", "10.0.0.1",
              NULL);
    client_is("Forwarded: for=_hidden, for=_SEVKISEK\r\n", "10.0.0.1", NULL);
    client_is("Forwarded: for=\"192.0.2.43:47011\"\r\n", "192.0.2.43", NULL);
    client_is("Forwarded: for=192.0.2.43\r\nForwarded: for=\"[fd00::17]\", for=10.0.0.3\r\n",
              "192.0.2.43", ", fd00::17, 10.0.0.3, 10.0.0.1");
    assert_true(
        str_eq(told.via_forwarded, STR(", for=\"[fd00::17]\", for=10.0.0.3, for=10.0.0.1")));
    client_is("Forwarded: host=\"a.example:8443\" ; proto=HTTPS; for=192.0.2.43\r\n", "192.0.2.43",
              NULL);
    assert_string_equal(told.proto, "https");
    assert_true(str_eq(told.host, STR("a.example:8443")));
    /* Escapes, and separators in quotes. */
    client_is("Forwarded: secret=\"a,\\\";for=1.1.1.1\";for=\"192.0\\.2.43\"\r\n", "192.0.2.43",
              NULL);
}

static void test_forwarded_malformed(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "for=192.0.2.43:47011", /* a colon needs quotes */
        "for=2001:db8::1",
        "for=\"2001:db8::1\"", /* and IPv6 brackets */
        "for=\"192.0.2.43",
        "for=\"192.0.2.43\\",
        "for=\"192.0.2.43\"x",
        "for",
        "for=",
        "for=\"\"",
        "=192.0.2.43",
        "for =192.0.2.43",
        "for= 192.0.2.43",
        "for=192.0.2.43;",
        ";for=192.0.2.43",
        "for=192.0.2.43,",
        ",for=192.0.2.43",
        "for=192.0.2.43;for=192.0.2.44",
        "for=192.0.2.43 proto=https",
        "proto=https",
        "192.0.2.43",
        /* An open quote of the client's swallows what the proxy said: nothing is believed. */
        "for=\"x, for=192.0.2.43",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[256];
        (void)snprintf(text, sizeof text, "Forwarded: %s\r\n", rows[i]);
        client_is(text, "10.0.0.1", "");
    }
    /* In a field of its own it spoils only what stands before it. */
    client_is("Forwarded: for=\"x\r\nForwarded: for=192.0.2.43\r\n", "192.0.2.43", NULL);
}

/* Proxies that set X-Forwarded-For let a client's Forwarded pass. */
static void test_both(void **state)
{
    (void)state;
    client_is("Forwarded: for=1.1.1.1;host=evil.example\r\nX-Forwarded-For: 203.0.113.7\r\n",
              "203.0.113.7", NULL);
    assert_int_equal(told.host.len, 0);
    client_is("X-Forwarded-For: junk\r\nForwarded: for=1.1.1.1\r\n", "10.0.0.1", NULL);
}

static void test_details(void **state)
{
    (void)state;
    client_is("X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n"
              "X-Forwarded-Host: A.example:8443\r\nX-Forwarded-Port: 8443\r\n",
              "203.0.113.7", NULL);
    assert_string_equal(told.proto, "https");
    assert_true(str_eq(told.host, STR("A.example:8443")));
    assert_int_equal(told.port, 8443);
    /* Of several, what our own peer said. */
    client_is("X-Forwarded-Proto: https, HTTP\r\nX-Forwarded-Host: a.example\r\n"
              "X-Forwarded-Host: b.example\r\nX-Forwarded-Port: 1, 2\r\n",
              "10.0.0.1", NULL);
    assert_string_equal(told.proto, "http");
    assert_true(str_eq(told.host, STR("b.example")));
    assert_int_equal(told.port, 2);
    client_is("X-Forwarded-Proto: ftp\r\nX-Forwarded-Host: a\"b\r\nX-Forwarded-Port: 0\r\n",
              "10.0.0.1", NULL);
    assert_null(told.proto);
    assert_int_equal(told.host.len, 0);
    assert_int_equal(told.port, 0);
}

static void add_hop(char *text, size_t size)
{
    size_t len = strlen(text);
    (void)snprintf(text + len, size - len, ", 10.1.2.3");
}

static void test_hops_are_bounded(void **state)
{
    (void)state;
    char text[4096] = "X-Forwarded-For: 203.0.113.7";
    for (int i = 0; i < CLIENT_HOPS_MAX - 1; i++) {
        add_hop(text, sizeof text);
    }
    char fields[4200];
    (void)snprintf(fields, sizeof fields, "%s\r\n", text);
    client_is(fields, "203.0.113.7", NULL);
    add_hop(text, sizeof text);
    (void)snprintf(fields, sizeof fields, "%s\r\n", text);
    client_is(fields, "10.1.2.3", NULL);
}

static void test_elements_are_bounded(void **state)
{
    (void)state;
    char fields[8192] = "Forwarded: ";
    for (int i = 0; i < 255; i++) {
        (void)snprintf(fields + strlen(fields), 32, "for=203.0.113.7,");
    }
    size_t len = strlen(fields);
    (void)snprintf(fields + len, 64, "for=203.0.113.8\r\n");
    client_is(fields, "203.0.113.8", NULL);
    (void)snprintf(fields + len, 64, "for=203.0.113.7,for=203.0.113.8\r\n");
    client_is(fields, "10.0.0.1", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_nobody_trusted),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_forwarded),
        cmocka_unit_test(test_forwarded_malformed),
        cmocka_unit_test(test_both),
        cmocka_unit_test(test_details),
        cmocka_unit_test(test_hops_are_bounded),
        cmocka_unit_test(test_elements_are_bounded),
    };
    arena_init(&arena, 0);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_fini(&arena);
    return failed;
}
