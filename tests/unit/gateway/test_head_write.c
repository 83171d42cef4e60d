/* Checked heads written anew for the service, byte by byte. */
#include "gateway/head.h"

#include "tests/unit/gateway/heads.h"

static struct wbuf_pool pool;
static const struct route route = {.host = LIT("a.example"), .port = 3000};
static const struct head_forward forward = {
    .peer = "192.0.2.1", .proto = "https", .public_port = 8443, .route = &route};

/* Every request has our Via, with the version it came in; taken out of what is compared. */
static void take_via(char *text)
{
    const char *wanted = head.is_h2        ? "Via: 2 wos\r\n"
                         : head.minor == 0 ? "Via: 1.0 wos\r\n"
                                           : "Via: 1.1 wos\r\n";
    char *at = strstr(text, wanted);
    assert_non_null(at);
    memmove(at, at + strlen(wanted), strlen(at + strlen(wanted)) + 1);
    assert_null(strstr(text, "wos\r\n"));
}

static void writes(const struct head_forward *fwd, const char *expected)
{
    struct wbuf out = {0};
    head_write_request(&pool, &out, &head, fwd);
    char *got = xstrndup(wbuf_data(&out), wbuf_len(&out));
    take_via(got);
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

/* Behind proxies that are believed: the client first, then each of them. */
static void test_write_told(void **state)
{
    (void)state;
    struct head_told told = {.via = STR(", 10.0.0.2, fd00::1"),
                             .via_forwarded = STR(", for=10.0.0.2, for=\"[fd00::1]\""),
                             .host = STR("b.example:8080"),
                             .proto = "http",
                             .port = 8080};
    struct head_forward fwd = forward;
    fwd.told = &told;
    legal("GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 1.1.1.1\r\n"
          "Forwarded: for=1.1.1.1\r\n\r\n");
    writes(&fwd, "GET / HTTP/1.1\r\nHost: a.example\r\n"
                 "X-Forwarded-For: 192.0.2.1, 10.0.0.2, fd00::1\r\n"
                 "X-Forwarded-Host: b.example:8080\r\nX-Forwarded-Proto: http\r\n"
                 "X-Forwarded-Port: 8080\r\n"
                 "Forwarded: for=192.0.2.1;host=\"b.example:8080\";proto=http, for=10.0.0.2, "
                 "for=\"[fd00::1]\"\r\n\r\n");
    told = (struct head_told){.via = STR(", 10.0.0.2"), .via_forwarded = STR(", for=10.0.0.2")};
    writes(&fwd, "GET / HTTP/1.1\r\nHost: a.example\r\n"
                 "X-Forwarded-For: 192.0.2.1, 10.0.0.2\r\n"
                 "X-Forwarded-Host: a.example\r\nX-Forwarded-Proto: https\r\n"
                 "X-Forwarded-Port: 8443\r\n"
                 "Forwarded: for=192.0.2.1;host=\"a.example\";proto=https, for=10.0.0.2\r\n\r\n");
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
    /* However many fields name them. */
    legal(GET "X-A: 1\r\nConnection:\r\nConnection: x-b\r\nX-B: 1\r\nX-C: 1\r\n"
              "Connection: close\r\nConnection: x-a\r\nX-D: 1\r\n\r\n");
    writes(&forward, "GET / HTTP/1.1\r\nHost: a.example\r\nX-C: 1\r\nX-D: 1\r\n" FORWARDED "\r\n");
    /* CGI and its heirs read these as the same names. */
    legal(GET "X_Forwarded_For: 10.0.0.1\r\nX-Real_IP: 10.0.0.1\r\nContent_Length: 9\r\n"
              "Transfer_Encoding: chunked\r\nX_Mine: 1\r\n\r\n");
    writes(&forward, "GET / HTTP/1.1\r\nHost: a.example\r\nX_Mine: 1\r\n" FORWARDED "\r\n");
    /* Naming in Connection what must reach the service does not take it away. */
    legal(POST "Connection: host, content-length, x-forwarded-for\r\nContent-Length: 3\r\n\r\n");
    writes(&forward,
           "POST / HTTP/1.1\r\nHost: a.example\r\n" FORWARDED "Content-Length: 3\r\n\r\n");
    assert_true(head_is_hop_by_hop(&head, STR("X-Forwarded-For")));
    assert_true(head_is_hop_by_hop(&head, STR("Transfer-Encoding")));
    assert_false(head_is_hop_by_hop(&head, STR("Accept")));
}

static void test_write_max_forwards(void **state)
{
    (void)state;
    legal("OPTIONS / HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: 5\r\n\r\n");
    writes(&forward,
           "OPTIONS / HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: 4\r\n" FORWARDED "\r\n");
    legal(GET "Max-Forwards: 5\r\n\r\n");
    writes(&forward, "GET / HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: 5\r\n" FORWARDED "\r\n");
}

/* A request of HTTP/1.0 cannot expect anything, and the service is spoken to as 1.1. */
static void test_write_expect_of_http_1_0(void **state)
{
    (void)state;
    legal("GET / HTTP/1.0\r\nHost: a.example\r\nExpect: 100-continue\r\n\r\n");
    writes(&forward, "GET / HTTP/1.1\r\nHost: a.example\r\n" FORWARDED "\r\n");
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
    static const struct head_field fields[] = {
        {LIT("grpc-status"), LIT("0")},
        {LIT("Content-Length"), LIT("5")},
        {LIT("transfer-encoding"), LIT("chunked")},
        {LIT("HOST"), LIT("b")},
        {LIT("Authorization"), LIT("x")},
        {LIT("Set-Cookie"), LIT("a")},
        {LIT("X-Forwarded-For"), LIT("10.0.0.1")},
        {LIT("X_Forwarded_For"), LIT("10.0.0.1")},
        {LIT("Forwarded"), LIT("for=10.0.0.1")},
        {LIT("x\r\ny"), LIT("z")},
        {LIT("x-bad"), LIT("a\r\nb: c")},
        {LIT("X-Sum"), LIT("1 2")},
    };
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        assert_true(head_add(&trailers, &arena, fields[i].name, fields[i].value, 200));
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
        cmocka_unit_test(test_write_plain),
        cmocka_unit_test(test_write_told),
        cmocka_unit_test(test_write_host),
        cmocka_unit_test(test_write_longest_host),
        cmocka_unit_test(test_write_strips),
        cmocka_unit_test(test_write_framing),
        cmocka_unit_test(test_write_h2),
        cmocka_unit_test(test_write_h2_websocket),
        cmocka_unit_test(test_write_trailers),
        cmocka_unit_test(test_write_max_forwards),
        cmocka_unit_test(test_write_expect_of_http_1_0),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
