/* admit: which clients are let in, and which idle connection goes for them.
 *
 * Every client connection has a place of limits.connections_max (all workers)
 * and one of limits.connections_per_address. Where none is left, the
 * connection that has been without a request longest is closed, if it has been
 * for EVICT_AGE_MS: of this worker for the total, of the same address for the
 * second. Is there none, then over the total the listener pauses and clients wait in
 * the kernel's queue, while other workers are asked to close an idle one; over
 * an address' limit the new connection is reset, and accounted for as refused.
 *
 * Out of descriptors, an idle connection goes first; else the worker's spare
 * descriptor lets it accept and reset one client, so that the queue does not
 * stand still, and the listener pauses.
 *
 * All of it belongs to the worker's thread; limit.h is shared.
 */
#ifndef WOS_GATEWAY_ADMIT_H
#define WOS_GATEWAY_ADMIT_H

#include "gateway/conn.h"
#include "gateway/limit.h"

/* A place in the total, before accept. False: pause accepting. */
bool admit_reserve(struct worker *w);
/* Gives it back: nobody was accepted. */
void admit_cancel(struct worker *w);
/* Counts a connection of `peer`: who it came from, or who a PROXY header names. Peers in
 * tunnel.proxyProtocol and tunnel.trustedProxies are not counted: everybody comes from them.
 * False: refuse it.
 * *out_cell goes into conn->address_cell. */
bool admit_address(struct worker *w, const struct sockaddr *peer, struct limit_cell **out_cell);
/* Closes a descriptor nobody has a connection for yet, with a reset. */
void admit_refuse(struct worker *w, int fd, const struct sockaddr *peer,
                  enum refused_reason reason);
/* A connection or a request ends for want of memory: counted, and logged once a while. */
void admit_out_of_memory(struct worker *w) __attribute__((cold));
/* accept failed for want of descriptors or memory. True: there is room again. */
bool admit_shed(struct worker *w, int listen_fd);
/* For conn_end: gives back the places of a client connection. */
void admit_release(struct conn *c);

/* The connection has no request (from now on), or has one. */
void admit_set_idle(struct conn *c, bool is_idle);
/* Closes idle connections that other workers' clients need the place of. */
void admit_on_tick(struct worker *w);

#endif
