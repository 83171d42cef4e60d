/* access_line: one line of the access log as text, from plain values.
 *
 * A line is one JSON object and a newline, at most ACCESS_LINE_MAX bytes, valid
 * UTF-8 whatever the values hold: control bytes, quotes and bytes that are no UTF-8
 * are escaped or replaced, and every value has a bound of its own. docs/LOGS.md
 * names the members. No state; any thread.
 */
#ifndef WOS_GATEWAY_ACCESS_LINE_H
#define WOS_GATEWAY_ACCESS_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum {
    ACCESS_LINE_MAX = 24 * 1024,
    ACCESS_NAME_MAX = 256, /* bytes kept of a host, worktree, service or text */
    ACCESS_METHOD_MAX = 32,
};

/* Borrowed for the call. Empty slices and NULLs are left out. What peers wrote may hold any byte:
 * host, method, path, upgrade, worktree, service, upstream_error; all else is plain ASCII. */
struct access_entry {
    int64_t wall_us; /* when the request began */
    struct str id;   /* request_id_is_sane */
    const char *peer;
    struct str via;  /* proxies between: ", 10.0.0.2, 127.0.0.1" */
    struct str host; /* as asked for */
    struct str route;
    struct str worktree;
    struct str service;
    struct str method;
    struct str path;      /* redacted */
    bool path_is_cut;     /* there was more of it */
    uint16_t status;      /* 0: no answer was sent */
    uint64_t bytes_in;    /* bodies; of a tunnel all its bytes */
    uint64_t bytes_out;   /* … */
    uint64_t first_us;    /* to the head of the answer; 0: there was none */
    uint64_t duration_us; /* to the end of the exchange */
    const char *protocol; /* "HTTP/1.0", "HTTP/1.1", "HTTP/2" */
    struct str upgrade;   /* "websocket": it became a tunnel */
    const char *tls_version;
    const char *tls_cipher;
    bool tls_resumed;
    uint16_t upstream_port; /* 0: no service was asked */
    bool upstream_v6;
    bool upstream_reused;
    bool upstream_retried;
    const char *upstream_error;
    const char *reason;  /* "allowed", or why not */
    const char *aborted; /* by whom, or NULL */
};

/* A connection that was refused before it had asked for anything. */
struct access_refusal {
    int64_t wall_us;
    const char *peer;
    const char *reason;
    const char *detail;  /* or NULL */
    uint64_t suppressed; /* such lines that were left out before this one */
};

/* `out` has room for ACCESS_LINE_MAX bytes; the length, newline included. */
size_t access_line_format(const struct access_entry *entry, char *out);
size_t access_line_refusal(const struct access_refusal *refusal, char *out);

#endif
