/* front_h2_guard: see front_h2_guard.h. Called by front_h2 and its streams, in
 * the worker's thread; no allocation. */
#include "gateway/front_h2_guard.h"

#include <nghttp2/nghttp2.h>

#include "base/auto.h"

enum {
    PERIOD_MS = 10000,
    FRAME_HEAD = 9,
    TINY_PADDED = 256,  /* a padded DATA frame that may be nothing but padding */
    CREDIT_BYTES = 256, /* one WINDOW_UPDATE for so many bytes of DATA … */
    CREDIT_FRAME = 4,   /* … and these for each frame … */
    CREDIT_CUT = 1024,  /* … unless the client's window made it shorter than this */
    CREDIT_MAX = 1 << 16,
    BLOCK_FRAMES = 16,  /* frames of a header block, beside full ones */
    FRAME_FULL = 16384, /* SETTINGS_MAX_FRAME_SIZE of ours */
};

struct frame {
    uint32_t len;
    uint8_t type;
    uint8_t flags;
    uint32_t id;
};

void h2_guard_init(struct h2_guard *g)
{
    *g = (struct h2_guard){.preface_left = NGHTTP2_CLIENT_MAGIC_LEN};
}

static uint32_t u32_at(const uint8_t *p)
{
    return ((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]) & 0x7fffffff;
}

static void start_period(struct h2_guard *g, uint64_t now_ms)
{
    if (now_ms - g->since_ms >= PERIOD_MS) {
        g->since_ms = now_ms;
        g->control = 0;
        g->resets = 0;
    }
}

bool h2_guard_count_reset(struct h2_guard *g, const struct limits *limits, uint64_t now_ms)
{
    start_period(g, now_ms);
    return ++g->resets <= limits->resets_max;
}

static uint32_t count_control(struct h2_guard *g, const struct limits *limits)
{
    return ++g->control <= limits->control_frames_max ? NGHTTP2_NO_ERROR
                                                      : NGHTTP2_ENHANCE_YOUR_CALM;
}

void h2_guard_data_sent(struct h2_guard *g, size_t len, bool cut)
{
    if (!cut || len >= CREDIT_CUT) {
        g->credit += CREDIT_FRAME + (uint32_t)(len / CREDIT_BYTES);
        g->credit = g->credit < CREDIT_MAX ? g->credit : CREDIT_MAX;
    }
}

/* Frames that DATA of ours calls for: windows, and the PINGs that measure a path. */
static uint32_t pay(struct h2_guard *g, const struct limits *limits)
{
    if (g->credit > 0) {
        g->credit--;
        return NGHTTP2_NO_ERROR;
    }
    return count_control(g, limits);
}

void h2_guard_stream_ended(struct h2_guard *g, uint32_t id)
{
    g->ended[g->ended_at] = id;
    g->ended_at = (uint8_t)((g->ended_at + 1) % H2_GUARD_ENDED);
}

static bool is_ended(const struct h2_guard *g, uint32_t id)
{
    for (size_t i = 0; i < H2_GUARD_ENDED; i++) {
        if (g->ended[i] == id) {
            return true;
        }
    }
    return false;
}

static bool is_left_out(const struct h2_guard *g, uint32_t id)
{
    for (size_t i = 0; i < H2_GUARD_GAPS; i++) {
        if (g->gaps[i].from <= id && id <= g->gaps[i].to) {
            return true;
        }
    }
    return false;
}

/* RFC 9113 4.3, 10.5.1: the whole block has to be decoded, so it has to end. */
static uint32_t count_block(struct h2_guard *g, const struct limits *limits, uint32_t len)
{
    uint64_t bytes_max = (uint64_t)limits->header_bytes_max * H2_GUARD_HEAD_FACTOR;
    g->block_bytes += len;
    g->block_frames++;
    return g->block_bytes <= bytes_max + FRAME_FULL &&
                   g->block_frames <= bytes_max / FRAME_FULL + BLOCK_FRAMES
               ? NGHTTP2_NO_ERROR
               : NGHTTP2_ENHANCE_YOUR_CALM;
}

