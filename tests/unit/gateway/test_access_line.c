/* access_line: every line is one JSON object in UTF-8, whatever its values hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/json.h"
#include "gateway/access_line.h"
#include "gateway/redact.h"

static cJSON *parse(const char *line, size_t len)
{
    struct err err = {0};
    assert_true(len > 0 && len <= ACCESS_LINE_MAX);
    assert_int_equal(line[len - 1], '\n');
    assert_null(memchr(line, '\n', len - 1));
    cJSON *tree = json_parse((struct str){line, len - 1}, "line", &err);
    if (tree == NULL) {
        fail_msg("%s: %.*s", err.msg, (int)len, line);
    }
    return tree;
}

static void test_all_members(void **state)
{
    (void)state;
    const struct access_entry entry = {
        .wall_us = 1763640000123999, /* 2025-11-20T12:00:00.123999Z */
        .id = STR("id1"),
        .peer = "192.0.2.1",
        .host = STR("a.example:443"),
        .route = STR("a.example"),
        .worktree = STR("alpha"),
        .service = STR("web"),
        .method = STR("GET"),
        .path = STR("/p?q=1"),
        .status = 200,
        .bytes_in = 5,
        .bytes_out = UINT64_MAX,
        .first_us = 1234,
        .duration_us = 10000000,
        .protocol = "HTTP/2",
        .upgrade = STR("websocket"),
        .tls_version = "TLSv1.3",
        .tls_cipher = "TLS_AES_128_GCM_SHA256",
        .tls_resumed = true,
        .upstream_port = 3000,
        .upstream_v6 = true,
        .upstream_reused = true,
        .upstream_retried = true,
        .upstream_error = "Connection refused",
        .reason = "allowed",
        .aborted = "client",
    };
    static const char expected[] =
        "{\"time\":\"2025-11-20T12:00:00.123Z\",\"id\":\"id1\",\"peer\":\"192.0.2.1\","
        "\"host\":\"a.example:443\",\"route\":\"a.example\",\"worktree\":\"alpha\","
        "\"service\":\"web\",\"method\":\"GET\",\"path\":\"/p?q=1\",\"status\":200,\"in\":5,"
        "\"out\":18446744073709551615,\"firstMs\":1.234,\"ms\":10000.000,"
        "\"protocol\":\"HTTP/2\",\"upgrade\":\"websocket\",\"tls\":\"TLSv1.3\","
        "\"cipher\":\"TLS_AES_128_GCM_SHA256\",\"resumed\":true,\"upstream\":\"[::1]:3000\","
        "\"reused\":true,\"retried\":true,\"upstreamError\":\"Connection refused\","
        "\"reason\":\"allowed\",\"aborted\":\"client\"}\n";
    char line[ACCESS_LINE_MAX];
    size_t len = access_line_format(&entry, line);
    assert_int_equal(len, sizeof expected - 1);
    assert_memory_equal(line, expected, len);
}

static void test_dates(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        const char *text;
    } dates[] = {
        {0, "1970-01-01T00:00:00.000Z"},          {951782400, "2000-02-29T00:00:00.000Z"},
        {951868799, "2000-02-29T23:59:59.000Z"},  {1735689599, "2024-12-31T23:59:59.000Z"},
        {1709164800, "2024-02-29T00:00:00.000Z"}, {4102444800, "2100-01-01T00:00:00.000Z"},
        {4107542400, "2100-03-01T00:00:00.000Z"},
    };
    for (size_t i = 0; i < COUNT_OF(dates); i++) {
        char line[ACCESS_LINE_MAX];
        struct access_entry entry = {.wall_us = dates[i].seconds * 1000000};
        autojson cJSON *tree = parse(line, access_line_format(&entry, line));
        assert_string_equal(json_get_str(tree, "time", ""), dates[i].text);
    }
}

