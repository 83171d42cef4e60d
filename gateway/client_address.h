/* client_address: who the client is when proxies stand between it and us.
 *
 * Only what a peer listed in tunnel.trustedProxies says is believed; from
 * everybody else X-Forwarded-* and Forwarded are dropped (head_write.c). The client is the
 * right-most address in X-Forwarded-For that is no trusted proxy itself:
 * everything to the left of it was written by somebody we do not know. Without any
 * X-Forwarded-For the same holds for the for= parts of Forwarded (RFC 7239). Where
 * an address cannot be read ("unknown", "_obfuscated", anything malformed) the walk stops, and
 * the proxy that told it counts as the client. If all addresses are trusted ones, the left-most is
 * the client.
 *
 * So a trusted proxy must set X-Forwarded-For, or append to it. One that speaks Forwarded only
 * must drop X-Forwarded-For.
 *
 * Any thread; no state but the arena given.
 */
#ifndef WOS_GATEWAY_CLIENT_ADDRESS_H
#define WOS_GATEWAY_CLIENT_ADDRESS_H

#include <netinet/in.h>

#include "gateway/head.h"
#include "routing/snapshot.h"

enum { CLIENT_HOPS_MAX = 32 }; /* trusted proxies in a row; the walk stops there */

/* The client of a request that came from `peer`. `request` has passed head_check. False: it is the
 * peer, nothing was believed and nothing written. Else *out_client is the client (or the trusted
 * peer itself) and *out_told what goes to the service, in the arena. */
bool client_address_find(const struct head *request, const struct peer_list *trusted,
                         const struct sockaddr *peer, struct arena *arena,
                         struct sockaddr_in6 *out_client, struct head_told *out_told);

/* One address as proxies write them: "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]",
 * "[2001:db8::1]:80"; no zone, no leading zeros. *out (or a sockaddr_in in its first bytes)
 * without the port. */
bool client_address_parse(struct str text, struct sockaddr_in6 *out);

#endif
