/* containers: what `docker inspect` says about the containers of one project.
 *
 * Parses untrusted text: any bytes give a list or an error. Pure; any thread.
 */
#ifndef WOS_DAEMON_DEPLOY_CONTAINERS_H
#define WOS_DAEMON_DEPLOY_CONTAINERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

struct container {
    char *id;            /* owned: 64 hex digits */
    char *service;       /* owned: Compose's name of the service */
    char *state;         /* owned: "created", "running", "paused", "restarting", "exited", … */
    char *started_at;    /* owned; NULL: never */
    char *deployment_id; /* owned: label dev.wos.deployment-id, or NULL */
    int exit_code;
    int restart_count;
    pid_t pid; /* of its first process, on the engine's machine; 0: none */
};

struct containers {
    struct container *items; /* owned */
    size_t count;
};

/* The array that `docker inspect` prints. Containers without a service, and those of
 * `compose run`, are left out. */
int containers_parse(struct str text, struct containers *out, struct err *err);
void containers_fini(struct containers *list);
/* Without those that say they belong to another deployment; "": all stay. */
void containers_keep(struct containers *list, const char *deployment_id);
/* The running one of the service, else any, or NULL. */
const struct container *containers_find(const struct containers *list, const char *service);

#endif
