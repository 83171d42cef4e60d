/* Tests of base/fetch against a small server on loopback, in the same loop. */
#include "base/fetch.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
// clang-format off
#include <cmocka.h>
// clang-format on

#include "base/auto.h"

static struct loop *loop;
static struct fetch_client *client;
static struct evhttp *server;
static uint16_t port;
static unsigned requests;
static uint16_t last_peer_port;
static struct evhttp_request *held[8]; /* never answered, or not to the end */
static size_t held_count;

static struct {
    unsigned calls;
    int status;
    bool timed_out;
    bool has_error;
    char error[200];
    struct buf body;
    char header[64];
} done;

static void hold(struct evhttp_request *rq)
{
    assert_true(held_count < COUNT_OF(held));
    held[held_count++] = rq;
}

/* A request whose connection went before its answer is ours to free. */
static void free_held(void)
{
    for (size_t i = 0; i < held_count; i++) {
        if (evhttp_request_get_connection(held[i]) == NULL) {
            evhttp_request_free(held[i]);
        }
    }
    held_count = 0;
}

static void reply_text(struct evhttp_request *rq, int status, const char *text)
{
    struct evbuffer *body = evbuffer_new();
    assert_non_null(body);
    (void)evbuffer_add(body, text, strlen(text));
    evhttp_send_reply(rq, status, "Reason", body);
    evbuffer_free(body);
}

/* Says method, content type, expectation, user agent and body back. */
static void reply_echo(struct evhttp_request *rq)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(rq);
    struct evkeyvalq *headers = evhttp_request_get_input_headers(rq);
    const char *type = evhttp_find_header(headers, "Content-Type");
    const char *expect = evhttp_find_header(headers, "Expect");
    const char *agent = evhttp_find_header(headers, "User-Agent");
    struct evbuffer *body = evbuffer_new();
    assert_non_null(body);
    (void)evbuffer_add_printf(body, "%d|%s|%s|%s|", (int)evhttp_request_get_command(rq),
                              type == NULL ? "-" : type, expect == NULL ? "-" : expect,
                              agent != NULL && strncmp(agent, "wos/", 4) == 0 ? "wos" : "?");
    (void)evbuffer_add_buffer(body, in);
    evhttp_send_reply(rq, 200, "OK", body);
    evbuffer_free(body);
}

static void on_request(struct evhttp_request *rq, void *arg)
{
    (void)arg;
    requests++;
    char *address = NULL;
    evhttp_connection_get_peer(evhttp_request_get_connection(rq), &address, &last_peer_port);
    const char *uri = evhttp_request_get_uri(rq);
    struct evkeyvalq *out = evhttp_request_get_output_headers(rq);
    if (strcmp(uri, "/hold") == 0) {
        hold(rq);
    } else if (strcmp(uri, "/redirect") == 0) {
        (void)evhttp_add_header(out, "Location", "/hello");
        (void)evhttp_add_header(out, "X-Test", "from the redirect");
        reply_text(rq, 302, "not this body");
    } else if (strcmp(uri, "/redirect-file") == 0) {
        (void)evhttp_add_header(out, "Location", "file:///etc/passwd");
        reply_text(rq, 302, "");
    } else if (strcmp(uri, "/loop") == 0) {
        (void)evhttp_add_header(out, "Location", "/loop");
        reply_text(rq, 302, "");
    } else if (strcmp(uri, "/echo") == 0) {
        reply_echo(rq);
    } else if (strcmp(uri, "/500") == 0) {
        reply_text(rq, 500, "broken");
    } else {
        (void)evhttp_add_header(out, "X-Test", "yes");
        reply_text(rq, 200, "hello");
    }
}

