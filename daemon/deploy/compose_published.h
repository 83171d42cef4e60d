/* compose_published: what `compose config` says is published where it must not be.
 *
 * wos takes the ports out of the user's file (compose_base.h), not out of files that one names
 * by `include` or `extends`. Compose's own reading of all of them shows what came back in.
 * Pure; any thread.
 */
#ifndef WOS_DAEMON_DEPLOY_COMPOSE_PUBLISHED_H
#define WOS_DAEMON_DEPLOY_COMPOSE_PUBLISHED_H

#include "base/err.h"
#include "base/str.h"

/* config: the YAML that v1 or v2 prints. service_bind: the address beside 127.0.0.1 where ports
 * may be, or NULL. ERR_CONFIG names the first service with another, and the port. */
int compose_published_check(struct str config, const char *service_bind, struct err *err);

#endif
