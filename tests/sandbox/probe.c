/* probe: enters the gateway's sandbox and tries one thing a taken-over gateway would try.
 *
 *     sandbox_probe WHAT     prints "allowed", "refused: <error>", or is killed by SIGSYS
 *     sandbox_probe reach PORT PATH
 *                            after a line on stdin, asks the daemon's web listener at PORT for a
 *                            terminal in PATH and prints its answer
 *
 * tests/integration/test_sandbox.py runs it. `probe list` names what can be tried. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "gateway/sandbox.h"

static int try_open(void)
{
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static int try_create(void)
{
    return open("/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static int try_openat2(void)
{
    uint64_t how[3] = {O_RDONLY, 0, 0};
    return (int)syscall(SYS_openat2, AT_FDCWD, "/", how, sizeof how);
}

static int try_exec(void)
{
    char *argv[] = {"sh", NULL};
    return execv("/bin/sh", argv);
}

static int try_fork(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    return pid < 0 ? -1 : waitpid(pid, NULL, 0);
}

static int try_clone3(void)
{
    struct clone_args args = {.exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) {
        _exit(0);
    }
    return (int)pid;
}

static int try_unix(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int try_raw(void)
{
    return socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP);
}

static int try_udp(void)
{
    return socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static int tcp_socket(void)
{
    return socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* To have a socket that /proc does not show, or not where somebody looks. */

static int try_blocking_socket(void)
{
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int try_make_blocking(void)
{
    return fcntl(tcp_socket(), F_SETFL, 0);
}

static int try_blocking_ioctl(void)
{
    int off = 0;
    return ioctl(tcp_socket(), FIONBIO, &off);
}

static int try_dup(void)
{
    return dup(tcp_socket());
}

static int try_duplicate(void)
{
    return fcntl(tcp_socket(), F_DUPFD_CLOEXEC, 100);
}

static int try_poll(void)
{
    struct pollfd one = {.fd = tcp_socket(), .events = POLLIN};
    return poll(&one, 1, 0);
}

static int try_map_socket(void)
{
    return mmap(NULL, 4096, PROT_READ, MAP_SHARED, tcp_socket(), 0) == MAP_FAILED ? -1 : 0;
}

/* A thread with a table of descriptors of its own. */
static int try_own_table(void)
{
    return (int)syscall(SYS_clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, NULL, NULL, NULL, NULL);
}

static int try_bind(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int fd = tcp_socket();
    return bind(fd, (struct sockaddr *)&any, sizeof any);
}

static int try_kill(void)
{
    return kill(getppid(), 0);
}

static int try_ptrace(void)
{
    return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static int try_executable(void)
{
    void *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? -1 : 0;
}

static int try_make_executable(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? -1 : mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static int try_limits(void)
{
    const struct rlimit none = {1, 1};
    return setrlimit(RLIMIT_NOFILE, &none);
}

static int try_mount(void)
{
    return (int)syscall(SYS_mount, "x", "/", "tmpfs", 0, NULL);
}

static int try_stat(void)
{
    return access("/etc", F_OK);
}

static void *thread_main(void *arg)
{
    return arg;
}

/* What has to go on working. */
static int try_thread(void)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, thread_main, NULL);
    errno = error;
    return error != 0 ? -1 : pthread_join(thread, NULL);
}

static int try_tcp(void)
{
    return tcp_socket();
}

static int try_accept(void)
{
    return accept4(tcp_socket(), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) < 0 && errno == EINVAL
               ? 0
               : -1;
}

static const struct {
    const char *name;
    int (*run)(void);
} attempts[] = {
    {"open", try_open},
    {"create", try_create},
    {"openat2", try_openat2},
    {"stat", try_stat},
    {"exec", try_exec},
    {"fork", try_fork},
    {"clone3", try_clone3},
    {"unix-socket", try_unix},
    {"raw-socket", try_raw},
    {"udp-socket", try_udp},
    {"blocking-socket", try_blocking_socket},
    {"make-blocking", try_make_blocking},
    {"blocking-ioctl", try_blocking_ioctl},
    {"dup", try_dup},
    {"duplicate", try_duplicate},
    {"poll", try_poll},
    {"map-socket", try_map_socket},
    {"own-table", try_own_table},
    {"bind", try_bind},
    {"kill", try_kill},
    {"ptrace", try_ptrace},
    {"executable-memory", try_executable},
    {"make-executable", try_make_executable},
    {"raise-limits", try_limits},
    {"mount", try_mount},
    {"thread", try_thread},
    {"tcp-socket", try_tcp},
    {"accept", try_accept},
};

/* Tries again while a socket that does not wait says so. */
static ssize_t patiently(ssize_t (*move)(int fd, void *bytes, size_t len), int fd, void *bytes,
                         size_t len)
{
    ssize_t done = move(fd, bytes, len);
    while (done < 0 && (errno == EAGAIN || errno == ENOTCONN)) {
        (void)usleep(10000);
        done = move(fd, bytes, len);
    }
    return done;
}

static ssize_t put(int fd, void *bytes, size_t len)
{
    return send(fd, bytes, len, MSG_NOSIGNAL);
}

static ssize_t take(int fd, void *bytes, size_t len)
{
    return recv(fd, bytes, len, 0);
}

static int reach(const char *port, const char *path)
{
    struct sockaddr_in web = {.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char text[4096];
    struct sandbox sandbox = sandbox_enter();
    if (!sandbox.seccomp || read(STDIN_FILENO, text, sizeof text) <= 0) {
        puts("no seccomp here");
        return 2;
    }
    int len = snprintf(text, sizeof text,
                       "POST /ui/v1/terminals HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                       "Content-Length: %zu\r\n\r\n{\"path\":\"%s\"}",
                       strlen(path) + strlen("{\"path\":\"\"}"), path);
    int fd = tcp_socket();
    if ((connect(fd, (struct sockaddr *)&web, sizeof web) < 0 && errno != EINPROGRESS) ||
        patiently(put, fd, text, (size_t)len) != len) {
        printf("no connection: %s\n", strerrorname_np(errno));
        return 1;
    }
    ssize_t got;
    while ((got = patiently(take, fd, text, sizeof text)) > 0) {
        (void)fwrite(text, 1, (size_t)got, stdout);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "reach") == 0) {
        return reach(argv[2], argv[3]);
    }
    const char *what = argc == 2 ? argv[1] : "list";
    for (size_t i = 0; i < COUNT_OF(attempts); i++) {
        if (strcmp(what, "list") == 0) {
            puts(attempts[i].name);
        } else if (strcmp(what, attempts[i].name) == 0) {
            struct sandbox sandbox = sandbox_enter();
            if (!sandbox.seccomp) {
                puts("no seccomp here");
                return 2;
            }
            (void)fflush(stdout);
            if (attempts[i].run() < 0) {
                printf("refused: %s\n", strerrorname_np(errno));
            } else {
                puts("allowed");
            }
            return 0;
        }
    }
    return strcmp(what, "list") == 0 ? 0 : 2;
}
