/* launch: see launch.h. Called by the commands, in the one thread there is. */
#include "cli/launch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/frame.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "cli/client.h"
#include "gateway/link_protocol.h"

extern char **environ;

static const char protocol[] = "3";

enum { POLL_MS = 50, STAT_LIMIT_BYTES = 64 << 10 };

int launch_client(struct cli *cli, struct err *err)
{
    if (cli->client == NULL) {
        cli->client = client_new(cli->home, err);
    }
    return cli->client == NULL ? -1 : 0;
}

/* 1: answers and fits; 0: nobody there; -1: somebody, but not usable. */
static int launch_probe(struct cli *cli, cJSON **out_health, struct err *err)
{
    struct err reason = {0};
    cJSON *health = NULL;
    if (client_health(cli->client, &health, &reason) < 0) {
        if (reason.code == ERR_NOT_FOUND && client_error_word(cli->client) == NULL) {
            return 0;
        }
        *err = reason;
        return -1;
    }
    const char *theirs = json_get_str(health, "protocol", "");
    if (strcmp(theirs, protocol) != 0) {
        (void)err_set(err, ERR_FAILED,
                      "the running daemon speaks protocol '%s', this wos '%s': run `wos restart`",
                      theirs, protocol);
        cJSON_Delete(health);
        return -1;
    }
    *out_health = health;
    return 1;
}

/* The path of this executable, also after it was replaced by a new build. */
static char *launch_own_path(struct err *err)
{
    static const char deleted[] = " (deleted)";
    char path[4096];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
    if (len < 0) {
        (void)err_set_sys(err, "/proc/self/exe");
        return NULL;
    }
    path[len] = '\0';
    size_t tail = sizeof deleted - 1;
    if ((size_t)len > tail && strcmp(path + (size_t)len - tail, deleted) == 0) {
        path[(size_t)len - tail] = '\0';
    }
    return xstrdup(path);
}

/* Our environment with WOS_HOME set to `home`; the array and its last string are owned. */
static char **launch_environment(const char *home)
{
    size_t count = 0;
    while (environ[count] != NULL) {
        count++;
    }
    char **env = xcalloc(count + 2, sizeof *env);
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        /* From within a service: the daemon is no process of that service. */
        if (strncmp(environ[i], "WOS_HOME=", 9) != 0 &&
            strncmp(environ[i], "WOS_RUN_ID=", 11) != 0) {
            env[used++] = environ[i];
        }
    }
    env[used] = xasprintf("WOS_HOME=%s", home);
    return env;
}

static void launch_environment_free(char **env)
{
    size_t last = 0;
    while (env[last] != NULL && env[last + 1] != NULL) {
        last++;
    }
    free(env[last]);
    free(env);
}

/* " Its last words: …", from H/daemon.log; malloc'ed, "" when there is nothing. */
static char *launch_log_tail(const char *log_path)
{
    autoclose int fd = open(log_path, O_RDONLY | O_CLOEXEC);
    char text[LAUNCH_LOG_TAIL_CHARS + 1];
    if (fd < 0) {
        return xstrdup("");
    }
    off_t size = lseek(fd, 0, SEEK_END);
    off_t from = size > LAUNCH_LOG_TAIL_CHARS ? size - LAUNCH_LOG_TAIL_CHARS : 0;
    ssize_t len = pread(fd, text, LAUNCH_LOG_TAIL_CHARS, from);
    if (len <= 0) {
        return xstrdup("");
    }
    text[len] = '\0';
    return xstrdup(text);
}

struct launch_child {
    bool ended;
    int status;
};

static void launch_on_exit(void *arg, int status)
{
    struct launch_child *child = arg;
    child->ended = true;
    child->status = status;
}

static struct subprocess *launch_spawn(struct cli *cli, const char *log_path,
                                       struct launch_child *child, struct err *err)
{
    autofree char *self = launch_own_path(err);
    if (self == NULL) {
        return NULL;
    }
    autoclose int log_fd =
        open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) {
        (void)err_set_sys(err, "%s", log_path);
        return NULL;
    }
    char **env = launch_environment(cli->home);
    const char *const argv[] = {self, "start", "--foreground", NULL};
    struct subprocess_spec spec = {
        .argv = argv,
        .env = (const char *const *)env,
        .cwd = cli->home,
        .stdin_fd = -1,
        .stdout_fd = log_fd,
        .stderr_fd = log_fd,
    };
    struct subprocess *process =
        subprocess_start(client_loop(cli->client), &spec, launch_on_exit, child, err);
    launch_environment_free(env);
    return process;
}

