/* What the gateway says itself: the form by Accept, the escapes, the fields. */
#include "gateway/reply.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "gateway/page.h"
#include "tests/unit/gateway/heads.h"

static struct head response;
static struct arena kept; /* judge() resets the other */

static void request(const char *fields)
{
    char text[1024];
    (void)snprintf(text, sizeof text, GET "%s\r\n", fields);
    legal(text);
}

static enum reply_format format(const char *fields)
{
    request(fields);
    return reply_format_of(&head);
}

static void test_accept(void **state)
{
    (void)state;
    assert_int_equal(format(""), REPLY_TEXT);
    assert_int_equal(format("Accept: */*\r\n"), REPLY_TEXT);
    assert_int_equal(format("Accept: text/html\r\n"), REPLY_HTML);
    assert_int_equal(format("Accept: text/html, application/json\r\n"), REPLY_HTML);
    assert_int_equal(format("Accept: application/json, text/html\r\n"), REPLY_JSON);
    assert_int_equal(format("Accept: application/json;q=0.4, text/html;q=0.5\r\n"), REPLY_HTML);
    assert_int_equal(format("Accept: application/json;q=0.45, text/html;q=0.449\r\n"), REPLY_JSON);
    assert_int_equal(format("Accept: text/html;q=0\r\n"), REPLY_TEXT);
    assert_int_equal(format("Accept: text/*;q=0.3, text/html;q=0.2\r\n"), REPLY_TEXT);
    assert_int_equal(format("Accept: text/html;level=1;q=0.9, */*;q=1\r\n"), REPLY_TEXT);
    assert_int_equal(format("Accept: image/*\r\nAccept: application/json\r\n"), REPLY_JSON);
    assert_int_equal(format("Accept: text/html;q=1.001, application/*;q=0.001\r\n"), REPLY_JSON);
    assert_int_equal(format("Accept: text/html;q=x, application/*;q=1.\r\n"), REPLY_JSON);
}

static const char *body_of(const struct reply *r, const char *accept)
{
    char field[256];
    (void)snprintf(field, sizeof field, "Accept: %s\r\n", accept);
    request(field);
    struct str body = reply_build(r, &head, &response, &arena);
    assert_int_equal(response.content_length, body.len);
    return arena_str(&arena, body).ptr;
}

static void test_escapes(void **state)
{
    (void)state;
    const struct reply r = {
        .status = 503,
        .code = "c\"ode",
        .text = "l<i>\\\n\x01\xc3\xa9\xff\xed\xa0\x80.",
        .title = "<script>",
        .message = "&\"'<>\r",
        .form = REPLY_FORM_LOGIN,
        .next = STR("/\"><script>"),
        .alert = "<b>",
        .facts = {{.key = "k", .label = "<l>", .value = STR("<v\"")}},
        .fact_count = 1,
    };
    const char *page = body_of(&r, "text/html");
    assert_null(strstr(page, "<script>"));
    assert_null(strstr(page, "<b>"));
    assert_null(strstr(page, "<v"));
    assert_null(strstr(page, "<l>"));
    assert_non_null(strstr(page, "&amp;&quot;&#39;&lt;&gt;\xef\xbf\xbd"));
    assert_non_null(strstr(page, "value=\"/&quot;&gt;&lt;script&gt;\""));
    assert_string_equal(body_of(&r, "application/json"),
                        "{\"error\":{\"code\":\"c\\\"ode\",\"message\":\"l<i>\\\\\\u000a\\u0001"
                        "\xc3\xa9\\ufffd\\ufffd\\ufffd\\ufffd.\"},\"status\":503,"
                        "\"k\":\"<v\\\"\"}\n");
}

static void test_a_long_page_fits(void **state)
{
    (void)state;
    char next[4000];
    memset(next, '"', sizeof next);
    const struct reply r = {
        .status = 401, .text = "t", .form = REPLY_FORM_LOGIN, .next = {next, sizeof next}};
    const char *page = body_of(&r, "text/html");
    assert_true(strlen(page) > sizeof next * 6);
    assert_non_null(strstr(page, "</html>\n"));
}

static const char *field_of(const char *name)
{
    const struct head_field *f = head_find(&response, str_of(name));
    return f == NULL ? NULL : arena_str(&arena, f->value).ptr;
}

static void test_fields(void **state)
{
    (void)state;
    struct route route = {.host = STR("a.example"),
                          .service = STR("web"),
                          .state = ROUTE_STARTING,
                          .since_ms = 5000,
                          .phase = STR("init")};
    struct reply r = reply_not_serving(&route, 98000, &kept);
    assert_string_equal(r.text, "tunnel: a.example: the service web is starting");
    assert_non_null(strstr(body_of(&r, "text/html"), "<dd>1 min 33 s</dd>"));
    assert_string_equal(field_of("refresh"), "2");
    assert_string_equal(field_of("cache-control"), "no-store");
    assert_string_equal(field_of("content-security-policy"), PAGE_POLICY);
    assert_string_equal(field_of("referrer-policy"), "no-referrer");
    assert_non_null(strstr(body_of(&r, "application/json"), "\"elapsedSeconds\":93"));
    assert_null(field_of("refresh"));
    r = reply_not_serving(&route, 1000, &kept); /* the clock was set back */
    assert_non_null(strstr(body_of(&r, "application/json"), "\"elapsedSeconds\":0"));
    route.state = ROUTE_FAILING;
    r = reply_upstream(&route, true, 504, "no answer in time", &kept);
    assert_string_equal(r.text, "tunnel: upstream error (a.example -> [::1]:0: no answer in time)");
    assert_string_equal(r.code, "health-check-failing");
    r = reply_plain(405, "x");
    (void)body_of(&r, "*/*");
    assert_non_null(field_of("allow"));
    assert_string_equal(field_of("x-content-type-options"), "nosniff");
}

/* page.h has the hash as text; this says what to write there when the style changes. */
static void test_style_hash(void **state)
{
    (void)state;
    unsigned char digest[32];
    unsigned char text[64];
    struct str style = page_style();
    assert_int_equal(EVP_Digest(style.ptr, style.len, digest, NULL, EVP_sha256(), NULL), 1);
    (void)EVP_EncodeBlock(text, digest, sizeof digest);
    assert_string_equal((const char *)text, PAGE_STYLE_HASH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept),           cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_a_long_page_fits), cmocka_unit_test(test_fields),
        cmocka_unit_test(test_style_hash),
    };
    arena_init(&arena, 0);
    arena_init(&kept, 0);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_fini(&arena);
    arena_fini(&kept);
    return failed;
}
