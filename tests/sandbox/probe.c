/* probe: enters the gateway's sandbox and tries one thing a taken-over gateway would try.
 *
 *     sandbox_probe WHAT     prints "allowed", "refused: <error>", or is killed by SIGSYS
 *
 * tests/integration/test_sandbox.py runs it. `probe list` names what can be tried. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static int try_bind(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
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
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
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
    {"bind", try_bind},
    {"kill", try_kill},
    {"ptrace", try_ptrace},
    {"executable-memory", try_executable},
    {"make-executable", try_make_executable},
    {"raise-limits", try_limits},
    {"mount", try_mount},
    {"thread", try_thread},
    {"tcp-socket", try_tcp},
};

int main(int argc, char **argv)
{
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
