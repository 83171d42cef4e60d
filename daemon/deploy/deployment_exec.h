/* deployment_exec: where and how a command runs beside a service (`wos exec`).
 *
 * Shell mode: in the service's directory with the environment of its running process (read
 * from /proc, so that values are never stored). The command is an argument vector, not a
 * shell line. Loop thread; small file I/O.
 */
#ifndef WOS_DAEMON_DEPLOY_DEPLOYMENT_EXEC_H
#define WOS_DAEMON_DEPLOY_DEPLOYMENT_EXEC_H

#include "base/err.h"
#include "daemon/deploy/deployment.h"

enum {
    EXEC_ARGS_MAX = 1024,              /* words of a command */
    EXEC_ENVIRON_MAX = 2 * 1024 * 1024 /* bytes of a service's environment */
};

struct exec_plan {
    char **argv; /* owned, NULL-terminated */
    char **env;  /* owned, NULL-terminated */
    char *cwd;   /* owned */
    /* NULL, or what ends the command where signals to its process do not reach all of it; it works
     * in any environment and directory, and holds no secrets. Owned, NULL-terminated. */
    char **hangup;
};

/* `command` is NULL-terminated, with at least one word. With `is_terminal` TERM is set unless
 * the service has one. ERR_NOT_FOUND: no such service; ERR_REFUSED: it does not run. */
int deployment_exec_plan(const struct deployment *d, const char *service,
                         const char *const *command, bool is_terminal, struct exec_plan *out_plan,
                         struct err *err);
void exec_plan_fini(struct exec_plan *plan);

#endif
