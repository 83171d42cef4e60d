/* socket_holder: which process has a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

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
#include "base/socket_holder.h"

static int socket_new(uint64_t *out_inode)
{
    struct stat st;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(fstat(fd, &st), 0);
    *out_inode = st.st_ino;
    return fd;
}

static void test_who_has_it(void **state)
{
    (void)state;
    uint64_t inode;
    int fd = socket_new(&inode);
    pid_t child = fork();
    if (child == 0) {
        (void)close(fd);
        (void)pause();
        _exit(0);
    }
    /* The child has it too until it has closed it. */
    for (int i = 0; i < 1000 && socket_holder_ask(child, inode) != SOCKET_HELD_NOT; i++) {
        (void)usleep(10000);
    }
    assert_int_equal(socket_holder_ask(child, inode), SOCKET_HELD_NOT);
    assert_int_equal(socket_holder_ask(getpid(), inode), SOCKET_HELD);
    assert_int_equal(socket_holder_ask_self(inode), SOCKET_HELD);
    assert_int_equal(kill(child, SIGKILL), 0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(socket_holder_ask(child, inode), SOCKET_HELD_NOT); /* a zombie */
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(socket_holder_ask(child, inode), SOCKET_HELD_NOT);
    assert_int_equal(close(fd), 0);
    assert_int_equal(socket_holder_ask_self(inode), SOCKET_HELD_NOT);
}

/* A table that cannot be read, as there is no descriptor for it, is not empty. */
static void test_without_descriptors_it_cannot_be_told(void **state)
{
    (void)state;
    uint64_t inode;
    struct rlimit before;
    int fd = socket_new(&inode);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit now = {(rlim_t)fd, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    enum socket_holder parent = socket_holder_ask(getppid(), inode);
    enum socket_holder self = socket_holder_ask_self(inode);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(parent, SOCKET_HELD_UNKNOWN);
    assert_int_equal(self, SOCKET_HELD_UNKNOWN);
    assert_int_equal(close(fd), 0);
}

static void test_what_is_under_way_to_us(void **state)
{
    (void)state;
    uint64_t inode;
    int pair[2];
    int fd = socket_new(&inode);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    char byte = 'x';
    alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    assert_int_equal(sendmsg(pair[0], &msg, 0), 1);
    assert_int_equal(socket_holder_ask_self(inode + 1000000), SOCKET_HELD_NOT); /* bytes alone */
    msg.msg_control = control;
    msg.msg_controllen = sizeof control;
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    *c = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    assert_int_equal(sendmsg(pair[0], &msg, 0), 1);
    assert_int_equal(close(fd), 0);
    assert_int_equal(socket_holder_ask_self(inode), SOCKET_HELD_UNKNOWN);
    char bytes[2];
    assert_int_equal(read(pair[1], bytes, 1), 1);
    assert_int_equal(read(pair[1], bytes, 1), 1); /* dropped with its byte */
    assert_int_equal(socket_holder_ask_self(inode), SOCKET_HELD_NOT);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_has_it),
        cmocka_unit_test(test_without_descriptors_it_cannot_be_told),
        cmocka_unit_test(test_what_is_under_way_to_us),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