/* RFC 9113 5.1.1: ids go up, and one that was left out is closed. */
static uint32_t check_headers(struct h2_guard *g, const struct limits *limits,
                              const struct frame *frame)
{
    g->block_bytes = 0;
    g->block_frames = 0;
    if (frame->id > g->last_id) {
        uint32_t next = g->last_id == 0 ? 1 : g->last_id + 2;
        if ((frame->id & 1) != 0 && frame->id > next) {
            g->gaps[g->gap_at].from = next;
            g->gaps[g->gap_at].to = frame->id - 2;
            g->gap_at = (uint8_t)((g->gap_at + 1) % H2_GUARD_GAPS);
        }
        g->last_id = frame->id;
    } else if (frame->id != 0 && is_left_out(g, frame->id)) {
        return NGHTTP2_PROTOCOL_ERROR;
    } else if (frame->id != 0 && is_ended(g, frame->id)) {
        return NGHTTP2_STREAM_CLOSED;
    } else if ((frame->flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        h2_guard_stream_ended(g, frame->id); /* trailers */
    } else if (count_control(g, limits) != NGHTTP2_NO_ERROR) {
        return NGHTTP2_ENHANCE_YOUR_CALM; /* not even trailers */
    }
    return count_block(g, limits, frame->len);
}

static uint32_t check_data(struct h2_guard *g, const struct limits *limits,
                           const struct frame *frame)
{
    bool end = (frame->flags & NGHTTP2_FLAG_END_STREAM) != 0;
    bool padded = (frame->flags & NGHTTP2_FLAG_PADDED) != 0;
    if (frame->id != 0 && is_ended(g, frame->id)) {
        return NGHTTP2_STREAM_CLOSED;
    }
    if (!end && (frame->len == 0 || (padded && frame->len <= TINY_PADDED))) {
        return count_control(g, limits);
    }
    return NGHTTP2_NO_ERROR;
}

/* nghttp2 skips these frames: we told the client that we follow RFC 9218. */
static uint32_t check_priority(struct h2_guard *g, const struct limits *limits,
                               const struct frame *frame)
{
    if (frame->id == 0) {
        return NGHTTP2_PROTOCOL_ERROR;
    }
    if (g->have == H2_GUARD_HEAD && u32_at(g->head + FRAME_HEAD) == frame->id) {
        return NGHTTP2_PROTOCOL_ERROR;
    }
    return count_control(g, limits);
}

static uint32_t check_reset(struct h2_guard *g, const struct limits *limits, uint64_t now_ms,
                            const struct frame *frame)
{
    if (frame->id <= g->last_id && (frame->id & 1) != 0) {
        h2_guard_stream_ended(g, frame->id);
    }
    return h2_guard_count_reset(g, limits, now_ms) ? NGHTTP2_NO_ERROR : NGHTTP2_ENHANCE_YOUR_CALM;
}

static uint32_t check_frame(struct h2_guard *g, const struct limits *limits, uint64_t now_ms,
                            const struct frame *frame)
{
    start_period(g, now_ms);
    switch (frame->type) {
    case NGHTTP2_HEADERS:
        return check_headers(g, limits, frame);
    case NGHTTP2_CONTINUATION:
        return count_block(g, limits, frame->len);
    case NGHTTP2_DATA:
        return check_data(g, limits, frame);
    case NGHTTP2_PRIORITY:
        return check_priority(g, limits, frame);
    case NGHTTP2_RST_STREAM:
        return check_reset(g, limits, now_ms, frame);
    case NGHTTP2_WINDOW_UPDATE:
    case NGHTTP2_PING:
        return pay(g, limits);
    case NGHTTP2_SETTINGS:
        g->got_ack = g->got_ack || (frame->flags & NGHTTP2_FLAG_ACK) != 0;
        g->got_settings = true;
        return count_control(g, limits);
    case NGHTTP2_PRIORITY_UPDATE:
        if (g->have == H2_GUARD_HEAD && u32_at(g->head + FRAME_HEAD) == 0) {
            return NGHTTP2_PROTOCOL_ERROR; /* RFC 9218 7.1 */
        }
        return count_control(g, limits);
    default: /* GOAWAY and what nobody knows */
        return count_control(g, limits);
    }
}

static struct frame frame_of(const uint8_t *head)
{
    return (struct frame){(uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2], head[3],
                          head[4], u32_at(head + 5)};
}

/* Bytes of the frame that have to be there before it is judged. */
static size_t wanted(const struct h2_guard *g)
{
    if (g->have >= FRAME_HEAD) {
        struct frame frame = frame_of(g->head);
        if ((frame.type == NGHTTP2_PRIORITY && frame.len == 5) ||
            (frame.type == NGHTTP2_PRIORITY_UPDATE && frame.len >= 4)) {
            return H2_GUARD_HEAD;
        }
    }
    return FRAME_HEAD;
}

/* A string that is too long does not fit one frame. */
static void watch_block(struct h2_guard *g, const struct frame *frame)
{
    if (frame->type == NGHTTP2_HEADERS) {
        g->walking = (frame->flags & NGHTTP2_FLAG_END_HEADERS) == 0;
        g->pad_follows = (frame->flags & NGHTTP2_FLAG_PADDED) != 0;
        g->lead = (frame->flags & NGHTTP2_FLAG_PRIORITY) != 0 ? 5 : 0;
        g->walk = (struct hpack_walk){0};
    } else if (frame->type != NGHTTP2_CONTINUATION) {
        g->walking = false;
    }
    g->pad = 0;
}

/* Payload of the present frame: len, or as much of it as nghttp2 may have. */
static size_t pass_payload(struct h2_guard *g, const uint8_t *data, size_t len, uint32_t *out_error)
{
    if (!g->walking) {
        return len;
    }
    bool too_long;
    size_t at = 0;
    if (g->pad_follows) {
        g->pad_follows = false;
        g->pad = data[at++];
    }
    size_t lead = len - at < g->lead ? len - at : g->lead;
    g->lead = (uint8_t)(g->lead - lead);
    at += lead;
    /* g->skip bytes of the frame come after these; its last g->pad are none of the block. */
    size_t rest = len + g->skip;
    size_t end = rest > g->pad ? rest - g->pad : 0;
    end = end < len ? end : len;
    if (end <= at) {
        return len;
    }
    size_t used = at + hpack_walk(&g->walk, data + at, end - at, &too_long);
    if (too_long) {
        *out_error = H2_GUARD_FIELD_TOO_LONG;
        return used;
    }
    return len;
}

size_t h2_guard_check(struct h2_guard *g, const struct limits *limits, uint64_t now_ms,
                      const uint8_t *data, size_t len, uint32_t *out_error)
{
    *out_error = NGHTTP2_NO_ERROR;
    size_t at = len < g->preface_left ? len : g->preface_left;
    g->preface_left = (uint8_t)(g->preface_left - at);
    while (at < len) {
        if (g->skip > 0) {
            size_t left = len - at;
            size_t n = left < g->skip ? left : g->skip;
            g->skip -= (uint32_t)n;
            at += pass_payload(g, data + at, n, out_error);
            if (*out_error != NGHTTP2_NO_ERROR) {
                return at;
            }
            continue;
        }
        size_t begin = at;
        while (at < len && g->have < wanted(g)) {
            g->head[g->have++] = data[at++];
        }
        if (g->have < wanted(g)) {
            break;
        }
        struct frame frame = frame_of(g->head);
        *out_error = check_frame(g, limits, now_ms, &frame);
        if (*out_error != NGHTTP2_NO_ERROR) {
            return begin;
        }
        watch_block(g, &frame);
        g->skip = frame.len - (g->have - FRAME_HEAD);
        g->have = 0;
    }
    return len;
}
