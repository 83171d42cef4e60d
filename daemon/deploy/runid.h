/* runid: finding processes whose start was not recorded, because the daemon died just then.
 *
 * Before a service (or init script) is started, a random id goes into state.json; the process has
 * it in its environment as WOS_RUN_ID, and its children inherit it. After a crash whoever
 * carries an id without a recorded pid is what was being started. Reads /proc; Linux.
 *
 * Out of descriptors or memory /proc shows nothing: PROCESS_UNKNOWN is no reason to forget an id.
 * subprocess_seek asks again.
 */
#ifndef WOS_DAEMON_DEPLOY_RUNID_H
#define WOS_DAEMON_DEPLOY_RUNID_H

#include <stddef.h>

#include "base/process.h"

#define RUNID_VARIABLE "WOS_RUN_ID"

/* 32 hex digits; malloc'ed. */
char *runid_new(void);
/* The session leader that carries the id, of several the oldest. One that has ended is found by who
 * is left of its session and carries the id: its number, and its start or, if that is forgotten,
 * the oldest one's. */
enum process_answer runid_find_leader(const char *id, struct process_info *out_leader);
/* SIGKILL to all that carry it: PROCESS_NONE, or PROCESS_UNKNOWN when some may be left. */
enum process_answer runid_kill(const char *id);
/* One signal, or with 0 none, to all that carry one of the ids: PROCESS_FOUND when there were some.
 */
enum process_answer runid_signal(const char *const *ids, size_t count, int signo);

#endif
