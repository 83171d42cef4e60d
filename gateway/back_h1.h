/* back_h1: an HTTP/1.1 connection to a service, and the pool of idle ones.
 *
 * One exchange at a time; kept for the next one when the service allows it,
 * last in first out, per worker, port and kind. A request that exchange_can_repeat whose reused
 * connection died before any byte of an answer is repeated once on a fresh one; so is any request
 * of which no byte has left yet.
 */
#ifndef WOS_GATEWAY_BACK_H1_H
#define WOS_GATEWAY_BACK_H1_H

#include "gateway/exchange.h"

/* Attaches a connection to x->route and sends the request head. */
void back_h1_start(struct exchange *x);

#endif
