/* route: one public host name and where its requests go.
 *
 * A route lives inside a snapshot (routing/snapshot.h): immutable, its strings
 * in the snapshot's arena. The daemon builds arrays of these; the gateway
 * matches them. Backends are always on this machine's loopback: a route has a
 * port and no address (the gateway tries 127.0.0.1, then ::1).
 */
#ifndef WOS_ROUTING_ROUTE_H
#define WOS_ROUTING_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum route_class {
    ROUTE_SERVICE,   /* a port of a session's service */
    ROUTE_WEB_UI,    /* the daemon's own UI, tunnel.webUi */
    ROUTE_PUBLISHED, /* `wos publish NAME PORT` */
};

/* What the daemon knows of the service behind. The gateway answers a request
 * to anything but LIVE and FAILING with 503 and the state's name; a FAILING service (its health
 * check fails) still gets its requests. */
enum route_state { ROUTE_LIVE, ROUTE_STARTING, ROUTE_FAILING, ROUTE_STOPPED };

enum route_host_mode {
    ROUTE_HOST_PRESERVE, /* the service sees the public Host */
    ROUTE_HOST_REWRITE,  /* the service sees localhost:<port> */
};

/* What the service speaks, on loopback. */
enum route_backend {
    BACKEND_HTTP,           /* HTTP/1.1 */
    BACKEND_HTTPS,          /* HTTP/1.1 in TLS, verified for "localhost" */
    BACKEND_HTTPS_INSECURE, /* … not verified; also the web UI's own listener */
    BACKEND_H2C,            /* HTTP/2 in cleartext with prior knowledge, for gRPC */
};

struct route {
    struct str host;       /* lower-case, no port, no trailing dot */
    struct str owner;      /* session name, "publish" or "daemon" */
    struct str worktree;   /* label shown to people; may be empty */
    struct str service;    /* service name or publish name */
    uint16_t service_port; /* the port declared in deploy.yaml, 0 if none */
    uint16_t port;         /* the loopback port to dial; 0 only when not LIVE */
    uint8_t route_class;   /* enum route_class */
    uint8_t state;         /* enum route_state */
    uint8_t host_mode;     /* enum route_host_mode */
    uint8_t backend;       /* enum route_backend */
    uint32_t policy;       /* index into the snapshot's policies */
    uint64_t since_ms;     /* wall clock: when the state began */
    struct str phase;      /* what it is doing while STARTING ("health checks"); may be empty */
};

const char *route_class_name(enum route_class route_class); /* "service", "web-ui", "published" */
const char *route_state_name(enum route_state state);       /* "live", "starting", … */
/* "http", "https", "https-insecure", "h2c" */
const char *route_backend_name(enum route_backend backend);

#endif
