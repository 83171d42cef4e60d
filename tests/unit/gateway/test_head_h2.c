/* A request as HTTP/2 fields: the same that an HTTP/1.1 service sees, in HTTP/2's words. */
#include "gateway/head_h2.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"
#include "gateway/h1.h"

struct fixture {
    struct arena arena;
    struct wbuf_pool pool;
    struct head head;
    struct route route;
    struct head_forward fwd;
};

static void fixture_init(struct fixture *f, const char *text)
{
    struct head_fault fault;
    size_t used;
    *f = (struct fixture){.route = {.port = 4000, .backend = BACKEND_H2C}};
    arena_init(&f->arena, 0);
    f->fwd = (struct head_forward){.peer = "192.0.2.7",
                                   .proto = "https",
                                   .public_port = 443,
                                   .route = &f->route,
                                   .ws_key = ""};
    assert_int_equal(
        h1_parse_request(&f->head, &f->arena, text, strlen(text), &limits_default, &used, &fault),
        H1_DONE);
    assert_int_equal(head_check(&f->head).status, 0);
}

static void fixture_fini(struct fixture *f)
{
    arena_fini(&f->arena);
    wbuf_pool_fini(&f->pool);
}

/* "name=value;" of each, in order. */
static const char *fields_text(struct fixture *f, struct h2_fields fields)
{
    struct buf out = {0};
    for (size_t i = 0; i < fields.count; i++) {
        const nghttp2_nv *nv = &fields.items[i];
        buf_add(&out, nv->name, nv->namelen);
        buf_add_char(&out, '=');
        buf_add(&out, nv->value, nv->valuelen);
        buf_add_char(&out, ';');
    }
    const char *text = arena_strdup(&f->arena, buf_cstr(&out));
    buf_fini(&out);
    return text;
}

static const char *convert(struct fixture *f)
{
    return fields_text(f, head_to_h2(&f->pool, &f->arena, &f->head, &f->fwd));
}

static void test_pseudo_fields_first(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "GET /a?b HTTP/1.1\r\nHost: a.example:8443\r\nX-Mine: 1\r\n\r\n");
    const char *text = convert(&f);
    const char *start = ":method=GET;:scheme=http;:path=/a?b;:authority=a.example:8443;x-mine=1;";
    assert_memory_equal(text, start, strlen(start));
    assert_non_null(strstr(text, ";x-forwarded-for=192.0.2.7;"));
    assert_non_null(strstr(text, ";x-forwarded-proto=https;"));
    assert_null(strstr(text, ";host=a")); /* Forwarded quotes it */
    fixture_fini(&f);
}

static void test_host_rewritten(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    f.route.host_mode = ROUTE_HOST_REWRITE;
    assert_non_null(strstr(convert(&f), ":authority=localhost:4000;"));
    fixture_fini(&f);
}

static void test_nothing_of_this_hop(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "POST / HTTP/1.1\r\nHost: a\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\n"
                     "Keep-Alive: 5\r\nTransfer-Encoding: chunked\r\nProxy-Connection: x\r\n\r\n");
    f.fwd.has_body = true;
    const char *text = convert(&f);
    assert_null(strstr(text, "hop"));
    assert_null(strstr(text, "connection"));
    assert_null(strstr(text, "keep-alive"));
    assert_null(strstr(text, "transfer-encoding"));
    fixture_fini(&f);
}

static void test_te_trailers_stays(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers, deflate\r\nConnection: TE\r\n"
                     "Grpc-Timeout: 5S\r\nContent-Length: 3\r\n\r\n");
    const char *text = convert(&f);
    assert_non_null(strstr(text, ";te=trailers;"));
    assert_non_null(strstr(text, ";grpc-timeout=5S;"));
    assert_non_null(strstr(text, ";content-length=3;"));
    fixture_fini(&f);
}

static void test_empty_value(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "GET / HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX-Colon: a:b\r\n\r\n");
    const char *text = convert(&f);
    assert_non_null(strstr(text, ";x-empty=;"));
    assert_non_null(strstr(text, ";x-colon=a:b;"));
    fixture_fini(&f);
}

static void test_websocket_is_a_connect(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                     "Sec-WebSocket-Key: abc\r\nSec-WebSocket-Version: 13\r\n\r\n");
    f.fwd.upgrade_from_h2 = true;
    const char *text = convert(&f);
    const char *start = ":method=CONNECT;:protocol=websocket;:scheme=http;:path=/ws;:authority=a;";
    assert_memory_equal(text, start, strlen(start));
    assert_non_null(strstr(text, ";sec-websocket-version=13;"));
    assert_null(strstr(text, "sec-websocket-key"));
    assert_null(strstr(text, "upgrade"));
    fixture_fini(&f);
}

static void test_as_many_fields_as_allowed(void **state)
{
    (void)state;
    struct buf text = {0};
    struct fixture f;
    buf_add_text(&text, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (unsigned i = 1; i < limits_default.header_count_max; i++) {
        buf_printf(&text, "X-%u: v\r\n", i);
    }
    buf_add_text(&text, "\r\n");
    fixture_init(&f, buf_cstr(&text));
    assert_non_null(strstr(convert(&f), ";x-199=v;"));
    fixture_fini(&f);
    buf_fini(&text);
}

static void test_trailers(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    struct head trailers;
    head_init(&trailers, false);
    const struct head_field given[] = {{STR("X-Sum"), STR("42")},
                                       {STR("Host"), STR("evil")},
                                       {STR("Content-Length"), STR("1")},
                                       {STR("grpc-status"), STR("0")}};
    for (size_t i = 0; i < COUNT_OF(given); i++) {
        assert_true(head_add(&trailers, &f.arena, given[i].name, given[i].value, 10));
    }
    assert_string_equal(fields_text(&f, head_trailers_to_h2(&f.arena, &trailers)),
                        "x-sum=42;grpc-status=0;");
    assert_int_equal(head_trailers_to_h2(&f.arena, NULL).count, 0);
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pseudo_fields_first),
        cmocka_unit_test(test_host_rewritten),
        cmocka_unit_test(test_nothing_of_this_hop),
        cmocka_unit_test(test_te_trailers_stays),
        cmocka_unit_test(test_empty_value),
        cmocka_unit_test(test_websocket_is_a_connect),
        cmocka_unit_test(test_as_many_fields_as_allowed),
        cmocka_unit_test(test_trailers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
