/* gateway_stats: who waits for the gateway's counters. Part of the supervisor.
 *
 * A waiter is told once, from the loop: the object of gateway/stats.h, or NULL when no
 * gateway serves or none answered within a second. One thread.
 */
#ifndef WOS_DAEMON_GATEWAY_STATS_H
#define WOS_DAEMON_GATEWAY_STATS_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/loop.h"

/* `stats` is borrowed for the call. */
typedef void gateway_stats_fn(void *arg, const cJSON *stats);

struct stats_waiter;

struct gateway_stats {
    struct stats_waiter *first; /* owned */
    struct loop_timer timer;
};

void gateway_stats_init(struct gateway_stats *gs, struct loop *loop);
/* Waiters are not called. */
void gateway_stats_fini(struct gateway_stats *gs);
/* `is_asked`: a gateway was just asked; else the waiter is told NULL in the next turn. */
void gateway_stats_wait(struct gateway_stats *gs, bool is_asked, gateway_stats_fn *fn, void *arg);
/* Nobody calls `arg`'s function any more. */
void gateway_stats_cancel(struct gateway_stats *gs, const void *arg);
/* An answer came: tells everybody. */
void gateway_stats_answer(struct gateway_stats *gs, const cJSON *stats);

#endif
