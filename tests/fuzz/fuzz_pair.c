/* One request told twice, as HTTP/1.1 bytes and by an HTTP/2 client (nghttp2), through the real
 * fronts: both must be refused, or the service must get the same request, byte for byte.
 *
 * The two versions differ, and may, only here:
 * - Fields of the connection (Connection, Upgrade, TE but "trailers", …) are part of HTTP/1.1 and
 * make an HTTP/2 request malformed (RFC 9113 8.2.2). The same for Transfer-Encoding. Content-Length
 * and Host among the fields are framing and routing: told twice in HTTP/1.1, once in HTTP/2. Of
 * these only the HTTP/2 side is looked at, and that whatever the service gets is one whole request.
 * - CR, LF and NUL end or break a line of HTTP/1.1; in HTTP/2 they are refused.
 * - A target that is no path is a URI or authority in HTTP/1.1; in HTTP/2 it is refused.
 * - Refusals: HTTP/2 may reset the stream where HTTP/1.1 has a status.
 * - Cookie fields of HTTP/2 are crumbs of one (RFC 9113 8.2.3), which stands behind the others.
 * - A POST, PUT or PATCH without a body gets Content-Length: 0 where it came by HTTP/2.
 * - Via names the version.
 * - A WebSocket over HTTP/2 is given a key at another place.
 *
 * Input: a byte of flags, a byte of body length, then pieces: method, target, authority, names and
 * values of fields in turn; an empty name: trailers follow. A piece is a length byte and so many
 * bytes; a length of 128 and more is a word of the table below. */
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "gateway/h1.h"
#include "tests/fuzz/front.h"

enum {
    HAS_BODY = 1,
    KNOWN_LENGTH = 2, /* of the body: a Content-Length */
    ABSOLUTE = 4,     /* HTTP/1.1: absolute-form */
    WEBSOCKET = 8,
    FIELDS_MAX = 48,
    PIECE_MAX = 100,
};

struct told {
    unsigned flags;
    struct str method;
    struct str target;
    struct str authority;
    struct head_field fields[FIELDS_MAX];
    size_t count;
    struct head_field trailers[FIELDS_MAX];
    size_t trailer_count;
    struct str body;
    struct arena arena;
};

