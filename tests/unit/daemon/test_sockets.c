/* The gateway's listening sockets, as the daemon binds and hands them on. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "daemon/sockets.h"

/* Small answers must not wait for an acknowledgement of the ones before. */
static void test_accepted_sockets_do_not_delay(void **state)
{
    (void)state;
    struct socket_set set = {.workers = NULL};
    struct err err = {.msg = ""};
    sockets_init(&set, 1);
    assert_int_equal(sockets_bind(&set, 0, &err), 0);
    assert_true(set.workers[0].count > 0);
    int listener = set.workers[0].fds[0];
    struct sockaddr_in addr = {0};
    socklen_t len = sizeof addr;
    assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    assert_int_equal(addr.sin_family, AF_INET);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    autoclose int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (const struct sockaddr *)&addr, sizeof addr), 0);
    autoclose int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(accepted >= 0);
    int on = 0;
    len = sizeof on;
    assert_int_equal(getsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_int_equal(on, 1);
    sockets_fini(&set);
}

/* Every worker keeps its sockets' addresses when their number changes. */
static void test_respread_loses_no_socket(void **state)
{
    (void)state;
    struct socket_set set = {.workers = NULL};
    struct err err = {.msg = ""};
    sockets_init(&set, 3);
    assert_int_equal(sockets_bind(&set, 0, &err), 0);
    size_t per_worker = set.workers[0].count;
    sockets_respread(&set, 2);
    assert_int_equal(set.worker_count, 2);
    assert_int_equal(set.workers[0].count + set.workers[1].count, 3 * per_worker);
    sockets_fini(&set);
}

/* A port somebody has: the sentence names it and the key to change. */
static void test_busy_port(void **state)
{
    (void)state;
    struct socket_set first = {.workers = NULL};
    struct socket_set redirect = {.is_redirect = true};
    struct err err = {.msg = ""};
    sockets_init(&first, 1);
    sockets_init(&redirect, 1);
    assert_int_equal(sockets_bind(&first, 0, &err), 0);
    struct sockaddr_in addr = {0};
    socklen_t len = sizeof addr;
    assert_int_equal(getsockname(first.workers[0].fds[0], (struct sockaddr *)&addr, &len), 0);
    assert_int_equal(sockets_bind(&redirect, ntohs(addr.sin_port), &err), -1);
    assert_non_null(strstr(err.msg, "is in use by another program; set tunnel.redirectPort"));
    assert_true(sockets_is_empty(&redirect));
    sockets_fini(&first);
    /* Free now; what it is for is in the address. */
    assert_int_equal(sockets_bind(&redirect, ntohs(addr.sin_port), &err), 0);
    assert_memory_equal(redirect.workers[0].addresses[0], "redirect 0.0.0.0:", 17);
    sockets_fini(&redirect);
    assert_true(redirect.is_redirect);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted_sockets_do_not_delay),
        cmocka_unit_test(test_respread_loses_no_socket),
        cmocka_unit_test(test_busy_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
