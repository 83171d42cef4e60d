/* The one judge of heads (RFC 9110, 9112 section 6, 9113 section 8). */
#include "gateway/head.h"

#include <stdio.h>

#include "tests/unit/gateway/heads.h"

static void refused(const char *text, unsigned status)
{
    struct head_fault fault = judge(text, true);
    if (fault.status != status) {
        fail_msg("%u (%s), not %u: %s", fault.status, fault.why == NULL ? "" : fault.why, status,
                 text);
    }
    assert_non_null(fault.why);
}

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

/* Values are looked at in steps of eight bytes: each byte, at each place of a step and behind it,
 * among the bytes that lie next to what is refused. */
static void test_value_bytes(void **state)
{
    (void)state;
    static const char around[] = {' ', '~', '\t', (char)0x80, (char)0xff, 'a'};
    enum { LEN = 19 };
    char value[LEN];
    for (size_t fill = 0; fill < sizeof around; fill++) {
        memset(value, around[fill], sizeof value);
        for (size_t at = 0; at < LEN; at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                bool refused_byte = (byte < 0x20 && byte != '\t') || byte == 0x7f;
                value[at] = (char)byte;
                assert_int_equal(head_value_is_legal((struct str){value, LEN}), !refused_byte);
                assert_true(head_value_is_legal((struct str){value, at}));
            }
            value[at] = around[fill];
        }
    }
    assert_true(head_value_is_legal(STR_NONE));
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
        {"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET http://a/x HTTP/1.1\r\n\r\n", 400}, /* no Host */
        {"GET http://?x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        refused(rows[i].text, rows[i].status);
    }
    legal("GET //x/../%2e%2E?a=[]{}|\\^`\"<> HTTP/1.1\r\nHost: a\r\n\r\n"); /* services get it as it
                                                                               is */
}

/* RFC 9112 3.2.1 and 3.2.4: the origin-form of an absolute-form target without a path. */
static void test_absolute_form_without_path(void **state)
{
    (void)state;
    legal("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(str_eq(head.target, STR("/")));
    legal("GET http://a?x/y HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(str_eq(head.target, STR("/?x/y")));
    legal("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(str_eq(head.target, STR("*")));
    legal("OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(str_eq(head.target, STR("/")));
}

static void test_method_length(void **state)
{
    (void)state;
    char text[128];
    char method[66];
    memset(method, 'M', sizeof method);
    (void)snprintf(text, sizeof text, "%.64s / HTTP/1.1\r\nHost: a\r\n\r\n", method);
    legal(text);
    (void)snprintf(text, sizeof text, "%.65s / HTTP/1.1\r\nHost: a\r\n\r\n", method);
    refused(text, 501);
}

static void test_expect(void **state)
{
    (void)state;
    legal(GET "Expect: 100-Continue\r\n\r\n");
    assert_true(head.expects_continue);
    refused(GET "Expect: 200-ok\r\n\r\n", 417);
    refused(GET "Expect: 100-continue, x\r\n\r\n", 417);
    legal("GET / HTTP/1.0\r\nHost: a\r\nExpect: 200-ok\r\n\r\n");
    assert_false(head.expects_continue);
}

static void test_max_forwards(void **state)
{
    (void)state;
    legal(GET "Max-Forwards: 0\r\n\r\n"); /* means nothing for GET */
    assert_int_equal(head.max_forwards, FORWARDS_ANY);
    legal("OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
    assert_int_equal(head.max_forwards, 0);
    legal("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 10\r\n\r\n");
    assert_int_equal(head.max_forwards, 10);
    legal("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 18446744073709551615\r\n\r\n");
    assert_int_equal(head.max_forwards, 9999);
    refused("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: x\r\n\r\n", 400);
    refused("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\nMax-Forwards: 0\r\n\r\n", 400);
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
    legal(GET "Connection: upgrade\r\nUpgrade: H2C\r\n\r\n");
    assert_false(head.wants_upgrade); /* frames nobody would check */
    legal(GET "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n\r\n");
    assert_false(head.wants_upgrade);
    legal("GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_false(head.wants_upgrade); /* RFC 9110 7.8 */
    legal(GET "Expect: 100-Continue\r\n\r\n");
    assert_true(head.expects_continue);
    legal("GET / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\n\r\n");
    assert_false(head.expects_continue); /* RFC 9110 10.1.1 */
    legal(GET "TE: gzip, Trailers\r\n\r\n");
    assert_true(head.te_trailers);
    legal(GET "Connection: a\r\nConnection: b\r\nConnection: c\r\nConnection: d\r\n"
              "Connection: e\r\nConnection: f\r\nConnection: g\r\nConnection: h\r\n"
              "Connection: i, close\r\n\r\n");
    assert_true(head.wants_close);
    assert_true(head_is_hop_by_hop(&head, STR("A")) && head_is_hop_by_hop(&head, STR("I")));
    assert_false(head_is_hop_by_hop(&head, STR("j")));
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
    assert_int_equal(judge_h2("CONNECT", "http://b/ws", "a", "websocket", NULL).status, 400);
    assert_int_equal(judge_h2("CONNECT", "*", "a", "websocket", NULL).status, 400);
    assert_int_equal(judge_h2("GET", "", "a", NULL, NULL).status, 400);
    assert_int_equal(judge_h2("GET", "x", "a", NULL, NULL).status, 400);
    assert_int_equal(judge_h2("GET", "http://a/", "a", NULL, NULL).status, 400);
    assert_int_equal(judge_h2("CONNECT", "/x", "a", NULL, NULL).status, 405);
    assert_int_equal(judge_h2("CONNECT", "/x", "a", "connect-udp", NULL).status, 501);
    assert_int_equal(judge_h2("GET", "/x", "a", "websocket", NULL).status, 400);
    assert_int_equal(judge_h2("CONNECT", NULL, "a:443", NULL, NULL).status, 405);
    assert_true(head_fault_is_malformed(judge_h2("GET", "x", "a", NULL, NULL)));
    assert_false(head_fault_is_malformed(judge_h2("CONNECT", NULL, "a", NULL, NULL)));
    assert_false(head_fault_is_malformed(judge_h2("GET", "/", "a", NULL, NULL)));
    head.scheme = STR("ftp");
    assert_int_equal(head_check(&head).status, 421);
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
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_framing),
        cmocka_unit_test(test_value_bytes),
        cmocka_unit_test(test_smuggling),
        cmocka_unit_test(test_host),
        cmocka_unit_test(test_host_refused),
        cmocka_unit_test(test_target),
        cmocka_unit_test(test_connection),
        cmocka_unit_test(test_response),
        cmocka_unit_test(test_h2),
        cmocka_unit_test(test_h2_smuggling),
        cmocka_unit_test(test_many_fields),
        cmocka_unit_test(test_absolute_form_without_path),
        cmocka_unit_test(test_method_length),
        cmocka_unit_test(test_expect),
        cmocka_unit_test(test_max_forwards),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
