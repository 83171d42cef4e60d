/* route_stats: counters per route, in one worker, that survive snapshots.
 *
 * A small open-addressing table keyed by the route's host. Only names that
 * have a route come in, at most ROUTE_STATS_MAX of them; what there is no room for is summed in
 * `other`. When the table is half full, routes that a new snapshot no longer has go to
 * `other` too. The worker's thread; the main thread asks for a copy by mail
 * and merges copies (route_stats_merge).
 */
#ifndef WOS_GATEWAY_ROUTE_STATS_H
#define WOS_GATEWAY_ROUTE_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/counters.h"
#include "routing/snapshot.h"

enum { ROUTE_STATS_MAX = 1024, ROUTE_STATS_SLOTS = 2048 };

struct route_counts {
    uint64_t requests;
    uint64_t responses[STATUS_CLASSES];
    uint64_t body_in;
    uint64_t body_out;
    uint64_t latency_us;    /* sum, of all but tunnels */
    uint64_t latency_count; /* how many that were */
};

struct route_entry {
    uint64_t hash; /* of the host */
    char *host;    /* owned; NULL: a free slot. Worktree and service stand behind it */
    const char *worktree;
    const char *service;
    struct route_counts counts;
};

struct route_stats {
    struct route_entry *slots; /* owned: ROUTE_STATS_SLOTS */
    size_t count;
    struct route_counts other;
};

struct route_stats *route_stats_new(void);
void route_stats_free(struct route_stats *t);
/* Where to count for this route; never NULL. Valid until the next call on the table. */
struct route_counts *route_stats_at(struct route_stats *t, const struct route *route);
/* A new snapshot is served. */
void route_stats_prune(struct route_stats *t, const struct snapshot *snapshot);
/* Adds what `from` has. */
void route_stats_merge(struct route_stats *into, const struct route_stats *from);
/* The `max` entries with the most requests, most first; how many. The rest is added to
 * out_other. `out` has room for `max`; it points into the table. */
size_t route_stats_top(const struct route_stats *t, const struct route_entry **out, size_t max,
                       struct route_counts *out_other);

#endif
