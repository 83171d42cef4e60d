/* sockets: the tunnel's listening sockets, bound by the daemon and inherited by
 * every gateway.
 *
 * Each worker has its own socket per address family, all with SO_REUSEPORT, so
 * the kernel spreads connections. A socket that is closed while nobody else
 * holds it resets its queue, so the set lives on in the daemon and in the
 * gateway, whichever of them ends. Control plane, one thread.
 */
#ifndef WOS_DAEMON_SOCKETS_H
#define WOS_DAEMON_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { SOCKETS_PER_WORKER_MAX = 8, SOCKETS_WORKERS_MAX = 256 };

struct worker_sockets {
    int fds[SOCKETS_PER_WORKER_MAX];         /* owned; close-on-exec */
    char *addresses[SOCKETS_PER_WORKER_MAX]; /* owned: "0.0.0.0:5858", "[::]:5858" */
    size_t count;
};

/* Zero-initialised is empty. */
struct socket_set {
    struct worker_sockets *workers; /* owned */
    size_t worker_count;
    bool is_redirect; /* of tunnel.redirectPort: said in addresses (LINK_REDIRECT) and errors */
};

/* Keeps is_redirect, as sockets_fini does. */
void sockets_init(struct socket_set *set, size_t worker_count);
void sockets_fini(struct socket_set *set);
bool sockets_is_empty(const struct socket_set *set);
/* Binds one socket per family for every worker that has none. While the set has sockets of this
 * port already, the new ones join them; else the port must be free. IPv6 is left out
 * where the machine has none. On failure the set is as before. */
int sockets_bind(struct socket_set *set, uint16_t port, struct err *err);
/* Takes the descriptor into the set. */
void sockets_add(struct socket_set *set, size_t worker, const char *address, int fd);
/* True when every socket listens on the port. */
bool sockets_have_port(const struct socket_set *set, uint16_t port);
/* Spreads the same sockets over another number of workers; none is closed. */
void sockets_respread(struct socket_set *set, size_t worker_count);

#endif
