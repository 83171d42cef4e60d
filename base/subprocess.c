/* subprocess: see subprocess.h. The daemon's main thread.
 *
 * A child of ours that has ended while others of its session live on stays a
 * zombie until they are gone or it is released: as long as it does, nobody
 * else can get its number, and kill(-pid) reaches whom it is meant for. */
#include "base/subprocess.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/spawn.h"

enum {
    SUBPROCESS_MAGIC = 0x73756270,
    POLL_MS = 20,        /* between looks for stragglers: nothing reports their end */
    STRAGGLER_MS = 5000, /* after this much SIGKILL the kernel itself holds them */
    UNKNOWN_MS = 100,    /* between looks for an adopted one that could not be looked at */
};

enum stopping {
    STOP_NOT,  /* nobody asked */
    STOP_TERM, /* SIGTERM was sent, the grace runs */
    STOP_KILL, /* SIGKILL is sent until none is left */
};

struct subprocess {
    uint32_t magic;
    struct loop *loop; /* borrowed */
    pid_t pid;         /* also its group's and session's number */
    uint64_t start_ticks;
    int pidfd;           /* owned; -1: adopted without a living leader */
    struct event *event; /* owned */
    struct loop_timer timer;
    subprocess_exit_fn *on_exit;
    void *arg; /* borrowed */
    bool is_child;
    bool is_unknown;          /* adopted, and not looked at: out of descriptors or memory */
    subprocess_seek_fn *seek; /* its number is not even known: who is asked for it; or NULL */
    bool leader_gone;
    bool reaped;     /* or never ours to reap */
    bool group_gone; /* once seen empty the number may belong to anybody */
    bool told;       /* on_exit was called */
    bool released;   /* only waiting to reap it */
    int status;
    enum stopping stopping;
    uint64_t kill_at_ms;
    uint64_t give_up_at_ms;
};

static void destroy(struct subprocess *p)
{
    loop_timer_fini(&p->timer);
    if (p->event != NULL) {
        event_free(p->event);
    }
    if (p->pidfd >= 0) {
        (void)close(p->pidfd);
    }
    p->magic = 0;
    free(p);
}

/* The loop ends while a released child still runs. */
static void subprocess_on_loop_free(void *arg)
{
    destroy(arg);
}

static void tell(struct subprocess *p)
{
    if (!p->told) {
        p->told = true;
        p->on_exit(p->arg, p->status); /* may release p: nothing may follow */
    }
}

static int status_of(const siginfo_t *info)
{
    if (info->si_code == CLD_EXITED) {
        return (info->si_status & 0xff) << 8;
    }
    return (info->si_status & 0x7f) | (info->si_code == CLD_DUMPED ? 0x80 : 0);
}

static void reap(struct subprocess *p)
{
    if (!p->reaped) {
        p->reaped = true;
        siginfo_t info;
        (void)waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED | WNOHANG);
    }
}

/* How many are left whom kill(-pid) would reach; -1: that cannot be told now. Only asked once the
 * leader is gone. */
static ssize_t group_count(struct subprocess *p)
{
    ssize_t count = 0;
    if (!p->group_gone) {
        uint64_t ticks = p->reaped ? process_start_ticks(p->pid) : 0;
        bool recycled = ticks != 0 && ticks != p->start_ticks;
        count = recycled ? 0 : process_members(p->pid, NULL, NULL);
        p->group_gone = count == 0;
    }
    if (p->group_gone) {
        reap(p);
    }
    return count;
}

static bool group_is_empty(struct subprocess *p)
{
    return group_count(p) == 0;
}

struct outsiders {
    pid_t group;
    int signo;
};

static void signal_outsider(const struct process_info *info, void *arg)
{
    const struct outsiders *which = arg;
    if (info->group != which->group) {
        (void)process_signal(info, which->signo); /* a stop comes by again */
    }
}

