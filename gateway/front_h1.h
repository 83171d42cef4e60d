/* front_h1: HTTP/1.1 (and 1.0) towards a client. */
#ifndef WOS_GATEWAY_FRONT_H1_H
#define WOS_GATEWAY_FRONT_H1_H

#include "gateway/conn.h"

/* Takes over a connection that is ready: sets its ops and owner. Lives until
 * the connection ends. */
void front_h1_open(struct conn *c);

#endif