/* Polls until the new daemon answers, ends, or the time is up. */
static int launch_await(struct cli *cli, const struct launch_child *child, cJSON **out_health,
                        struct err *err)
{
    uint64_t deadline = clock_now_ms() + LAUNCH_TIMEOUT_MS;
    for (;;) {
        bool ended = child->ended; /* seen before the probe: a last one follows the end */
        int found = launch_probe(cli, out_health, err);
        if (found != 0) {
            return found > 0 ? 0 : -1;
        }
        if (ended) {
            char text[64];
            return err_set(err, ERR_FAILED, "it ended at once (%s)",
                           subprocess_status_text(child->status, text, sizeof text));
        }
        if (clock_now_ms() >= deadline) {
            return err_set(err, ERR_FAILED, "it did not answer within %d s",
                           LAUNCH_TIMEOUT_MS / 1000);
        }
        client_sleep(cli->client, POLL_MS);
        if (client_interrupted(cli->client)) {
            return err_set(err, ERR_FAILED, "interrupted");
        }
    }
}

static int launch_start(struct cli *cli, cJSON **out_health, struct err *err)
{
    autofree char *log_path = path_join(cli->home, "daemon.log");
    struct launch_child child = {0};
    struct subprocess *process = launch_spawn(cli, log_path, &child, err);
    int result = -1;
    if (process != NULL) {
        result = launch_await(cli, &child, out_health, err);
        subprocess_release(process);
    }
    if (result < 0) {
        autofree char *tail = process == NULL ? xstrdup("") : launch_log_tail(log_path);
        if (tail[0] != '\0') {
            fprintf(stderr, "--- the end of %s\n%s%s---\n", log_path, tail,
                    tail[strlen(tail) - 1] == '\n' ? "" : "\n");
        }
        return err_wrap(err, "the daemon could not be started (try `wos start --foreground`)");
    }
    return 0;
}

static int launch_lock(const char *home, struct err *err)
{
    autofree char *path = path_join(home, "start.lock");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_set_sys(err, "%s", path);
    }
    while (flock(fd, LOCK_EX) < 0) {
        if (errno != EINTR) {
            (void)err_set_sys(err, "%s", path);
            (void)close(fd); /* nothing was written */
            return -1;
        }
    }
    return fd;
}

/* The daemon's sockets live in the home; their names have to fit an address. */
static int launch_check_home(const char *home, struct err *err)
{
    struct sockaddr_un address;
    if (strlen(home) + sizeof "/gateway.sock" > sizeof address.sun_path) {
        return err_set(err, ERR_USAGE, "%s: the path is too long for a home (at most %zu bytes)",
                       home, sizeof address.sun_path - sizeof "/gateway.sock");
    }
    return dir_make(home, 0700, err);
}

int launch_ensure(struct cli *cli, cJSON **out_health, bool *out_started, struct err *err)
{
    if (launch_check_home(cli->home, err) < 0 || launch_client(cli, err) < 0) {
        return -1;
    }
    autojson cJSON *health = NULL;
    bool started = false;
    int found = launch_probe(cli, &health, err);
    if (found == 0) {
        autoclose int lock_fd = launch_lock(cli->home, err);
        if (lock_fd < 0) {
            return -1;
        }
        found = launch_probe(cli, &health, err); /* another command may have been first */
        if (found == 0) {
            started = true;
            found = launch_start(cli, &health, err) < 0 ? -1 : 1;
        }
    }
    if (found < 0) {
        return -1;
    }
    if (out_health != NULL) {
        *out_health = health;
        health = NULL;
    }
    if (out_started != NULL) {
        *out_started = started;
    }
    return 0;
}

/* True once the process is gone, or only its parent has not noticed. */
static bool launch_is_gone(pid_t pid)
{
    autofree char *path = xasprintf("/proc/%d/stat", (int)pid);
    struct buf text = {0};
    bool gone = file_read(path, STAT_LIMIT_BYTES, &text, NULL) < 0;
    if (!gone) {
        const char *after_name = strrchr(buf_cstr(&text), ')');
        gone = after_name != NULL && after_name[1] == ' ' &&
               (after_name[2] == 'Z' || after_name[2] == 'X');
    }
    buf_fini(&text);
    return gone;
}

