/* gateway_spawn: the socket and the process of a new gateway. The current directory
 * must be H. One thread: the daemon's loop.
 */
#ifndef WOS_DAEMON_GATEWAY_SPAWN_H
#define WOS_DAEMON_GATEWAY_SPAWN_H

#include "base/err.h"
#include "base/loop.h"
#include "base/subprocess.h"
#include "daemon/config.h"

#define GATEWAY_SOCKET "gateway.sock"

/* A socket listening at GATEWAY_SOCKET, in place of what was there; -1 on error. */
int gateway_listen(struct err *err);
/* Starts this very program as `gateway` on the socket, its log going to gateway.log. It
 * outlives the daemon unless it is told to end. */
struct subprocess *gateway_spawn(struct loop *loop, int listener, subprocess_exit_fn *on_exit,
                                 void *arg, struct err *err);

/* tunnel.workers, or one per core this process may use. */
size_t gateway_workers_wanted(const struct config *c);

#endif
