/* PROXY protocol headers: what is one, what is not, and where it ends. */
#include "gateway/proxy_protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"
#include "routing/policy.h"

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define V2(text) SIG text, sizeof(SIG text) - 1
#define V4 "\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb" /* 192.0.2.1:56324 → :443 */

/* A buffer of exactly this size: a read past its end is seen. */
static enum proxy_result read_exactly(const char *data, size_t len, struct proxy_header *out,
                                      const char **why)
{
    char *exact = xmalloc(len == 0 ? 1 : len);
    memcpy(exact, data, len);
    enum proxy_result result = proxy_header_read(exact, len, out, why);
    free(exact);
    return result;
}

static void source_is(const struct proxy_header *h, const char *address, uint16_t port)
{
    char text[64];
    assert_true(h->has_source);
    peer_format((const struct sockaddr *)&h->source, text, sizeof text);
    assert_string_equal(text, address);
    assert_int_equal(ntohs(h->source.sin6_port), port); /* at one place in both families */
}

/* Done with the whole of it, and wanting more of every shorter piece. */
static struct proxy_header done(const char *data, size_t len)
{
    struct proxy_header h;
    const char *why = "";
    for (size_t cut = 0; cut < len; cut++) {
        if (read_exactly(data, cut, &h, &why) != PROXY_MORE) {
            fail_msg("%zu of %zu bytes: %s", cut, len, why);
        }
    }
    char more[PROXY_HEADER_MAX + 1];
    assert_true(len < sizeof more);
    memcpy(more, data, len);
    more[len] = 'G';
    if (read_exactly(more, len + 1, &h, &why) != PROXY_DONE) {
        fail_msg("refused: %s", why);
    }
    assert_int_equal(h.len, len);
    return h;
}

static struct proxy_header done_text(const char *text)
{
    return done(text, strlen(text));
}

static void refused(const char *data, size_t len)
{
    struct proxy_header h;
    const char *why = NULL;
    if (read_exactly(data, len, &h, &why) != PROXY_FAULT) {
        fail_msg("not refused: %.*s", (int)len, data);
    }
    assert_non_null(why);
}

static void test_v1(void **state)
{
    (void)state;
    struct proxy_header h = done_text("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n");
    source_is(&h, "192.0.2.1", 56324);
    h = done_text("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n");
    source_is(&h, "255.255.255.255", 65535);
    h = done_text("PROXY TCP6 2001:db8::1 ::1 0 443\r\n");
    source_is(&h, "2001:db8::1", 0);
    h = done_text("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 443\r\n");
    source_is(&h, "192.0.2.1", 1);
    h = done_text("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n");
    source_is(&h, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535);
    assert_false(done_text("PROXY UNKNOWN\r\n").has_source);
    /* The longest line there may be. */
    h = done_text("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n");
    assert_false(h.has_source);
    assert_int_equal(h.len, PROXY_V1_MAX);
}

static void test_v1_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "GET / HTTP/1.1\r\n",
        "PROXX",
        "proxy TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY \n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 \r\n",
        "PROXY  TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.2 56324 443\r\n",
        "PROXY TCP4 192.0.2.1\t198.51.100.2 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 056324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 00 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 -1 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +1 443\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.2 56324 443\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.2 56324 443\r\n",
        "PROXY TCP4 192.0.2 198.51.100.2 56324 443\r\n",
        "PROXY TCP4 2001:db8::1 ::1 56324 443\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.2 56324 443\r\n",
        "PROXY TCP6 [2001:db8::1] ::1 56324 443\r\n",
        "PROXY TCP6 fe80::1%lo ::1 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 example.com 56324 443\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.2 56324 443\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.2 56324 443\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY unknown\r\n",
        "\r\nPROXY UNKNOWN\r\n",
        "\x16\x03\x01",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        refused(rows[i], strlen(rows[i]));
    }
    static const char nul[] = "PROXY TCP4 192.0.2.1\0 198.51.100.2 56324 443\r\n";
    refused(nul, sizeof nul - 1);
    /* Without an end it is given up at the bound, and not before. */
    char longest[PROXY_V1_MAX + 1];
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "PROXY UNKNOWN ", 14);
    struct proxy_header h;
    const char *why;
    assert_int_equal(read_exactly(longest, PROXY_V1_MAX - 1, &h, &why), PROXY_MORE);
    refused(longest, PROXY_V1_MAX);
    longest[PROXY_V1_MAX - 2] = '\r';
    longest[PROXY_V1_MAX - 1] = '\n';
    assert_int_equal(read_exactly(longest, PROXY_V1_MAX, &h, &why), PROXY_DONE);
    longest[PROXY_V1_MAX - 1] = '\r';
    longest[PROXY_V1_MAX] = '\n';
    refused(longest, PROXY_V1_MAX + 1);
}

