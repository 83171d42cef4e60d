/* hpack_walk: see hpack_walk.h. Called by front_h2_guard; no state of its own. */
#include "gateway/hpack_walk.h"

enum { MORE = 0x80, SHIFT_MAX = 28 };

static void next_part(struct hpack_walk *w)
{
    w->part = w->strings > 0 ? HPACK_LENGTH : HPACK_FIELD;
}

/* RFC 7541 6.1 to 6.3: an integer, behind which one or two strings may come. */
static void read_field(struct hpack_walk *w, uint8_t byte)
{
    uint8_t mask = (byte & 0x80) != 0   ? 0x7f
                   : (byte & 0x40) != 0 ? 0x3f
                   : (byte & 0x20) != 0 ? 0x1f
                                        : 0x0f;
    bool is_literal = (byte & 0x80) == 0 && (byte & 0x60) != 0x20;
    uint8_t index = byte & mask;
    w->strings = !is_literal ? 0 : index == 0 ? 2 : 1;
    if (index == mask) {
        w->part = HPACK_INDEX;
    } else {
        next_part(w);
    }
}

static void read_length(struct hpack_walk *w, uint8_t byte)
{
    w->strings--;
    w->left = byte & 0x7f;
    w->shift = 0;
    if (w->left == 0x7f) {
        w->part = HPACK_LENGTH_MORE;
    } else if (w->left > 0) {
        w->part = HPACK_BYTES;
    } else {
        next_part(w);
    }
}

/* True: the string is too long. */
static bool read_length_more(struct hpack_walk *w, uint8_t byte)
{
    if (w->shift > SHIFT_MAX) {
        w->part = HPACK_LOST;
        return false;
    }
    uint64_t length = w->left + ((uint64_t)(byte & 0x7f) << w->shift);
    if ((byte & MORE) == 0 && length > HPACK_STRING_MAX) {
        return true;
    }
    w->left = length;
    w->shift = (uint8_t)(w->shift + 7);
    w->part = (byte & MORE) != 0 ? HPACK_LENGTH_MORE : HPACK_BYTES;
    return false;
}

size_t hpack_walk(struct hpack_walk *w, const uint8_t *data, size_t len, bool *out_too_long)
{
    *out_too_long = false;
    for (size_t at = 0; at < len && w->part != HPACK_LOST;) {
        if (w->part == HPACK_BYTES) {
            size_t n = w->left < len - at ? (size_t)w->left : len - at;
            at += n;
            w->left -= n;
            if (w->left == 0) {
                next_part(w);
            }
            continue;
        }
        uint8_t byte = data[at];
        if (w->part == HPACK_FIELD) {
            read_field(w, byte);
        } else if (w->part == HPACK_LENGTH) {
            read_length(w, byte);
        } else if (w->part == HPACK_LENGTH_MORE) {
            *out_too_long = read_length_more(w, byte);
            if (*out_too_long) {
                return at;
            }
        } else if ((byte & MORE) == 0) { /* HPACK_INDEX */
            next_part(w);
        }
        at++;
    }
    return len;
}
