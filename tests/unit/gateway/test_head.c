/* The one judge of heads (RFC 9110, 9112 section 6, 9113 section 8), and what
 * is written for the service. */
#include "gateway/head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"
#include "gateway/h1.h"

/* A str in the initialiser of a table. */
#define LIT(text)                                                                                  \
    {                                                                                              \
        "" text, sizeof(text) - 1                                                                  \
    }

static struct arena arena;
static struct head head;

static struct str copy(const char *text)
{
    return str_of(arena_strdup(&arena, text));
}

/* Parses an HTTP/1 head that is legal as syntax, and judges it. */
static struct head_fault judge(const char *text, bool is_request)
{
    size_t used;
    struct head_fault fault = {0, NULL};
    arena_reset(&arena);
    enum h1_result result =
        is_request
            ? h1_parse_request(&head, &arena, text, strlen(text), &limits_default, &used, &fault)
            : h1_parse_response(&head, &arena, text, strlen(text), &limits_default, &used, &fault);
    if (result != H1_DONE) {
        fail_msg("not parsed (%s): %s", fault.why == NULL ? "more" : fault.why, text);
    }
    return is_request ? head_check(&head) : head_check_response(&head);
}

static void legal(const char *text)
{
    struct head_fault fault = judge(text, true);
    if (fault.status != 0) {
        fail_msg("%u %s: %s", fault.status, fault.why, text);
    }
}

static void refused(const char *text, unsigned status)
{
    struct head_fault fault = judge(text, true);
    if (fault.status != status) {
        fail_msg("%u (%s), not %u: %s", fault.status, fault.why == NULL ? "" : fault.why, status,
                 text);
    }
    assert_non_null(fault.why);
}

#define GET "GET / HTTP/1.1\r\nHost: a.example\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a.example\r\n"

static void test_framing(void **state)
{
    (void)state;
    legal(GET "\r\n");
    assert_int_equal(head.content_length, LENGTH_NONE);
    assert_false(head.chunked);
    legal(POST "Content-Length: 0\r\n\r\n");
    assert_int_equal(head.content_length, 0);
    legal(POST "content-length: 9223372036854775807\r\n\r\n");
    assert_int_equal(head.content_length, INT64_MAX);
    legal(POST "Content-Length: 0005\r\n\r\n");
    assert_int_equal(head.content_length, 5);
    legal(POST "Transfer-Encoding: chunked\r\n\r\n");
    assert_true(head.chunked);
    legal(POST "transfer-encoding: \t CHUNKED\t\r\n\r\n");
    assert_true(head.chunked);
}

