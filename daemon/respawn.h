/* respawn: a daemon that is told to restart by somebody who cannot start the next one: a browser.
 */
#ifndef WOS_DAEMON_RESPAWN_H
#define WOS_DAEMON_RESPAWN_H

#include "base/err.h"
#include "base/loop.h"

/* Runs `wos restart` for this home beside the daemon, in a session of its own: it ends this daemon
 * over the socket, waits, and starts the next. Returns at once. */
int respawn_start(struct loop *loop, const char *home, struct err *err);

#endif
