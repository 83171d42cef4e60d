/* metrics: the stats as Prometheus text, format 0.0.4. No state. */
#ifndef WOS_DAEMON_METRICS_H
#define WOS_DAEMON_METRICS_H

#include <cjson/cJSON.h>

#include "base/str.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Appends; `stats` is what stats_json gave. Any shape: what is missing is left out. */
void metrics_render(const cJSON *stats, struct buf *out);

#endif