static int set_up(void **state)
{
    (void)state;
    requests = 0;
    loop = loop_new(NULL);
    client = fetch_client_new(loop, NULL);
    server = evhttp_new(loop_base(loop));
    if (client == NULL || server == NULL) {
        return -1;
    }
    evhttp_set_gencb(server, on_request, NULL);
    evhttp_set_allowed_methods(server, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                                           EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE);
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(server, "127.0.0.1", 0);
    struct sockaddr_in at;
    socklen_t len = sizeof at;
    if (bound == NULL ||
        getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&at, &len) != 0) {
        return -1;
    }
    port = ntohs(at.sin_port);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fetch_client_free(client);
    client = NULL;
    free_held();
    evhttp_free(server);
    loop_free(loop);
    buf_fini(&done.body);
    memset(&done, 0, sizeof done);
    return 0;
}

static void on_done(void *arg, const struct fetch_response *response)
{
    (void)arg;
    done.calls++;
    done.status = response->status;
    done.timed_out = response->timed_out;
    done.has_error = response->error != NULL;
    (void)snprintf(done.error, sizeof done.error, "%s",
                   response->error == NULL ? "" : response->error);
    done.body.len = 0;
    buf_add_str(&done.body, response->body);
    struct str header = fetch_header(response->fetch, "x-TEST");
    (void)snprintf(done.header, sizeof done.header, "%.*s", STR_ARG(header));
}

static void wait_for(unsigned calls)
{
    while (done.calls < calls) {
        loop_turn(loop, true);
    }
    assert_int_equal(done.calls, calls);
}

/* Fills in the URL, runs the request to its end, and gives the body. */
static const char *run(struct fetch_request rq, const char *path)
{
    autofree char *url = xasprintf("http://127.0.0.1:%u%s", port, path);
    rq.url = url;
    done.calls = 0;
    struct fetch *f = fetch_start(client, &rq, on_done, NULL);
    assert_non_null(f);
    assert_int_equal(done.calls, 0);
    wait_for(1);
    return buf_cstr(&done.body);
}

static const struct fetch_request get = {.method = "GET"};

static void test_get(void **state)
{
    (void)state;
    assert_string_equal(run(get, "/"), "hello");
    assert_int_equal(done.status, 200);
    assert_false(done.has_error);
    assert_string_equal(done.header, "yes");
    assert_string_equal(run(get, "/500"), "broken");
    assert_int_equal(done.status, 500);
    assert_false(done.has_error); /* an answer is an answer */
    assert_string_equal(done.header, "");
}

static void test_connections_are_reused(void **state)
{
    (void)state;
    (void)run(get, "/");
    uint16_t first = last_peer_port;
    (void)run(get, "/");
    assert_int_equal(last_peer_port, first);
}

static void test_methods_and_bodies(void **state)
{
    (void)state;
    char want[64];
    struct fetch_request rq = {.method = "POST", .body = {"a\0b-beyond", 3}};
    (void)run(rq, "/echo");
    (void)snprintf(want, sizeof want, "%d|-|-|wos|a", EVHTTP_REQ_POST);
    assert_string_equal(buf_cstr(&done.body), want);
    assert_int_equal(done.body.len, strlen(want) + 2);
    const char *const headers[] = {"content-type: application/json", NULL};
    rq = (struct fetch_request){.method = "PUT", .body = STR("{}"), .headers = headers};
    (void)snprintf(want, sizeof want, "%d|application/json|-|wos|{}", EVHTTP_REQ_PUT);
    assert_string_equal(run(rq, "/echo"), want);
    rq = (struct fetch_request){.method = "POST"};
    (void)snprintf(want, sizeof want, "%d|-|-|wos|", EVHTTP_REQ_POST);
    assert_string_equal(run(rq, "/echo"), want);
    rq = (struct fetch_request){.method = "DELETE"};
    (void)snprintf(want, sizeof want, "%d|-|-|wos|", EVHTTP_REQ_DELETE);
    assert_string_equal(run(rq, "/echo"), want);
    rq = (struct fetch_request){.method = "GET", .body = STR("q")};
    (void)snprintf(want, sizeof want, "%d|-|-|wos|q", EVHTTP_REQ_GET);
    assert_string_equal(run(rq, "/echo"), want);
    rq = (struct fetch_request){.method = "HEAD"};
    assert_string_equal(run(rq, "/"), "");
    assert_int_equal(done.status, 200);
    assert_string_equal(done.header, "yes");
}

