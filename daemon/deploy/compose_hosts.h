/* compose_hosts: does a service of the user's compose file decide itself which hosts Vite answers?
 *
 * It does by a value for ENVIRONMENT_HOSTS in its `environment` or in one of its env files, or in
 * those of a service that it extends: by the Compose specification both are added to its own. The
 * chain is followed over files, as far as they lie below `root`, for eight services; what cannot
 * be read decides nothing. `include` is not followed. Reads files; any thread. */
#ifndef WOS_DAEMON_DEPLOY_COMPOSE_HOSTS_H
#define WOS_DAEMON_DEPLOY_COMPOSE_HOSTS_H

#include <stdbool.h>

#include "daemon/deploy/compose_base.h"

/* dir: what relative paths of `base` mean. */
bool compose_hosts_are_decided(const struct compose_base *base, const char *dir, const char *root,
                               const char *service);

#endif
