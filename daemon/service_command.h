/* service_command: how a command runs in a service of what is deployed: beside its process, or in
 * its container. Loop thread; small file I/O.
 */
#ifndef WOS_DAEMON_SERVICE_COMMAND_H
#define WOS_DAEMON_SERVICE_COMMAND_H

#include <stdbool.h>

#include "base/err.h"
#include "daemon/deploy/deployment_exec.h"

struct deployment;

/* As deployment_exec_plan, for both kinds of services. */
int service_command_plan(const struct deployment *d, const char *service, const char *const *argv,
                         bool is_tty, struct exec_plan *out, struct err *err);
/* The command that is a shell there; constant. `program` is the user's own, for processes. */
struct service_shell {
    const char *argv[4];
};
struct service_shell service_command_shell(const struct deployment *d, const char *program);

#endif
