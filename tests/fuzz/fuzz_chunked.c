/* Any bytes as a chunked body: cut at every place, and into single bytes, it must give what it
 * gives whole: the same data, trailers, end and verdict, and leave the same bytes behind it.
 *
 * Input: the body. */
#include <stdlib.h>

#include "base/auto.h"
#include "gateway/h1.h"

enum { SIZE_TRIED = 600 };

/* Small ones, so that inputs reach them. */
static const struct limits limits = {
    .header_bytes_max = 120, .header_count_max = 4, .uri_bytes_max = 80};

struct reading {
    struct h1_body body;
    struct arena arena;
    struct buf seen;
    size_t used;
    enum h1_result result;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads what it can of the first `len` bytes, of which r->used are read already. */
static void read_on(struct reading *r, const uint8_t *data, size_t len)
{
    size_t used = 1;
    while (r->result == H1_MORE && used > 0) {
        size_t left = len - r->used;
        /* Exactly as long as what is there, so that a read past the end is seen. */
        char *exact = xmalloc(left);
        struct str piece = STR_NONE;
        if (left > 0) {
            memcpy(exact, data + r->used, left);
        }
        r->result = h1_body_read(&r->body, &r->arena, exact, left, &limits, &piece, &used);
        if (r->result != H1_FAULT) {
            CHECK(used <= left && piece.len <= used);
            buf_add_str(&r->seen, piece);
            r->used += used;
        }
        free(exact);
    }
}

static void reading_init(struct reading *r)
{
    *r = (struct reading){.result = H1_MORE};
    arena_init(&r->arena, 0);
    h1_body_init(&r->body, H1_BODY_CHUNKED, 0);
}

static void reading_fini(struct reading *r)
{
    arena_fini(&r->arena);
    buf_fini(&r->seen);
}

static void check_same(const struct reading *a, const struct reading *b)
{
    const struct head *one = a->body.trailers;
    const struct head *two = b->body.trailers;
    CHECK(a->result == b->result);
    CHECK(str_eq(buf_str(&a->seen), buf_str(&b->seen)));
    if (a->result == H1_FAULT) {
        return; /* how far it got before that is nobody's business */
    }
    CHECK(a->used == b->used && a->body.done == b->body.done);
    CHECK((one == NULL) == (two == NULL));
    for (uint32_t i = 0; one != NULL && i < one->count; i++) {
        CHECK(one->count == two->count);
        CHECK(str_eq(one->fields[i].name, two->fields[i].name));
        CHECK(str_eq(one->fields[i].value, two->fields[i].value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reading whole;
    struct reading cut;
    size = size < SIZE_TRIED ? size : SIZE_TRIED;
    reading_init(&whole);
    read_on(&whole, data, size);
    CHECK((whole.result == H1_DONE) == whole.body.done);
    CHECK(whole.seen.len <= size);
    for (size_t at = 0; at <= size; at++) {
        reading_init(&cut);
        read_on(&cut, data, at);
        read_on(&cut, data, size);
        check_same(&whole, &cut);
        reading_fini(&cut);
    }
    reading_init(&cut);
    for (size_t at = 0; at <= size; at++) {
        read_on(&cut, data, at);
    }
    check_same(&whole, &cut);
    reading_fini(&cut);
    reading_fini(&whole);
    return 0;
}