static void test_hostile_text(void **state)
{
    (void)state;
    static const struct {
        struct str in;
        const char *out;
    } texts[] = {
        {STR("a\"b\\c"), "a\"b\\c"},
        {STR("a\nb\rc\td"), "a%0ab%0dc%09d"},
        {STR("\x7f\x1b[2J"), "%7f%1b[2J"},
        {STR("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"),
         "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {STR("\xff\xfe"), "\xef\xbf\xbd\xef\xbf\xbd"},
        {STR("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd"},                   /* overlong */
        {STR("\xed\xa0\x80x"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx"}, /* a surrogate */
        {STR("\xf4\x90\x80\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {STR("\xe2\x82"), "\xef\xbf\xbd\xef\xbf\xbd"}, /* cut short */
        {STR("12345678\"2345678"), "12345678\"2345678"},
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        char line[ACCESS_LINE_MAX];
        struct access_entry entry = {.path = texts[i].in, .service = texts[i].in};
        autojson cJSON *tree = parse(line, access_line_format(&entry, line));
        assert_string_equal(json_get_str(tree, "path", "?"), texts[i].out);
        assert_string_equal(json_get_str(tree, "service", "?"), texts[i].out);
    }
    char line[ACCESS_LINE_MAX];
    struct access_entry entry = {.path = STR("a\0b")};
    autojson cJSON *tree = parse(line, access_line_format(&entry, line));
    assert_string_equal(json_get_str(tree, "path", "?"), "a%00b");
}

/* The worst a line can be still fits, and each byte value alone gives a legal line. */
static void test_bounds(void **state)
{
    (void)state;
    size_t size = 70000;
    char *huge = malloc(size);
    assert_non_null(huge);
    for (int byte = 0; byte < 256; byte++) {
        memset(huge, byte, size);
        const struct str text = {huge, size};
        const struct access_entry entry = {
            .peer = "192.0.2.1",
            .host = text,
            .worktree = text,
            .service = text,
            .method = text,
            .path = text,
            .path_is_cut = true,
            .upgrade = text,
            .status = 65535,
            .first_us = UINT64_MAX,
            .duration_us = UINT64_MAX,
        };
        char *line = malloc(ACCESS_LINE_MAX); /* so that a sanitiser sees the first byte beyond */
        assert_non_null(line);
        size_t len = access_line_format(&entry, line);
        autojson cJSON *tree = parse(line, len);
        assert_true(strlen(json_get_str(tree, "path", "")) <= REDACT_MAX * 3 + 3);
        free(line);
    }
    free(huge);
}

static void test_random_text(void **state)
{
    (void)state;
    char text[200];
    uint32_t seed = 7;
    for (int round = 0; round < 20000; round++) {
        size_t len = (size_t)round % sizeof text;
        for (size_t i = 0; i < len; i++) {
            seed = seed * 1103515245u + 12345u;
            text[i] = (char)(seed >> 16);
        }
        char line[ACCESS_LINE_MAX];
        const struct str s = {text, len};
        const struct access_entry entry = {.host = s, .path = s, .method = s};
        autojson cJSON *tree = parse(line, access_line_format(&entry, line));
        assert_non_null(tree);
    }
}

/* Texts are looked at eight bytes at a time: a quote is seen wherever it is. */
static void test_quote_at_each_place(void **state)
{
    (void)state;
    enum { MOST = 26 };
    for (size_t len = 1; len <= MOST; len++) {
        for (size_t at = 0; at <= len; at++) {
            char text[MOST + 2];
            memset(text, 'h', sizeof text);
            text[at] = '"'; /* at == len: not of the text */
            const struct access_entry entry = {.host = {text, len}};
            char line[ACCESS_LINE_MAX];
            cJSON *tree = parse(line, access_line_format(&entry, line));
            const char *host = cJSON_GetStringValue(cJSON_GetObjectItem(tree, "host"));
            assert_non_null(host);
            assert_int_equal(strlen(host), len);
            assert_memory_equal(host, text, len);
            cJSON_Delete(tree);
        }
    }
}

static void test_refusal(void **state)
{
    (void)state;
    const struct access_refusal refusal = {
        .peer = "::1", .reason = "handshake", .detail = "no \"shared\" cipher", .suppressed = 12};
    char line[ACCESS_LINE_MAX];
    autojson cJSON *tree = parse(line, access_line_refusal(&refusal, line));
    assert_string_equal(json_get_str(tree, "event", ""), "refused");
    assert_string_equal(json_get_str(tree, "reason", ""), "handshake");
    assert_string_equal(json_get_str(tree, "detail", ""), "no \"shared\" cipher");
    assert_int_equal(json_get_int(tree, "suppressed", 0), 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_members),  cmocka_unit_test(test_dates),
        cmocka_unit_test(test_hostile_text), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_random_text),  cmocka_unit_test(test_quote_at_each_place),
        cmocka_unit_test(test_refusal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
