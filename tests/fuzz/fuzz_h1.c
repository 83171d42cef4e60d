/* Any bytes as what comes over an HTTP/1 connection, whole and in pieces: heads,
 * bodies and trailers must be read alike wherever the bytes were cut.
 *
 * Input: one byte of mode (see enum), four piece sizes used in turn (0: all
 * that is left), then the bytes of the connection. */
#include <stdlib.h>

#include "base/auto.h"
#include "gateway/h1.h"

enum { MODE_REQUESTS, MODE_RESPONSES, MODE_CHUNKED, MODE_LENGTH, MODES };
enum { PIECES = 4, PREFIX = 1 + PIECES, LENGTH = 300 };

/* Small ones, so that inputs reach them. */
static const struct limits limits = {
    .header_bytes_max = 600, .header_count_max = 8, .uri_bytes_max = 80};

struct connection {
    bool is_request;
    bool failed;
    bool in_body;
    struct head head;
    struct h1_body body;
    struct arena arena;
    struct buf kept; /* bytes not used yet */
    struct buf seen; /* what was read, as text: the result to compare */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void say(struct connection *c, const char *what, struct str value)
{
    buf_printf(&c->seen, "\n%s %zu ", what, value.len);
    buf_add_str(&c->seen, value);
}

static void say_fields(struct connection *c, const struct head *h)
{
    CHECK(h->count <= limits.header_count_max);
    for (uint32_t i = 0; i < h->count; i++) {
        struct str value = h->fields[i].value;
        CHECK(head_is_token(h->fields[i].name) && head_value_is_legal(value));
        CHECK(str_eq(value, str_trim(value)));
        say(c, "name", h->fields[i].name);
        say(c, "value", value);
    }
}

static void say_head(struct connection *c)
{
    const struct head *h = &c->head;
    CHECK(h->is_request == c->is_request && h->minor <= 1);
    if (h->is_request) {
        CHECK(head_is_token(h->method) && h->target.len > 0);
        CHECK(h->target.len <= limits.uri_bytes_max);
        say(c, "method", h->method);
        say(c, "target", h->target);
        say(c, "authority", h->authority);
        say(c, "scheme", h->scheme);
    } else {
        CHECK(h->status <= 999 && head_value_is_legal(h->reason));
        say(c, "reason", h->reason);
    }
    buf_printf(&c->seen, "\n1.%u %u", h->minor, h->status);
    say_fields(c, h);
}

static void fail(struct connection *c)
{
    c->failed = true;
    say(c, "refused", STR_NONE);
}

static void begin_body(struct connection *c)
{
    struct head *h = &c->head;
    struct head_fault fault = h->is_request ? head_check(h) : head_check_response(h);
    if (fault.status != 0) {
        CHECK(fault.why != NULL);
        fail(c);
        return;
    }
    CHECK(!h->chunked || h->content_length == LENGTH_NONE);
    bool none = h->status == 304 || (!h->is_request && h->status < 200);
    bool close = !h->is_request && !h->chunked && h->content_length == LENGTH_NONE;
    h1_body_init(&c->body,
                 none                    ? H1_BODY_NONE
                 : h->chunked            ? H1_BODY_CHUNKED
                 : h->content_length > 0 ? H1_BODY_LENGTH
                 : close                 ? H1_BODY_CLOSE
                                         : H1_BODY_NONE,
                 h->content_length > 0 ? (uint64_t)h->content_length : 0);
    say(c, "body ", STR_NONE);
    c->in_body = true;
}

/* Reads one step; how many bytes it used. 0: more are needed, or it failed. */
static size_t step_head(struct connection *c, const char *data, size_t len)
{
    size_t used = 0;
    struct head_fault fault = {0, NULL};
    enum h1_result result =
        c->is_request ? h1_parse_request(&c->head, &c->arena, data, len, &limits, &used, &fault)
                      : h1_parse_response(&c->head, &c->arena, data, len, &limits, &used, &fault);
    if (result == H1_MORE) {
        CHECK(len <= limits.header_bytes_max + 8);
        return 0;
    }
    if (result == H1_FAULT) {
        CHECK(fault.why != NULL && fault.status >= 400 && fault.status <= 505);
        CHECK(c->is_request || fault.status == 502);
        fail(c);
        return 0;
    }
    CHECK(used > 0 && used <= len);
    say_head(c);
    begin_body(c);
    return used;
}

static size_t step_body(struct connection *c, const char *data, size_t len)
{
    size_t used = 0;
    struct str piece = STR_NONE;
    uint64_t left = c->body.left;
    enum h1_result result = h1_body_read(&c->body, &c->arena, data, len, &limits, &piece, &used);
    if (result == H1_FAULT) {
        fail(c);
        return 0;
    }
    CHECK(used <= len && piece.len <= used);
    if (piece.len > 0) {
        CHECK(piece.ptr >= data && piece.ptr + piece.len <= data + used);
        buf_add_str(&c->seen, piece);
    }
    CHECK(c->body.framing != H1_BODY_LENGTH || left - piece.len == c->body.left);
    CHECK((result == H1_DONE) == c->body.done);
    if (result == H1_DONE) {
        say(c, "end", STR_NONE);
        if (c->body.trailers != NULL) {
            say_fields(c, c->body.trailers);
        }
        c->in_body = false;
        arena_reset(&c->arena);
    }
    return used;
}

static void give(struct connection *c, const uint8_t *data, size_t len)
{
    buf_add(&c->kept, data, len);
    /* Exactly as long as what is there, so that a read past the end is seen. */
    char *exact = xmalloc(c->kept.len == 0 ? 1 : c->kept.len);
    if (c->kept.len > 0) {
        memcpy(exact, c->kept.ptr, c->kept.len);
    }
    size_t at = 0;
    while (!c->failed) {
        bool was_in_body = c->in_body;
        size_t left = c->kept.len - at;
        size_t used = was_in_body ? step_body(c, exact + at, left) : step_head(c, exact + at, left);
        at += used;
        if (used == 0 && was_in_body == c->in_body) {
            break;
        }
    }
    buf_consume(&c->kept, at);
    free(exact);
}

static void connection_init(struct connection *c, unsigned mode)
{
    *c = (struct connection){.is_request = mode != MODE_RESPONSES};
    arena_init(&c->arena, 0);
    if (mode == MODE_CHUNKED || mode == MODE_LENGTH) {
        c->in_body = true;
        h1_body_init(&c->body, mode == MODE_CHUNKED ? H1_BODY_CHUNKED : H1_BODY_LENGTH,
                     mode == MODE_CHUNKED ? 0 : LENGTH);
    }
}

static void connection_fini(struct connection *c)
{
    arena_fini(&c->arena);
    buf_fini(&c->kept);
    buf_fini(&c->seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < PREFIX) {
        return 0;
    }
    struct connection whole;
    struct connection cut;
    connection_init(&whole, data[0] % MODES);
    connection_init(&cut, data[0] % MODES);
    const uint8_t *bytes = data + PREFIX;
    size_t len = size - PREFIX;
    give(&whole, bytes, len);
    for (size_t at = 0, i = 0; at < len; i++) {
        size_t piece = data[1 + i % PIECES];
        piece = piece == 0 || piece > len - at ? len - at : piece;
        give(&cut, bytes + at, piece);
        at += piece;
    }
    CHECK(whole.failed == cut.failed);
    CHECK(str_eq(buf_str(&whole.seen), buf_str(&cut.seen)));
    CHECK(whole.failed || str_eq(buf_str(&whole.kept), buf_str(&cut.kept)));
    connection_fini(&whole);
    connection_fini(&cut);
    return 0;
}