static void test_v2(void **state)
{
    (void)state;
    struct proxy_header h = done(V2("\x21\x11\x00\x0c" V4));
    source_is(&h, "192.0.2.1", 56324);
    h = done(V2("\x21\x21\x00\x24"
                "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"
                "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02"
                "\x00\x50\x01\xbb"));
    source_is(&h, "2001:db8::1", 80);
    /* TLVs: NOOP, ALPN, one without a value. */
    h = done(V2("\x21\x11\x00\x19" V4 "\x04\x00\x02zz\x01\x00\x02h2\xe0\x00\x00"));
    source_is(&h, "192.0.2.1", 56324);
    /* LOCAL: a health check of the proxy; whatever follows is skipped, even nonsense. */
    assert_false(done(V2("\x20\x00\x00\x00")).has_source);
    assert_false(done(V2("\x20\x11\x00\x0c" V4)).has_source);
    assert_false(done(V2("\x20\xff\x00\x02zz")).has_source);
    /* PROXY, but the proxy does not know for whom. */
    assert_false(done(V2("\x21\x00\x00\x00")).has_source);
    assert_false(done(V2("\x21\x00\x00\x03zzz")).has_source);
}

static void test_v2_refused(void **state)
{
    (void)state;
    refused("\r\n\r\n\0\r\nQUIX", 12);
    refused("\r\n\r\n\n", 5);
    refused(V2("\x11"));                /* version 1 in binary */
    refused(V2("\x31\x11\x00\x0c" V4)); /* version 3 */
    refused(V2("\x22\x11\x00\x0c" V4)); /* a command nobody knows */
    refused(V2("\x21\x12\x00\x0c" V4)); /* UDP */
    refused(V2("\x21\x31\x00\x02zz"));  /* a Unix socket */
    refused(V2("\x21\x10\x00\x0c" V4)); /* no transport */
    refused(V2("\x21\x01\x00\x0c" V4)); /* no family */
    refused(V2("\x21\x11\x00\x0b\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01"));
    refused(V2("\x21\x21\x00\x0c" V4));
    refused(V2("\x21\x11\x10\x01")); /* longer than the bound, seen at once */
    refused(V2("\x20\x00\xff\xff"));
    refused(V2("\x21\x11\x00\x0d" V4 "\x04"));
    refused(V2("\x21\x11\x00\x0e" V4 "\x04\x00"));
    refused(V2("\x21\x11\x00\x0f" V4 "\x04\x00\x01"));
    refused(V2("\x21\x11\x00\x10" V4 "\x04\xff\xff\x01"));
}

static void test_v2_bound(void **state)
{
    (void)state;
    static char most[PROXY_HEADER_MAX];
    memcpy(most, SIG "\x21\x11\x10\x00" V4, 28);
    most[28] = 4; /* one NOOP fills the rest */
    size_t rest = sizeof most - 28 - 3;
    most[29] = (char)(rest >> 8);
    most[30] = (char)(rest & 0xff);
    struct proxy_header h;
    const char *why = "";
    assert_int_equal(read_exactly(most, sizeof most - 1, &h, &why), PROXY_MORE);
    assert_int_equal(read_exactly(most, sizeof most, &h, &why), PROXY_DONE);
    assert_int_equal(h.len, PROXY_HEADER_MAX);
}

static void test_v2_checksum(void **state)
{
    (void)state;
    /* Computed apart from this code, over the header with zeros in the checksum's place. */
    static const char good[] = SIG "\x21\x11\x00\x13" V4 "\x03\x00\x04"
                                   "\x20\xec\x95\x49";
    struct proxy_header h = done(good, sizeof good - 1);
    source_is(&h, "192.0.2.1", 56324);
    for (size_t i = 16; i < sizeof good - 1; i++) {
        char bad[sizeof good];
        memcpy(bad, good, sizeof good);
        bad[i] ^= 1;
        if (i >= 28 && i < 31) {
            continue; /* then it is no checksum any more */
        }
        refused(bad, sizeof bad - 1);
    }
    refused(V2("\x21\x11\x00\x12" V4 "\x03\x00\x03\x00\x00\x00"));
    refused(V2("\x21\x11\x00\x1a" V4 "\x03\x00\x04\x00\x00\x00\x00\x03\x00\x04\x00\x00\x00\x00"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v1),       cmocka_unit_test(test_v1_refused),
        cmocka_unit_test(test_v2),       cmocka_unit_test(test_v2_refused),
        cmocka_unit_test(test_v2_bound), cmocka_unit_test(test_v2_checksum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
