/* Tests of acme/dnsmsg, on messages written byte by byte. tests/fuzz/fuzz_dns.c has the rest. */
#include "acme/dnsmsg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
// clang-format off
#include <cmocka.h>
// clang-format on

#include "base/auto.h"

/* Answer, authoritative, one question, `answers` records; the question is "ab.c" TXT. */
#define HEAD(answers) "\0\7\x84\0\0\1\0" answers "\0\0\0\0" QUESTION
#define QUESTION "\2ab\1c\0\0\x10\0\1"
#define OPEN(m, text) dnsmsg_open((m), "" text, sizeof(text) - 1)
/* Owner is the question's name; then type, class IN, ttl 1, length. */
#define RECORD(type, length) "\xc0\x0c" type "\0\1\0\0\0\1\0" length

static void open_one(struct dnsmsg *m, struct dnsmsg_record *r, const char *text, size_t len)
{
    assert_true(dnsmsg_open(m, text, len));
    struct dnsmsg_iter it = dnsmsg_records(m);
    assert_true(dnsmsg_next(&it, r));
}
#define OPEN_ONE(m, r, text) open_one((m), (r), "" text, sizeof(text) - 1)

static void test_txt(void **state)
{
    (void)state;
    struct dnsmsg m;
    struct dnsmsg_record r;
    OPEN_ONE(&m, &r, HEAD("\1") RECORD("\0\x10", "\7") "\3one\2\0!");
    assert_true(m.is_authoritative && !m.is_truncated && m.rcode == DNS_NOERROR);
    assert_string_equal(r.owner, "ab.c");
    assert_int_equal(r.ttl, 1);
    struct buf text = {0};
    assert_true(dnsmsg_txt(&m, &r, &text));
    assert_true(str_eq(buf_str(&text), STR("one\0!")));
    /* A string longer than the record. */
    OPEN_ONE(&m, &r, HEAD("\1") RECORD("\0\x10", "\4") "\4one");
    assert_false(dnsmsg_txt(&m, &r, &text));
    assert_int_equal(text.len, 5);
    buf_fini(&text);
}

static void test_names(void **state)
{
    (void)state;
    struct dnsmsg m;
    struct dnsmsg_record r;
    char name[DNS_NAME_TEXT_MAX];
    OPEN_ONE(&m, &r, HEAD("\1") RECORD("\0\5", "\x08") "\5A.\0\\b\xc0\x0f");
    assert_true(dnsmsg_name(&m, &r, name));
    assert_string_equal(name, "a\\046\\000\\092b.c");
    assert_false(dns_name_is_plain(name));
    assert_true(dns_name_is_plain("_acme-challenge.example.com"));
    assert_false(dns_name_is_plain("a..b"));
    assert_false(dns_name_is_plain("a.b."));
    assert_false(dns_name_is_plain("*.b"));
    assert_false(dns_name_is_plain(""));
    /* Bytes left over after the name. */
    OPEN_ONE(&m, &r, HEAD("\1") RECORD("\0\5", "\3") "\xc0\x0c\0");
    assert_false(dnsmsg_name(&m, &r, name));
    /* A pointer forwards, to itself, into the header; a reserved kind of label. */
    assert_false(OPEN(&m, "\0\7\x84\0\0\1\0\0\0\0\0\0\xc0\x0e\0\0\x10\0\1"));
    assert_false(OPEN(&m, "\0\7\x84\0\0\1\0\0\0\0\0\0\xc0\x0c\0\x10\0\1"));
    assert_false(OPEN(&m, "\0\7\x84\0\0\1\0\0\0\0\0\0\xc0\x00\0\x10\0\1"));
    assert_false(OPEN(&m, "\0\7\x84\0\0\1\0\0\0\0\0\0\x41\x00\0\x10\0\1"));
}

static void test_broken_messages(void **state)
{
    (void)state;
    struct dnsmsg m;
    assert_true(OPEN(&m, HEAD("\0")));
    assert_false(OPEN(&m, "\0\7\x04\0\0\1\0\0\0\0\0\0" QUESTION));     /* a question */
    assert_false(OPEN(&m, HEAD("\1")));                                /* a record missing */
    assert_false(OPEN(&m, HEAD("\1") RECORD("\0\x10", "\5") "\3one")); /* beyond the end */
    static const char whole[] = HEAD("\1") RECORD("\0\x10", "\4") "\3one";
    for (size_t len = 0; len + 1 < sizeof whole; len++) {
        assert_false(dnsmsg_open(&m, whole, len));
    }
    assert_true(dnsmsg_open(&m, whole, sizeof whole - 1));
}

static void test_caa_and_addresses(void **state)
{
    (void)state;
    struct dnsmsg m;
    struct dnsmsg_record r;
    struct dnsmsg_caa caa;
    OPEN_ONE(&m, &r, HEAD("\1") RECORD("\1\1", "\x09") "\x80\5issueca");
    assert_true(dnsmsg_caa(&m, &r, &caa));
    assert_int_equal(caa.flags, 0x80);
    assert_true(str_eq(caa.tag, STR("issue")) && str_eq(caa.value, STR("ca")));
    OPEN_ONE(&m, &r, HEAD("\1") RECORD("\1\1", "\4") "\0\5is");
    assert_false(dnsmsg_caa(&m, &r, &caa));
    OPEN_ONE(&m, &r, HEAD("\1") RECORD("\1\1", "\3") "\0\1;");
    assert_false(dnsmsg_caa(&m, &r, &caa));
    OPEN_ONE(&m, &r, HEAD("\1") RECORD("\0\1", "\4") "\1\2\3\4");
    assert_memory_equal(dnsmsg_address(&m, &r), "\1\2\3\4", 4);
    OPEN_ONE(&m, &r, HEAD("\1") RECORD("\0\1", "\3") "\1\2\3");
    assert_null(dnsmsg_address(&m, &r));
}

static void test_follow(void **state)
{
    (void)state;
    struct dnsmsg m;
    char name[DNS_NAME_TEXT_MAX] = "ab.c";
    assert_true(OPEN(&m, HEAD("\1") RECORD("\0\5", "\4") "\1x\xc0\x0f"));
    assert_int_equal(dnsmsg_follow(&m, name), 1);
    assert_string_equal(name, "x.c");
    assert_int_equal(dnsmsg_follow(&m, name), 0);
    assert_true(OPEN(&m, HEAD("\1") RECORD("\0\5", "\2") "\xc0\x0c"));
    memcpy(name, "ab.c", 5);
    assert_int_equal(dnsmsg_follow(&m, name), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_txt),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_broken_messages),
        cmocka_unit_test(test_caa_and_addresses),
        cmocka_unit_test(test_follow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
