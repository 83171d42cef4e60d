/* gateway_spawn: see gateway_spawn.h. Called by supervisor.c. */
#include "daemon/gateway_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "daemon/gateways.h"
#include "gateway/link_protocol.h"

#define GATEWAY_LOG "gateway.log"

enum {
    LOG_BYTES_MAX = 16 << 20, /* a larger log is set aside at the next start */
    ENV_MAX = 32,
};

/* Bound under another name first: nobody ever finds a name that does not listen. */
int gateway_listen(struct err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, GATEWAY_SOCKET ".%d", (int)getpid());
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return err_set_sys(err, "cannot make a socket");
    }
    (void)unlink(addr.sun_path);
    if (bind(fd, (const struct sockaddr *)&addr, sizeof addr) < 0 ||
        chmod(addr.sun_path, 0600) < 0 || listen(fd, 16) < 0 ||
        rename(addr.sun_path, GATEWAY_SOCKET) < 0) {
        (void)err_set_sys(err, "cannot listen at %s", GATEWAY_SOCKET);
        (void)unlink(addr.sun_path);
        (void)close(fd);
        return -1;
    }
    return fd;
}

static int open_log(void)
{
    struct stat st;
    if (stat(GATEWAY_LOG, &st) == 0 && st.st_size > LOG_BYTES_MAX) {
        (void)rename(GATEWAY_LOG, GATEWAY_LOG ".1");
    }
    return open(GATEWAY_LOG, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* The daemon's environment may hold tokens: the gateway gets what runtimes want, nothing else. */
static void gateway_env(char *out[ENV_MAX])
{
    static const char *const wanted[] = {
        "LANG=",         "LC_ALL=",       "TZ=",     "ASAN_OPTIONS=",  "UBSAN_OPTIONS=",
        "LSAN_OPTIONS=", "TSAN_OPTIONS=", "MALLOC_", "GLIBC_TUNABLES="};
    size_t count = 0;
    for (char **at = environ; *at != NULL; at++) {
        for (size_t i = 0; i < COUNT_OF(wanted) && count + 1 < ENV_MAX; i++) {
            if (strncmp(*at, wanted[i], strlen(wanted[i])) == 0) {
                out[count++] = *at;
            }
        }
    }
    out[count] = NULL;
}

struct subprocess *gateway_spawn(struct loop *loop, int listener, subprocess_exit_fn *on_exit,
                                 void *arg, struct err *err)
{
    autoclose int log_fd = open_log();
    /* The file may be replaced by now; ps shows the gateway by our own name for it. */
    const char *const argv[] = {program_invocation_name, "gateway", NULL};
    const struct subprocess_fd fds[] = {{.fd = listener, .target = LINK_FD}};
    char *env[ENV_MAX];
    gateway_env(env);
    const struct subprocess_spec spec = {
        .program = "/proc/self/exe",
        .argv = argv,
        .env = (const char *const *)env,
        .stdin_fd = -1,
        .stdout_fd = -1,
        .stderr_fd = log_fd,
        .fds = fds,
        .fd_count = COUNT_OF(fds),
    };
    struct subprocess *process = subprocess_start(loop, &spec, on_exit, arg, err);
    if (process != NULL && gateways_add(subprocess_pid(process), err) < 0) {
        /* Connections of a gateway that is not listed would count as local. */
        (void)subprocess_signal(process, SIGKILL, NULL);
        subprocess_release(process);
        return NULL;
    }
    return process;
}

size_t gateway_workers_wanted(const struct config *c)
{
    if (c->tunnel_workers != 0) {
        return c->tunnel_workers;
    }
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    int count = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    /* A socket that no worker listens on would take its share of the connections. */
    return count < 1 ? 1 : count > LINK_WORKERS_MAX ? LINK_WORKERS_MAX : (size_t)count;
}
