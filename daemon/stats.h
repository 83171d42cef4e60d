/* stats: the numbers of daemon and gateway as one JSON object: GET /v1/stats
 * (docs/API.md). Also the source of the metrics (metrics.h). One thread. */
#ifndef WOS_DAEMON_STATS_H
#define WOS_DAEMON_STATS_H

#include <cjson/cJSON.h>

struct daemon;

/* `gateway` is what the gateway answered (gateway/stats.h), or NULL. */
cJSON *stats_json(const struct daemon *d, const cJSON *gateway);

#endif
