/* Port assignment: stable, previous first, never somebody else's. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/deploy/ports.h"

struct world {
    uint16_t reserved;
    uint16_t bound;
};

static bool is_reserved(void *arg, uint16_t port)
{
    return ((struct world *)arg)->reserved == port;
}

static bool can_bind(void *arg, uint16_t port)
{
    return ((struct world *)arg)->bound != port;
}

static struct ports_request request_for(struct world *world)
{
    return (struct ports_request){.project = "wos-proj-8fa47804",
                                  .start = 20000,
                                  .end = 29999,
                                  .dynamic = true,
                                  .is_reserved = is_reserved,
                                  .can_bind = can_bind,
                                  .arg = world};
}

static void test_offset_is_the_documented_one(void **state)
{
    (void)state;
    /* sha1("wos-proj-8fa47804\0app\0web\0" "3000") begins with a67e319d264d. */
    struct port_binding b = {.kind = "app", .service = "web", .container_port = 3000};
    assert_int_equal(ports_offset("wos-proj-8fa47804", &b, 10000), 2653);
}

static void test_probe_and_previous(void **state)
{
    (void)state;
    struct world world = {0};
    struct ports_request request = request_for(&world);
    struct port_binding b[2] = {{.kind = "app", .service = "a", .container_port = 1},
                                {.kind = "app", .service = "b", .container_port = 1}};
    assert_int_equal(ports_assign(&request, b, 2, NULL), 0);
    uint16_t first = b[0].host_port;
    assert_int_equal(first, 20000 + ports_offset(request.project, &b[0], 10000));
    world.reserved = first;
    assert_int_equal(ports_assign(&request, b, 1, NULL), 0);
    assert_int_equal(b[0].host_port, first == 29999 ? 20000 : first + 1);
    world.bound = b[0].host_port;
    assert_int_equal(ports_assign(&request, b, 1, NULL), 0);
    assert_int_not_equal(b[0].host_port, world.bound);
    assert_int_not_equal(b[0].host_port, world.reserved);
    b[0].previous_port = 25555;
    b[1].previous_port = 25555;
    assert_int_equal(ports_assign(&request, b, 2, NULL), 0);
    assert_int_equal(b[0].host_port, 25555);
    assert_int_not_equal(b[1].host_port, 25555);
    b[0].previous_port = 19999; /* outside the range */
    assert_int_equal(ports_assign(&request, b, 1, NULL), 0);
    assert_int_not_equal(b[0].host_port, 19999);
}

static void test_range_limits(void **state)
{
    (void)state;
    struct world world = {0};
    struct ports_request request = request_for(&world);
    request.start = 20000;
    request.end = 20001;
    struct port_binding b[3] = {{.kind = "app", .service = "a", .container_port = 1},
                                {.kind = "app", .service = "b", .container_port = 1},
                                {.kind = "app", .service = "c", .container_port = 1}};
    struct err err = {0};
    assert_int_equal(ports_assign(&request, b, 3, &err), -1);
    assert_int_equal(err.code, ERR_CONFIG);
    assert_int_equal(ports_assign(&request, b, 2, &err), 0);
    assert_int_equal(b[0].host_port + b[1].host_port, 40001);
    world.bound = 20001;
    assert_int_equal(ports_assign(&request, b, 2, &err), -1);
}

static void test_static(void **state)
{
    (void)state;
    struct world world = {.bound = 4000};
    struct ports_request request = request_for(&world);
    request.dynamic = false;
    struct port_binding b[2] = {{.kind = "app", .service = "a", .container_port = 3000},
                                {.kind = "app", .service = "b", .container_port = 3000}};
    struct err err = {0};
    assert_int_equal(ports_assign(&request, b, 2, &err), -1);
    b[1].container_port = 3001;
    assert_int_equal(ports_assign(&request, b, 2, &err), 0);
    assert_int_equal(b[0].host_port, 3000);
    assert_int_equal(b[1].host_port, 3001);
    b[1].container_port = 4000;
    assert_int_equal(ports_assign(&request, b, 2, &err), -1);
    assert_non_null(strstr(err.msg, "port 4000 of service b is in use"));
}

static uint16_t listen_on(const char *address, int family, int *out_fd)
{
    struct sockaddr_storage a = {0};
    a.ss_family = (sa_family_t)family;
    socklen_t size = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    void *where = family == AF_INET ? (void *)&((struct sockaddr_in *)&a)->sin_addr
                                    : (void *)&((struct sockaddr_in6 *)&a)->sin6_addr;
    assert_int_equal(inet_pton(family, address, where), 1);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, size) < 0 || listen(fd, 1) < 0) {
        if (fd >= 0) {
            (void)close(fd);
        }
        *out_fd = -1;
        return 0;
    }
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    *out_fd = fd;
    return ntohs(family == AF_INET ? ((struct sockaddr_in *)&a)->sin_port
                                   : ((struct sockaddr_in6 *)&a)->sin6_port);
}

static void test_real_sockets(void **state)
{
    (void)state;
    int fd;
    uint16_t port = listen_on("127.0.0.1", AF_INET, &fd);
    assert_true(fd >= 0);
    assert_false(ports_can_bind(port));
    (void)close(fd);
    assert_true(ports_can_bind(port));
    port = listen_on("::1", AF_INET6, &fd);
    if (fd >= 0) {
        assert_false(ports_can_bind(port));
        (void)close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offset_is_the_documented_one),
        cmocka_unit_test(test_probe_and_previous), cmocka_unit_test(test_range_limits),
        cmocka_unit_test(test_static), cmocka_unit_test(test_real_sockets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
