/* snapshot: everything the gateway needs to serve, immutable and numbered.
 *
 * The daemon fills a `struct snapshot_spec` with borrowed data and encodes it;
 * the bytes travel to the gateway in one frame, are decoded and checked there
 * (a bad one is refused whole and the old one stays), and are shared by all
 * workers, reference-counted. Nothing in it changes after snapshot_decode.
 *
 * Encoding: little-endian, "WOSN", u16 version, u64 generation, then counted
 * sections, every count and length checked against what is left. The decoder
 * is total: any byte string gives a snapshot or an error, never a crash.
 */
#ifndef WOS_ROUTING_SNAPSHOT_H
#define WOS_ROUTING_SNAPSHOT_H

#include <stdint.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/err.h"
#include "routing/policy.h"
#include "routing/route.h"

enum {
    SNAPSHOT_VERSION = 6,
    SNAPSHOT_ROUTES_MAX = 1000000,
    SNAPSHOT_POLICIES_MAX = 100000,
    SNAPSHOT_CERTS_MAX = 1000,
    SNAPSHOT_PEM_MAX = 1 << 20,
    SNAPSHOT_TICKET_KEYS_MAX = 8,
    SNAPSHOT_PEERS_MAX = 1000,
    SNAPSHOT_REVOKED_MAX = 100000,
    SNAPSHOT_ACCESS_KEY = 32,
    SNAPSHOT_SECRET_MAX = 1024, /* bytes of the secret: a longer one is never right */
};

/* A certificate the gateway shall offer. The first is the default one, for
 * clients without SNI or with a name no certificate covers. */
struct snapshot_cert {
    struct str chain_pem; /* leaf first */
    struct str key_pem;   /* secret: wiped with the arena */
};

/* Bounds and waits; each has a config key under tunnel.limits. 0 = no limit
 * only where said. */
struct limits {
    uint32_t handshake_timeout_ms;     /* 10000: TCP accept to TLS done */
    uint32_t header_timeout_ms;        /* 30000: first byte of a head to its end */
    uint32_t idle_timeout_ms;          /* 75000: keep-alive without a request */
    uint32_t body_timeout_ms;          /* 60000: request body with no byte, before the answer */
    uint32_t write_timeout_ms;         /* 60000: client that takes no byte */
    uint32_t connect_timeout_ms;       /* 5000: dialling the service */
    uint32_t response_timeout_ms;      /* 0 = none (long polls): request sent to first byte */
    uint32_t tunnel_idle_timeout_ms;   /* 3600000: WebSocket or stream with no byte at all */
    uint32_t upstream_idle_timeout_ms; /* 60000: pooled connection */
    uint32_t upstream_idle_max;        /* 512: pooled connections per service and worker */
    uint32_t header_bytes_max;         /* 65536: whole head */
    uint32_t header_count_max;         /* 200 */
    uint32_t uri_bytes_max;            /* 16384 */
    uint32_t streams_max;              /* 128: HTTP/2 streams per connection */
    uint32_t connections_max;          /* 16000: client connections, all workers */
    uint32_t connections_per_address;  /* 12000: … of one address (IPv6: one /64) */
    uint32_t resets_max;               /* 200: streams a client may reset in 10 s, a connection */
    uint32_t control_frames_max;       /* 1000: PING, SETTINGS, PRIORITY, empty DATA in 10 s */
    uint32_t failed_secrets_free;      /* 5: wrong secrets of an address before it has to wait */
    uint32_t failed_secrets_delay_max_ms; /* 900000: … and the longest wait */
    uint32_t failed_secrets_per_minute;   /* 100: of all addresses, before all have to wait */
    uint32_t upstream_streams_max;        /* 100: HTTP/2 streams on a connection to a service */
    uint32_t interims_max;                /* 32: 1xx answers of a service to one request */
    uint32_t close_timeout_ms;  /* 30000: of a connection that ends, for its last bytes and FIN */
    uint32_t stream_window;     /* 262144: request bytes of an HTTP/2 stream under way to us */
    uint32_t connection_window; /* 1048576: … of all streams of a connection */
    uint32_t login_bytes_max;   /* 4096: the form with a secret */
    uint32_t metric_routes_max; /* 200: routes whose numbers are told apart (route_stats.h) */
};

/* What routes of POLICY_SECRET are opened with (gateway/access.h). */
struct snapshot_access {
    bool has_secret;                     /* false: such a route is closed to everyone */
    uint8_t key[SNAPSHOT_ACCESS_KEY];    /* random, of this machine; signs cookies; secret */
    uint8_t digest[SNAPSHOT_ACCESS_KEY]; /* HMAC-SHA256(key, the secret) */
    const uint64_t *revoked;             /* ids of logins that no longer count, ascending */
    uint32_t revoked_count;
};

struct peer_list {
    const struct ip_prefix *items;
    uint32_t count;
};

extern const struct limits limits_default;

struct snapshot_spec {
    uint64_t generation;
    bool tls;              /* false: cleartext HTTP/1.1 on the tunnel port */
    uint16_t public_port;  /* for X-Forwarded-Port and for links */
    struct str domain;     /* lower-case; may be empty */
    uint8_t tls_min;       /* 2 or 3: TLS 1.2 or 1.3 */
    bool no_tickets;       /* clients get no session ticket, and none of before counts */
    uint32_t hsts_seconds; /* Strict-Transport-Security: max-age; 0: no such field */
    struct limits limits;
    struct snapshot_access access;
    struct peer_list trusted_proxies; /* whose X-Forwarded-* and Forwarded are believed */
    struct peer_list proxy_protocol;  /* who has to begin with a PROXY header */
    const struct route *routes;       /* hosts unique */
    uint32_t route_count;
    const struct policy *policies;
    uint32_t policy_count;
    const struct snapshot_cert *certs;
    uint32_t cert_count; /* >= 1 when tls */
    /* TLS session ticket keys, 80 bytes each (16 name, 32 HMAC, 32 AES); the
     * first one encrypts, all decrypt. Secret. */
    const uint8_t (*ticket_keys)[80];
    uint32_t ticket_key_count;
    struct str ca_pem; /* whom to trust as a BACKEND_HTTPS service; empty when no route is one */
};

struct snapshot {
    _Atomic uint32_t refs;
    struct arena arena;        /* owned: everything below */
    struct snapshot_spec spec; /* decoded; pointers into the arena */
    /* Hash index host → route, open addressing, power of two. */
    uint32_t *index; /* route index + 1; 0 free */
    uint32_t index_mask;
};

/* Appends the encoding to out. The caller guarantees a valid spec. */
void snapshot_encode(const struct snapshot_spec *spec, struct buf *out);
/* One reference, or NULL with the error (duplicate host, index out of range, …). */
struct snapshot *snapshot_decode(struct str bytes, struct err *err);
/* The same in less time, where most routes are as in an earlier one. `before` may be NULL. */
struct snapshot *snapshot_decode_after(struct str bytes, const struct snapshot *before,
                                       struct err *err);
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot *s); /* wipes keys with the last */

/* The route for a host_parse()d name, exact match; NULL if none. No lock, no allocation. */
const struct route *route_match(const struct snapshot *s, struct str name);

/* True if the address is in the list. */
bool peer_list_has(const struct peer_list *list, const struct sockaddr *peer);

#endif
