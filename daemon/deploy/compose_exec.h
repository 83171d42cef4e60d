/* compose_exec: commands beside a deployment's containers: `docker exec`, `docker logs`.
 *
 * The Docker modes only (compose_exec_applies). They go to the container itself, not through
 * Compose: its files may need variables that only the caller of `up` had. Loop thread.
 */
#ifndef WOS_DAEMON_DEPLOY_COMPOSE_EXEC_H
#define WOS_DAEMON_DEPLOY_COMPOSE_EXEC_H

#include "daemon/deploy/deployment.h"
#include "daemon/deploy/deployment_exec.h"
#include "daemon/deploy/docker.h"

/* True when the services of the last up are containers. */
bool compose_exec_applies(const struct deployment *d);
/* A command in the service's container. With is_terminal standard input must be a terminal. Docker
 * leaves in the container what runs there when its own program ends, so the plan has a hangup: it
 * finds those by a variable that the command and its children carry (SIGHUP, SIGKILL two seconds
 * later), and needs a shell and grep in the image.
 * ERR_NOT_FOUND: no such service; ERR_REFUSED: it has no running container. */
int compose_exec_plan(const struct deployment *d, const char *service, const char *const *command,
                      bool is_terminal, struct exec_plan *out, struct err *err);
/* argv and "K=V" environment, appended and freed by the caller with docker_args_fini, for the log
 * of the service's container. tail: lines of what there is, 0 for all. *out_run (malloc'ed) names
 * the run of the container: a new one begins a new log. With `since_run` only what this run wrote
 * is printed. */
int compose_logs_plan(const struct deployment *d, const char *service, unsigned tail, bool follow,
                      bool since_run, struct docker_args *out_argv, struct docker_args *out_env,
                      char **out_run, struct err *err);

#endif
