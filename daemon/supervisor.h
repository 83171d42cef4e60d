/* supervisor: keeps exactly one gateway serving, on sockets that outlive it.
 *
 * At the start a living gateway at H/gateway.sock is taken over: kept when it is
 * of this build with the wanted sockets, else its sockets go to a new one and it
 * drains once the new one serves (with the tunnel disabled it ends). Those that drain get each new
 * snapshot too, from later daemons as well. A gateway that dies is replaced, with growing pauses,
 * on the same sockets and with the newest snapshot. Gateways are never tied to the daemon's life:
 * only supervisor_shutdown ends them. The current directory must be H. One thread: the daemon's
 * loop.
 */
#ifndef WOS_DAEMON_SUPERVISOR_H
#define WOS_DAEMON_SUPERVISOR_H

#include <cjson/cJSON.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/str.h"
#include "daemon/config.h"
#include "daemon/gateway_stats.h"
#include "daemon/publisher.h"

struct supervisor;

/* Works from the next turn on. The publisher must live as long. */
struct supervisor *supervisor_new(struct loop *loop, const struct config *config,
                                  struct publisher *publisher);
/* Gets every LINK_EVENT of every gateway, draining ones too. Set before the first turn. */
typedef void supervisor_event_fn(void *arg, const cJSON *event);
void supervisor_on_event(struct supervisor *s, supervisor_event_fn *fn, void *arg);
/* Lets go of everything; gateways go on serving. */
void supervisor_free(struct supervisor *s);
/* Something new is to be served (publisher_sink_fn's receiver). */
void supervisor_publish(struct supervisor *s);
/* The descriptor that gateways, those to come too, write the access log to; -1: none. Borrowed
 * until the next call. */
void supervisor_set_access_log(struct supervisor *s, int fd);
/* The gateway's counters, those of its routes too (gateway/stats.h). */
void supervisor_ask_stats(struct supervisor *s, gateway_stats_fn *fn, void *arg);
void supervisor_forget_stats(struct supervisor *s, const void *arg);
/* Tells all gateways to end; supervisor_is_down once they have, or the time is up. */
void supervisor_shutdown(struct supervisor *s);
bool supervisor_is_down(const struct supervisor *s);
/* Adds state, error, workers, gatewayPid and sandbox to the tunnel object of the status. */
void supervisor_add_status(const struct supervisor *s, cJSON *tunnel);

#endif
