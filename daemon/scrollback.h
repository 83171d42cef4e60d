/* scrollback: the newest bytes a program wrote, numbered, for those who come later.
 *
 * Bytes are counted from the first one ever added: `seq` is that number. What is older than the
 * limit is forgotten by scrollback_trim, which the owner calls once its readers have had their
 * turn; memory is at most a quarter above what is kept. Each byte remembers whether it was of
 * standard output or standard error. Embedded in its owner; no I/O, any thread.
 */
#ifndef WOS_DAEMON_SCROLLBACK_H
#define WOS_DAEMON_SCROLLBACK_H

#include <stdint.h>

#include "base/str.h"

enum { SCROLLBACK_SEGMENTS_MAX = 4096 }; /* changes between the streams that are remembered */

struct scrollback_segment;

struct scrollback {
    struct buf bytes; /* the first `skip` of them are forgotten already */
    size_t skip;
    size_t limit;
    uint64_t start;                      /* seq of the first byte kept */
    struct scrollback_segment *segments; /* owned */
    size_t segment_count;
    size_t segment_cap;
};

/* limit: bytes, at least 1. */
void scrollback_init(struct scrollback *s, size_t limit);
void scrollback_fini(struct scrollback *s);

/* stream: 0 or 1. */
void scrollback_add(struct scrollback *s, unsigned stream, struct str data);
/* One past the newest byte's seq. */
uint64_t scrollback_end(const struct scrollback *s);
/* At most `max` bytes of one stream from `seq` (start..end) on; borrowed until the next change.
 * Empty at the end. */
struct str scrollback_piece(const struct scrollback *s, uint64_t seq, size_t max,
                            unsigned *out_stream);
/* Forgets what is beyond the limit, but nothing from `keep_from` on. */
void scrollback_trim(struct scrollback *s, uint64_t keep_from);
/* Where somebody who has what is before `seq` goes on: `seq` itself while it is kept. Else the
 * start of a line near the oldest byte, so that no escape sequence is begun in its middle. */
uint64_t scrollback_resume(const struct scrollback *s, uint64_t seq);

#endif