/* A large body must not wait for "100 Continue". */
static void test_large_bodies(void **state)
{
    (void)state;
    struct buf large = {0};
    for (int i = 0; i < 300000; i++) {
        buf_add_text(&large, "0123456789");
    }
    struct fetch_request rq = {.method = "POST", .body = buf_str(&large), .body_limit = 4 << 20};
    (void)run(rq, "/echo");
    assert_int_equal(done.status, 200);
    assert_true(done.body.len > large.len && done.body.len < large.len + 20);
    rq.body_limit = 0; /* 1 MiB */
    (void)run(rq, "/echo");
    assert_int_equal(done.status, 0);
    assert_int_equal(done.body.len, 0);
    assert_string_equal(done.error, "the answer is larger than 1048576 bytes");
    buf_fini(&large);
}

static void test_redirects(void **state)
{
    (void)state;
    assert_string_equal(run(get, "/redirect"), "not this body");
    assert_int_equal(done.status, 302);
    struct fetch_request follow = {.method = "GET", .follow_redirects = true};
    assert_string_equal(run(follow, "/redirect"), "hello");
    assert_int_equal(done.status, 200);
    assert_string_equal(done.header, "yes"); /* of the final answer */
    (void)run(follow, "/redirect-file");
    assert_true(done.has_error);
    assert_int_equal(done.status, 0);
    requests = 0;
    (void)run(follow, "/loop");
    assert_true(done.has_error);
    assert_int_equal(requests, 11);
}

