/* Any request head that is judged legal, HTTP/1 or HTTP/2, must be written so
 * that its reader sees the same request: one, with that host, method, target
 * and framing, and with nothing in our fields that the client said.
 *
 * Input: two bytes of flags, then for HTTP/1 the head's bytes, for HTTP/2 a
 * length byte and so many bytes for each of method, path, authority,
 * protocol, and then names and values in turn. */
#include <stdlib.h>

#include "base/auto.h"
#include "gateway/h1.h"

enum { IS_H2 = 1, HAS_BODY = 2, REWRITE = 4, IS_V6 = 8, HAS_PROTOCOL = 16, AS_TRAILERS = 32 };

static const char ws_key[] = "dGhlIHNhbXBsZSBub25jZQ==";
static struct wbuf_pool pool;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The next length-prefixed piece, in memory of its own length. */
static struct str next_piece(struct arena *arena, struct str *rest)
{
    if (rest->len == 0) {
        return STR_NONE;
    }
    size_t len = (uint8_t)rest->ptr[0];
    len = len < rest->len ? len : rest->len - 1;
    char *copy = arena_alloc(arena, len);
    memcpy(copy, rest->ptr + 1, len);
    rest->ptr += 1 + len;
    rest->len -= 1 + len;
    return (struct str){copy, len};
}

static void fill_h2(struct head *h, struct arena *arena, struct str rest, unsigned flags)
{
    head_init(h, true);
    h->is_h2 = true;
    h->method = next_piece(arena, &rest);
    h->target = next_piece(arena, &rest);
    h->authority = next_piece(arena, &rest);
    if ((flags & HAS_PROTOCOL) != 0) {
        h->protocol = next_piece(arena, &rest);
    }
    while (rest.len > 0) {
        struct str name = next_piece(arena, &rest);
        struct str value = next_piece(arena, &rest);
        if (!head_add(h, arena, name, value, limits_default.header_count_max)) {
            return;
        }
    }
}

static unsigned count_of(const struct head *h, struct str name)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        count += str_eq_nocase(h->fields[i].name, name);
    }
    return count;
}

