/* hpack_walk: where strings begin in an HPACK header block (RFC 7541 section 6), and one too long
 * for nghttp2, which refuses it as COMPRESSION_ERROR. Nothing is decoded: it counts bytes.
 *
 * Zero-initialised at the start of a block; fed with the block's bytes in order, any pieces. No
 * allocation; one thread. A malformed block is nghttp2's to refuse. */
#ifndef WOS_GATEWAY_HPACK_WALK_H
#define WOS_GATEWAY_HPACK_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HPACK_STRING_MAX = 65536 }; /* NGHTTP2_HD_MAX_NV */

enum hpack_part {
    HPACK_FIELD,       /* the first byte of a representation */
    HPACK_INDEX,       /* more of an index, or of a table's size */
    HPACK_LENGTH,      /* the first byte of a string */
    HPACK_LENGTH_MORE, /* more of its length */
    HPACK_BYTES,
    HPACK_LOST, /* malformed */
};

struct hpack_walk {
    enum hpack_part part;
    uint8_t strings; /* to come in this representation */
    uint8_t shift;
    uint64_t left; /* the length; then the bytes of the string to come */
};

/* Returns len; or, with *out_too_long, where the last byte of the length of such a string is: from
 * there on nghttp2 must not get the block. */
size_t hpack_walk(struct hpack_walk *w, const uint8_t *data, size_t len, bool *out_too_long);

#endif
