/* hook: see hook.h. Called by dns01; the loop's thread. */
#include "acme/hook.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/subprocess.h"

extern char **environ;

enum {
    HOOK_MAGIC = 0x686f6f6b,
    TAIL_SIZE = 8 * 1024,
    READ_SIZE = 4 * 1024,
    READS_MAX = 64, /* at the end, of what a process left behind may go on writing */
    GRACE_MS = 2000,
    CANCEL_GRACE_MS = 500,
    DEFAULT_TIMEOUT_MS = 60000,
    LINES_MAX = 3,
    VARIABLES = 6
};

struct tail {
    struct hook *hook;   /* borrowed: whose part this is */
    int fd;              /* owned; -1: closed */
    struct event *event; /* owned */
    struct buf bytes;    /* at most TAIL_SIZE + READ_SIZE */
};

struct hook {
    uint32_t magic;
    struct loop *loop;          /* borrowed */
    struct subprocess *process; /* owned; NULL: could not be started */
    struct tail out;
    struct tail err;
    struct loop_timer timer;
    enum hook_phase phase;
    uint32_t timeout_ms;
    uint64_t started_ms;
    bool timed_out;
    struct err start_error;
    hook_done_fn *done; /* NULL: cancelled */
    void *arg;          /* borrowed */
};

static void tail_close(struct tail *t)
{
    if (t->event != NULL) {
        event_free(t->event);
        t->event = NULL;
    }
    if (t->fd >= 0) {
        (void)close(t->fd);
        t->fd = -1;
    }
}

/* Reads once; false at the end or when there is nothing now. */
static bool tail_read(struct tail *t)
{
    char piece[READ_SIZE];
    ssize_t got = t->fd < 0 ? 0 : read(t->fd, piece, sizeof piece);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (got <= 0) {
        tail_close(t);
        return false;
    }
    buf_add(&t->bytes, piece, (size_t)got);
    if (t->bytes.len > TAIL_SIZE) {
        buf_consume(&t->bytes, t->bytes.len - TAIL_SIZE);
    }
    return true;
}

static void hook_on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct tail *t = arg;
    CHECK(t->hook->magic == HOOK_MAGIC);
    (void)tail_read(t);
}

static void destroy(struct hook *h)
{
    tail_close(&h->out);
    tail_close(&h->err);
    buf_fini(&h->out.bytes);
    buf_fini(&h->err.bytes);
    loop_timer_fini(&h->timer);
    subprocess_release(h->process);
    h->magic = 0;
    free(h);
}

static void hook_on_loop_free(void *arg)
{
    struct hook *h = arg;
    CHECK(h->magic == HOOK_MAGIC);
    if (h->process != NULL) {
        (void)subprocess_signal(h->process, SIGKILL, NULL);
    }
    destroy(h);
}

/* The last lines that are not empty, joined by " | ". */
static void last_lines(struct str text, struct buf *out)
{
    struct str lines[LINES_MAX];
    size_t count = 0;
    while (text.len > 0 && count < LINES_MAX) {
        size_t start = text.len;
        while (start > 0 && text.ptr[start - 1] != '\n') {
            start--;
        }
        struct str line = {text.ptr + start, text.len - start};
        while (line.len > 0 && (line.ptr[line.len - 1] == '\r' || line.ptr[line.len - 1] == ' ')) {
            line.len--;
        }
        if (line.len > 0) {
            lines[count++] = line;
        }
        text.len = start > 0 ? start - 1 : 0;
    }
    while (count > 0) {
        count--;
        buf_add_str(out, lines[count]);
        buf_add_text(out, count > 0 ? " | " : "");
    }
}

/* "DNS create via hook failed (12ms): exit=3 line | line | line" */
static void describe(struct hook *h, int status, struct failure *failure)
{
    struct buf lines = {0};
    last_lines(buf_str(h->err.bytes.len > 0 ? &h->err.bytes : &h->out.bytes), &lines);
    char how[96];
    if (h->timed_out) {
        (void)snprintf(how, sizeof how, "exit=no-exit (ended after %u ms, the timeout)",
                       h->timeout_ms);
    } else if (status >= 0 && WIFEXITED(status)) {
        (void)snprintf(how, sizeof how, "exit=%d", WEXITSTATUS(status));
    } else {
        char text[64];
        (void)snprintf(how, sizeof how, "exit=no-exit (%s)",
                       subprocess_status_text(status, text, sizeof text));
    }
    failure_set(failure, h->phase == HOOK_CREATE ? "hook-create" : "hook-delete",
                "DNS %s via hook failed (%llums): %s %.400s",
                h->phase == HOOK_CREATE ? "create" : "delete",
                (unsigned long long)(clock_now_ms() - h->started_ms), how, buf_cstr(&lines));
    /* 126 and 127 are the shell's: the command cannot be run, or there is none. */
    failure->is_permanent = !h->timed_out && status >= 0 && WIFEXITED(status) &&
                            (WEXITSTATUS(status) == 126 || WEXITSTATUS(status) == 127);
    buf_fini(&lines);
}

static void hook_on_exit(void *arg, int status)
{
    struct hook *h = arg;
    CHECK(h->magic == HOOK_MAGIC);
    loop_at_free_cancel(h->loop, hook_on_loop_free, h);
    for (int i = 0; i < READS_MAX && tail_read(&h->out); i++) {
    }
    for (int i = 0; i < READS_MAX && tail_read(&h->err); i++) {
    }
    bool is_success = !h->timed_out && status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    struct failure failure = {.phase = NULL};
    if (!is_success) {
        describe(h, status, &failure);
    }
    hook_done_fn *done = h->done;
    void *user = h->arg;
    destroy(h);
    if (done != NULL) {
        done(user, is_success ? NULL : &failure);
    }
}