static int group_signal(struct subprocess *p, int signo)
{
    if (p->is_unknown) {
        errno = EAGAIN; /* it may be another's number */
        return -1;
    }
    /* An adopted leader may have ended, and been reaped, since the last turn. */
    bool leader_here =
        !p->leader_gone && (p->is_child || pidfd_send_signal(p->pidfd, 0, NULL, 0) == 0);
    ssize_t count = leader_here ? 1 : group_count(p);
    if (count == 0) {
        return 0;
    }
    if (count < 0 && p->reaped) {
        errno = EAGAIN; /* it may be another's number by now */
        return -1;
    }
    int result = kill(-p->pid, signo);
    int saved = errno;
    /* Shells with job control put jobs into groups of their own. */
    struct outsiders which = {.group = p->pid, .signo = signo};
    (void)process_members(p->pid, signal_outsider, &which);
    errno = saved;
    return result == 0 || saved == ESRCH ? 0 : -1;
}

static void stop_begin(struct subprocess *p)
{
    (void)group_signal(p, SIGTERM); /* SIGKILL follows for whoever it did not reach */
    (void)group_signal(p, SIGCONT); /* a stopped process gets its SIGTERM only then */
}

/* Drives a stop on: called when it begins, by its timer, and at the leader's end. */
static void stop_step(struct subprocess *p)
{
    if (p->leader_gone && group_is_empty(p)) {
        p->stopping = STOP_NOT;
        loop_timer_clear(&p->timer);
        tell(p);
        return;
    }
    uint64_t now_ms = clock_now_ms();
    if (p->stopping == STOP_TERM && now_ms >= p->kill_at_ms) {
        p->stopping = STOP_KILL;
        p->give_up_at_ms = now_ms + STRAGGLER_MS;
    }
    if (p->stopping == STOP_KILL) {
        (void)group_signal(p, SIGKILL); /* looked at again below and in the next step */
        if (p->leader_gone && now_ms >= p->give_up_at_ms) {
            p->stopping = STOP_NOT;
            tell(p);
            return;
        }
    }
    uint64_t wait_ms = POLL_MS;
    if (p->stopping == STOP_TERM) {
        uint64_t left_ms = p->kill_at_ms - now_ms;
        wait_ms = !p->leader_gone || left_ms < POLL_MS ? left_ms : POLL_MS;
    }
    loop_timer_set(&p->timer, wait_ms);
}

static void subprocess_on_pidfd(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct subprocess *p = arg;
    CHECK(p->magic == SUBPROCESS_MAGIC);
    siginfo_t info = {0};
    if (p->is_child) {
        if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG | WNOWAIT) == 0) {
            if (info.si_pid == 0) {
                return; /* not yet */
            }
            p->status = status_of(&info);
        } else {
            p->reaped = true; /* somebody waited for it before us: status unknown */
        }
    }
    p->leader_gone = true;
    (void)event_del(p->event);
    if (p->released) {
        reap(p);
        loop_at_free_cancel(p->loop, subprocess_on_loop_free, p);
        destroy(p);
    } else if (p->stopping != STOP_NOT) {
        stop_step(p);
    } else {
        (void)group_is_empty(p);
        tell(p);
    }
}

/* Takes the pidfd. */
static void watch_leader(struct subprocess *p, int pidfd)
{
    p->pidfd = pidfd;
    p->event = event_new(loop_base(p->loop), pidfd, EV_READ | EV_PERSIST, subprocess_on_pidfd, p);
    CHECK(p->event != NULL && event_add(p->event, NULL) == 0);
}

static void note_old_member(const struct process_info *info, void *arg)
{
    uint64_t *oldest = arg;
    if (info->start_ticks < *oldest) {
        *oldest = info->start_ticks;
    }
}

/* What is left of a session that another process led. */
enum remains {
    REMAINS_NONE,
    REMAINS_UNKNOWN, /* that cannot be told now */
    REMAINS_ORPHANS, /* its leader is gone */
    REMAINS_LEADER,
    REMAINS_IN_GROUP, /* it is there, and in the group of another */
};

/* The leader is gone; are there members, and none older than it was? Start times count from the
 * boot: of another one's this says nothing. */
