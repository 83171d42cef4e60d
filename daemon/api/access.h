/* access: who may ask the daemon what. Pure checks on header values; any thread. */
#ifndef WOS_DAEMON_API_ACCESS_H
#define WOS_DAEMON_API_ACCESS_H

#include <stdbool.h>

#include "daemon/config.h"

enum access_who {
    ACCESS_NOBODY, /* a Host that is not ours: DNS rebinding, or a mistake */
    ACCESS_LOCAL,
    ACCESS_PUBLIC,  /* by tunnel.webUi's name */
    ACCESS_EXPOSED, /* straight to a web.host beyond loopback */
};

/* By the Host header (NULL: none) and the address of ours that the connection came to (""). Where
 * web.host is beyond loopback, nobody is local: a Host is easily said. */
enum access_who access_classify(const struct config *c, const char *host, const char *here);
/* True unless a page of another origin makes the request: `origin` is the Origin header (NULL:
 * none, not a browser), `host` the Host header, `is_tls` says whether the client came by https. The
 * three parts of an origin count: scheme, host and port. */
bool access_origin_is_ours(const char *origin, const char *host, bool is_tls);
/* True for addresses that only this machine reaches: 127.0.0.0/8, ::1, localhost. */
bool access_is_loopback(const char *host);

/* False for Sec-Fetch-Site of a page of another origin, "same-site" too: services are siblings of
 * the UI's name. NULL (no browser, or an old one): true. */
bool access_fetch_is_ours(const char *site);

#endif
