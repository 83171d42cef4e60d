/* policy: who may see a route, and how much of it.
 *
 * An address list holds exact addresses and CIDR prefixes, IPv4 and IPv6,
 * compared as bytes; an IPv4-mapped IPv6 peer is compared as IPv4. An empty
 * list allows everyone.
 */
#ifndef WOS_ROUTING_POLICY_H
#define WOS_ROUTING_POLICY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/str.h"

struct ip_prefix {
    uint8_t bytes[16]; /* IPv4 in the first four */
    uint8_t family;    /* 4 or 6 */
    uint8_t bits;      /* prefix length, 0..32 or 0..128 */
};

/* "private" routes are not published at all, so the gateway never sees one. */
enum policy_access {
    POLICY_PUBLIC, /* whoever passes the whitelist */
    POLICY_SECRET, /* … and has the secret: gateway/access.h */
};

/* A peer has to be in both lists. */
struct policy {
    const struct ip_prefix *allow;       /* of the route's class; borrowed: the snapshot's arena */
    uint32_t allow_count;                /* 0: everyone */
    const struct ip_prefix *route_allow; /* of the route itself; borrowed likewise */
    uint32_t route_allow_count;          /* 0: everyone */
    uint8_t access;                      /* enum policy_access */
    uint32_t rate_per_second; /* requests a second to one route, all clients; 0: no limit */
    uint32_t rate_burst;      /* requests at once above that; at least 1 with a rate */
    uint32_t exchanges_max;   /* requests and tunnels under way to one route; 0: no limit */
};

/* The longest text of a prefix, with its NUL. */
enum { IP_PREFIX_TEXT = 46 + 4 };

/* "10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::1". Host bits set beyond the
 * prefix, leading zeros in octets, zones and names are errors that say so. */
int ip_prefix_parse(struct str text, struct ip_prefix *out, struct err *err);
/* As ip_prefix_parse reads it; a single address without its length. */
void ip_prefix_format(const struct ip_prefix *prefix, char out[IP_PREFIX_TEXT]);
bool ip_prefix_has(const struct ip_prefix *prefix, const struct sockaddr *peer);
bool policy_allows(const struct policy *policy, const struct sockaddr *peer);
/* "192.0.2.1" / "2001:db8::1", v4-mapped reduced; no port, no brackets. */
void peer_format(const struct sockaddr *peer, char *out, size_t size);

#endif
