/* greeting: a client's connection from the socket to its protocol.
 *
 * A peer listed in tunnel.proxyProtocol has to begin with a PROXY header; the
 * source it names is the connection's peer from then on, for whitelists, limits
 * and logs. Anything else from it closes the connection. Then TLS, where the snapshot
 * says so, and by ALPN front_h2 or front_h1. All of it within the handshake timeout.
 * Plain HTTP on the TLS port gets a 400 that says so, in clear text.
 */
#ifndef WOS_GATEWAY_GREETING_H
#define WOS_GATEWAY_GREETING_H

#include <sys/socket.h>

#include "gateway/worker.h"

/* Takes fd; NULL when out of memory, the descriptor is closed then. The worker has a view.
 * `redirect`: the port that only sends people to https (redirect.h): no TLS there. */
struct conn *greeting_open(struct worker *w, int fd, const struct sockaddr *peer, socklen_t len,
                           bool redirect);

#endif
