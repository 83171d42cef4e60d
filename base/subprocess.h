/* subprocess: start a program, watch it end, stop its whole group.
 *
 * Children get their own session and process group (setsid), default signal
 * dispositions and mask, and only the descriptors named here: everything else
 * is closed (close_range). Their end is seen through a pidfd on the loop.
 * A child that shall outlive the daemon is let go with subprocess_release.
 */
#ifndef WOS_BASE_SUBPROCESS_H
#define WOS_BASE_SUBPROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/process.h"
#include "base/str.h"

struct subprocess;

struct subprocess_fd {
    int fd;     /* in this process; stays open here */
    int target; /* number in the child, >= 3 */
};

struct subprocess_spec {
    const char *program;     /* what is run, looked up in PATH of `env`; NULL = argv[0] */
    const char *const *argv; /* NULL-terminated */
    const char *const *env;  /* NULL-terminated "K=V"; NULL = ours */
    const char *cwd;         /* NULL = ours */
    int stdin_fd;            /* -1 = /dev/null; beware: 0 is our own standard input */
    int stdout_fd;           /* -1 = /dev/null */
    int stderr_fd;           /* -1 = /dev/null */
    const struct subprocess_fd *fds;
    size_t fd_count;
    bool dies_with_us;      /* SIGKILL when the thread that started it ends, however that happens */
    bool stdin_is_terminal; /* stdin_fd becomes the controlling terminal of the child's session */
};

/* status: as waitpid's; -1 when it cannot be known (not our child). Called once,
 * from the loop; p may be released in it. Without subprocess_stop it comes at the
 * leader's end, whoever else of the group lives on: stop then ends those, silently. */
typedef void subprocess_exit_fn(void *arg, int status);

/* A failed exec is reported here, with its errno, not as exit 127. */
struct subprocess *subprocess_start(struct loop *loop, const struct subprocess_spec *spec,
                                    subprocess_exit_fn *on_exit, void *arg, struct err *err);
/* Watches a process that another daemon started: it is taken only if its start
 * time (clock ticks since boot, field 22 of /proc/PID/stat) equals start_ticks and
 * it leads its own group. A leader that is gone while members of its session are
 * left is taken too: on_exit comes in the next turn, subprocess_stop ends the rest.
 * ERR_NOT_FOUND when nobody is left. One that cannot be looked at now, out of
 * descriptors or memory, counts as running until it can: then on_exit comes if
 * it is gone or leads no group, and what was asked of subprocess_stop is done. */
struct subprocess *subprocess_adopt(struct loop *loop, pid_t pid, uint64_t start_ticks,
                                    subprocess_exit_fn *on_exit, void *arg, struct err *err);
/* Says which process it is whose number was not written down. From the loop, after the first time;
 * nothing may be done to its subprocess in it. */
typedef enum process_answer subprocess_seek_fn(void *arg, struct process_info *out_leader);
/* Adopts whom `seek` finds. ERR_NOT_FOUND when it finds nobody. While it cannot tell, the process
 * counts as running and `seek` is asked again by and by; then as above. */
struct subprocess *subprocess_seek(struct loop *loop, subprocess_seek_fn *seek,
                                   subprocess_exit_fn *on_exit, void *arg, struct err *err);
pid_t subprocess_pid(const struct subprocess *p); /* 0: sought, and not found yet */
uint64_t subprocess_start_ticks(const struct subprocess *p);
bool subprocess_is_running(const struct subprocess *p);
/* Signals the whole group and session, only while the leader is verified to be
 * ours or any member with its session id remains. ESRCH is success. */
int subprocess_signal(struct subprocess *p, int signo, struct err *err);
/* SIGTERM to the group; SIGKILL after grace_ms; on_exit comes when the leader
 * is gone and the group empty (SIGKILL again for stragglers, for 5 s at most).
 * May be called again to shorten the grace. */
void subprocess_stop(struct subprocess *p, uint32_t grace_ms);
/* Stops watching without signalling; frees (a child that ends later is still
 * reaped). No on_exit afterwards. NULL is allowed. */
void subprocess_release(struct subprocess *p);

/* "exit 3" or "signal 9 (Killed)". */
const char *subprocess_status_text(int status, char *buf, size_t size);

/* Runs to the end and collects output, on the given loop without blocking it.
 * For git and other short helpers. The spec's stdout_fd and stderr_fd are not
 * looked at. Each stream keeps its first `limit` bytes; the rest is read and
 * dropped. At timeout_ms (0 = none) the group is stopped. on_done is called once,
 * from the loop. A program that cannot be started is an error here. */
struct subprocess_output {
    int status;
    struct str out; /* borrowed */
    struct str err; /* borrowed */
    bool timed_out;
};
typedef void subprocess_output_fn(void *arg, const struct subprocess_output *output);
int subprocess_collect(struct loop *loop, const struct subprocess_spec *spec, uint32_t timeout_ms,
                       size_t limit, subprocess_output_fn *on_done, void *arg, struct err *err);

#endif
