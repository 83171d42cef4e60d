/* narrowing: does a snapshot let in less than the one before?
 *
 * Asked by the gateway, which then looks at all that is under way (gateway/review.h). Any thread;
 * linear.
 */
#ifndef WOS_ROUTING_NARROWING_H
#define WOS_ROUTING_NARROWING_H

#include "routing/snapshot.h"

/* False when `now` lets everything in that `before` did: who is believed about the addresses of
 * clients and what opens routes of access secret is the same, and each route of `before` is there
 * with its service, worktree and an equal policy. */
bool narrowing_between(const struct snapshot *before, const struct snapshot *now);

#endif