static void check_ours(const struct head *h, const struct head_forward *fwd)
{
    static const struct {
        struct str name;
        unsigned count;
    } rows[] = {
        {{"host", 4}, 1},
        {{"forwarded", 9}, 1},
        {{"x-forwarded-for", 15}, 1},
        {{"x-forwarded-host", 16}, 1},
        {{"x-forwarded-port", 16}, 1},
        {{"x-forwarded-proto", 17}, 1},
        {{"x-forwarded-server", 18}, 0},
        {{"x-real-ip", 9}, 0},
        {{"keep-alive", 10}, 0},
        {{"proxy-authorization", 19}, 0},
        {{"http2-settings", 14}, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CHECK(count_of(h, rows[i].name) == rows[i].count);
    }
    CHECK(str_eq(head_find(h, STR("x-forwarded-for"))->value, str_of(fwd->peer)));
    CHECK(count_of(h, STR("connection")) <= 1 && count_of(h, STR("content-length")) <= 1);
    CHECK(count_of(h, STR("transfer-encoding")) <= 1);
}

/* `h` was legal and was written as `text`: read it as the service will. */
static void check_written(const struct head *h, const struct head_forward *fwd, struct str text)
{
    struct limits wide = limits_default;
    wide.header_bytes_max = 1 << 20;
    wide.header_count_max = 1000;
    wide.uri_bytes_max = 1 << 20;
    struct arena arena;
    struct head got;
    struct head_fault fault = {0, NULL};
    size_t used = 0;
    arena_init(&arena, 0);
    CHECK(h1_parse_request(&got, &arena, text.ptr, text.len, &wide, &used, &fault) == H1_DONE);
    CHECK(used == text.len); /* one request, no more */
    CHECK(head_check(&got).status == 0);
    CHECK(str_eq(got.method, fwd->upgrade_from_h2 ? STR("GET") : h->method));
    CHECK(str_eq(got.target, h->target));
    CHECK(got.minor == 1 && got.authority.len == 0);
    if (fwd->route->host_mode == ROUTE_HOST_REWRITE) {
        CHECK(str_eq(str_of(got.host.name), STR("localhost")) && got.host.port == fwd->route->port);
    } else {
        CHECK(str_eq(str_of(got.host.name), str_of(h->host.name)));
        CHECK(got.host.port == h->host.port);
    }
    if (fwd->upgrade_from_h2) {
        CHECK(got.wants_upgrade && str_eq(got.upgrade, STR("websocket")));
        CHECK(!got.chunked && got.content_length == LENGTH_NONE);
        CHECK(count_of(&got, STR("sec-websocket-key")) == 1);
        CHECK(str_eq(head_find(&got, STR("sec-websocket-key"))->value, str_of(ws_key)));
    } else {
        CHECK(got.wants_upgrade == h->wants_upgrade);
        CHECK(got.chunked == (fwd->has_body && h->content_length == LENGTH_NONE));
        CHECK(got.chunked || (got.content_length > 0) == fwd->has_body ||
              got.content_length == h->content_length);
    }
    CHECK(!got.wants_close && !got.wants_keep_alive);
    check_ours(&got, fwd);
    arena_fini(&arena);
}

static void check_trailers(const struct head *h)
{
    struct wbuf out = {0};
    struct arena arena;
    wbuf_add_str(&pool, &out, STR("0\r\n"));
    head_write_trailers(&pool, &out, h);
    struct limits wide = limits_default;
    wide.header_bytes_max = 1 << 20;
    wide.header_count_max = 1000;
    struct h1_body body;
    struct str piece;
    size_t used;
    arena_init(&arena, 0);
    h1_body_init(&body, H1_BODY_CHUNKED, 0);
    CHECK(h1_body_read(&body, &arena, wbuf_data(&out), wbuf_len(&out), &wide, &piece, &used) ==
          H1_DONE);
    CHECK(used == wbuf_len(&out) && piece.len == 0);
    if (body.trailers != NULL) {
        CHECK(count_of(body.trailers, STR("content-length")) == 0);
        CHECK(count_of(body.trailers, STR("transfer-encoding")) == 0);
        CHECK(count_of(body.trailers, STR("host")) == 0);
        CHECK(count_of(body.trailers, STR("cookie")) == 0);
    }
    wbuf_release(&pool, &out);
    arena_fini(&arena);
}

static void check_request(struct head *h, unsigned flags)
{
    if (head_check(h).status != 0) {
        return;
    }
    const struct route route = {.host = STR("a"),
                                .port = 3000,
                                .host_mode = (flags & REWRITE) != 0 ? ROUTE_HOST_REWRITE
                                                                    : ROUTE_HOST_PRESERVE};
    bool has_body = h->chunked || h->content_length > 0 ||
                    (h->is_h2 && h->content_length == LENGTH_NONE && (flags & HAS_BODY) != 0);
    h->wants_upgrade = h->wants_upgrade && !has_body; /* as front_h1 has it */
    const struct head_forward fwd = {
        .peer = (flags & IS_V6) != 0 ? "2001:db8::1" : "192.0.2.1",
        .peer_is_v6 = (flags & IS_V6) != 0,
        .proto = "https",
        .public_port = 443,
        .route = &route,
        .upgrade_from_h2 = h->is_h2 && h->protocol.len > 0,
        .ws_key = ws_key,
        .has_body = has_body,
    };
    struct wbuf out = {0};
    head_write_request(&pool, &out, h, &fwd);
    check_written(h, &fwd, (struct str){wbuf_data(&out), wbuf_len(&out)});
    wbuf_release(&pool, &out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    unsigned flags = data[0];
    struct str rest = {(const char *)data + 2, size - 2};
    struct arena arena;
    struct head head;
    arena_init(&arena, 0);
    if ((flags & IS_H2) != 0) {
        fill_h2(&head, &arena, rest, flags);
        if ((flags & AS_TRAILERS) != 0) {
            check_trailers(&head);
        } else {
            check_request(&head, flags);
        }
    } else {
        struct head_fault fault;
        size_t used;
        if (h1_parse_request(&head, &arena, rest.ptr, rest.len, &limits_default, &used, &fault) ==
            H1_DONE) {
            check_request(&head, flags);
        }
    }
    arena_fini(&arena);
    return 0;
}
