/* caller: from where a request of the web listener came. Loop thread.
 *
 * Through the gateway the connection is its own, from loopback, and its headers say who came
 * (X-Forwarded-For, X-Forwarded-Proto: the gateway writes them anew). Other users of the machine
 * could write such headers too: the headers count on connections of our own user's programs only.
 */
#ifndef WOS_DAEMON_API_CALLER_H
#define WOS_DAEMON_API_CALLER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

struct api_request;

struct caller {
    struct sockaddr_storage address; /* family 0: not known */
    char text[INET6_ADDRSTRLEN];     /* "" then */
    bool is_tls;                     /* as the client sees it */
};

struct caller caller_of(const struct api_request *r);
/* NULL when not known. */
const struct sockaddr *caller_sockaddr(const struct caller *c);

/* False for a page of another origin (access.h), by the request's Origin and Sec-Fetch-Site. */
bool caller_page_is_ours(const struct api_request *r);

/* The connection's descriptor, -1 when it is gone. */
int caller_descriptor(const struct api_request *r);
/* Its two ends, an IPv4-mapped address as the IPv4 one that it is; false when not known. */
bool caller_ends(const struct api_request *r, struct sockaddr_storage *out_there,
                 struct sockaddr_storage *out_here);
/* True when it comes from a loopback address. */
bool caller_is_loopback(const struct api_request *r);

/* The address of this machine that the connection came to, as text of at least INET6_ADDRSTRLEN
 * bytes; "" when not known. */
void caller_local_address(const struct api_request *r, char *out);

#endif
