/* back_h1: an HTTP/1.1 connection to a service, and the pool of idle ones.
 *
 * One exchange at a time; kept for the next one when the service allows it,
 * last in first out, per worker and port. An idempotent request without a
 * body whose reused connection died before any byte of an answer is retried
 * once on a fresh one (RFC 9110 9.2.2).
 */
#ifndef WOS_GATEWAY_BACK_H1_H
#define WOS_GATEWAY_BACK_H1_H

#include "gateway/exchange.h"

/* Attaches a connection to x->route and sends the request head. */
void back_h1_start(struct exchange *x);
/* Worker's end: closes all idle connections. */
void back_h1_pools_free(struct worker *w);

#endif
