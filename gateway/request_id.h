/* request_id: the name of one request in logs, in the service and at the client.
 *
 * A new id is 128 bits in 26 characters of lower-case base32 (Crockford's
 * alphabet): 48 bits of wall clock in milliseconds, then 80 random ones, so ids
 * sort by time. Random bytes come from OpenSSL's generator of the thread, 1 KiB at
 * a time: no system call per request. One struct per worker.
 */
#ifndef WOS_GATEWAY_REQUEST_ID_H
#define WOS_GATEWAY_REQUEST_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum {
    REQUEST_ID_LEN = 26,
    REQUEST_ID_MAX = 128, /* of one that came from a trusted proxy */
    REQUEST_ID_POOL = 1024,
};

struct request_ids {
    uint8_t pool[REQUEST_ID_POOL];
    size_t left; /* unused bytes at the end of the pool; 0: to be filled */
};

/* Writes REQUEST_ID_LEN characters, no NUL. */
void request_id_make(struct request_ids *ids, int64_t wall_ms, char *out);
/* 1..128 characters of [A-Za-z0-9._~+/=-]. */
bool request_id_is_sane(struct str id);

#endif
