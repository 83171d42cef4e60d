/* stats: every worker's counters, summed up for the daemon.
 *
 * The main thread mails each worker, which answers with a copy of its own
 * counters and with its table of routes (gateway/route_stats.h); when the last answer is there,
 * one JSON object goes out as LINK_STATS (docs/LOGS.md names its members). Several requests may be
 * under way. Without memory there is no answer, and what was counted is told the next time. Main
 * thread, but for the copying.
 */
#ifndef WOS_GATEWAY_STATS_H
#define WOS_GATEWAY_STATS_H

#include <stdbool.h>

#include "gateway/gateway.h"

/* Sends LINK_STATS once the workers have answered; with_routes: per-route counters too. */
void stats_collect(struct gateway *g, bool with_routes);

#endif