/* What the HTTP/2 client heard. */
struct heard {
    unsigned status; /* 0: none */
    bool closed;
    uint32_t error;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const words[] = {
    "GET",
    "POST",
    "OPTIONS",
    "HEAD",
    "PUT",
    "CONNECT",
    "/",
    "*",
    "/a?b=c",
    "/a b",
    "http://a.example/",
    "a.example",
    "a.example:443",
    "A.Example.",
    "[::1]:80",
    "b.example",
    "user@a.example",
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "cookie",
    "expect",
    "trailers",
    "chunked",
    "100-continue",
    "close",
    "x-forwarded-for",
    "x_forwarded_for",
    "forwarded",
    "content-type",
    "sec-websocket-key",
    "websocket",
    "keep-alive",
    "proxy-connection",
    "http2-settings",
    "x-wos-secret",
    "max-forwards",
    "0",
    "1",
    "17",
    "x-request-id",
    ":path",
    ":authority",
    ":protocol",
    "a: b",
    "a\r\nb: c",
    "\t x \t",
    "",
    "%2e%2e/",
    "/\x80",
    "/#f",
    "\x7f",
    "a\x01",
    "\xff",
    "PATCH",
    "/.wos/login",
    "priority",
};

static struct str next_piece(struct str *rest)
{
    if (rest->len == 0) {
        return STR_NONE;
    }
    size_t len = (uint8_t)rest->ptr[0];
    if (len >= 128) {
        rest->ptr++;
        rest->len--;
        return str_of(words[(len - 128) % COUNT_OF(words)]);
    }
    len = len < rest->len ? len : rest->len - 1;
    struct str piece = {rest->ptr + 1, len < PIECE_MAX ? len : PIECE_MAX};
    rest->ptr += 1 + len;
    rest->len -= 1 + len;
    return piece;
}

static bool has_any(struct str s, const char *bytes, size_t count)
{
    for (size_t i = 0; i < s.len; i++) {
        if (memchr(bytes, s.ptr[i], count) != NULL) {
            return true;
        }
    }
    return false;
}

/* HTTP/2 names are in lower case, and nghttp2's client would make them so. */
static struct str lower(struct arena *arena, struct str s)
{
    char *copy = arena_alloc(arena, s.len + 1);
    for (size_t i = 0; i < s.len; i++) {
        copy[i] = ascii_lower(s.ptr[i]);
    }
    return (struct str){copy, s.len};
}

static void told_init(struct told *t, const uint8_t *data, size_t size)
{
    static const char body[256] = {'b', '\r', '\n', 'o'};
    struct str rest = {(const char *)data + 2, size - 2};
    bool in_trailers = false;
    *t = (struct told){.flags = data[0]};
    arena_init(&t->arena, 0);
    t->method = next_piece(&rest);
    t->target = next_piece(&rest);
    t->authority = str_trim(next_piece(&rest));
    if ((t->flags & WEBSOCKET) != 0) {
        t->method = STR("GET");
        t->flags &= ~(unsigned)HAS_BODY;
    }
    if ((t->flags & HAS_BODY) != 0) {
        t->body = (struct str){body, data[1]};
    }
    while (rest.len > 0 && t->count < FIELDS_MAX && t->trailer_count < FIELDS_MAX) {
        struct str name = lower(&t->arena, next_piece(&rest));
        struct str value = str_trim(next_piece(&rest));
        if (name.len == 0 && !in_trailers) {
            in_trailers = true;
        } else if (in_trailers) {
            t->trailers[t->trailer_count++] = (struct head_field){name, value};
        } else {
            t->fields[t->count++] = (struct head_field){name, value};
        }
    }
    if ((t->flags & HAS_BODY) == 0 || (t->flags & KNOWN_LENGTH) != 0) {
        t->trailer_count = 0;
    }
}

static bool breaks_lines(const struct head_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        /* A colon in a name is where HTTP/1.1 ends it. */
        if (has_any(fields[i].name, "\r\n\0:", 4) || has_any(fields[i].value, "\r\n\0", 3)) {
            return true;
        }
    }
    return false;
}

static bool is_of_connection(const struct head_field *fields, size_t count, bool websocket)
{
    static const struct str names[] = {
        {"connection", 10}, {"upgrade", 7}, {"keep-alive", 10},     {"proxy-connection", 16},
        {"te", 2},          {"host", 4},    {"content-length", 14}, {"transfer-encoding", 17},
    };
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < COUNT_OF(names); k++) {
            bool trailers = str_eq(fields[i].name, STR("te")) &&
                            str_eq_nocase(fields[i].value, STR("trailers"));
            if (str_eq(fields[i].name, names[k]) && !trailers) {
                return true;
            }
        }
        if (websocket && str_eq(fields[i].name, STR("sec-websocket-key"))) {
            return true;
        }
    }
    return false;
}

/* May both versions be compared? */
static bool is_common(const struct told *t)
{
    bool websocket = (t->flags & WEBSOCKET) != 0;
    if (t->target.len == 0 || (t->target.ptr[0] != '/' && !str_eq(t->target, STR("*")))) {
        return false;
    }
    return !has_any(t->method, "\r\n\0", 3) && !has_any(t->target, "\r\n\0", 3) &&
           !has_any(t->authority, "\r\n\0", 3) && !breaks_lines(t->fields, t->count) &&
           !breaks_lines(t->trailers, t->trailer_count) &&
           !is_of_connection(t->fields, t->count, websocket) &&
           !is_of_connection(t->trailers, t->trailer_count, false);
}

