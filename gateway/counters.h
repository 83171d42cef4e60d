/* counters: what a worker counts, and the words for the kinds it tells apart.
 *
 * Plain numbers: written by the worker, read by the main thread with relaxed
 * loads (gateway/stats.h collects them). The names go to the access log and to
 * the metrics; they are part of docs/LOGS.md.
 */
#ifndef WOS_GATEWAY_COUNTERS_H
#define WOS_GATEWAY_COUNTERS_H

#include <stdint.h>

/* Why an exchange got its own answer from the gateway; the access log's `reason`. */
enum exchange_deny {
    EXCHANGE_ALLOWED,
    EXCHANGE_DENY_MALFORMED,    /* no legal request: 400, 405, 417, 421, 501, 505 */
    EXCHANGE_DENY_LIMIT,        /* larger or more than allowed: 413, 414, 431 */
    EXCHANGE_DENY_TIMEOUT,      /* did not come in time: 408 */
    EXCHANGE_DENY_UNKNOWN_HOST, /* no route */
    EXCHANGE_DENY_WHITELIST,    /* an address that is not listed */
    EXCHANGE_DENY_SECRET,       /* no secret, or a wrong one */
    EXCHANGE_DENY_ORIGIN,       /* a foreign Origin on a route with a secret */
    EXCHANGE_DENY_THROTTLE,     /* too many wrong secrets */
    EXCHANGE_DENY_RATE,         /* too many requests to a route in a second */
    EXCHANGE_DENY_BUSY,         /* too many requests to a route at once */
    EXCHANGE_DENY_STATE,        /* the service is starting or stopped */
    EXCHANGE_DENY_COUNT
};
const char *exchange_deny_name(enum exchange_deny deny); /* "allowed", "malformed", … */

/* Why a connection was refused, or ended for what its client does. */
enum refused_reason {
    REFUSED_HANDSHAKE, /* TLS failed */
    REFUSED_TIMEOUT,   /* TLS, or a PROXY header, not in time */
    REFUSED_PROXY,     /* a bad PROXY header */
    REFUSED_ADDRESS,   /* too many connections of one address */
    REFUSED_LIMIT,     /* too many connections in all */
    REFUSED_HTTP2,     /* its frames break HTTP/2, or are a flood */
    REFUSED_TLS,       /* a flood of messages of TLS itself */
    REFUSED_COUNT
};
const char *refused_reason_name(enum refused_reason reason); /* "handshake", … */

/* What went wrong with a service. */
enum upstream_fault {
    UPSTREAM_FAULT_CONNECT, /* could not be dialled */
    UPSTREAM_FAULT_TIMEOUT, /* no answer in time */
    UPSTREAM_FAULT_ANSWER,  /* none, or a malformed one */
    UPSTREAM_FAULT_CUT,     /* ended or stalled in the middle of its answer */
    UPSTREAM_FAULT_COUNT
};
const char *upstream_fault_name(enum upstream_fault fault);

/* Who ended an exchange before it was complete. */
enum exchange_abort {
    ABORT_NONE,
    ABORT_CLIENT,
    ABORT_SERVICE,
    ABORT_TIMEOUT,
    ABORT_MEMORY, /* the gateway, which had none */
    ABORT_SHUTDOWN,
    ABORT_POLICY, /* no longer allowed: gateway/review.h */
    ABORT_COUNT
};
const char *exchange_abort_name(enum exchange_abort abort); /* NULL for ABORT_NONE */

enum request_protocol {
    PROTOCOL_HTTP10,
    PROTOCOL_HTTP11,
    PROTOCOL_HTTP2,
    PROTOCOL_TUNNEL, /* a WebSocket or another upgrade, over either */
    PROTOCOL_COUNT
};
const char *request_protocol_name(enum request_protocol protocol); /* "HTTP/1.0", …, "websocket" */

enum { STATUS_CLASSES = 6, LATENCY_BUCKETS = 13 };

/* Upper bounds of the latency buckets; what is longer is counted in the last, + 1st, one. */
extern const uint32_t latency_bounds_us[LATENCY_BUCKETS];

struct worker_stats {
    uint64_t accepted;
    uint64_t connections; /* now open, client side */
    uint64_t refused[REFUSED_COUNT];
    uint64_t evicted;       /* idle ones that were closed to make room */
    uint64_t out_of_memory; /* connections and requests that ended for want of it */
    uint64_t handshakes;
    uint64_t handshakes_resumed; /* of these */
    uint64_t handshake_failures;
    uint64_t requests;
    uint64_t responses[STATUS_CLASSES]; /* by class: [2] = 2xx; [0] = none sent */
    uint64_t protocols[PROTOCOL_COUNT][STATUS_CLASSES];
    uint64_t denied[EXCHANGE_DENY_COUNT]; /* [0] = allowed */
    uint64_t aborted[ABORT_COUNT];
    uint64_t latency[LATENCY_BUCKETS + 1]; /* of all but tunnels; each counted in one */
    uint64_t latency_us;                   /* their sum */
    uint64_t tunnels;                      /* now open */
    uint64_t body_in;                      /* bytes of bodies, from clients */
    uint64_t body_out;
    uint64_t bytes_in; /* from clients, wire */
    uint64_t bytes_out;
    uint64_t upstream_dials;
    uint64_t upstream_reuses;
    uint64_t upstream_retries;
    uint64_t upstream_errors;
    uint64_t upstream_faults[UPSTREAM_FAULT_COUNT];
};

#endif
