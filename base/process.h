/* process: what /proc says about processes, by pid and by session.
 *
 * A pid alone names nobody for long; a pid with its start time does. While a
 * process of a session or group lives, the kernel gives the session's number
 * to nobody else, so that "members of session N" stays meaningful after the
 * leader is gone. Zombies hold numbers too but do not count as members here.
 */
#ifndef WOS_BASE_PROCESS_H
#define WOS_BASE_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct process_info {
    pid_t pid;
    pid_t group;
    pid_t session;
    char state;           /* 'R', 'S', 'Z' … as in /proc/PID/stat */
    uint64_t threads;     /* that live, or wait to be forgotten */
    uint64_t start_ticks; /* clock ticks since boot: field 22 */
};

typedef void process_fn(const struct process_info *info, void *arg);

/* What a search says that may itself run out of something. */
enum process_answer {
    PROCESS_NONE,
    PROCESS_FOUND,
    PROCESS_UNKNOWN, /* that cannot be told now */
};

/* An errno of want: out of descriptors or memory. It says nothing about what was asked. */
bool process_is_want(int error);
/* False when there is no such process (any more), with errno ESRCH; any other says that it cannot
 * be told now: out of descriptors or memory. */
bool process_read(pid_t pid, struct process_info *out_info);
/* Start time of a pid (a zombie's too), 0 with errno as process_read. */
uint64_t process_start_ticks(pid_t pid);
/* Which boot of the machine this is: pids and start times mean nothing in another.
 * False where the kernel does not say. */
enum { PROCESS_BOOT_ID_SIZE = 40 };
bool process_boot_id(char out_id[PROCESS_BOOT_ID_SIZE]);
/* Calls fn (may be NULL) for each living member of session or group `id`;
 * returns how many there were, -1 if that cannot be told now and none was seen.
 * Reads all of /proc: some milliseconds. */
ssize_t process_members(pid_t id, process_fn *fn, void *arg);
/* Signals this very process, or nobody if the pid has been given away. False when nobody was, as
 * it cannot be told now whose the pid is. */
bool process_signal(const struct process_info *info, int signo);

#endif
