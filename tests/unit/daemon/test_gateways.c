/* gateways: whose sockets are whose, also those of a gateway that is gone. */
#include "daemon/gateways.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <signal.h>
#include <stdalign.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"

static char home[64];

static int enter_home(void **state)
{
    (void)state;
    (void)snprintf(home, sizeof home, "/tmp/wos-gateways-XXXXXX");
    return mkdtemp(home) != NULL && chdir(home) == 0 ? 0 : -1;
}

static int leave_home(void **state)
{
    (void)state;
    return chdir("/") == 0 ? path_remove_all(home, NULL) : -1;
}

static int socket_new(uint64_t *out_inode)
{
    struct stat st;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(fstat(fd, &st), 0);
    *out_inode = st.st_ino;
    return fd;
}

static void send_descriptor(int to, int fd)
{
    char byte = 'x';
    alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    *c = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    assert_int_equal(sendmsg(to, &msg, 0), 1);
}

/* A listed gateway with a socket, which has sent it over `link` if that is not -1. */
static pid_t start_gateway(int link, uint64_t *out_inode)
{
    struct err err = {.msg = ""};
    int fd = socket_new(out_inode);
    pid_t child = fork();
    if (child == 0) {
        if (link >= 0) {
            send_descriptor(link, fd);
        }
        (void)raise(SIGSTOP);
        (void)pause();
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, WUNTRACED), child);
    assert_int_equal(close(fd), 0);
    assert_int_equal(gateways_add(child, &err), 0);
    return child;
}

static void end_gateway(pid_t child)
{
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void test_a_socket_of_one_that_lives(void **state)
{
    (void)state;
    uint64_t inode;
    assert_int_equal(gateways_ask(1), GATEWAYS_HAVE_NOT);
    pid_t child = start_gateway(-1, &inode);
    assert_int_equal(gateways_ask(inode), GATEWAYS_HAVE);
    end_gateway(child);
    assert_int_equal(gateways_ask(inode), GATEWAYS_HAVE_NOT);
}

/* It was sent to us, is open, and nobody has it in a table: the gateway has ended. */
static void test_what_a_gateway_sent_before_its_end_is_not_local(void **state)
{
    (void)state;
    uint64_t inode;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    end_gateway(start_gateway(pair[0], &inode));
    assert_int_equal(gateways_ask(inode), GATEWAYS_MAY_HAVE);
    (void)close(pair[0]);
    (void)close(pair[1]);
    assert_int_equal(gateways_ask(inode), GATEWAYS_HAVE_NOT);
}

static void test_one_that_is_gone_cannot_be_added(void **state)
{
    (void)state;
    struct err err = {.msg = ""};
    uint64_t inode;
    pid_t child = start_gateway(-1, &inode);
    end_gateway(child);
    assert_int_equal(gateways_add(child, &err), -1);
    assert_non_null(strstr(err.msg, "since when"));
}

/* It was replaced by a list of the new one alone: the others' connections counted as local. */
static void test_a_list_that_is_none_is_put_aside(void **state)
{
    (void)state;
    static const char *const wrong[] = {"[{", "{}", "[{\"pid\": 5}]", "[1]", ""};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        uint64_t inode;
        uint64_t lost;
        pid_t first = start_gateway(-1, &lost);
        assert_int_equal(gateways_ask(1), GATEWAYS_HAVE_NOT);
        assert_int_equal(file_write_atomic("gateways.json", str_of(wrong[i]), 0600, NULL), 0);
        assert_int_equal(gateways_ask(1), GATEWAYS_MAY_HAVE);
        pid_t second = start_gateway(-1, &inode);
        assert_int_equal(gateways_ask(inode), GATEWAYS_HAVE);
        assert_int_equal(gateways_ask(lost), GATEWAYS_MAY_HAVE);
        end_gateway(first);
        end_gateway(second);
        assert_int_equal(unlink("gateways.json.unreadable"), 0);
        assert_int_equal(gateways_ask(1), GATEWAYS_HAVE_NOT);
    }
}

/* Out of descriptors nobody is forgotten: the next start tries again. */
static void test_a_list_that_cannot_be_read_now_is_kept(void **state)
{
    (void)state;
    struct err err = {.msg = ""};
    struct rlimit before;
    uint64_t inode;
    pid_t child = start_gateway(-1, &inode);
    int next = dup(STDIN_FILENO);
    assert_true(next >= 0);
    assert_int_equal(close(next), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit now = {(rlim_t)next, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    int added = gateways_add(getpid(), &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(added, -1);
    assert_non_null(strstr(err.msg, "gateways.json"));
    assert_int_equal(gateways_ask(inode), GATEWAYS_HAVE);
    assert_false(file_exists("gateways.json.unreadable"));
    end_gateway(child);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_socket_of_one_that_lives, enter_home, leave_home),
        cmocka_unit_test_setup_teardown(test_what_a_gateway_sent_before_its_end_is_not_local,
                                        enter_home, leave_home),
        cmocka_unit_test_setup_teardown(test_one_that_is_gone_cannot_be_added, enter_home,
                                        leave_home),
        cmocka_unit_test_setup_teardown(test_a_list_that_is_none_is_put_aside, enter_home,
                                        leave_home),
        cmocka_unit_test_setup_teardown(test_a_list_that_cannot_be_read_now_is_kept, enter_home,
                                        leave_home),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
