/* front_h2_guard: looks at the frames of a client before nghttp2 does.
 *
 * It reads frame heads only and keeps a few hundred bytes per connection,
 * whatever the client sends. It ends a connection (ENHANCE_YOUR_CALM, RFC 9113
 * 10.5) whose frames cost more than they carry: resets, also those a client
 * provokes by malformed requests; PING, SETTINGS, PRIORITY and empty frames;
 * WINDOW_UPDATE that no answer explains (one octet at a time, say); header blocks without end. And
 * it sees what nghttp2 lets pass: PRIORITY on stream 0 or on itself, frames on streams the client
 * had ended, stream ids that go back. And fields that nghttp2 cannot read.
 *
 * Counts are per connection and ten seconds, against limits.resets_max and
 * limits.control_frames_max. Embedded in front_h2; the worker's thread.
 */
#ifndef WOS_GATEWAY_FRONT_H2_GUARD_H
#define WOS_GATEWAY_FRONT_H2_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/hpack_walk.h"
#include "routing/snapshot.h"

enum {
    H2_GUARD_HEAD = 13,  /* a frame head, and the stream a PRIORITY names */
    H2_GUARD_ENDED = 16, /* streams remembered as ended by the client */
    H2_GUARD_GAPS = 4,   /* ranges of stream ids remembered as left out */
    /* A head may be this many times limits.header_bytes_max and still get its
     * 431; beyond that the connection ends. */
    H2_GUARD_HEAD_FACTOR = 4,
    /* No HTTP/2 error code: see h2_guard_check. */
    H2_GUARD_FIELD_TOO_LONG = 0x10000,
};

struct h2_guard {
    uint8_t head[H2_GUARD_HEAD];
    uint8_t have;         /* bytes of head */
    uint8_t preface_left; /* of the connection preface */
    uint32_t skip;        /* payload bytes to come */
    uint32_t last_id;     /* highest stream the client opened */
    uint64_t block_bytes; /* of the present header block */
    uint32_t block_frames;
    bool walking;     /* the block goes on in CONTINUATION, so it may have such a field */
    bool pad_follows; /* the next byte of payload is its length */
    uint8_t pad;      /* last bytes of the frame's payload, none of the block */
    uint8_t lead;     /* payload bytes before the block: RFC 7540's priority */
    struct hpack_walk walk;
    uint32_t control;
    uint32_t resets;
    uint64_t since_ms; /* when the two counts began */
    uint32_t credit;   /* WINDOW_UPDATEs and PINGs our DATA accounts for */
    uint32_t ended[H2_GUARD_ENDED];
    uint8_t ended_at;
    uint8_t gap_at;
    struct {
        uint32_t from;
        uint32_t to;
    } gaps[H2_GUARD_GAPS];
    bool got_settings; /* the client's preface is complete */
    bool got_ack;      /* it acknowledged our SETTINGS */
};

void h2_guard_init(struct h2_guard *g);
/* How many of the bytes nghttp2 may have. Fewer than len, or *out_error not
 * NO_ERROR (0): the connection ends with that HTTP/2 error code. Or with
 * H2_GUARD_FIELD_TOO_LONG: the request of stream last_id can have its 431, but
 * nothing behind it can be read. */
size_t h2_guard_check(struct h2_guard *g, const struct limits *limits, uint64_t now_ms,
                      const uint8_t *data, size_t len, uint32_t *out_error);
/* A stream is closed, and the client had ended its half. */
void h2_guard_stream_ended(struct h2_guard *g, uint32_t id);
/* We had to reset a stream for the client's fault. False: one too many. */
bool h2_guard_count_reset(struct h2_guard *g, const struct limits *limits, uint64_t now_ms);
/* A DATA frame of len bytes went to the client; cut: there were more bytes, but
 * its windows did not let them go. */
void h2_guard_data_sent(struct h2_guard *g, size_t len, bool cut);

#endif