static void add_fields(struct buf *out, const struct head_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buf_add_str(out, fields[i].name);
        buf_add_str(out, STR(": "));
        buf_add_str(out, fields[i].value);
        buf_add_str(out, STR("\r\n"));
    }
}

static void tell_h1(const struct told *t, struct front *f)
{
    struct buf out = {0};
    bool absolute = (t->flags & ABSOLUTE) != 0 && t->target.ptr[0] == '/' && t->authority.len > 0 &&
                    !has_any(t->authority, "/?# ", 4);
    buf_add_str(&out, t->method);
    buf_add_str(&out, absolute ? STR(" http://") : STR(" "));
    buf_add_str(&out, absolute ? t->authority : STR_NONE);
    buf_add_str(&out, t->target);
    buf_add_str(&out, STR(" HTTP/1.1\r\nHost: "));
    buf_add_str(&out, t->authority);
    buf_add_str(&out, STR("\r\n"));
    add_fields(&out, t->fields, t->count);
    if ((t->flags & WEBSOCKET) != 0) {
        buf_printf(&out, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: %s\r\n",
                   front_ws_key);
    }
    if ((t->flags & HAS_BODY) == 0) {
        buf_add_str(&out, STR("\r\n"));
    } else if ((t->flags & KNOWN_LENGTH) != 0) {
        buf_printf(&out, "Content-Length: %zu\r\n\r\n", t->body.len);
        buf_add_str(&out, t->body);
    } else {
        buf_add_str(&out, STR("Transfer-Encoding: chunked\r\n\r\n"));
        if (t->body.len > 0) {
            buf_printf(&out, "%zx\r\n", t->body.len);
            buf_add_str(&out, t->body);
            buf_add_str(&out, STR("\r\n"));
        }
        buf_add_str(&out, STR("0\r\n"));
        add_fields(&out, t->trailers, t->trailer_count);
        buf_add_str(&out, STR("\r\n"));
    }
    front_open(f, false, true);
    front_give(f, out.ptr, out.len);
    buf_fini(&out);
}

static nghttp2_nv pair(struct str name, struct str value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.ptr, (uint8_t *)(uintptr_t)value.ptr, name.len,
                        value.len, NGHTTP2_NV_FLAG_NONE};
}

static ssize_t on_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t max,
                       uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    (void)arg;
    const struct told *t = source->ptr;
    CHECK(t->body.len <= max);
    if (t->body.len > 0) {
        memcpy(to, t->body.ptr, t->body.len);
    }
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (t->trailer_count > 0) {
        nghttp2_nv fields[FIELDS_MAX];
        for (size_t i = 0; i < t->trailer_count; i++) {
            fields[i] = pair(t->trailers[i].name, t->trailers[i].value);
        }
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        CHECK(nghttp2_submit_trailer(session, id, fields, t->trailer_count) == 0);
    }
    return (ssize_t)t->body.len;
}

/* A WebSocket stays open and says nothing. */
static ssize_t on_tunnel(nghttp2_session *session, int32_t id, uint8_t *to, size_t max,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    (void)session;
    (void)id;
    (void)to;
    (void)max;
    (void)flags;
    (void)source;
    (void)arg;
    return NGHTTP2_ERR_DEFERRED;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    (void)session;
    (void)frame;
    (void)flags;
    struct heard *heard = arg;
    uint64_t status;
    if (str_eq((struct str){(const char *)name, name_len}, STR(":status"))) {
        CHECK(str_to_u64((struct str){(const char *)value, value_len}, &status));
        heard->status = (unsigned)status;
    }
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
    (void)session;
    (void)id;
    struct heard *heard = arg;
    heard->closed = true;
    heard->error = error;
    return 0;
}

static nghttp2_session *client_new(struct heard *heard)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_session *client;
    CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    CHECK(nghttp2_session_client_new(&client, callbacks, heard) == 0);
    nghttp2_session_callbacks_del(callbacks);
    CHECK(nghttp2_submit_settings(client, NGHTTP2_FLAG_NONE, NULL, 0) == 0);
    return client;
}

