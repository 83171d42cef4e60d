/* hsts: Strict-Transport-Security (RFC 6797), tunnel.hsts.
 *
 * On every final answer over TLS, the gateway's own ones included, and never in
 * clear text. A service that sends the field itself knows better (section 7.1: one field
 * only): its own passes, ours is left out.
 */
#ifndef WOS_GATEWAY_HSTS_H
#define WOS_GATEWAY_HSTS_H

#include "gateway/exchange.h"

/* The field's value for this answer, in the exchange's arena; empty: no field. */
struct str hsts_value(struct exchange *x, const struct head *response);

#endif
