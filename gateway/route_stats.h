/* route_stats: what is counted per route: a table that is bounded and survives snapshots.
 *
 * A worker counts into a table of its own, made at its full size by the main thread: nothing is
 * allocated for a request, and a route without traffic costs nothing. The first `max` routes that
 * are asked get a row, found by the route's host; what the others do is summed in `other`.
 *
 * The main thread has the table whose rows are told (gateway/stats.h). Whenever somebody asks, each
 * worker hands over its table for an empty one with the same rows (route_stats_seed), so that a
 * route that has a row gets it in every worker; what came is added up (route_stats_merge). So a
 * row, and `other`, only grow. The row of a route that no snapshot has any more goes once it was
 * told (route_stats_drop_gone).
 */
#ifndef WOS_GATEWAY_ROUTE_STATS_H
#define WOS_GATEWAY_ROUTE_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/counters.h"
#include "routing/host.h"
#include "routing/snapshot.h"

enum { ROUTE_LABEL_MAX = 127 }; /* bytes kept of a worktree's and a service's name */

/* Numbers only: they are added up as such. */
struct route_counts {
    uint64_t requests;
    uint64_t responses[STATUS_CLASSES];
    uint64_t body_in;
    uint64_t body_out;
    uint64_t latency[LATENCY_BUCKETS + 1]; /* of all but tunnels; each counted in one */
    uint64_t latency_us;                   /* their sum */
    uint64_t denied[EXCHANGE_DENY_COUNT];  /* [0] = allowed */
    uint64_t faults[UPSTREAM_FAULT_COUNT];
};

struct route_row {
    uint64_t hash; /* of the host */
    struct route_counts counts;
    char host[HOST_MAX + 1];
    char worktree[ROUTE_LABEL_MAX + 1];
    char service[ROUTE_LABEL_MAX + 1];
};

struct route_stats {
    uint32_t max;
    uint32_t count;  /* rows in use */
    uint32_t mask;   /* of the index, a power of two less one */
    uint32_t *index; /* row + 1, by hash; 0: free; behind the rows */
    struct route_counts other;
    struct route_row rows[]; /* in the order they came */
};

/* NULL when out of memory. */
struct route_stats *route_stats_new(uint32_t max);
void route_stats_free(struct route_stats *t);
/* A table of this size with all that t has, where t has another size, and frees t. Without memory:
 * t as it is. */
struct route_stats *route_stats_resize(struct route_stats *t, uint32_t max);
/* Where to count for this route; never NULL. Valid as long as the table. */
struct route_counts *route_stats_at(struct route_stats *t, const struct route *route);
/* Gives each route of the snapshot that has a row in `from` one here, without its numbers, while
 * there is room. */
void route_stats_seed(struct route_stats *t, const struct route_stats *from,
                      const struct snapshot *snapshot);
/* Adds what `from` counted. */
void route_stats_merge(struct route_stats *into, const struct route_stats *from);
/* Forgets the rows of routes that the snapshot does not have; their numbers are added to
 * out_other, unless that is NULL. */
void route_stats_drop_gone(struct route_stats *t, const struct snapshot *snapshot,
                           struct route_counts *out_other);

#endif
