/* wskey: the key and accept fields of a WebSocket's opening handshake (RFC 6455 4.1, 4.2.2). */
#ifndef WOS_GATEWAY_WSKEY_H
#define WOS_GATEWAY_WSKEY_H

#include <stdbool.h>

#include "base/str.h"

enum { WSKEY_SIZE = 28, WSKEY_ACCEPT_SIZE = 32 };

/* A fresh key, for a service whose client (over HTTP/2) sent none. */
void wskey_make(char out[WSKEY_SIZE]);
/* What Sec-WebSocket-Accept has to say to `key`. Empty: out of memory. */
struct str wskey_accept(struct str key, char out[WSKEY_ACCEPT_SIZE]);

#endif
