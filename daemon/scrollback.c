/* scrollback: see scrollback.h. Called by terminal.c, on the loop's thread. */
#include "daemon/scrollback.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"

enum { LINE_SEARCH = 4096 }; /* how far from the oldest byte a line's start is looked for */

/* From `seq` on, up to the next segment, bytes are of this stream. */
struct scrollback_segment {
    uint64_t seq;
    unsigned stream;
};

void scrollback_init(struct scrollback *s, size_t limit)
{
    *s = (struct scrollback){.limit = limit};
}

void scrollback_fini(struct scrollback *s)
{
    buf_fini(&s->bytes);
    free(s->segments);
    *s = (struct scrollback){0};
}

static size_t kept(const struct scrollback *s)
{
    return s->bytes.len - s->skip;
}

uint64_t scrollback_end(const struct scrollback *s)
{
    return s->start + kept(s);
}

static void segment_add(struct scrollback *s, unsigned stream)
{
    if (s->segment_count == SCROLLBACK_SEGMENTS_MAX) {
        /* The oldest two become one: a late reader may take some stderr for stdout. */
        memmove(s->segments + 1, s->segments + 2, (s->segment_count - 2) * sizeof(s->segments[0]));
        s->segment_count--;
    }
    if (s->segment_count == s->segment_cap) {
        s->segment_cap = s->segment_cap == 0 ? 4 : s->segment_cap * 2;
        s->segments = xrealloc(s->segments, s->segment_cap * sizeof(s->segments[0]));
    }
    s->segments[s->segment_count++] = (struct scrollback_segment){scrollback_end(s), stream};
}

void scrollback_add(struct scrollback *s, unsigned stream, struct str data)
{
    if (s->segment_count == 0 || s->segments[s->segment_count - 1].stream != stream) {
        segment_add(s, stream);
    }
    buf_add_str(&s->bytes, data);
}

struct str scrollback_piece(const struct scrollback *s, uint64_t seq, size_t max,
                            unsigned *out_stream)
{
    CHECK(seq >= s->start && seq <= scrollback_end(s));
    uint64_t end = scrollback_end(s);
    unsigned stream = 0;
    for (size_t i = 0; i < s->segment_count; i++) {
        if (s->segments[i].seq > seq) {
            end = s->segments[i].seq;
            break;
        }
        stream = s->segments[i].stream;
    }
    *out_stream = stream;
    if (end == seq) {
        return (struct str){"", 0};
    }
    size_t len = end - seq > max ? max : (size_t)(end - seq);
    return (struct str){s->bytes.ptr + s->skip + (seq - s->start), len};
}

void scrollback_trim(struct scrollback *s, uint64_t keep_from)
{
    uint64_t end = scrollback_end(s);
    uint64_t oldest = end > s->limit ? end - s->limit : 0;
    oldest = keep_from < oldest ? keep_from : oldest;
    if (oldest <= s->start) {
        return;
    }
    s->skip += (size_t)(oldest - s->start);
    s->start = oldest;
    if (s->skip > s->limit / 4) { /* not at each read: it moves all the rest */
        buf_consume(&s->bytes, s->skip);
        s->skip = 0;
    }
    size_t first = 0;
    while (first + 1 < s->segment_count && s->segments[first + 1].seq <= oldest) {
        first++;
    }
    s->segment_count -= first;
    memmove(s->segments, s->segments + first, s->segment_count * sizeof(s->segments[0]));
}

uint64_t scrollback_resume(const struct scrollback *s, uint64_t seq)
{
    uint64_t end = scrollback_end(s);
    if (seq >= s->start) {
        return seq > end ? end : seq;
    }
    size_t len = kept(s) < LINE_SEARCH ? kept(s) : LINE_SEARCH;
    const char *first = len == 0 ? NULL : s->bytes.ptr + s->skip;
    const char *line = len == 0 ? NULL : memchr(first, '\n', len);
    return line == NULL ? s->start : s->start + (uint64_t)(line - first) + 1;
}