static enum remains find_orphans(pid_t pid, uint64_t start_ticks)
{
    uint64_t oldest = UINT64_MAX;
    ssize_t count = process_members(pid, note_old_member, &oldest);
    return count < 0                            ? REMAINS_UNKNOWN
           : count > 0 && oldest >= start_ticks ? REMAINS_ORPHANS
                                                : REMAINS_NONE;
}

/* The pidfd is the caller's, of a leader that is there; else it is not touched. */
static enum remains find_remains(pid_t pid, uint64_t start_ticks, int *out_pidfd)
{
    struct process_info info;
    if (pid <= 0 || start_ticks == 0) {
        return REMAINS_NONE;
    }
    autoclose int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0 || !process_read(pid, &info)) { /* after the open: the same process */
        return process_is_want(errno) ? REMAINS_UNKNOWN : find_orphans(pid, start_ticks);
    }
    if (info.start_ticks != start_ticks) {
        return REMAINS_NONE;
    }
    if (info.group != pid) {
        return REMAINS_IN_GROUP;
    }
    *out_pidfd = take_fd(&pidfd);
    return REMAINS_LEADER;
}

/* Asks for the number first where that is not known. */
static enum remains seek_remains(struct subprocess *p, int *out_pidfd)
{
    if (p->seek != NULL) {
        struct process_info leader;
        enum process_answer answer = p->seek(p->arg, &leader);
        if (answer != PROCESS_FOUND) {
            return answer == PROCESS_NONE ? REMAINS_NONE : REMAINS_UNKNOWN;
        }
        p->seek = NULL;
        p->pid = leader.pid;
        p->start_ticks = leader.start_ticks;
    }
    return find_remains(p->pid, p->start_ticks, out_pidfd);
}

/* What could not be looked at when it was adopted. */
static void look_again(struct subprocess *p)
{
    int pidfd;
    enum remains remains = seek_remains(p, &pidfd);
    if (remains == REMAINS_UNKNOWN) {
        loop_timer_set(&p->timer, UNKNOWN_MS);
        return;
    }
    p->is_unknown = false;
    p->leader_gone = remains != REMAINS_LEADER;
    p->group_gone = remains == REMAINS_NONE || remains == REMAINS_IN_GROUP;
    if (remains == REMAINS_LEADER) {
        watch_leader(p, pidfd);
    }
    if (p->stopping != STOP_NOT) {
        stop_begin(p);
        stop_step(p);
    } else if (p->leader_gone) {
        tell(p);
    }
}

static void subprocess_on_timer(void *arg)
{
    struct subprocess *p = arg;
    CHECK(p->magic == SUBPROCESS_MAGIC);
    if (p->is_unknown) {
        look_again(p);
    } else if (p->stopping != STOP_NOT) {
        stop_step(p);
    } else {
        tell(p);
    }
}

/* Takes the pidfd. */
static struct subprocess *watch(struct loop *loop, pid_t pid, uint64_t start_ticks, int pidfd,
                                subprocess_exit_fn *on_exit, void *arg)
{
    struct subprocess *p = xcalloc(1, sizeof *p);
    p->magic = SUBPROCESS_MAGIC;
    p->loop = loop;
    p->pid = pid;
    p->start_ticks = start_ticks;
    p->pidfd = -1;
    p->on_exit = on_exit;
    p->arg = arg;
    p->status = -1;
    loop_timer_init(&p->timer, loop, subprocess_on_timer, p);
    if (pidfd >= 0) {
        watch_leader(p, pidfd);
    }
    return p;
}

struct subprocess *subprocess_start(struct loop *loop, const struct subprocess_spec *spec,
                                    subprocess_exit_fn *on_exit, void *arg, struct err *err)
{
    pid_t pid;
    int pidfd;
    if (spawn_process(spec, &pid, &pidfd, err) < 0) {
        return NULL;
    }
    /* Not reaped yet, so its entry in /proc is there even if it has ended. */
    struct subprocess *p = watch(loop, pid, process_start_ticks(pid), pidfd, on_exit, arg);
    p->is_child = true;
    return p;
}

