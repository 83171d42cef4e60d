/* Any bytes as the frames or heads of an HTTP/2 client, through nghttp2 (HPACK), our callbacks and
 * head_check: whatever is asked of the service is one legal request of HTTP/1.1, what goes back is
 * legal HTTP/2, and none of this depends on where the bytes were cut.
 *
 * Input: one byte of mode. FRAMES: the rest is the connection behind its preface and SETTINGS.
 * BLOCKS: pieces of a length byte and so many bytes, each a header block of its own stream.
 * UNANSWERED: the service does not answer. */
#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "base/auto.h"
#include "gateway/h1.h"
#include "tests/fuzz/front.h"

enum { MODE_BLOCKS = 1, MODE_UNANSWERED = 2, FRAME_HEAD = 9 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_frame(struct buf *out, size_t len, uint8_t type, uint8_t flags, uint32_t id)
{
    const uint8_t head[FRAME_HEAD] = {
        (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags, 0, 0,
        (uint8_t)(id >> 8),   (uint8_t)id};
    buf_add(out, head, sizeof head);
}

static void tell(const uint8_t *data, size_t size, struct buf *out)
{
    buf_add_str(out, STR(NGHTTP2_CLIENT_MAGIC));
    add_frame(out, 0, NGHTTP2_SETTINGS, NGHTTP2_FLAG_NONE, 0);
    add_frame(out, 0, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0);
    if ((data[0] & MODE_BLOCKS) == 0) {
        buf_add(out, data + 1, size - 1);
        return;
    }
    uint32_t id = 1;
    for (size_t at = 1; at < size; id += 2) {
        size_t len = data[at++];
        len = len < size - at ? len : size - at;
        add_frame(out, len, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM,
                  id);
        buf_add(out, data + at, len);
        at += len;
    }
}

/* Reads a request as a service does. */
static void check_request(const struct front_request *r)
{
    struct limits wide = limits_default;
    struct arena arena;
    struct head h;
    struct head_fault fault;
    size_t used;
    wide.header_bytes_max = 1 << 20;
    wide.header_count_max = 1000;
    wide.uri_bytes_max = 1 << 20;
    arena_init(&arena, 0);
    CHECK(h1_parse_request(&h, &arena, r->head.ptr, r->head.len, &wide, &used, &fault) == H1_DONE);
    CHECK(used == r->head.len && head_check(&h).status == 0);
    CHECK(h.minor == 1 && h.authority.len == 0 && !h.wants_close);
    CHECK(h.wants_upgrade == r->is_upgrade);
    if (!r->is_upgrade) {
        CHECK(h.chunked || h.content_length > 0 || !r->has_body || r->body.len == 0);
        /* A body is never longer than announced, and shorter only in a request that is cut. */
        CHECK(h.content_length < 0 || r->body.len <= (uint64_t)h.content_length);
        CHECK(h.content_length < 0 || !r->ended || r->body.len == (uint64_t)h.content_length);
    }
    /* The trailers are fields and an empty line. */
    CHECK(r->trailers.len == 0 ||
          (r->trailers.len >= 2 && memcmp(r->trailers.ptr + r->trailers.len - 2, "\r\n", 2) == 0));
    arena_fini(&arena);
}

/* What goes back is HTTP/2: frames that a client takes (streams it never opened are ignored). */
static void check_answers(const struct front *f)
{
    size_t at = 0;
    while (f->out.len - at >= FRAME_HEAD) {
        const uint8_t *head = (const uint8_t *)f->out.ptr + at;
        size_t len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        CHECK(len <= 16384 && head[3] <= NGHTTP2_CONTINUATION && head[3] != NGHTTP2_PUSH_PROMISE);
        CHECK(len <= f->out.len - at - FRAME_HEAD);
        at += FRAME_HEAD + len;
    }
    CHECK(at == f->out.len);
}

static bool is_prefix(struct str a, struct str b)
{
    return a.len <= b.len ? str_starts(b, a) : str_starts(a, b);
}

/* Cut or not, the same requests come in the same order. In pieces, answers go out between them: one
 * may then get further than the other before it is refused, but it is never told anything else. */
static void check_same(const struct front *a, const struct front *b)
{
    for (size_t i = 0; i < FRONT_REQUESTS_MAX && i < a->count && i < b->count; i++) {
        const struct front_request *one = &a->requests[i];
        const struct front_request *two = &b->requests[i];
        CHECK(str_eq(buf_str(&one->head), buf_str(&two->head)));
        CHECK(is_prefix(buf_str(&one->body), buf_str(&two->body)));
        if (one->ended && two->ended) {
            CHECK(one->body.len == two->body.len);
            CHECK(str_eq(buf_str(&one->trailers), buf_str(&two->trailers)));
        }
    }
}

static void run(struct front *f, const uint8_t *data, size_t size, size_t piece)
{
    struct buf bytes = {0};
    tell(data, size, &bytes);
    front_open(f, true, (data[0] & MODE_UNANSWERED) == 0);
    for (size_t at = 0; at < bytes.len; at += piece) {
        piece = piece < bytes.len - at ? piece : bytes.len - at;
        front_give(f, bytes.ptr + at, piece);
    }
    check_answers(f);
    for (size_t i = 0; i < FRONT_REQUESTS_MAX && i < f->count; i++) {
        check_request(&f->requests[i]);
    }
    buf_fini(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct front whole;
    static struct front cut;
    if (size < 2) {
        return 0;
    }
    run(&whole, data, size, SIZE_MAX);
    run(&cut, data, size, 1);
    check_same(&whole, &cut);
    front_close(&whole);
    front_close(&cut);
    return 0;
}
