/* spawn: see spawn.h. Everything the child needs is made before the fork, as
 * other threads (a resolver of libcurl) may hold malloc's lock at that moment. */
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/descriptors.h"

enum stage { STAGE_SETUP, STAGE_FD, STAGE_CHDIR, STAGE_EXEC };

struct report {
    enum stage stage;
    int sys;
};

struct plan {
    const struct subprocess_spec *spec;
    const char *program;         /* borrowed */
    char *const *argv;           /* borrowed */
    char *const *env;            /* borrowed */
    char **candidates;           /* owned: paths to try, NULL-terminated */
    struct subprocess_fd *moves; /* owned: fd -1 = /dev/null */
    size_t move_count;
    int first_free; /* above every target */
    pid_t parent;   /* who starts it */
    int report_fd;
};

static const char *env_path(char *const *env)
{
    for (; env != NULL && *env != NULL; env++) {
        if (strncmp(*env, "PATH=", 5) == 0) {
            return *env + 5;
        }
    }
    return "/usr/local/bin:/usr/bin:/bin";
}

static void plan_candidates(struct plan *plan)
{
    const char *name = plan->program;
    struct str path = str_of(env_path(plan->env));
    size_t count = 2;
    for (size_t i = 0; i < path.len; i++) {
        count += path.ptr[i] == ':' ? 1 : 0;
    }
    plan->candidates = xcalloc(count, sizeof *plan->candidates);
    if (strchr(name, '/') != NULL || name[0] == '\0') {
        plan->candidates[0] = xstrdup(name);
        return;
    }
    size_t at = 0;
    struct str dir;
    while (str_next(&path, ':', &dir)) {
        /* An empty part means the working directory. */
        plan->candidates[at++] =
            dir.len == 0 ? xasprintf("./%s", name) : xasprintf("%.*s/%s", STR_ARG(dir), name);
    }
}

static void plan_init(struct plan *plan, const struct subprocess_spec *spec)
{
    /* execve promises not to write to what these point to. */
    *plan = (struct plan){.spec = spec, .argv = (char *const *)(uintptr_t)spec->argv};
    plan->program = spec->program != NULL ? spec->program : spec->argv[0];
    plan->env = spec->env == NULL ? environ : (char *const *)(uintptr_t)spec->env;
    plan->parent = getpid();
    plan_candidates(plan);
    plan->move_count = 3 + spec->fd_count;
    plan->moves = xcalloc(plan->move_count, sizeof *plan->moves);
    const int standard[3] = {spec->stdin_fd, spec->stdout_fd, spec->stderr_fd};
    plan->first_free = 3;
    for (size_t i = 0; i < plan->move_count; i++) {
        plan->moves[i] = i < 3 ? (struct subprocess_fd){standard[i], (int)i} : spec->fds[i - 3];
        CHECK(i < 3 || (plan->moves[i].target >= 3 && plan->moves[i].fd >= 0));
        if (plan->moves[i].target >= plan->first_free) {
            plan->first_free = plan->moves[i].target + 1;
        }
    }
}

static void plan_fini(struct plan *plan)
{
    for (char **at = plan->candidates; *at != NULL; at++) {
        free(*at);
    }
    free(plan->candidates);
    free(plan->moves);
}

/* From here to child_main: in the child, async-signal-safe calls only. */

static void child_fail(const struct plan *plan, enum stage stage) __attribute__((noreturn));
static void child_fail(const struct plan *plan, enum stage stage)
{
    struct report report = {.stage = stage, .sys = errno};
    ssize_t ignored = write(plan->report_fd, &report, sizeof report);
    (void)ignored; /* then the parent sees an exit with 127 */
    _exit(127);
}

/* All sources first climb above all targets, so that no dup2 overwrites one
 * that is still needed. Copies up there, and all else, close at exec. */
static void child_fds(struct plan *plan)
{
    int report = fcntl(plan->report_fd, F_DUPFD_CLOEXEC, plan->first_free);
    if (report < 0) {
        child_fail(plan, STAGE_FD);
    }
    plan->report_fd = report;
    for (size_t i = 0; i < plan->move_count; i++) {
        struct subprocess_fd *move = &plan->moves[i];
        if (move->fd < 0) {
            move->fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        }
        move->fd = fcntl(move->fd, F_DUPFD_CLOEXEC, plan->first_free);
        if (move->fd < 0) {
            child_fail(plan, STAGE_FD);
        }
    }
    if (close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC) != 0) {
        child_fail(plan, STAGE_FD);
    }
    for (size_t i = 0; i < plan->move_count; i++) {
        if (dup2(plan->moves[i].fd, plan->moves[i].target) < 0) {
            child_fail(plan, STAGE_FD);
        }
    }
}