static void submit(nghttp2_session *client, struct told *t)
{
    nghttp2_nv fields[FIELDS_MAX + 6];
    size_t count = 0;
    char length[24];
    bool websocket = (t->flags & WEBSOCKET) != 0;
    bool has_body = (t->flags & HAS_BODY) != 0;
    fields[count++] = pair(STR(":method"), websocket ? STR("CONNECT") : t->method);
    fields[count++] = pair(STR(":scheme"), STR("http"));
    fields[count++] = pair(STR(":path"), t->target);
    fields[count++] = pair(STR(":authority"), t->authority);
    if (websocket) {
        fields[count++] = pair(STR(":protocol"), STR("websocket"));
    }
    for (size_t i = 0; i < t->count; i++) {
        fields[count++] = pair(t->fields[i].name, t->fields[i].value);
    }
    if (has_body && (t->flags & KNOWN_LENGTH) != 0) {
        (void)snprintf(length, sizeof length, "%zu", t->body.len);
        fields[count++] = pair(STR("content-length"), str_of(length));
    }
    /* A length of 0 is a request without a body in HTTP/1.1. */
    bool ends = !has_body || ((t->flags & KNOWN_LENGTH) != 0 && t->body.len == 0);
    const nghttp2_data_provider body = {.source.ptr = t, .read_callback = on_body};
    const nghttp2_data_provider open = {.source.ptr = t, .read_callback = on_tunnel};
    CHECK(nghttp2_submit_request(client, NULL, fields, count,
                                 websocket ? &open
                                 : ends    ? NULL
                                           : &body,
                                 NULL) > 0);
}

static void tell_h2(struct told *t, struct front *f, struct heard *heard)
{
    *heard = (struct heard){0};
    nghttp2_session *client = client_new(heard);
    submit(client, t);
    front_open(f, true, true);
    bool moved = true;
    while (moved) {
        const uint8_t *bytes;
        ssize_t len = nghttp2_session_mem_send(client, &bytes);
        CHECK(len >= 0);
        moved = len > 0;
        front_give(f, bytes, (size_t)len);
        if (f->out.len > 0) {
            ssize_t used =
                nghttp2_session_mem_recv(client, (const uint8_t *)f->out.ptr, f->out.len);
            CHECK(used == (ssize_t)f->out.len);
            buf_consume(&f->out, f->out.len);
            moved = true;
        }
    }
    nghttp2_session_del(client);
}

/* The fields of a head as lines, in a form that both versions share. */
static void say_head(const struct front_request *r, struct buf *out)
{
    struct arena arena;
    struct head h;
    struct head_fault fault;
    struct limits wide = limits_default;
    size_t used;
    struct buf cookies = {0};
    bool has_cookie = false;
    wide.header_bytes_max = 1 << 20;
    wide.header_count_max = 1000;
    wide.uri_bytes_max = 1 << 20;
    arena_init(&arena, 0);
    /* One request and nothing behind it, as any service must read it. */
    CHECK(h1_parse_request(&h, &arena, r->head.ptr, r->head.len, &wide, &used, &fault) == H1_DONE);
    CHECK(used == r->head.len && head_check(&h).status == 0);
    CHECK(r->is_upgrade || h.chunked || h.content_length <= 0 || r->has_body);
    CHECK(r->is_upgrade || !r->has_body || h.chunked || h.content_length > 0 ||
          (r->is_h2 && h.content_length == 0));
    CHECK(!r->ended || h.content_length <= 0 || (uint64_t)h.content_length == r->body.len);
    buf_printf(out, "%.*s %.*s\n", STR_ARG(h.method), STR_ARG(h.target));
    for (uint32_t i = 0; i < h.count; i++) {
        struct head_field *field = &h.fields[i];
        if (str_eq_nocase(field->name, STR("cookie"))) {
            buf_add_str(&cookies, has_cookie ? STR("; ") : STR_NONE);
            has_cookie = true;
            buf_add_str(&cookies, field->value);
        } else if (str_eq(field->name, STR("Via"))) {
            /* Ours, the fields told have names in lower case. */
            CHECK(str_eq(field->value, r->is_h2 ? STR("2 wos") : STR("1.1 wos")));
        } else if (!str_eq_nocase(field->name, STR("sec-websocket-key")) &&
                   !(str_eq_nocase(field->name, STR("content-length")) && h.content_length == 0)) {
            buf_printf(out, "%.*s: ", STR_ARG(field->name));
            buf_add_str(out, field->value);
            buf_add_str(out, STR("\n"));
        }
    }
    buf_add_str(out, STR("cookies: "));
    buf_add_str(out, str_trim(buf_str(&cookies)));
    buf_fini(&cookies);
    arena_fini(&arena);
}

