/* Address lists: parsing with its errors, and matching of peers. */
#include "routing/policy.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/auto.h"

static struct sockaddr_storage peer(const char *address)
{
    struct sockaddr_storage storage = {.ss_family = AF_INET};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;
    if (strchr(address, ':') == NULL) {
        assert_int_equal(inet_pton(AF_INET, address, &v4->sin_addr), 1);
    } else {
        storage.ss_family = AF_INET6;
        assert_int_equal(inet_pton(AF_INET6, address, &v6->sin6_addr), 1);
    }
    return storage;
}

static bool has(const char *text, const char *address)
{
    struct ip_prefix prefix;
    struct err err;
    if (ip_prefix_parse(str_of(text), &prefix, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    struct sockaddr_storage storage = peer(address);
    return ip_prefix_has(&prefix, (const struct sockaddr *)&storage);
}

static void test_match(void **state)
{
    (void)state;
    assert_true(has("192.0.2.1", "192.0.2.1"));
    assert_false(has("192.0.2.1", "192.0.2.2"));
    assert_true(has("10.0.0.0/8", "10.255.1.2"));
    assert_false(has("10.0.0.0/8", "11.0.0.0"));
    assert_true(has("192.0.2.128/25", "192.0.2.200"));
    assert_false(has("192.0.2.128/25", "192.0.2.127"));
    assert_true(has("0.0.0.0/0", "203.0.113.9"));
    assert_false(has("0.0.0.0/0", "2001:db8::1"));
    assert_true(has("2001:db8::/32", "2001:db8:ffff::1"));
    assert_false(has("2001:db8::/32", "2001:db9::1"));
    assert_true(has("::1", "0:0:0:0:0:0:0:1"));
    assert_true(has("2001:DB8::8/127", "2001:db8::9"));
    assert_false(has("2001:DB8::8/127", "2001:db8::a"));
    assert_true(has("::/0", "2001:db8::1"));
}

static void test_match_v4_mapped(void **state)
{
    (void)state;
    assert_true(has("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert_true(has("::ffff:10.0.0.0/104", "10.1.2.3"));
    assert_true(has("::ffff:192.0.2.1", "::ffff:192.0.2.1"));
    assert_false(has("::ffff:192.0.2.1", "192.0.2.2"));
    assert_false(has("::/0", "::ffff:10.1.2.3"));
}

static void refused(const char *text, const char *says)
{
    struct ip_prefix prefix = {.bits = 99};
    struct err err;
    if (ip_prefix_parse(str_of(text), &prefix, &err) == 0) {
        fail_msg("\"%s\" was accepted", text);
    }
    if (strstr(err.msg, says) == NULL) {
        fail_msg("\"%s\" gave: %s", text, err.msg);
    }
    assert_int_equal(err.code, ERR_CONFIG);
    assert_int_equal(prefix.bits, 99);
}

static void test_errors(void **state)
{
    (void)state;
    refused("", "empty");
    refused("localhost", "names are not looked up");
    refused("10.0.0.1/8", "beyond the first 8");
    refused("192.0.2.129/25", "beyond the first 25");
    refused("2001:db8::1/32", "beyond the first 32");
    refused("10.0.0.0/33", "0 to 32");
    refused("::/129", "0 to 128");
    refused("10.0.0.0/", "0 to 32");
    refused("10.0.0.0/08", "0 to 32");
    refused("10.0.0.0/x", "0 to 32");
    refused("10.0.0.0/8/8", "0 to 32");
    refused("010.0.0.1", "leading zeros");
    refused("fe80::1%eth0", "zone");
    refused("10.0.0", "not an IP");
    refused("10.0.0.0.0", "not an IP");
    refused("256.0.0.1", "not an IP");
    refused(" 10.0.0.1", "not an IP");
    refused("[::1]", "not an IP");
    refused("1:2:3:4:5:6:7:8:9", "not an IP");
    struct err err;
    struct ip_prefix prefix;
    assert_int_equal(ip_prefix_parse((struct str){"10.0.0.1\0", 9}, &prefix, &err), -1);
}

static void test_policy(void **state)
{
    (void)state;
    struct ip_prefix allow[2];
    assert_int_equal(ip_prefix_parse(STR("192.0.2.0/24"), &allow[0], NULL), 0);
    assert_int_equal(ip_prefix_parse(STR("::1"), &allow[1], NULL), 0);
    struct policy policy = {.allow = allow, .allow_count = 2};
    struct sockaddr_storage in = peer("192.0.2.7");
    struct sockaddr_storage loop6 = peer("::1");
    struct sockaddr_storage out = peer("192.0.3.7");
    struct sockaddr local = {.sa_family = AF_UNIX};
    assert_true(policy_allows(&policy, (struct sockaddr *)&in));
    assert_true(policy_allows(&policy, (struct sockaddr *)&loop6));
    assert_false(policy_allows(&policy, (struct sockaddr *)&out));
    assert_false(policy_allows(&policy, &local));
    assert_false(policy_allows(&policy, NULL));
    struct policy everyone = {.allow_count = 0};
    assert_true(policy_allows(&everyone, (struct sockaddr *)&out));
}

/* The class's list and the route's own: a peer has to be in both. */
static void test_two_lists(void **state)
{
    (void)state;
    struct ip_prefix class_list[1];
    struct ip_prefix own[2];
    assert_int_equal(ip_prefix_parse(STR("10.0.0.0/8"), &class_list[0], NULL), 0);
    assert_int_equal(ip_prefix_parse(STR("10.1.0.0/16"), &own[0], NULL), 0);
    assert_int_equal(ip_prefix_parse(STR("192.0.2.1"), &own[1], NULL), 0);
    struct policy both = {
        .allow = class_list, .allow_count = 1, .route_allow = own, .route_allow_count = 2};
    struct policy only_own = {.route_allow = own, .route_allow_count = 2};
    struct sockaddr_storage in_both = peer("::ffff:10.1.2.3");
    struct sockaddr_storage in_class = peer("10.2.0.1");
    struct sockaddr_storage in_own = peer("192.0.2.1");
    assert_true(policy_allows(&both, (struct sockaddr *)&in_both));
    assert_false(policy_allows(&both, (struct sockaddr *)&in_class));
    assert_false(policy_allows(&both, (struct sockaddr *)&in_own));
    assert_true(policy_allows(&only_own, (struct sockaddr *)&in_own));
    assert_false(policy_allows(&only_own, (struct sockaddr *)&in_class));
    assert_false(policy_allows(&only_own, NULL));
}

static void prefix_formats(const char *text, const char *expected)
{
    struct ip_prefix prefix;
    char out[IP_PREFIX_TEXT];
    assert_int_equal(ip_prefix_parse(str_of(text), &prefix, NULL), 0);
    ip_prefix_format(&prefix, out);
    assert_string_equal(out, expected);
}

static void test_prefix_format(void **state)
{
    (void)state;
    prefix_formats("192.0.2.1", "192.0.2.1");
    prefix_formats("192.0.2.1/32", "192.0.2.1");
    prefix_formats("0.0.0.0/0", "0.0.0.0/0");
    prefix_formats("::ffff:10.0.0.0/104", "10.0.0.0/8");
    prefix_formats("2001:db8:0::/32", "2001:db8::/32");
    prefix_formats("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0/124",
                   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0/124");
    prefix_formats("::1", "::1");
}

static void formats(const char *address, const char *expected)
{
    struct sockaddr_storage storage = peer(address);
    char text[INET6_ADDRSTRLEN];
    peer_format((struct sockaddr *)&storage, text, sizeof(text));
    assert_string_equal(text, expected);
}

static void test_format(void **state)
{
    (void)state;
    formats("192.0.2.1", "192.0.2.1");
    formats("::ffff:192.0.2.1", "192.0.2.1");
    formats("2001:0db8:0::1", "2001:db8::1");
    char text[16];
    peer_format(NULL, text, sizeof(text));
    assert_string_equal(text, "unknown");
    char tiny[4];
    struct sockaddr_storage storage = peer("192.0.2.1");
    peer_format((struct sockaddr *)&storage, tiny, sizeof(tiny));
    assert_string_equal(tiny, "unk");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match),     cmocka_unit_test(test_match_v4_mapped),
        cmocka_unit_test(test_errors),    cmocka_unit_test(test_policy),
        cmocka_unit_test(test_two_lists), cmocka_unit_test(test_prefix_format),
        cmocka_unit_test(test_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
