/* sockdiag: whose the other end of a connection is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/sockdiag.h"

struct pair {
    int listener, client, server;
    struct sockaddr_storage there, here; /* the client's end, the server's */
};

/* Both ends of a connection to `address`, a loopback one. */
static void pair_open(struct pair *p, int family)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr *any = family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
    socklen_t len = family == AF_INET ? sizeof v4 : sizeof v6;
    *p = (struct pair){.client = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0),
                       .listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (bind(p->listener, any, len) < 0 && errno == EADDRNOTAVAIL) {
        skip(); /* no IPv6 here */
    }
    assert_int_equal(listen(p->listener, 1), 0);
    socklen_t here_len = sizeof p->here;
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&p->here, &here_len), 0);
    assert_int_equal(connect(p->client, (struct sockaddr *)&p->here, here_len), 0);
    p->server = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
    socklen_t there_len = sizeof p->there;
    assert_int_equal(getpeername(p->server, (struct sockaddr *)&p->there, &there_len), 0);
}

static bool find(const struct pair *p, struct sockdiag *out)
{
    return sockdiag_find((const struct sockaddr *)&p->there, (const struct sockaddr *)&p->here,
                         out);
}

static void check(int family)
{
    struct pair p;
    struct sockdiag found;
    struct stat st;
    pair_open(&p, family);
    assert_true(find(&p, &found));
    assert_int_equal(fstat(p.client, &st), 0);
    assert_int_equal(found.uid, geteuid());
    assert_int_equal(found.inode, st.st_ino);
    assert_int_equal(shutdown(p.client, SHUT_WR), 0);
    assert_true(find(&p, &found));
    assert_int_equal(close(p.client), 0);
    assert_false(find(&p, &found)); /* on its way out, and nobody's: the kernel says root's */
    assert_int_equal(close(p.server), 0);
    assert_false(find(&p, &found));
    assert_int_equal(close(p.listener), 0);
}

static void test_ipv4(void **state)
{
    (void)state;
    check(AF_INET);
}

static void test_ipv6(void **state)
{
    (void)state;
    check(AF_INET6);
}

static void test_a_listener_is_nobodys_connection(void **state)
{
    (void)state;
    struct pair p;
    struct sockdiag found;
    pair_open(&p, AF_INET);
    struct sockaddr_storage other = p.there;
    ((struct sockaddr_in *)(void *)&other)->sin_port = htons(1);
    assert_false(
        sockdiag_find((const struct sockaddr *)&p.here, (const struct sockaddr *)&other, &found));
    other.ss_family = AF_UNIX;
    assert_false(
        sockdiag_find((const struct sockaddr *)&other, (const struct sockaddr *)&other, &found));
    (void)close(p.client);
    (void)close(p.server);
    (void)close(p.listener);
}

static void test_a_mapped_client_is_found_by_its_ipv4_address(void **state)
{
    (void)state;
    struct pair p;
    struct sockdiag found;
    struct stat st;
    pair_open(&p, AF_INET);
    const struct sockaddr_in *here = (const struct sockaddr_in *)(const void *)&p.here;
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = here->sin_port};
    assert_int_equal(inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr), 1);
    (void)close(p.client);
    (void)close(p.server);
    p.client = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p.client < 0 || connect(p.client, (struct sockaddr *)&mapped, sizeof mapped) < 0) {
        skip();
    }
    p.server = accept4(p.listener, NULL, NULL, SOCK_CLOEXEC);
    socklen_t len = sizeof p.there;
    assert_int_equal(getpeername(p.server, (struct sockaddr *)&p.there, &len), 0);
    assert_int_equal(fstat(p.client, &st), 0);
    assert_true(find(&p, &found));
    assert_int_equal(found.inode, st.st_ino);
    (void)close(p.client);
    (void)close(p.server);
    (void)close(p.listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ipv4),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_a_listener_is_nobodys_connection),
        cmocka_unit_test(test_a_mapped_client_is_found_by_its_ipv4_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