static bool launch_wait_gone(struct cli *cli, pid_t pid, uint32_t timeout_ms)
{
    uint64_t deadline = clock_now_ms() + timeout_ms;
    while (!launch_is_gone(pid)) {
        if (clock_now_ms() >= deadline) {
            return false;
        }
        client_sleep(cli->client, POLL_MS / 2);
    }
    return true;
}

struct launch_link {
    bool closed;
};

static void launch_link_on_frame(void *arg, uint32_t type, struct str payload, const int *fds,
                                 size_t fd_count)
{
    (void)arg; /* what the gateway says does not matter any more */
    (void)type;
    (void)payload;
    for (size_t i = 0; i < fd_count; i++) {
        (void)close(fds[i]); /* a listener's duplicate: it has no state to lose */
    }
}

static void launch_link_on_close(void *arg, const char *reason)
{
    struct launch_link *link = arg;
    (void)reason; /* closed is all we wait for */
    link->closed = true;
}

/* Ends the gateway that listens at a socket in the home. True if there was one. */
static bool end_gateway(struct cli *cli, const char *name)
{
    static const struct frame_handler handler = {launch_link_on_frame, launch_link_on_close};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    autofree char *path = path_join(cli->home, name);
    size_t len = strlen(path);
    if (len >= sizeof address.sun_path) {
        return false;
    }
    memcpy(address.sun_path, path, len + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        if (fd >= 0) {
            (void)close(fd); /* never connected */
        }
        return false;
    }
    struct launch_link link = {0};
    struct frame_channel *channel =
        frame_open(client_loop(cli->client), fd, LINK_FRAME_MAX, &handler, &link);
    frame_send(channel, LINK_SHUTDOWN, STR("{}"), NULL, 0);
    uint64_t deadline = clock_now_ms() + LAUNCH_STOP_MS;
    while (!link.closed && clock_now_ms() < deadline) {
        client_sleep(cli->client, POLL_MS);
    }
    frame_free(channel);
    return true;
}

/* Ends gateways that outlived their daemon, those too that were replaced. True if there was one. */
static bool launch_end_orphans(struct cli *cli)
{
    bool found = end_gateway(cli, "gateway.sock");
    DIR *home = opendir(cli->home);
    const struct dirent *entry;
    while (home != NULL && (entry = readdir(home)) != NULL) {
        struct str name = str_of(entry->d_name);
        if (str_starts(name, STR("gateway-")) && str_ends(name, STR(".sock"))) {
            found = end_gateway(cli, entry->d_name) || found;
        }
    }
    if (home != NULL) {
        (void)closedir(home);
    }
    return found;
}

int launch_end(struct cli *cli, const char *how, bool *out_found, struct err *err)
{
    if (launch_client(cli, err) < 0) {
        return -1;
    }
    struct err reason = {0};
    autojson cJSON *health = NULL;
    if (client_health(cli->client, &health, &reason) < 0) {
        if (reason.code != ERR_NOT_FOUND) {
            *err = reason;
            return -1;
        }
        *out_found = strcmp(how, "stop") == 0 && launch_end_orphans(cli);
        return 0;
    }
    pid_t pid = (pid_t)json_get_int(health, "pid", 0);
    if (pid <= 1) {
        return err_set(err, ERR_FAILED, "the daemon does not say which process it is");
    }
    autofree char *path = xasprintf("/daemon/%s", how);
    autojson cJSON *answer = NULL;
    bool asked = client_call(cli->client, "POST", path, NULL, &answer, NULL) == 0;
    if (!asked || !launch_wait_gone(cli, pid, LAUNCH_STOP_MS)) {
        if (kill(pid, SIGTERM) < 0 && errno != ESRCH) {
            return err_set_sys(err, "cannot end the daemon (pid %d)", (int)pid);
        }
        if (!launch_wait_gone(cli, pid, LAUNCH_STOP_MS)) {
            return err_set(err, ERR_FAILED, "the daemon (pid %d) does not end", (int)pid);
        }
    }
    *out_found = true;
    return 0;
}
