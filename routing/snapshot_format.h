/* snapshot_format: constants of the snapshot's encoding, for snapshot.c (decoder) and
 * snapshot_encode.c only. */
#ifndef WOS_ROUTING_SNAPSHOT_FORMAT_H
#define WOS_ROUTING_SNAPSHOT_FORMAT_H

#include "routing/snapshot.h"

#define SNAPSHOT_MAGIC "WOSN"

enum {
    FLAG_TLS = 1,
    FLAG_SECRET = 2,
    FLAG_NO_TICKETS = 4,
    HEADER_BYTES = 4 + 2 + 2 + 8 + 2 + 1 + 4,
    LIMIT_COUNT = sizeof(struct limits) / sizeof(uint32_t),
    ROUTE_BYTES_MIN = 5 * 2 + 2 + 2 + 4 + 4 + 8,
    POLICY_BYTES_MIN = 1 + 3 * 4 + 2 * 4,
    PREFIX_BYTES_MIN = 2 + 4,
    CERT_BYTES_MIN = 4 + 4,
    TICKET_BYTES = 80,
    INDEX_MIN = 8,
};

/* Bytes of its encoding. */
static inline size_t route_size(const struct route *r)
{
    return ROUTE_BYTES_MIN + r->host.len + r->owner.len + r->worktree.len + r->service.len +
           r->phase.len;
}

#endif
