/* back_h2: HTTP/2 in cleartext with prior knowledge (RFC 9113 3.3) to a service, for gRPC.
 *
 * A connection is shared by the exchanges of a worker to a port, up to the streams the service
 * allows; then another one is dialled. It closes after tunnel.limits.upstreamIdleTimeout without
 * a stream, and takes no new one after the service's GOAWAY.
 *
 * A request that the service says it did not process (REFUSED_STREAM, or past the last stream of a
 * GOAWAY) is repeated once on a fresh connection, whatever its method, while none of its body has
 * left; one whose reused connection died before any answer only when exchange_can_repeat says so.
 * A WebSocket becomes an extended CONNECT (RFC 8441) where the service announces that it accepts
 * it, else the answer is 502. Any other Upgrade is ignored (RFC 9110 7.8).
 */
#ifndef WOS_GATEWAY_BACK_H2_H
#define WOS_GATEWAY_BACK_H2_H

#include "gateway/exchange.h"

/* Gives x a stream to x->route. x may be finished when it returns. */
void back_h2_start(struct exchange *x);

#endif
