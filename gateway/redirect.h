/* redirect: answers on the plain HTTP port that only sends people to https
 * (tunnel.redirectPort).
 *
 * 308 to the same host, path and query under https, with tunnel.publicPort
 * where it is not 443: unlike 301 it keeps the method. Only for hosts that have a
 * route or lie under tunnel.domain, others get 404: it never sends anybody
 * elsewhere. Bodies are not read: the connection closes after the answer.
 */
#ifndef WOS_GATEWAY_REDIRECT_H
#define WOS_GATEWAY_REDIRECT_H

#include "gateway/exchange.h"

/* Answers a checked request; x is finished when it returns. */
void redirect_reply(struct exchange *x);

#endif