static void child_exec(const struct plan *plan)
{
    int why = ENOENT;
    for (char **at = plan->candidates; *at != NULL; at++) {
        (void)execve(*at, plan->argv, plan->env);
        if (errno == EACCES) {
            why = EACCES; /* as execvp: another directory may have a better one */
        } else if (errno != ENOENT && errno != ENOTDIR) {
            why = errno;
            break;
        }
    }
    errno = why;
}

static void child_main(struct plan *plan) __attribute__((noreturn));
static void child_main(struct plan *plan)
{
    if (setsid() < 0) {
        child_fail(plan, STAGE_SETUP);
    }
    struct sigaction by_default = {.sa_handler = SIG_DFL};
    for (int signo = 1; signo < NSIG; signo++) {
        (void)sigaction(signo, &by_default, NULL); /* some numbers cannot be set */
    }
    sigset_t none;
    (void)sigemptyset(&none);
    if (sigprocmask(SIG_SETMASK, &none, NULL) != 0) {
        child_fail(plan, STAGE_SETUP);
    }
    if (plan->spec->dies_with_us && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 ||
                                     getppid() != plan->parent)) { /* it has died already */
        child_fail(plan, STAGE_SETUP);
    }
    child_fds(plan);
    descriptors_restore();
    if (plan->spec->stdin_is_terminal && ioctl(STDIN_FILENO, TIOCSCTTY, 0) != 0) {
        child_fail(plan, STAGE_FD);
    }
    if (plan->spec->cwd != NULL && chdir(plan->spec->cwd) != 0) {
        child_fail(plan, STAGE_CHDIR);
    }
    child_exec(plan);
    child_fail(plan, STAGE_EXEC);
}

/* Until the child has executed its program (end of file) or reports why not. */
static bool read_report(int fd, struct report *out_report)
{
    ssize_t got;
    do {
        got = read(fd, out_report, sizeof *out_report);
    } while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof *out_report;
}

static int fail_report(const struct plan *plan, const struct report *report, struct err *err)
{
    errno = report->sys;
    switch (report->stage) {
    case STAGE_CHDIR:
        return err_set_sys(err, "cannot run %s in %s", plan->program, plan->spec->cwd);
    case STAGE_FD:
        return err_set_sys(err, "cannot run %s: cannot pass its descriptors", plan->program);
    default:
        return err_set_sys(err, "cannot run %s", plan->program);
    }
}

/* Signals wait during the fork: a handler of ours must not run in the child. */
static pid_t fork_quietly(struct plan *plan)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        child_main(plan);
    }
    int saved = errno;
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    errno = saved;
    return pid;
}

static int start(struct plan *plan, pid_t *out_pid, int *out_pidfd, struct err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return err_set_sys(err, "cannot run %s", plan->program);
    }
    plan->report_fd = ends[1];
    pid_t pid = fork_quietly(plan);
    int saved = errno;
    (void)close(ends[1]);
    if (pid < 0) {
        (void)close(ends[0]);
        errno = saved;
        return err_set_sys(err, "cannot run %s", plan->program);
    }
    struct report report;
    bool failed = read_report(ends[0], &report);
    (void)close(ends[0]);
    int pidfd = failed ? -1 : pidfd_open(pid, 0);
    if (pidfd >= 0) {
        *out_pid = pid;
        *out_pidfd = pidfd;
        return 0;
    }
    if (!failed) {
        report = (struct report){.stage = STAGE_SETUP, .sys = errno};
        (void)kill(-pid, SIGKILL); /* unreaped: the number is still its own */
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        /* it is ending; only a signal can interrupt this */
    }
    return fail_report(plan, &report, err);
}

int spawn_process(const struct subprocess_spec *spec, pid_t *out_pid, int *out_pidfd,
                  struct err *err)
{
    CHECK(spec->argv != NULL && spec->argv[0] != NULL);
    struct plan plan;
    plan_init(&plan, spec);
    int result = start(&plan, out_pid, out_pidfd, err);
    plan_fini(&plan);
    return result;
}
