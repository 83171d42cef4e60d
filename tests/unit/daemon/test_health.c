/* Health checks against a server on this loop. */
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "daemon/deploy/health.h"

static struct loop *loop;
static struct fetch_client *client;
static struct evhttp *http;
static int answers;     /* given so far */
static int bad_answers; /* how many of them are 500 before they turn 200 */

struct result {
    bool done;
    bool healthy;
    int status;
    unsigned attempts;
    unsigned max_attempts;
    char message[200];
};

static void on_request(struct evhttp_request *request, void *arg)
{
    (void)arg;
    const char *path = evhttp_request_get_uri(request);
    answers++;
    if (strcmp(path, "/moved") == 0) {
        evhttp_add_header(evhttp_request_get_output_headers(request), "Location", "/ok");
        evhttp_send_reply(request, 302, "Found", NULL);
    } else if (strcmp(path, "/ok") == 0) {
        evhttp_send_reply(request, 200, "OK", NULL);
    } else if (strcmp(path, "/missing") == 0) {
        evhttp_send_reply(request, 404, "Not Found", NULL);
    } else if (answers <= bad_answers) {
        evhttp_send_reply(request, 500, "Broken", NULL);
    } else {
        evhttp_send_reply(request, 200, "OK", NULL);
    }
}

static int setup(void **state)
{
    (void)state;
    struct err err = {0};
    loop = loop_new(&err);
    client = fetch_client_new(loop, &err);
    http = evhttp_new(loop_base(loop));
    evhttp_set_gencb(http, on_request, NULL);
    answers = 0;
    bad_answers = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    evhttp_free(http);
    fetch_client_free(client);
    loop_free(loop);
    return 0;
}

static uint16_t serve(const char *address)
{
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http, address, 0);
    if (bound == NULL) {
        return 0;
    }
    struct sockaddr_storage a;
    socklen_t size = sizeof(a);
    assert_int_equal(getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&a, &size),
                     0);
    return ntohs(a.ss_family == AF_INET ? ((struct sockaddr_in *)&a)->sin_port
                                        : ((struct sockaddr_in6 *)&a)->sin6_port);
}

static void on_attempt(void *arg, const struct health_attempt *attempt)
{
    struct result *r = arg;
    r->attempts = attempt->attempt;
    r->max_attempts = attempt->max_attempts;
}

static void on_done(void *arg, bool healthy, int status, const char *message)
{
    struct result *r = arg;
    r->done = true;
    r->healthy = healthy;
    r->status = status;
    (void)snprintf(r->message, sizeof(r->message), "%s", message == NULL ? "" : message);
}

static struct result check(uint16_t port, const char *path, int expect, enum health_mode mode,
                           struct health_settings settings)
{
    struct result r = {0};
    struct health_target target = {
        .path = path, .port = port, .expect = expect, .settings = settings, .hint = "look"};
    (void)health_start(loop, client, &target, mode, on_attempt, on_done, &r);
    while (!r.done) {
        loop_turn(loop, true);
    }
    return r;
}

static const struct health_settings quick = {.timeout_ms = 60000,
                                             .start_period_set = true,
                                             .interval_ms = 1,
                                             .request_timeout_ms = 10000,
                                             .retries = 3};

static void test_matching(void **state)
{
    (void)state;
    uint16_t port = serve("127.0.0.1");
    assert_true(check(port, "/ok", 0, HEALTH_ONCE, quick).healthy);
    assert_true(check(port, "/missing", 0, HEALTH_ONCE, quick).healthy);
    assert_true(check(port, "/missing", 404, HEALTH_ONCE, quick).healthy);
    struct result r = check(port, "/missing", 200, HEALTH_ONCE, quick);
    assert_false(r.healthy);
    assert_int_equal(r.status, 404);
    assert_string_equal(r.message, "got 404");
    assert_true(check(port, "/moved", 200, HEALTH_ONCE, quick).healthy);
}

static void test_retries(void **state)
{
    (void)state;
    uint16_t port = serve("127.0.0.1");
    bad_answers = 2;
    struct result r = check(port, "/", 0, HEALTH_UNTIL, quick);
    assert_true(r.healthy);
    assert_int_equal(r.attempts, 3);
    assert_int_equal(r.max_attempts, 3);
    bad_answers = 1000;
    r = check(port, "/", 0, HEALTH_UNTIL, quick);
    assert_false(r.healthy);
    assert_int_equal(r.attempts, 3);
    assert_string_equal(r.message, "got 500");
}

static void test_start_period_does_not_count(void **state)
{
    (void)state;
    uint16_t port = serve("127.0.0.1");
    bad_answers = 10;
    struct health_settings patient = quick;
    patient.start_period_ms = 60000;
    struct result r = check(port, "/", 0, HEALTH_UNTIL, patient);
    assert_true(r.healthy);
    assert_int_equal(r.attempts, 11);
}

static void test_v6_only_service(void **state)
{
    (void)state;
    uint16_t port = serve("::1");
    if (port == 0) {
        skip();
    }
    assert_true(check(port, "/ok", 200, HEALTH_ONCE, quick).healthy);
}

static void test_nobody_there(void **state)
{
    (void)state;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(a);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, size), 0); /* bound, not listening */
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    struct result r = check(ntohs(a.sin_port), "/", 0, HEALTH_ONCE, quick);
    (void)close(fd);
    assert_false(r.healthy);
    assert_int_equal(r.status, 0);
    autofree char *expected = xasprintf("nothing listens on port %u: look", ntohs(a.sin_port));
    assert_string_equal(r.message, expected);
}

static void test_cancel(void **state)
{
    (void)state;
    struct result r = {0};
    struct health_target target = {.path = "/", .port = serve("127.0.0.1"), .settings = quick};
    struct health_check *c =
        health_start(loop, client, &target, HEALTH_UNTIL, on_attempt, on_done, &r);
    health_cancel(c);
    health_cancel(NULL);
    loop_turn(loop, false);
    assert_false(r.done);
}

static void test_effective_settings(void **state)
{
    (void)state;
    struct health_settings s = health_effective(NULL, NULL);
    assert_int_equal(s.timeout_ms, 180000);
    assert_int_equal(s.start_period_ms, 15000);
    assert_int_equal(s.interval_ms, 5000);
    assert_int_equal(s.request_timeout_ms, 10000);
    assert_int_equal(s.retries, 20);
    struct health_settings configured = {.interval_ms = 100, .retries = 7};
    struct manifest_health own = {.retries = 2, .start_period_ms = 9, .start_period_set = true};
    s = health_effective(&own, &configured);
    assert_int_equal(s.interval_ms, 100);
    assert_int_equal(s.retries, 2);
    assert_int_equal(s.start_period_ms, 9);
    assert_int_equal(s.timeout_ms, 180000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_matching, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retries, setup, teardown),
        cmocka_unit_test_setup_teardown(test_start_period_does_not_count, setup, teardown),
        cmocka_unit_test_setup_teardown(test_v6_only_service, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test(test_effective_settings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
