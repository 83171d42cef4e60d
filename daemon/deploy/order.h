/* order: services dependency-first. */
#ifndef WOS_DAEMON_DEPLOY_ORDER_H
#define WOS_DAEMON_DEPLOY_ORDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "daemon/deploy/manifest.h"

/* All services of `m`, each after those it depends on, else by name. malloc'ed array of
 * service_count borrowed pointers. NULL with "dependency cycle: a -> b -> a" and, in
 * *out_where (may be NULL), a service of the cycle. */
const struct manifest_service **order_services(const struct manifest *m,
                                               const struct manifest_service **out_where,
                                               struct err *err);

#endif
