/* service_command: see service_command.h. Called by api/endpoints_exec.c and endpoints_terminals.c.
 */
#include "daemon/service_command.h"

#include "daemon/deploy/compose_exec.h"
#include "daemon/deploy/deployment.h"

int service_command_plan(const struct deployment *d, const char *service, const char *const *argv,
                         bool is_tty, struct exec_plan *out, struct err *err)
{
    if (!compose_exec_applies(d)) {
        return deployment_exec_plan(d, service, argv, is_tty, out, err);
    }
    return compose_exec_plan(d, service, argv, is_tty, out, err);
}

struct service_shell service_command_shell(const struct deployment *d, const char *program)
{
    if (!compose_exec_applies(d)) {
        return (struct service_shell){{program, NULL}};
    }
    return (struct service_shell){
        {"sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash; exec sh", NULL}};
}
