/* quota: how fast and how often at once one route may be asked, by all clients
 * together: policy.rate_per_second, rate_burst and exchanges_max.
 *
 * The rate is a token bucket kept as one number, the time at which it will be
 * full again (GCRA): a request moves it by 1/rate seconds, and is refused
 * where that would be more than `burst` tokens ahead of now. Shared by all
 * workers, atomics only.
 *
 * A quota_set has the quotas of one snapshot's routes, built by the main
 * thread at publish; a route that the snapshot before had, by host, keeps its
 * quota, so publishing refills nothing. Without any limit there is no set.
 */
#ifndef WOS_GATEWAY_QUOTA_H
#define WOS_GATEWAY_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "routing/snapshot.h"

struct quota;
struct quota_set;

/* *out_set: NULL when no route of `now` has a limit. `before` and `old` may be NULL. False: out of
 * memory. */
bool quota_set_new(const struct snapshot *now, const struct snapshot *before,
                   const struct quota_set *old, struct quota_set **out_set);
/* Both accept NULL. Any thread. */
struct quota_set *quota_set_ref(struct quota_set *set);
void quota_set_unref(struct quota_set *set);

static inline bool quota_is_needed(const struct policy *policy)
{
    return (policy->rate_per_second | policy->exchanges_max) != 0;
}

/* One more exchange to a route of the set's snapshot; `now_us` of clock_now_us. 0: go on, and
 * *out_quota is held until quota_leave (also when it is NULL, for no limit).
 * Else refused: the seconds after which it is worth trying again. */
uint32_t quota_enter(struct quota_set *set, const struct snapshot *snapshot,
                     const struct route *route, uint64_t now_us, struct quota **out_quota);
/* Accepts NULL. */
void quota_leave(struct quota *q);

#endif