static void test_errors(void **state)
{
    (void)state;
    struct fetch_request rq = {.method = "GET", .timeout_ms = 200};
    (void)run(rq, "/hold");
    assert_true(done.timed_out);
    assert_true(done.has_error);
    assert_int_equal(done.status, 0);
    static const char *const bad[] = {"file:///etc/passwd", "gopher://x/", "http://", "", "::"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        rq.url = bad[i];
        done.calls = 0;
        (void)fetch_start(client, &rq, on_done, NULL);
        wait_for(1);
        assert_int_equal(done.status, 0);
        assert_true(done.error[0] != '\0');
    }
    int taken = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    assert_int_equal(bind(taken, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(taken, (struct sockaddr *)&at, &len), 0);
    autofree char *url = xasprintf("http://127.0.0.1:%u/", ntohs(at.sin_port));
    rq.url = url; /* bound, but nobody listens */
    done.calls = 0;
    (void)fetch_start(client, &rq, on_done, NULL);
    wait_for(1);
    assert_true(done.has_error);
    assert_false(done.timed_out);
    assert_int_equal(close(taken), 0);
}

static void test_no_proxy_from_the_environment(void **state)
{
    (void)state;
    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1/", 1), 0);
    assert_int_equal(setenv("ALL_PROXY", "http://127.0.0.1:1/", 1), 0);
    assert_string_equal(run(get, "/"), "hello");
    assert_int_equal(unsetenv("http_proxy"), 0);
    assert_int_equal(unsetenv("ALL_PROXY"), 0);
}

static void test_unix_socket(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    autofree char *dir = xasprintf("%s/wos-fetch-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    assert_non_null(mkdtemp(dir));
    autofree char *path = xasprintf("%s/s", dir);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    (void)snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(evhttp_accept_socket(server, fd), 0); /* evhttp closes it */
    struct fetch_request rq = {.method = "GET", .unix_socket = path, .url = "http://x.invalid/"};
    done.calls = 0;
    (void)fetch_start(client, &rq, on_done, NULL);
    wait_for(1);
    assert_string_equal(buf_cstr(&done.body), "hello");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void test_cancel(void **state)
{
    (void)state;
    autofree char *url = xasprintf("http://127.0.0.1:%u/hold", port);
    struct fetch_request rq = {.method = "GET", .url = url};
    struct fetch *at_once = fetch_start(client, &rq, on_done, NULL);
    fetch_cancel(at_once);
    struct fetch *f = fetch_start(client, &rq, on_done, NULL);
    requests = 0;
    while (requests == 0) {
        loop_turn(loop, true);
    }
    fetch_cancel(f);
    fetch_cancel(NULL);
    assert_string_equal(run(get, "/"), "hello"); /* calls is one: not two or three */
    (void)fetch_start(client, &rq, on_done, NULL);
    fetch_client_free(client);
    loop_turn(loop, false);
    assert_int_equal(done.calls, 1);
    client = fetch_client_new(loop, NULL);
}

static void stream_tick(void *arg)
{
    struct evhttp_request *rq = arg;
    struct evbuffer *piece = evbuffer_new();
    (void)evbuffer_add_printf(piece, "tick ");
    evhttp_send_reply_chunk(rq, piece);
    evbuffer_free(piece);
}

static void on_stream_request(struct evhttp_request *rq, void *arg)
{
    (void)arg;
    evhttp_send_reply_start(rq, 200, "OK");
    stream_tick(rq);
    hold(rq);
}

static struct buf streamed;
static int pieces_wanted; /* 0: cancel inside the callback */
static struct fetch *stream;

static bool on_piece(void *arg, struct str piece)
{
    (void)arg;
    buf_add_str(&streamed, piece);
    if (pieces_wanted == 0) {
        fetch_cancel(stream);
        return true;
    }
    return --pieces_wanted > 0;
}

static void test_streams(void **state)
{
    (void)state;
    assert_int_equal(evhttp_set_cb(server, "/stream", on_stream_request, NULL), 0);
    autofree char *url = xasprintf("http://127.0.0.1:%u/stream", port);
    struct fetch_request rq = {.method = "GET", .url = url, .on_data = on_piece};
    pieces_wanted = 2;
    stream = fetch_start(client, &rq, on_done, NULL);
    while (streamed.len == 0) {
        loop_turn(loop, true);
    }
    assert_string_equal(buf_cstr(&streamed), "tick "); /* before the answer is complete */
    assert_int_equal(done.calls, 0);
    stream_tick(held[0]);
    wait_for(1);
    assert_string_equal(buf_cstr(&streamed), "tick tick ");
    assert_string_equal(done.error, "ended by the reader");
    assert_int_equal(done.body.len, 0);
    streamed.len = 0;
    stream = fetch_start(client, &rq, on_done, NULL);
    while (streamed.len == 0) {
        loop_turn(loop, true);
    }
    assert_string_equal(run(get, "/"), "hello");
    buf_fini(&streamed);
}

static unsigned chain_left;

static void on_chain(void *arg, const struct fetch_response *response)
{
    assert_int_equal(response->status, 200);
    if (--chain_left > 0) {
        const struct fetch_request *rq = arg;
        (void)fetch_start(client, rq, on_chain, arg);
    }
}

static void on_free_client(void *arg, const struct fetch_response *response)
{
    (void)arg;
    (void)response;
    done.calls++;
    fetch_client_free(client);
    client = NULL;
}

static void test_callbacks_may_start_and_free(void **state)
{
    (void)state;
    autofree char *url = xasprintf("http://127.0.0.1:%u/", port);
    struct fetch_request rq = {.method = "GET", .url = url};
    chain_left = 5;
    (void)fetch_start(client, &rq, on_chain, &rq);
    while (chain_left > 0) {
        loop_turn(loop, true);
    }
    for (int i = 0; i < 10; i++) {
        (void)fetch_start(client, &rq, on_free_client, NULL);
    }
    wait_for(1);
    loop_turn(loop, false);
    assert_int_equal(done.calls, 1); /* the other nine were cancelled with it */
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_get, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_connections_are_reused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_methods_and_bodies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_large_bodies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_redirects, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_proxy_from_the_environment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unix_socket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_streams, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_callbacks_may_start_and_free, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
