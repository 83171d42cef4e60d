/* h1: HTTP/1.x syntax: heads and message bodies (RFC 9112), nothing else.
 *
 * The parser is strict: lines end in CRLF, one space separates the parts of
 * the start line, no space before a colon, no folding, no control bytes. A
 * lone CR or LF anywhere in a head is an error. Heads are parsed only when
 * complete; the bytes are copied once into the arena and sliced there.
 */
#ifndef WOS_GATEWAY_H1_H
#define WOS_GATEWAY_H1_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/head.h"

enum h1_result {
    H1_MORE,  /* the head is not complete */
    H1_DONE,  /* parsed: *out_used bytes */
    H1_FAULT, /* refused: *out_fault says why */
};

/* Requests; leading empty lines (at most 4, RFC 9112 2.2) are skipped.
 * Syntax only: head_check judges the meaning. */
enum h1_result h1_parse_request(struct head *h, struct arena *arena, const char *data, size_t len,
                                const struct limits *limits, size_t *out_used,
                                struct head_fault *out_fault);
/* Responses of a service: status 502 in a fault. */
enum h1_result h1_parse_response(struct head *h, struct arena *arena, const char *data, size_t len,
                                 const struct limits *limits, size_t *out_used,
                                 struct head_fault *out_fault);

enum h1_framing {
    H1_BODY_NONE,
    H1_BODY_LENGTH,
    H1_BODY_CHUNKED,
    H1_BODY_CLOSE, /* until the end of the connection (responses, tunnels) */
};

enum h1_chunk_state { CHUNK_SIZE, CHUNK_DATA, CHUNK_END, CHUNK_TRAILERS };

/* Where a message body being read stands. Small: each idle connection has one. */
struct h1_body {
    uint64_t left;         /* of the length, or of the chunk */
    struct head *trailers; /* set when done and there were some; in the arena */
    enum h1_framing framing : 8;
    enum h1_chunk_state chunk : 8;
    bool strict; /* no white space behind a chunk size; set after init (requests) */
    bool done;
};

/* How the body of the final answer to a request of that method ends; its length, where it has one,
 * is 0 otherwise. */
enum h1_framing h1_response_framing(struct str method, const struct head *h, uint64_t *out_length);
void h1_body_init(struct h1_body *body, enum h1_framing framing, uint64_t length);
/* Reads the next piece: *out_piece is body data (may be empty) inside `data`,
 * *out_used how far it got. H1_MORE: give more bytes; H1_DONE: body complete;
 * H1_FAULT: malformed. A caller loops while H1_MORE and *out_used > 0. */
enum h1_result h1_body_read(struct h1_body *body, struct arena *arena, const char *data, size_t len,
                            const struct limits *limits, struct str *out_piece, size_t *out_used);

#endif
