/* proxy_protocol: the header that a proxy puts in front of a connection to
 * say who is at its other end (HAProxy's PROXY protocol, versions 1 and 2).
 *
 * Only peers listed in tunnel.proxyProtocol are asked for one, and they have
 * to begin with it (greeting.h). The parser is total and keeps no state: the
 * caller passes all bytes received so far, and the first wrong byte is refused,
 * so that it never waits for more of what cannot become a header.
 *
 * Accepted: version 1 TCP4, TCP6 and UNKNOWN; version 2 PROXY with TCP over
 * IPv4, IPv6 or unspecified, and LOCAL. A version 2 header may carry TLVs; they
 * have to fit their length exactly, and a CRC32c among them has to be right. Refused:
 * UDP, Unix sockets, other versions and commands, leading zeros, everything else.
 *
 *     struct proxy_header header;
 *     const char *why = "";
 *     switch (proxy_header_read(data, len, &header, &why)) { … }
 *
 * Any thread.
 */
#ifndef WOS_GATEWAY_PROXY_PROTOCOL_H
#define WOS_GATEWAY_PROXY_PROTOCOL_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    PROXY_V1_MAX = 107,         /* bytes, CR LF included */
    PROXY_V2_LENGTH_MAX = 4096, /* bytes of addresses and TLVs */
    PROXY_HEADER_MAX = 16 + PROXY_V2_LENGTH_MAX,
};

enum proxy_result { PROXY_DONE, PROXY_MORE, PROXY_FAULT };

struct proxy_header {
    size_t len;      /* bytes it takes; what follows is the client's */
    bool has_source; /* false (UNKNOWN, LOCAL, unspecified): the connection's own peer counts */
    struct sockaddr_in6 source; /* or a sockaddr_in in its first bytes */
};

/* PROXY_DONE fills *out, PROXY_FAULT *out_why (constant text); PROXY_MORE neither. It never asks
 * for more than PROXY_HEADER_MAX bytes. */
enum proxy_result proxy_header_read(const char *data, size_t len, struct proxy_header *out,
                                    const char **out_why);

#endif
