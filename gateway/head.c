/* head: see head.h. Worker threads; no state. */
#include "gateway/head.h"

#include <stdio.h>

#include "base/auto.h"

/* Longer than any method in use; RFC 9112 3 asks for a 501. */
enum { METHOD_MAX = 64, FORWARDS_MAX = 9999 };

void head_init(struct head *h, bool is_request)
{
    *h = (struct head){.is_request = is_request,
                       .minor = 1,
                       .content_length = LENGTH_NONE,
                       .max_forwards = FORWARDS_ANY};
}

bool head_add(struct head *h, struct arena *arena, struct str name, struct str value,
              uint32_t count_max)
{
    if (h->count >= count_max) {
        return false;
    }
    if (h->count == h->cap) {
        uint32_t cap = h->cap == 0 ? 24 : h->cap * 2;
        struct head_field *grown = arena_try_alloc(arena, cap * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        if (h->count > 0) {
            memcpy(grown, h->fields, h->count * sizeof *grown);
        }
        h->fields = grown;
        h->cap = cap;
    }
    h->fields[h->count++] = (struct head_field){name, value};
    return true;
}

const struct head_field *head_find(const struct head *h, struct str name)
{
    for (uint32_t i = 0; i < h->count; i++) {
        if (str_eq_nocase(h->fields[i].name, name)) {
            return &h->fields[i];
        }
    }
    return NULL;
}

static const bool token_bytes[256] = {
    ['!'] = true,         ['#'] = true,         ['$'] = true,         ['%'] = true, ['&'] = true,
    ['\''] = true,        ['*'] = true,         ['+'] = true,         ['-'] = true, ['.'] = true,
    ['^'] = true,         ['_'] = true,         ['`'] = true,         ['|'] = true, ['~'] = true,
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
};

size_t head_token_length(struct str s)
{
    size_t i = 0;
    while (i < s.len && token_bytes[(uint8_t)s.ptr[i]]) {
        i++;
    }
    return i;
}

/* Does one of these eight bytes lie below 0x20, or is 0x7f? Exact: a byte below n borrows into its
 * own top bit, and bytes with that bit set are masked out. */
static bool has_control(const char *eight)
{
    const uint64_t ones = UINT64_MAX / 255;
    uint64_t bytes;
    memcpy(&bytes, eight, sizeof bytes);
    uint64_t flipped = bytes ^ (ones * 0x7f);
    return ((((bytes - ones * 0x20) & ~bytes) | ((flipped - ones) & ~flipped)) & (ones * 0x80)) !=
           0;
}

/* RFC 9110 5.5: no control bytes but HTAB; obs-text passes. */
bool head_value_is_legal(struct str s)
{
    size_t i = 0;
    while (s.len - i >= 8 && !has_control(s.ptr + i)) {
        i += 8;
    }
    for (; i < s.len; i++) {
        uint8_t c = (uint8_t)s.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

/* RFC 3986 has neither blanks nor bytes beyond ASCII, and a target no fragment. */
static bool target_is_legal(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.ptr[i];
        if (c <= 0x20 || c >= 0x7f || c == '#') {
            return false;
        }
    }
    return s.len > 0;
}

static struct head_fault fault(uint16_t status, const char *why)
{
    return (struct head_fault){status, why};
}

/* RFC 9110 8.6 and 9112 6.3: one decimal number; a list of equal ones is refused too. */
static struct head_fault check_length(struct head *h, struct str value)
{
    uint64_t length;
    if (!str_to_u64(value, &length) || length > INT64_MAX) {
        return fault(400, "malformed Content-Length");
    }
    if (h->content_length != LENGTH_NONE) {
        return fault(400, "more than one Content-Length");
    }
    h->content_length = (int64_t)length;
    return fault(0, NULL);
}

static struct head_fault check_coding(struct head *h, struct str value)
{
    if (h->is_h2 || h->minor == 0) {
        return fault(400, "Transfer-Encoding is not allowed in this version");
    }
    if (h->chunked) {
        return fault(400, "more than one Transfer-Encoding");
    }
    if (str_eq_nocase(value, STR("chunked"))) {
        h->chunked = true;
        return fault(0, NULL);
    }
    struct str part;
    struct str last = STR_NONE;
    bool chunked_before = false;
    while (str_next(&value, ',', &part)) {
        chunked_before = chunked_before || str_eq_nocase(last, STR("chunked"));
        last = str_trim(part);
    }
    if (chunked_before || !str_eq_nocase(last, STR("chunked"))) {
        return fault(400, "chunked must be the last and only chunked coding");
    }
    return fault(501, "unknown transfer coding");
}

static struct head_fault check_connection(struct head *h, struct str value)
{
    if (h->is_h2) {
        return fault(400, "Connection is not allowed in HTTP/2");
    }
    if (h->connection_count++ == 0) {
        h->connection = value;
    }
    h->wants_close = h->wants_close || str_list_has(value, STR("close"));
    h->wants_keep_alive = h->wants_keep_alive || str_list_has(value, STR("keep-alive"));
    h->wants_upgrade = h->wants_upgrade || str_list_has(value, STR("upgrade"));
    return fault(0, NULL);
}

/* RFC 9110 10.1.1: 100-continue is the only expectation there is; HTTP/1.0 has none. */
static struct head_fault check_expect(struct head *h, struct str value)
{
    if (!h->is_h2 && h->minor == 0) {
        return fault(0, NULL);
    }
    h->expects_continue = str_eq_nocase(value, STR("100-continue"));
    return h->expects_continue ? fault(0, NULL) : fault(417, "unknown expectation");
}

/* RFC 9110 7.6.2: a hop that forwards OPTIONS or TRACE counts down. */
static struct head_fault check_max_forwards(struct head *h, struct str value)
{
    uint64_t count;
    if (!str_eq(h->method, STR("OPTIONS")) && !str_eq(h->method, STR("TRACE"))) {
        return fault(0, NULL);
    }
    if (!str_to_u64(value, &count) || h->max_forwards != FORWARDS_ANY) {
        return fault(400, "malformed Max-Forwards");
    }
    h->max_forwards = count < FORWARDS_MAX ? (int32_t)count : FORWARDS_MAX;
    return fault(0, NULL);
}

static struct head_fault check_field(struct head *h, const struct head_field *f, bool *has_host)
{
    /* Only names of these lengths mean anything to a proxy. */
    switch (f->name.len) {
    case 2:
        if (str_eq_nocase(f->name, STR("te"))) {
            h->te_trailers = str_list_has(f->value, STR("trailers"));
            if (h->is_h2 && !str_eq_nocase(f->value, STR("trailers"))) {
                return fault(400, "TE allows only trailers in HTTP/2");
            }
        }
        break;
    case 4:
        if (h->is_request && str_eq_nocase(f->name, STR("host"))) {
            if (*has_host) {
                return fault(400, "more than one Host");
            }
            *has_host = true;
            h->host_text = f->value;
        }
        break;
    case 6:
        if (h->is_request && str_eq_nocase(f->name, STR("expect"))) {
            return check_expect(h, f->value);
        }
        break;
    case 7:
        if (str_eq_nocase(f->name, STR("upgrade"))) {
            h->upgrade = f->value;
        }
        break;
    case 10:
        if (str_eq_nocase(f->name, STR("connection"))) {
            return check_connection(h, f->value);
        }
        break;
    case 12:
        if (h->is_request && str_eq_nocase(f->name, STR("max-forwards"))) {
            return check_max_forwards(h, f->value);
        }
        break;
    case 14:
        if (str_eq_nocase(f->name, STR("content-length"))) {
            return check_length(h, f->value);
        }
        break;
    case 17:
        if (str_eq_nocase(f->name, STR("transfer-encoding"))) {
            return check_coding(h, f->value);
        }
        break;
    default:
        break;
    }
    return fault(0, NULL);
}

static struct head_fault check_fields(struct head *h, bool *has_host)
{
    for (uint32_t i = 0; i < h->count; i++) {
        const struct head_field *f = &h->fields[i];
        if (!h->fields_are_legal && !head_is_token(f->name)) {
            return fault(400, "malformed field name");
        }
        if (!h->fields_are_legal && !head_value_is_legal(f->value)) {
            return fault(400, "control byte in a field value");
        }
        struct head_fault found = check_field(h, f, has_host);
        if (found.status != 0) {
            return found;
        }
    }
    if (h->chunked && h->content_length != LENGTH_NONE) {
        return fault(400, "both Content-Length and Transfer-Encoding");
    }
    /* h2c ends at this hop: what follows it would be frames nobody checks. */
    h->wants_upgrade =
        h->wants_upgrade && head_is_token(h->upgrade) && !str_eq_nocase(h->upgrade, STR("h2c"));
    return fault(0, NULL);
}

static struct head_fault check_target(struct head *h)
{
    if (h->is_h2 && h->protocol.len == 0 && str_eq(h->method, STR("CONNECT"))) {
        return fault(405, "CONNECT is not served here"); /* RFC 9113 8.5: has no :path */
    }
    if (h->is_h2 && !str_eq_nocase(h->scheme, STR("https")) &&
        !str_eq_nocase(h->scheme, STR("http"))) {
        return fault(421, "only http and https are served here");
    }
    if (!target_is_legal(h->target)) {
        return fault(400, "malformed request target");
    }
    if (str_eq(h->method, STR("CONNECT"))) {
        if (h->is_h2 && str_eq(h->protocol, STR("websocket"))) {
            /* It becomes the target of a GET: an absolute one would name another host. */
            return h->target.ptr[0] == '/' ? fault(0, NULL)
                                           : fault(400, "malformed request target");
        }
        return fault(h->protocol.len > 0 ? 501 : 405, "CONNECT is not served here");
    }
    if (h->protocol.len > 0) {
        return fault(400, ":protocol without CONNECT");
    }
    if (str_eq(h->target, STR("*"))) {
        return str_eq(h->method, STR("OPTIONS")) ? fault(0, NULL)
                                                 : fault(400, "malformed request target");
    }
    return h->target.ptr[0] == '/' ? fault(0, NULL) : fault(400, "malformed request target");
}

static struct head_fault check_host(struct head *h, bool has_host)
{
    bool old = h->minor == 0 && !h->is_h2;
    if (h->authority.len == 0 && !has_host) {
        return fault(400, old ? "HTTP/1.0 without Host cannot be routed" : "missing Host");
    }
    if (!has_host && !old && !h->is_h2) {
        return fault(400, "missing Host"); /* an absolute-form target does not replace it */
    }
    if (h->authority.len == 0) {
        return host_parse(h->host_text, &h->host) ? fault(0, NULL) : fault(400, "malformed Host");
    }
    struct host from_host;
    if (has_host && !host_parse(h->host_text, &from_host)) {
        return fault(400, "malformed Host");
    }
    if (!host_parse(h->authority, &h->host)) {
        return fault(400, "malformed authority");
    }
    /* Two names for one request is how requests are smuggled past a policy. */
    if (has_host &&
        (from_host.len != h->host.len || memcmp(from_host.name, h->host.name, from_host.len) != 0 ||
         from_host.port != h->host.port)) {
        return fault(400, "Host differs from the request target");
    }
    h->host_text = h->authority;
    return fault(0, NULL);
}

struct head_fault head_check(struct head *h)
{
    bool has_host = false;
    if (!head_is_token(h->method)) {
        return fault(400, "malformed method");
    }
    if (h->method.len > METHOD_MAX) {
        return fault(501, "unknown method");
    }
    struct head_fault found = check_target(h);
    if (found.status == 0) {
        found = check_fields(h, &has_host);
    }
    if (found.status == 0) {
        found = check_host(h, has_host);
    }
    if (h->minor == 0) {
        h->wants_close = h->wants_close || !h->wants_keep_alive;
        h->wants_upgrade = false;
    }
    return found;
}

struct head_fault head_check_response(struct head *h)
{
    bool has_host = false;
    if (h->status < 100 || h->status > 599) {
        return fault(502, "status out of range");
    }
    struct head_fault found = check_fields(h, &has_host);
    if (h->minor == 0) {
        h->wants_close = h->wants_close || !h->wants_keep_alive;
    }
    return found;
}

/* By name: between the check and the writing other fields are taken out of the list. */
static bool is_in_any_connection(const struct head *h, struct str name)
{
    for (uint32_t i = 0; i < h->count; i++) {
        const struct head_field *f = &h->fields[i];
        if (str_eq_nocase(f->name, STR("connection")) && str_list_has(f->value, name)) {
            return true;
        }
    }
    return false;
}

bool head_is_hop_by_hop(const struct head *h, struct str name)
{
    static const struct str names[] = {
        {"te", 2},
        {"upgrade", 7},
        {"keep-alive", 10},
        {"connection", 10},
        {"http2-settings", 14},
        {"proxy-connection", 16},
        {"transfer-encoding", 17},
        {"proxy-authorization", 19},
    };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (name.len == names[i].len && str_eq_nocase(name, names[i])) {
            return true;
        }
    }
    return h->connection_count > 0 && (str_list_has(h->connection, name) ||
                                       (h->connection_count > 1 && is_in_any_connection(h, name)));
}

struct str head_plain_name(struct str raw, char *text)
{
    for (size_t i = 0; i < raw.len; i++) {
        text[i] = raw.ptr[i] == '_' ? '-' : raw.ptr[i];
    }
    return (struct str){text, raw.len};
}

bool head_trailer_allowed(struct str raw)
{
    char text[32];
    struct str name = raw.len <= sizeof text ? head_plain_name(raw, text) : raw;
    if (name.len > 12 && str_eq_nocase((struct str){name.ptr, 12}, STR("x-forwarded-"))) {
        return false;
    }
    static const struct str refused[] = {
        {"te", 2},
        {"host", 4},
        {"age", 3},
        {"date", 4},
        {"vary", 4},
        {"range", 5},
        {"forwarded", 9},
        {"x-real-ip", 9},
        {"cookie", 6},
        {"expect", 6},
        {"pragma", 6},
        {"upgrade", 7},
        {"trailer", 7},
        {"expires", 7},
        {"location", 8},
        {"keep-alive", 10},
        {"connection", 10},
        {"set-cookie", 10},
        {"content-type", 12},
        {"x-wos-secret", 12},
        {"max-forwards", 12},
        {"authorization", 13},
        {"cache-control", 13},
        {"content-range", 13},
        {"content-length", 14},
        {"content-encoding", 16},
        {"www-authenticate", 16},
        {"proxy-connection", 16},
        {"transfer-encoding", 17},
        {"proxy-authorization", 19},
    };
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        if (str_eq_nocase(name, refused[i])) {
            return false;
        }
    }
    return head_is_token(raw);
}
