/* route_policy: what the machine's configuration makes of what a route asks for.
 *
 * tunnel.serviceTunnels.access is the widest allowed: who asks for more is capped.
 * A secret route without tunnel.serviceTunnels.secret is closed, never open. The
 * public web UI (ROUTE_WEB_UI) has its own login and whitelist and takes no part
 * in this. No state but the table; one thread.
 */
#ifndef WOS_DAEMON_ROUTE_POLICY_H
#define WOS_DAEMON_ROUTE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "daemon/config.h"
#include "daemon/publish_options.h"
#include "routing/policy.h"
#include "routing/route.h"

struct route_access {
    enum publish_access access; /* never DEFAULT */
    bool is_capped;             /* it asked for more */
    bool is_closed;             /* secret, and there is no secret */
};

struct route_access route_access_of(const struct config *config, enum route_class route_class,
                                    const struct publish_options *options);
/* What a person has to be told, or NULL: `place` ("web:3000"), what was asked, what is allowed.
 * malloc'ed. */
char *route_access_warning(const struct config *config, enum route_class route_class,
                           const struct publish_options *options, const char *place);
enum route_host_mode route_host_mode_of(const struct config *config,
                                        const struct publish_options *options);
/* The policy of a route that is not private. Its lists are borrowed from both. */
struct policy route_policy_of(const struct config *config, enum route_class route_class,
                              const struct publish_options *options);

/* Policies of a snapshot, each once. Zero-initialised is empty. */
struct policy_table {
    struct policy *items; /* owned; their lists are borrowed */
    uint32_t count;
    uint32_t last;      /* the index given last: the next route has the same one, mostly */
    struct map indexes; /* the policy's bytes → index + 1, as a pointer */
};

/* False when there are SNAPSHOT_POLICIES_MAX others. */
bool policy_table_add(struct policy_table *table, const struct policy *policy, uint32_t *out_index);
void policy_table_fini(struct policy_table *table);

#endif