struct subprocess *subprocess_adopt(struct loop *loop, pid_t pid, uint64_t start_ticks,
                                    subprocess_exit_fn *on_exit, void *arg, struct err *err)
{
    int pidfd = -1;
    enum remains remains = find_remains(pid, start_ticks, &pidfd);
    if (remains == REMAINS_NONE) {
        (void)err_set(err, ERR_NOT_FOUND, "process %d is gone", (int)pid); /* NULL tells */
        return NULL;
    }
    if (remains == REMAINS_IN_GROUP) {
        (void)err_set(err, ERR_REFUSED, "process %d does not lead a group of its own", (int)pid);
        return NULL;
    }
    struct subprocess *p = watch(loop, pid, start_ticks, pidfd, on_exit, arg);
    p->reaped = true;
    p->is_unknown = remains == REMAINS_UNKNOWN;
    p->leader_gone = remains == REMAINS_ORPHANS;
    if (remains != REMAINS_LEADER) {
        loop_timer_set(&p->timer, p->is_unknown ? UNKNOWN_MS : 0);
    }
    return p;
}

struct subprocess *subprocess_seek(struct loop *loop, subprocess_seek_fn *seek,
                                   subprocess_exit_fn *on_exit, void *arg, struct err *err)
{
    struct process_info leader;
    enum process_answer answer = seek(arg, &leader);
    if (answer == PROCESS_FOUND) {
        return subprocess_adopt(loop, leader.pid, leader.start_ticks, on_exit, arg, err);
    }
    if (answer == PROCESS_NONE) {
        (void)err_set(err, ERR_NOT_FOUND, "nobody is left"); /* NULL tells */
        return NULL;
    }
    struct subprocess *p = watch(loop, 0, 0, -1, on_exit, arg);
    p->seek = seek;
    p->reaped = true;
    p->is_unknown = true;
    loop_timer_set(&p->timer, UNKNOWN_MS);
    return p;
}

pid_t subprocess_pid(const struct subprocess *p)
{
    return p->pid;
}

uint64_t subprocess_start_ticks(const struct subprocess *p)
{
    return p->start_ticks;
}

bool subprocess_is_running(const struct subprocess *p)
{
    return !p->leader_gone;
}

int subprocess_signal(struct subprocess *p, int signo, struct err *err)
{
    CHECK(p->magic == SUBPROCESS_MAGIC);
    if (group_signal(p, signo) < 0) {
        return err_set_sys(err, "cannot signal process group %d", (int)p->pid);
    }
    return 0;
}

void subprocess_stop(struct subprocess *p, uint32_t grace_ms)
{
    CHECK(p->magic == SUBPROCESS_MAGIC && !p->released);
    uint64_t kill_at_ms = clock_now_ms() + grace_ms;
    if (p->stopping == STOP_KILL || (p->stopping == STOP_TERM && p->kill_at_ms <= kill_at_ms)) {
        return;
    }
    p->kill_at_ms = kill_at_ms;
    if (p->stopping == STOP_NOT) {
        if (p->told && group_is_empty(p)) {
            return;
        }
        p->stopping = STOP_TERM;
        stop_begin(p);
    }
    loop_timer_set(&p->timer, 0); /* the first step: never on_exit from in here */
}

void subprocess_release(struct subprocess *p)
{
    if (p == NULL) {
        return;
    }
    CHECK(p->magic == SUBPROCESS_MAGIC && !p->released);
    if (p->is_child && !p->leader_gone) {
        /* Somebody has to reap it, should it end before this process does. */
        p->released = true;
        p->stopping = STOP_NOT;
        loop_timer_clear(&p->timer);
        loop_at_free(p->loop, subprocess_on_loop_free, p);
        return;
    }
    reap(p);
    destroy(p);
}

const char *subprocess_status_text(int status, char *buf, size_t size)
{
    if (status == -1) {
        (void)snprintf(buf, size, "exit status unknown");
    } else if (WIFSIGNALED(status)) {
        int signo = WTERMSIG(status);
        const char *name = sigdescr_np(signo);
        (void)snprintf(buf, size, "signal %d (%s)", signo, name == NULL ? "unknown" : name);
    } else {
        (void)snprintf(buf, size, "exit %d", WEXITSTATUS(status));
    }
    return buf;
}
