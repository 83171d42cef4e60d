/* redirect_listener: the sockets of tunnel.redirectPort, the plain HTTP port
 * that only sends people to https.
 *
 * They live like the tunnel's own (sockets.h): bound here, inherited by every
 * gateway, taken over from one that is found. But nothing waits for them: while the port
 * cannot be had, that is logged and reported, tried again every few seconds, and the tunnel serves
 * without. One thread: the daemon's loop.
 */
#ifndef WOS_DAEMON_REDIRECT_LISTENER_H
#define WOS_DAEMON_REDIRECT_LISTENER_H

#include <cjson/cJSON.h>

#include "base/loop.h"
#include "daemon/config.h"
#include "daemon/sockets.h"

struct redirect_listener {
    const struct config *config; /* borrowed */
    struct socket_set set;       /* owned */
    struct loop_timer retry;
    size_t workers;
    char *error;           /* owned; NULL: none */
    void (*bound)(void *); /* called when a later try had success */
    void *bound_arg;       /* borrowed */
};

void redirect_listener_init(struct redirect_listener *r, struct loop *loop,
                            const struct config *config, void (*bound)(void *), void *arg);
void redirect_listener_fini(struct redirect_listener *r);
/* Binds what the configuration wants and is not bound yet, for so many workers; else tries again
 * later. r->set is empty where there is nothing to hand to a gateway. */
void redirect_listener_bind(struct redirect_listener *r, size_t workers);
/* The sockets that a found gateway holds become ours if they are the wanted ones and we have none.
 * False: that gateway listens where it should not. */
bool redirect_listener_take(struct redirect_listener *r, struct socket_set *found);
/* Adds redirectPort and redirectError to the tunnel object of the status. */
void redirect_listener_add_status(const struct redirect_listener *r, cJSON *tunnel);

#endif
