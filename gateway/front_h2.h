/* front_h2: HTTP/2 towards a client, on nghttp2 (RFC 9113, RFC 8441). */
#ifndef WOS_GATEWAY_FRONT_H2_H
#define WOS_GATEWAY_FRONT_H2_H

#include "gateway/conn.h"

/* Takes over a connection whose handshake chose h2. */
void front_h2_open(struct conn *c);

#endif
