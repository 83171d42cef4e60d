/* stats_text: the counters as the JSON object of LINK_STATS (docs/LOGS.md names its members). No
 * state. */
#ifndef WOS_GATEWAY_STATS_TEXT_H
#define WOS_GATEWAY_STATS_TEXT_H

#include "base/str.h"
#include "gateway/counters.h"
#include "gateway/route_stats.h"

struct stats_gateway {
    uint64_t workers;
    uint64_t generation;
    uint64_t started_ms;
    uint64_t published_ms;
    uint64_t access_log_dropped;
};

/* Appends; `routes` may be NULL. */
void stats_text(struct buf *out, const struct stats_gateway *gateway,
                const struct worker_stats *sum, const struct route_stats *routes);

#endif