/* The command could not be started. */
static void hook_on_start_failed(void *arg)
{
    struct hook *h = arg;
    CHECK(h->magic == HOOK_MAGIC);
    struct failure failure;
    failure_set(&failure, h->phase == HOOK_CREATE ? "hook-create" : "hook-delete",
                "The DNS hook could not be started: %s.", h->start_error.msg);
    failure.is_permanent = h->start_error.code == ERR_CONFIG;
    hook_done_fn *done = h->done;
    void *user = h->arg;
    destroy(h);
    if (done != NULL) {
        done(user, &failure);
    }
}

static void hook_on_timeout(void *arg)
{
    struct hook *h = arg;
    CHECK(h->magic == HOOK_MAGIC);
    h->timed_out = true;
    subprocess_stop(h->process, GRACE_MS);
}

/* The environment with our variables instead of any of their names. */
static char **make_environment(const struct hook_spec *spec)
{
    struct buf names = {0};
    for (size_t i = 0; i < spec->name_count; i++) {
        buf_printf(&names, "%s%s", i > 0 ? "," : "", spec->names[i]);
    }
    size_t inherited = 0;
    while (environ[inherited] != NULL) {
        inherited++;
    }
    char **env = xcalloc(inherited + VARIABLES + 1, sizeof *env);
    size_t count = 0;
    env[count++] =
        xasprintf("WOS_ACME_HOOK_PHASE=%s", spec->phase == HOOK_CREATE ? "create" : "delete");
    env[count++] = xasprintf("WOS_ACME_RECORD_NAME=%s", spec->record);
    env[count++] = xasprintf("WOS_ACME_RECORD_VALUE=%s", spec->value);
    env[count++] = xasprintf("WOS_ACME_BASE_DOMAIN=%s", spec->base_domain);
    env[count++] = xasprintf("WOS_ACME_LISTENER_KIND=%s", spec->listener_kind);
    env[count++] = xasprintf("WOS_ACME_CERTIFICATE_NAMES=%s", buf_cstr(&names));
    buf_fini(&names);
    for (size_t i = 0; i < inherited; i++) {
        bool is_ours = false;
        for (size_t k = 0; k < VARIABLES; k++) {
            size_t len = (size_t)(strchr(env[k], '=') - env[k]) + 1;
            is_ours |= strncmp(environ[i], env[k], len) == 0;
        }
        if (!is_ours) {
            env[count++] = xstrdup(environ[i]);
        }
    }
    return env;
}

static int start(struct hook *h, const char *command, char **env)
{
    int out[2];
    int err[2];
    if (pipe2(out, O_CLOEXEC) != 0) {
        return err_set_sys(&h->start_error, "cannot make a pipe");
    }
    h->out.fd = out[0];
    autoclose int out_end = out[1];
    if (pipe2(err, O_CLOEXEC) != 0) {
        return err_set_sys(&h->start_error, "cannot make a pipe");
    }
    h->err.fd = err[0];
    autoclose int err_end = err[1];
    if (fd_set_nonblock(out[0], &h->start_error) < 0 ||
        fd_set_nonblock(err[0], &h->start_error) < 0) {
        return -1;
    }
    const char *const argv[] = {"sh", "-c", command, NULL};
    struct subprocess_spec spec = {.argv = argv,
                                   .env = (const char *const *)env,
                                   .stdin_fd = -1,
                                   .stdout_fd = out_end,
                                   .stderr_fd = err_end};
    h->process = subprocess_start(h->loop, &spec, hook_on_exit, h, &h->start_error);
    return h->process == NULL ? -1 : 0;
}

static void tail_watch(struct tail *t, struct hook *h)
{
    t->hook = h;
    t->event = event_new(loop_base(h->loop), t->fd, EV_READ | EV_PERSIST, hook_on_readable, t);
    CHECK(t->event != NULL && event_add(t->event, NULL) == 0);
}

struct hook *hook_run(struct loop *loop, const struct hook_spec *spec, hook_done_fn *done,
                      void *arg)
{
    struct hook *h = xcalloc(1, sizeof *h);
    h->magic = HOOK_MAGIC;
    h->loop = loop;
    h->phase = spec->phase;
    h->timeout_ms = spec->timeout_ms == 0 ? DEFAULT_TIMEOUT_MS : spec->timeout_ms;
    h->started_ms = clock_now_ms();
    h->done = done;
    h->arg = arg;
    h->out.fd = -1;
    h->err.fd = -1;
    loop_timer_init(&h->timer, loop, hook_on_timeout, h);
    char **env = make_environment(spec);
    int result = spec->command == NULL || spec->command[0] == '\0'
                     ? err_set(&h->start_error, ERR_CONFIG, "no command is configured")
                     : start(h, spec->command, env);
    for (char **one = env; *one != NULL; one++) {
        free(*one);
    }
    free(env);
    if (result < 0) {
        loop_defer(loop, hook_on_start_failed, h);
        return h;
    }
    tail_watch(&h->out, h);
    tail_watch(&h->err, h);
    loop_timer_set(&h->timer, h->timeout_ms);
    loop_at_free(loop, hook_on_loop_free, h);
    return h;
}

void hook_cancel(struct hook *h)
{
    if (h == NULL) {
        return;
    }
    CHECK(h->magic == HOOK_MAGIC);
    h->done = NULL;
    if (h->process != NULL) {
        loop_timer_clear(&h->timer);
        subprocess_stop(h->process, CANCEL_GRACE_MS);
    }
}