static unsigned status_of(const struct front *f)
{
    uint64_t status;
    CHECK(f->out.len >= 12 && memcmp(f->out.ptr, "HTTP/1.1 ", 9) == 0);
    CHECK(str_to_u64((struct str){f->out.ptr + 9, 3}, &status));
    return (unsigned)status;
}

static void compare(const struct told *t, const struct front *one, const struct front *two,
                    const struct heard *heard)
{
    CHECK(one->count == two->count); /* refused, or not */
    if (one->count == 0) {
        unsigned status = status_of(one);
        CHECK(status >= 400);
        CHECK(heard->status == 0 || heard->status == status || (status == 400 && heard->closed));
        return;
    }
    const struct front_request *a = &one->requests[0];
    const struct front_request *b = &two->requests[0];
    struct buf text[2] = {{0}, {0}};
    say_head(a, &text[0]);
    say_head(b, &text[1]);
    if (!str_eq(buf_str(&text[0]), buf_str(&text[1]))) {
        (void)fprintf(stderr, "HTTP/1.1:\n%.*s\nHTTP/2:\n%.*s\n", STR_ARG(text[0]),
                      STR_ARG(text[1]));
    }
    CHECK(str_eq(buf_str(&text[0]), buf_str(&text[1])));
    CHECK(a->is_upgrade == b->is_upgrade);
    CHECK(str_eq(buf_str(&a->body), buf_str(&b->body)));
    if ((t->flags & WEBSOCKET) == 0) {
        CHECK(a->ended == b->ended);
        CHECK(!a->ended || str_eq(buf_str(&a->trailers), buf_str(&b->trailers)));
        CHECK(!a->ended || (status_of(one) == 200 && heard->status == 200 && heard->error == 0));
    }
    buf_fini(&text[0]);
    buf_fini(&text[1]);
}

/* A tunnel of no bytes: not begun before its end is there, and ended by a deadline. */
static bool waits_for_end(const struct told *t)
{
    for (size_t i = 0; i < t->count; i++) {
        if (str_eq(t->fields[i].name, STR("content-length"))) {
            return (t->flags & WEBSOCKET) != 0 && str_eq(t->fields[i].value, STR("0"));
        }
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct front one;
    static struct front two;
    struct told told;
    struct heard heard;
    if (size < 3) {
        return 0;
    }
    told_init(&told, data, size);
    tell_h2(&told, &two, &heard);
    CHECK(two.count <= 1);
    if (two.count == 1) {
        /* Refused by neither: nothing of it may break a line. */
        struct buf text = {0};
        say_head(&two.requests[0], &text);
        buf_fini(&text);
    } else {
        CHECK(heard.status >= 400 || heard.closed || two.over || waits_for_end(&told));
    }
    if (is_common(&told)) {
        tell_h1(&told, &one);
        compare(&told, &one, &two, &heard);
        front_close(&one);
    }
    front_close(&two);
    arena_fini(&told.arena);
    return 0;
}