/* Every way two readers have been made to disagree about a body's length. */
static void test_smuggling(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned status;
    } rows[] = {
        {POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400},
        {POST "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400},
        {POST "Content-Length: 5\r\ncontent-length: 5\r\n\r\n", 400},
        {POST "Content-Length: 5, 5\r\n\r\n", 400},
        {POST "Content-Length: 5,6\r\n\r\n", 400},
        {POST "Content-Length:\r\n\r\n", 400},
        {POST "Content-Length: +5\r\n\r\n", 400},
        {POST "Content-Length: -1\r\n\r\n", 400},
        {POST "Content-Length: 0x5\r\n\r\n", 400},
        {POST "Content-Length: 5 5\r\n\r\n", 400},
        {POST "Content-Length: 5;\r\n\r\n", 400},
        {POST "Content-Length: 5.0\r\n\r\n", 400},
        {POST "Content-Length: 1e1\r\n\r\n", 400},
        {POST "Content-Length: 9223372036854775808\r\n\r\n", 400},
        {POST "Content-Length: 18446744073709551616\r\n\r\n", 400},
        {POST "Content-Length: 18446744073709551621\r\n\r\n", 400},
        {POST "Transfer-Encoding: chunked, identity\r\n\r\n", 400},
        {POST "Transfer-Encoding: chunked, chunked\r\n\r\n", 400},
        {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 400},
        {POST "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {POST "Transfer-Encoding: identity\r\n\r\n", 400},
        {POST "Transfer-Encoding:\r\n\r\n", 400},
        {POST "Transfer-Encoding: xchunked\r\n\r\n", 400},
        {POST "Transfer-Encoding: chunkedx\r\n\r\n", 400},
        {POST "Transfer-Encoding: \"chunked\"\r\n\r\n", 400},
        {POST "Transfer-Encoding: chunked;q=1\r\n\r\n", 400},
        {POST "Transfer-Encoding: chunked,\r\n\r\n", 400},
        {POST "Transfer-Encoding: ,chunked,\r\n\r\n", 400},
        {POST "Transfer-Encoding: gzip\r\n\r\n", 400},
        {POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {POST "Transfer-Encoding: gzip, chunked\r\nContent-Length: 3\r\n\r\n", 501},
        {"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
         400},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        refused(rows[i].text, rows[i].status);
    }
}

static void test_host(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *name;
        unsigned port;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: A.Example:8080\r\n\r\n", "a.example", 8080},
        {"GET / HTTP/1.1\r\nHost: a.example.\r\n\r\n", "a.example", 0},
        {"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "[::1]", 80},
        {"GET / HTTP/1.0\r\nhost: a\r\n\r\n", "a", 0},
        {"GET http://a.example/x HTTP/1.1\r\nHost: A.EXAMPLE\r\n\r\n", "a.example", 0},
        {"GET http://a.example:81/x HTTP/1.1\r\nHost: a.example:81\r\n\r\n", "a.example", 81},
        {"GET http://a.example/x HTTP/1.0\r\n\r\n", "a.example", 0},
        {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "a", 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        legal(rows[i].text);
        assert_string_equal(head.host.name, rows[i].name);
        assert_int_equal(head.host.port, rows[i].port);
    }
}

static void test_host_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: http://a\r\n\r\n",
        /* Two names for one request. */
        "GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n",
        "GET http://a.example/ HTTP/1.1\r\nHost: a.example:81\r\n\r\n",
        "GET http://a.example:81/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET http://a.example/ HTTP/1.1\r\nHost: a.example b\r\n\r\n",
        "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n",
        "GET http://user@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET http://a.example@b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n",
        /* No host, where there should be one (RFC 9110 4.2.1). */
        "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET https:///x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http:// HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://:80/x HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        refused(rows[i], 400);
    }
}

static void test_target(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned status;
    } rows[] = {
        {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET a.example/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET http:/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /\tx HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405},
        {"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 405},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        refused(rows[i].text, rows[i].status);
    }
    legal("GET //x/../%2e%2E?a=[]{}|\\^`\"<> HTTP/1.1\r\nHost: a\r\n\r\n"); /* services get it as it
                                                                               is */
}

static void test_connection(void **state)
{
    (void)state;
    legal(GET "\r\n");
    assert_false(head.wants_close || head.wants_keep_alive || head.wants_upgrade);
    legal(GET "Connection: foo, CLOSE\r\n\r\n");
    assert_true(head.wants_close);
    legal(GET "Connection: closed\r\n\r\n");
    assert_false(head.wants_close);
    legal("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_true(head.wants_close);
    legal("GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n");
    assert_false(head.wants_close);
    legal("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n");
    assert_true(head.wants_close); /* RFC 9112 9.3: close comes first */
    legal(GET "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_true(head.wants_upgrade);
    legal(GET "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_true(head.wants_upgrade);
    legal(GET "Connection: upgrade\r\n\r\n");
    assert_false(head.wants_upgrade);
    legal(GET "Upgrade: websocket\r\n\r\n");
    assert_false(head.wants_upgrade);
    legal("GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_false(head.wants_upgrade); /* RFC 9110 7.8 */
    legal(GET "Expect: 100-Continue\r\n\r\n");
    assert_true(head.expects_continue);
    legal("GET / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\n\r\n");
    assert_false(head.expects_continue); /* RFC 9110 10.1.1 */
    legal(GET "TE: gzip, Trailers\r\n\r\n");
    assert_true(head.te_trailers);
    refused(GET "Connection: a\r\nConnection: b\r\nConnection: c\r\nConnection: d\r\n"
                "Connection: e\r\nConnection: f\r\nConnection: g\r\nConnection: h\r\n"
                "Connection: i\r\n\r\n",
            400);
}

static void test_response(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool legal;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true},
        {"HTTP/1.1 200 OK\r\nHost: a\r\nHost: b\r\n\r\n", true},
        {"HTTP/1.1 100 Continue\r\n\r\n", true},
        {"HTTP/1.1 599 x\r\n\r\n", true},
        {"HTTP/1.1 099 x\r\n\r\n", false},
        {"HTTP/1.1 600 x\r\n\r\n", false},
        {"HTTP/1.1 999 x\r\n\r\n", false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", false},
        {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", false},
        {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct head_fault fault = judge(rows[i].text, false);
        if ((fault.status == 0) != rows[i].legal) {
            fail_msg("%u: %s", fault.status, rows[i].text);
        }
    }
    (void)judge("HTTP/1.0 200 OK\r\n\r\n", false);
    assert_true(head.wants_close);
    (void)judge("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", false);
    assert_false(head.wants_close);
    (void)judge("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", false);
    assert_true(head.wants_close);
}

/* An HTTP/2 request; NULL: that pseudo field is not there. Pairs of fields, NULL ends. */
static struct head_fault judge_h2(const char *method, const char *path, const char *authority,
                                  const char *protocol, const char *const *fields)
{
    arena_reset(&arena);
    head_init(&head, true);
    head.is_h2 = true;
    head.scheme = STR("https");
    head.method = method == NULL ? STR_NONE : copy(method);
    head.target = path == NULL ? STR_NONE : copy(path);
    head.authority = authority == NULL ? STR_NONE : copy(authority);
    head.protocol = protocol == NULL ? STR_NONE : copy(protocol);
    for (size_t i = 0; fields != NULL && fields[i] != NULL; i += 2) {
        assert_true(head_add(&head, &arena, copy(fields[i]), copy(fields[i + 1]), 200));
    }
    return head_check(&head);
}

#define FIELDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_h2(void **state)
{
    (void)state;
    assert_int_equal(judge_h2("GET", "/", "A.example", NULL, NULL).status, 0);
    assert_string_equal(head.host.name, "a.example");
    assert_int_equal(judge_h2("GET", "/", NULL, NULL, FIELDS("host", "b")).status, 0);
    assert_int_equal(judge_h2("GET", "/", "b", NULL, FIELDS("host", "B")).status, 0);
    assert_int_equal(judge_h2("OPTIONS", "*", "a", NULL, NULL).status, 0);
    assert_int_equal(judge_h2("GET", "/", "a", NULL, FIELDS("te", "trailers")).status, 0);
    assert_true(head.te_trailers);
    assert_int_equal(judge_h2("CONNECT", "/ws", "a", "websocket", NULL).status, 0);

    assert_int_equal(judge_h2("GET", "/", NULL, NULL, NULL).status, 400);
    assert_int_equal(judge_h2("GET", "/", "a", NULL, FIELDS("host", "b")).status, 400);
    assert_int_equal(judge_h2("GET", "/", "u@a", NULL, NULL).status, 400);
    assert_int_equal(judge_h2(NULL, "/", "a", NULL, NULL).status, 400);
    assert_int_equal(judge_h2("GET", NULL, "a", NULL, NULL).status, 400);
    assert_int_equal(judge_h2("GET", "", "a", NULL, NULL).status, 400);
    assert_int_equal(judge_h2("GET", "x", "a", NULL, NULL).status, 400);
    assert_int_equal(judge_h2("GET", "http://a/", "a", NULL, NULL).status, 400);
    assert_int_equal(judge_h2("CONNECT", "/x", "a", NULL, NULL).status, 405);
    assert_int_equal(judge_h2("CONNECT", "/x", "a", "connect-udp", NULL).status, 501);
    assert_int_equal(judge_h2("GET", "/x", "a", "websocket", NULL).status, 400);
}

/* What would become a second request, or another field, in HTTP/1. */
static void test_h2_smuggling(void **state)
{
    (void)state;
    assert_int_equal(judge_h2("GET / HTTP/1.1\r\nX: ", "/", "a", NULL, NULL).status, 400);
    assert_int_equal(judge_h2("GET ", "/", "a", NULL, NULL).status, 400);
    assert_int_equal(judge_h2("GET", "/ HTTP/1.1\r\nX: y", "a", NULL, NULL).status, 400);
    assert_int_equal(judge_h2("GET", "/ x", "a", NULL, NULL).status, 400);
    assert_int_equal(judge_h2("GET", "/\n", "a", NULL, NULL).status, 400);
    assert_int_equal(judge_h2("GET", "/", "a\r\nX: y", NULL, NULL).status, 400);
    static const char *const pairs[][3] = {
        {"x", "a\r\nY: z", NULL},
        {"x", "a\rY: z", NULL},
        {"x", "a\nY: z", NULL},
        {"x\r\ny", "z", NULL},
        {"x: y", "z", NULL},
        {"x ", "z", NULL},
        {"", "z", NULL},
        {":path", "/", NULL},
        {"transfer-encoding", "chunked", NULL},
        {"connection", "close", NULL},
        {"connection", "", NULL},
        {"te", "gzip", NULL},
        {"content-length", "1, 1", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        if (judge_h2("POST", "/", "a", NULL, pairs[i]).status != 400) {
            fail_msg("passed: %s: %s", pairs[i][0], pairs[i][1]);
        }
    }
}

static struct wbuf_pool pool;
static const struct route route = {.host = LIT("a.example"), .port = 3000};
static const struct head_forward forward = {
    .peer = "192.0.2.1", .proto = "https", .public_port = 8443, .route = &route};

static void writes(const struct head_forward *fwd, const char *expected)
{
    struct wbuf out = {0};
    head_write_request(&pool, &out, &head, fwd);
    char *got = xstrndup(wbuf_data(&out), wbuf_len(&out));
    assert_string_equal(got, expected);
    free(got);
    wbuf_release(&pool, &out);
}

#define FORWARDED                                                                                  \
    "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: a.example\r\nX-Forwarded-Proto: https\r\n"    \
    "X-Forwarded-Port: 8443\r\nForwarded: for=192.0.2.1;host=\"a.example\";proto=https\r\n"

static void test_write_plain(void **state)
{
    (void)state;
    legal("GET /x?y HTTP/1.1\r\nAccept: */*\r\nHost: a.example\r\nCookie: a=b\r\nCookie: c\r\n"
          "X-Empty:\r\n\r\n");
    writes(&forward, "GET /x?y HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nCookie: a=b\r\n"
                     "Cookie: c\r\nX-Empty: \r\n" FORWARDED "\r\n");
    legal("GET http://a.example HTTP/1.0\r\n\r\n");
    writes(&forward, "GET / HTTP/1.1\r\nHost: a.example\r\n" FORWARDED "\r\n");
}

static void test_write_host(void **state)
{
    (void)state;
    legal("GET / HTTP/1.1\r\nHost: A.example.:8443\r\n\r\n");
    writes(&forward, "GET / HTTP/1.1\r\nHost: A.example.:8443\r\n"
                     "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: A.example.:8443\r\n"
                     "X-Forwarded-Proto: https\r\nX-Forwarded-Port: 8443\r\n"
                     "Forwarded: for=192.0.2.1;host=\"A.example.:8443\";proto=https\r\n\r\n");
    const struct route rewrite = {.port = 3000, .host_mode = ROUTE_HOST_REWRITE};
    struct head_forward fwd = forward;
    fwd.route = &rewrite;
    fwd.peer = "2001:db8::1";
    fwd.peer_is_v6 = true;
    fwd.proto = "http";
    fwd.public_port = 5858;
    legal(GET "\r\n");
    writes(&fwd, "GET / HTTP/1.1\r\nHost: localhost:3000\r\nX-Forwarded-For: 2001:db8::1\r\n"
                 "X-Forwarded-Host: a.example\r\nX-Forwarded-Proto: http\r\n"
                 "X-Forwarded-Port: 5858\r\n"
                 "Forwarded: for=\"[2001:db8::1]\";host=\"a.example\";proto=http\r\n\r\n");
}

/* The longest host there can be fits where it is written. */
static void test_write_longest_host(void **state)
{
    (void)state;
    struct buf text = {0};
    buf_add_text(&text, "GET / HTTP/1.1\r\nHost: ");
    for (int label = 0; label < 4; label++) {
        for (int i = 0; i < (label == 3 ? 61 : 63); i++) {
            buf_add_char(&text, 'a');
        }
        buf_add_char(&text, '.');
    }
    buf_add_text(&text, ":65535\r\n\r\n");
    legal(buf_cstr(&text));
    assert_int_equal(head.host.len, 253);
    struct head_forward fwd = forward;
    fwd.peer = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255";
    fwd.peer_is_v6 = true;
    struct wbuf out = {0};
    head_write_request(&pool, &out, &head, &fwd);
    assert_true(wbuf_len(&out) > 3 * 260);
    wbuf_release(&pool, &out);
    buf_fini(&text);
}

static void test_write_strips(void **state)
{
    (void)state;
    legal(GET "Connection: close, X-Private , keep-alive\r\nX-Private: 1\r\nKeep-Alive: 5\r\n"
              "Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\nTE: gzip\r\n"
              "Upgrade: websocket\r\nHTTP2-Settings: AAMAAABk\r\n"
              "X-Forwarded-For: 10.0.0.1\r\nx-forwarded-host: evil\r\nX-FORWARDED-PROTO: http\r\n"
              "X-Forwarded-Port: 1\r\nX-Forwarded-Server: evil\r\nForwarded: for=10.0.0.1\r\n"
              "X-Real-IP: 10.0.0.1\r\nX-Kept: yes\r\nExpect: 100-continue\r\n\r\n");
    writes(&forward, "GET / HTTP/1.1\r\nHost: a.example\r\nX-Kept: yes\r\n"
                     "Expect: 100-continue\r\n" FORWARDED "\r\n");
    /* Naming in Connection what must reach the service does not take it away. */
    legal(POST "Connection: host, content-length, x-forwarded-for\r\nContent-Length: 3\r\n\r\n");
    writes(&forward,
           "POST / HTTP/1.1\r\nHost: a.example\r\n" FORWARDED "Content-Length: 3\r\n\r\n");
    assert_true(head_is_hop_by_hop(&head, STR("X-Forwarded-For")));
    assert_true(head_is_hop_by_hop(&head, STR("Transfer-Encoding")));
    assert_false(head_is_hop_by_hop(&head, STR("Accept")));
}

static void test_write_framing(void **state)
{
    (void)state;
    struct head_forward body = forward;
    body.has_body = true;
    legal(POST "Transfer-Encoding: Chunked\r\n\r\n");
    writes(&body,
           "POST / HTTP/1.1\r\nHost: a.example\r\n" FORWARDED "Transfer-Encoding: chunked\r\n\r\n");
    legal(POST "Content-Length: 0007\r\nTE: trailers\r\n\r\n");
    writes(&body, "POST / HTTP/1.1\r\nHost: a.example\r\n" FORWARDED
                  "Connection: TE\r\nTE: trailers\r\nContent-Length: 7\r\n\r\n");
    legal(POST "Content-Length: 0\r\n\r\n");
    writes(&forward,
           "POST / HTTP/1.1\r\nHost: a.example\r\n" FORWARDED "Content-Length: 0\r\n\r\n");
    legal(GET "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n");
    writes(&forward, "GET / HTTP/1.1\r\nHost: a.example\r\nSec-WebSocket-Key: k\r\n" FORWARDED
                     "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
}

static void test_write_h2(void **state)
{
    (void)state;
    struct head_forward body = forward;
    body.has_body = true;
    assert_int_equal(
        judge_h2("GET", "/x", "a.example", NULL,
                 FIELDS("cookie", "a=b", "accept", "*/*", "cookie", "c=d; e=f", "cookie", "g"))
            .status,
        0);
    writes(&forward, "GET /x HTTP/1.1\r\nHost: a.example\r\naccept: */*\r\n"
                     "Cookie: a=b; c=d; e=f; g\r\n" FORWARDED "\r\n");
    assert_int_equal(judge_h2("POST", "/", NULL, NULL, FIELDS("host", "a.example")).status, 0);
    writes(&body,
           "POST / HTTP/1.1\r\nHost: a.example\r\n" FORWARDED "Transfer-Encoding: chunked\r\n\r\n");
    writes(&forward, /* RFC 9110 8.6: without a body, say so */
           "POST / HTTP/1.1\r\nHost: a.example\r\n" FORWARDED "Content-Length: 0\r\n\r\n");
    assert_int_equal(judge_h2("PUT", "/", "a.example", NULL, FIELDS("content-length", "12")).status,
                     0);
    writes(&body, "PUT / HTTP/1.1\r\nHost: a.example\r\n" FORWARDED "Content-Length: 12\r\n\r\n");
}

/* RFC 8441: an extended CONNECT becomes the GET of RFC 6455. */
static void test_write_h2_websocket(void **state)
{
    (void)state;
    struct head_forward fwd = forward;
    fwd.upgrade_from_h2 = true;
    fwd.ws_key = "dGhlIHNhbXBsZSBub25jZQ==";
    fwd.has_body = true;
    assert_int_equal(judge_h2("CONNECT", "/ws?x", "a.example", "websocket",
                              FIELDS("sec-websocket-version", "13", "sec-websocket-protocol", "p",
                                     "sec-websocket-key", "theirs", "cookie", "a", "cookie", "b"))
                         .status,
                     0);
    writes(&fwd, "GET /ws?x HTTP/1.1\r\nHost: a.example\r\nsec-websocket-version: 13\r\n"
                 "sec-websocket-protocol: p\r\nCookie: a; b\r\n" FORWARDED
                 "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
}

static void test_write_trailers(void **state)
{
    (void)state;
    struct head trailers;
    struct wbuf out = {0};
    arena_reset(&arena);
    head_init(&trailers, false);
    const char *const fields[] = {"grpc-status",
                                  "0",
                                  "Content-Length",
                                  "5",
                                  "transfer-encoding",
                                  "chunked",
                                  "HOST",
                                  "b",
                                  "Authorization",
                                  "x",
                                  "Set-Cookie",
                                  "a",
                                  "x\r\ny",
                                  "z",
                                  "x-bad",
                                  "a\r\nb: c",
                                  "X-Sum",
                                  "1 2"};
    for (size_t i = 0; i < COUNT_OF(fields); i += 2) {
        assert_true(head_add(&trailers, &arena, str_of(fields[i]), str_of(fields[i + 1]), 200));
    }
    head_write_trailers(&pool, &out, &trailers);
    wbuf_add(&pool, &out, "", 1);
    assert_string_equal(wbuf_data(&out), "grpc-status: 0\r\nX-Sum: 1 2\r\n\r\n");
    wbuf_release(&pool, &out);
    head_write_trailers(&pool, &out, NULL);
    assert_int_equal(wbuf_len(&out), 2);
    assert_memory_equal(wbuf_data(&out), "\r\n", 2);
    wbuf_release(&pool, &out);
}

static void test_many_fields(void **state)
{
    (void)state;
    arena_reset(&arena);
    head_init(&head, true);
    for (unsigned i = 0; i < 100; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "n%u", i);
        assert_true(head_add(&head, &arena, copy(name), copy(name), 100));
    }
    assert_false(head_add(&head, &arena, STR("more"), STR("x"), 100));
    assert_int_equal(head.count, 100);
    assert_true(str_eq(head.fields[0].name, STR("n0")));
    assert_true(str_eq(head.fields[99].value, STR("n99")));
    assert_null(head_find(&head, STR("more")));
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_fini(&arena);
    wbuf_pool_fini(&pool);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_framing),        cmocka_unit_test(test_smuggling),
        cmocka_unit_test(test_host),           cmocka_unit_test(test_host_refused),
        cmocka_unit_test(test_target),         cmocka_unit_test(test_connection),
        cmocka_unit_test(test_response),       cmocka_unit_test(test_h2),
        cmocka_unit_test(test_h2_smuggling),   cmocka_unit_test(test_write_plain),
        cmocka_unit_test(test_write_host),     cmocka_unit_test(test_write_longest_host),
        cmocka_unit_test(test_write_strips),   cmocka_unit_test(test_write_framing),
        cmocka_unit_test(test_write_h2),       cmocka_unit_test(test_write_h2_websocket),
        cmocka_unit_test(test_write_trailers), cmocka_unit_test(test_many_fields),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
