/* terminal_hangup: what is run beside the SIGHUP that ends a terminal's program, for what that
 * signal does not reach: `docker exec` leaves its processes in the container. Loop thread.
 */
#ifndef WOS_DAEMON_TERMINAL_HANGUP_H
#define WOS_DAEMON_TERMINAL_HANGUP_H

#include <stdbool.h>

#include "base/loop.h"

/* Zeroed: nothing is run. */
struct hangup {
    char **argv; /* owned, as all of it; NULL: none, or it was run */
    char **env;  /* or NULL: the daemon's */
    char *cwd;   /* or NULL: the daemon's */
};

/* Copies; argv may be NULL. */
void hangup_init(struct hangup *h, const char *const *argv, const char *const *env,
                 const char *cwd);
void hangup_fini(struct hangup *h);
/* Starts it, the first time. Nobody waits for it: it may end after the daemon. False when it cannot
 * be started, which is said in the log: it may be tried again. */
bool hangup_run(struct hangup *h, struct loop *loop);

#endif
