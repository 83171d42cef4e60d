/* head_h2: see head_h2.h. Worker threads; no state.
 *
 * The request is made from the text that head_write_request gives: one place decides what a
 * service gets to see of a request, whatever it speaks.
 */
#include "gateway/head_h2.h"

#include "base/auto.h"

static nghttp2_nv field_of(struct str name, struct str value)
{
    /* nghttp2 copies both before the submit returns and writes to neither. */
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.ptr, (uint8_t *)(uintptr_t)value.ptr, name.len,
                        value.len, NGHTTP2_NV_FLAG_NONE};
}

static struct str lower_copy(struct arena *arena, struct str name)
{
    char *copy = arena_try_alloc(arena, name.len);
    if (copy == NULL) {
        return STR("");
    }
    for (size_t i = 0; i < name.len; i++) {
        copy[i] = ascii_lower(name.ptr[i]);
    }
    return (struct str){copy, name.len};
}

/* "Name: value" up to CRLF; false at the empty line. */
static bool next_field(struct str *text, struct str *out_name, struct str *out_value)
{
    size_t end = str_find(*text, '\r');
    struct str line = {text->ptr, end};
    size_t colon = str_find(line, ':');
    CHECK(end + 2 <= text->len);
    text->ptr += end + 2;
    text->len -= end + 2;
    if (line.len == 0) {
        return false;
    }
    CHECK(colon < line.len);
    *out_name = (struct str){line.ptr, colon};
    *out_value = str_trim((struct str){line.ptr + colon + 1, line.len - colon - 1});
    return true;
}

/* What HTTP/2 says in frames or pseudo fields (RFC 9113 8.2.2). */
static bool is_framing(struct str name, bool is_connect)
{
    static const struct str names[] = {
        {"connection", 10},
        {"upgrade", 7},
        {"transfer-encoding", 17},
    };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (str_eq(name, names[i])) {
            return true;
        }
    }
    return is_connect &&
           (str_eq(name, STR("sec-websocket-key")) || str_eq(name, STR("content-length")));
}

struct h2_fields head_to_h2(struct wbuf_pool *pool, struct arena *arena, const struct head *h,
                            const struct head_forward *fwd)
{
    enum { ADDED = 24 }; /* pseudo fields and those head_write_request adds */
    struct wbuf out = {0};
    bool is_connect = fwd->upgrade_from_h2;
    head_write_request(pool, &out, h, fwd);
    size_t cap = (size_t)h->count + ADDED;
    struct h2_fields fields = {arena_try_alloc(arena, cap * sizeof(nghttp2_nv)), 0};
    struct str text = {.len = wbuf_len(&out)};
    char *copy = arena_try_alloc(arena, text.len);
    if (copy != NULL && !out.failed) {
        text.ptr = memcpy(copy, wbuf_data(&out), text.len);
    }
    arena->failed = arena->failed || out.failed;
    wbuf_release(pool, &out);
    if (arena->failed) {
        return fields;
    }
    fields.items[fields.count++] =
        field_of(STR(":method"), is_connect ? STR("CONNECT") : h->method);
    if (is_connect) {
        fields.items[fields.count++] = field_of(STR(":protocol"), STR("websocket"));
    }
    fields.items[fields.count++] = field_of(STR(":scheme"), STR("http"));
    fields.items[fields.count++] = field_of(STR(":path"), h->target);
    size_t authority = fields.count++;
    fields.items[authority] = field_of(STR(":authority"), h->host_text);
    size_t line = str_find(text, '\n') + 1;
    text = (struct str){text.ptr + line, text.len - line};
    struct str name;
    struct str value;
    while (next_field(&text, &name, &value)) {
        name = lower_copy(arena, name);
        if (str_eq(name, STR("host"))) {
            fields.items[authority] = field_of(STR(":authority"), value);
        } else if (!is_framing(name, is_connect)) {
            CHECK(fields.count < cap);
            fields.items[fields.count++] = field_of(name, value);
        }
    }
    return fields;
}

struct h2_fields head_trailers_to_h2(struct arena *arena, const struct head *trailers)
{
    struct h2_fields fields = {0};
    if (trailers == NULL || trailers->count == 0) {
        return fields;
    }
    fields.items = arena_try_alloc(arena, trailers->count * sizeof(nghttp2_nv));
    if (fields.items == NULL) {
        return fields;
    }
    for (uint32_t i = 0; i < trailers->count; i++) {
        const struct head_field *f = &trailers->fields[i];
        if (head_trailer_allowed(f->name) && head_value_is_legal(f->value)) {
            fields.items[fields.count++] = field_of(lower_copy(arena, f->name), f->value);
        }
    }
    return fields;
}
