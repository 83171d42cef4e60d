/* metrics: escaping, and shapes that are not as expected. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/metrics.h"

#define A_B "host=\"a.b\",worktree=\"w\",service=\"s\","
#define OTHER "host=\"other\",worktree=\"\",service=\"\","

static char *render(const char *json)
{
    struct buf out = {0};
    struct err err = {0};
    autojson cJSON *stats = json_parse(str_of(json), "stats", &err);
    metrics_render(stats, &out);
    return buf_take(&out);
}

static void test_escaping(void **state)
{
    (void)state;
    autofree char *text = render("{\"daemon\":{\"version\":\"a\\\"b\\\\c\\nd\",\"build\":\"x}\"}}");
    assert_non_null(strstr(text, "wos_build_info{version=\"a\\\"b\\\\c\\nd\",build=\"x}\"} 1\n"));
    assert_non_null(strstr(text, "wos_gateway_up 0\n"));
    assert_null(strstr(text, "wos_requests_total"));
}

static void test_numbers(void **state)
{
    (void)state;
    autofree char *text = render(
        "{\"daemon\":{\"uptimeMs\":1500},\"certificates\":[{\"name\":\"*.a\",\"source\":\"files\","
        "\"notAfterSeconds\":4102444800}],\"gateway\":{\"protocols\":{\"HTTP/2\":{\"2xx\":"
        "9007199254740991}},\"latency\":{\"buckets\":[{\"le\":0.001,\"count\":3},{\"le\":10,"
        "\"count\":5}],\"count\":6,\"sum\":0.5},\"routes\":[{\"host\":\"a.b\",\"worktree\":\"w\","
        "\"service\":\"s\",\"responses\":{\"2xx\":4,\"5xx\":0},\"latency\":{\"buckets\":[1,3,9],"
        "\"count\":4,\"sum\":0.25},\"denied\":{\"rate\":2},\"upstreamErrors\":{\"cut\":1}}],"
        "\"otherRoutes\":{\"denied\":{\"secret\":5}}}}");
    static const char *const lines[] = {
        "wos_daemon_uptime_seconds 1.5\n",
        "wos_certificate_expiry_timestamp_seconds{name=\"*.a\",source=\"files\"} 4102444800\n",
        "wos_requests_total{protocol=\"HTTP/2\",class=\"2xx\"} 9007199254740991\n",
        "wos_request_duration_seconds_bucket{le=\"0.001\"} 3\n",
        "wos_request_duration_seconds_bucket{le=\"10\"} 5\n",
        "wos_request_duration_seconds_bucket{le=\"+Inf\"} 6\n",
        "wos_request_duration_seconds_sum 0.5\n",
        "wos_request_duration_seconds_count 6\n",
        "wos_route_requests_total{host=\"a.b\",worktree=\"w\",service=\"s\",class=\"2xx\"} 4\n",
        "wos_route_requests_denied_total{" A_B "reason=\"rate\"} 2\n",
        "wos_route_requests_denied_total{" OTHER "reason=\"secret\"} 5\n",
        "wos_route_upstream_errors_total{" A_B "kind=\"cut\"} 1\n",
        "wos_route_request_duration_seconds_bucket{" A_B "le=\"0.001\"} 1\n"
        "wos_route_request_duration_seconds_bucket{" A_B "le=\"10\"} 3\n"
        "wos_route_request_duration_seconds_bucket{" A_B "le=\"+Inf\"} 4\n",
        "wos_route_request_duration_seconds_bucket{" OTHER "le=\"+Inf\"} 0\n",
    };
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        assert_non_null(strstr(text, lines[i]));
    }
    assert_null(strstr(text, "class=\"5xx\"")); /* a route without any has no such sample */
}

static void test_any_shape(void **state)
{
    (void)state;
    static const char *const shapes[] = {
        "{}",
        "[]",
        "null",
        "{\"gateway\":[]}",
        "{\"gateway\":{}}",
        "{\"gateway\":{\"routes\":3}}",
        "{\"gateway\":{\"routes\":[{\"latency\":{\"buckets\":[1,2]},\"denied\":[1]}],"
        "\"latency\":{\"buckets\":[3]}}}",
        "{\"gateway\":{\"routes\":[{\"latency\":{\"buckets\":{\"a\":1}}}],\"latency\":3}}",
        "{\"gateway\":{\"routes\":[1,null,{}],\"denied\":[1,2],\"protocols\":[3]}}",
        "{\"certificates\":{\"a\":1},\"daemon\":{\"services\":[1]}}",
    };
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        autofree char *text = render(shapes[i]);
        assert_non_null(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escaping),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_any_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
