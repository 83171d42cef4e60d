/* h1: see h1.h. Worker threads; no state of its own. */
#include "gateway/h1.h"

#include <endian.h>

#include "base/auto.h"

enum { EMPTY_LINES_MAX = 4, CHUNK_LINE_MAX = 4096 };

static const char *const why_ctl = "a lone CR, LF or a NUL in the head";

/* Index of the first byte below 0x10 from `at` on, or len. A byte below borrows from those above it
 * only, so the lowest mark is right. */
static size_t find_control(const char *data, size_t len, size_t at)
{
    const uint64_t ones = UINT64_MAX / 255;
    uint64_t eight;
    for (; len - at >= sizeof eight; at += sizeof eight) {
        memcpy(&eight, data + at, sizeof eight);
        eight = le64toh(eight);
        uint64_t marks = (eight - ones * 0x10) & ~eight & ones * 0x80;
        if (marks != 0) {
            return at + (size_t)__builtin_ctzll(marks) / 8;
        }
    }
    while (at < len && (uint8_t)data[at] >= 0x10) {
        at++;
    }
    return at;
}

/* Length of the head up to and with its empty line; 0 if not there yet. A
 * bare LF, a bare CR or a NUL on the way is a fault. */
static size_t head_length(const char *data, size_t len, bool *out_bad)
{
    size_t line = 0; /* where the present one begins */
    size_t at = find_control(data, len, 0);
    while (at < len) {
        char c = data[at];
        if (c == '\r' && at + 1 == len) {
            return 0; /* its LF may still come */
        }
        if (c == '\n' || c == '\0' || (c == '\r' && data[at + 1] != '\n')) {
            *out_bad = true;
            return 0;
        }
        if (c == '\r' && at == line) {
            return at + 2;
        }
        at += c == '\r' ? 2 : 1;
        line = c == '\r' ? at : line;
        at = find_control(data, len, at);
    }
    return 0;
}

/* Cuts the next CRLF-ended line off *rest (all are there: head_length said so). */
static struct str next_line(struct str *rest)
{
    struct str line = {rest->ptr, 0};
    const char *lf = memchr(rest->ptr, '\n', rest->len);
    CHECK(lf != NULL && lf > rest->ptr);
    line.len = (size_t)(lf - rest->ptr) - 1;
    rest->len -= line.len + 2;
    rest->ptr += line.len + 2;
    return line;
}

static struct head_fault fault(uint16_t status, const char *why)
{
    return (struct head_fault){status, why};
}

static struct head_fault parse_fields(struct head *h, struct arena *arena, struct str rest,
                                      const struct limits *limits, uint16_t bad)
{
    for (;;) {
        struct str line = next_line(&rest);
        if (line.len == 0) {
            h->fields_are_legal = true;
            return fault(0, NULL);
        }
        if (line.ptr[0] == ' ' || line.ptr[0] == '\t') {
            return fault(bad, "folded field line");
        }
        size_t colon = head_token_length(line);
        struct str name = {line.ptr, colon};
        if (colon == 0 || colon == line.len || line.ptr[colon] != ':') {
            bool has_colon = str_find(line, ':') < line.len;
            return fault(bad, has_colon ? "malformed field name" : "field line without a colon");
        }
        struct str value = str_trim((struct str){line.ptr + colon + 1, line.len - colon - 1});
        if (!head_value_is_legal(value)) {
            return fault(bad, "control byte in a field value");
        }
        if (!head_add(h, arena, name, value, limits->header_count_max)) {
            return fault(bad == 502 ? 502 : 431, "too many header fields");
        }
    }
}

/* "HTTP/1.0" or "HTTP/1.1"; other 1.x are spoken to as 1.1 (RFC 9110 2.5). */
static struct head_fault parse_version(struct head *h, struct str text)
{
    if (text.len != 8 || memcmp(text.ptr, "HTTP/", 5) != 0 || !ascii_is_digit(text.ptr[5]) ||
        text.ptr[6] != '.' || !ascii_is_digit(text.ptr[7])) {
        return fault(400, "malformed HTTP version");
    }
    if (text.ptr[5] != '1') {
        return fault(505, "HTTP version not supported");
    }
    h->minor = text.ptr[7] == '0' ? 0 : 1;
    return fault(0, NULL);
}

/* RFC 9112 3.2.2: absolute-form. The authority ends at '/', '?' or the end. Where there is
 * no path, the origin-form of it begins with one, or is the "*" of OPTIONS (3.2.4). */
static void split_absolute(struct head *h, struct arena *arena)
{
    size_t skip = 0;
    if (h->target.len > 7 && str_eq_nocase((struct str){h->target.ptr, 7}, STR("http://"))) {
        skip = 7;
    } else if (h->target.len > 8 &&
               str_eq_nocase((struct str){h->target.ptr, 8}, STR("https://"))) {
        skip = 8;
    } else {
        return;
    }
    struct str rest = {h->target.ptr + skip, h->target.len - skip};
    size_t slash = str_find(rest, '/');
    size_t query = str_find(rest, '?');
    size_t end = slash < query ? slash : query;
    if (end == 0) {
        return; /* no host: refused as a malformed target */
    }
    struct str path = {rest.ptr + end, rest.len - end};
    h->scheme = (struct str){h->target.ptr, skip - 3};
    h->authority = (struct str){rest.ptr, end};
    if (path.len == 0) {
        h->target = str_eq(h->method, STR("OPTIONS")) ? STR("*") : STR("/");
    } else if (path.ptr[0] == '?') {
        h->target = str_of(arena_try_printf(arena, "/%.*s", STR_ARG(path)));
    } else {
        h->target = path;
    }
}

static struct head_fault parse_request_line(struct head *h, struct arena *arena, struct str line,
                                            const struct limits *limits)
{
    size_t first = str_find(line, ' ');
    h->method = (struct str){line.ptr, first};
    if (first == line.len || !head_is_token(h->method)) {
        return fault(400, "malformed request line");
    }
    struct str rest = {line.ptr + first + 1, line.len - first - 1};
    size_t second = str_find(rest, ' ');
    if (second == rest.len || second == 0) {
        return fault(400, "malformed request line");
    }
    h->target = (struct str){rest.ptr, second};
    struct head_fault found =
        parse_version(h, (struct str){rest.ptr + second + 1, rest.len - second - 1});
    if (found.status != 0) {
        return found;
    }
    if (h->target.len > limits->uri_bytes_max) {
        return fault(414, "request target too long");
    }
    split_absolute(h, arena);
    return fault(0, NULL);
}

static struct head_fault parse_status_line(struct head *h, struct str line)
{
    if (line.len < 12 || line.ptr[8] != ' ' ||
        parse_version(h, (struct str){line.ptr, 8}).status != 0) {
        return fault(502, "malformed status line");
    }
    uint16_t status;
    if (!str_to_u16((struct str){line.ptr + 9, 3}, &status) ||
        (line.len > 12 && line.ptr[12] != ' ')) {
        return fault(502, "malformed status line");
    }
    h->status = status;
    if (line.len > 13) {
        h->reason = (struct str){line.ptr + 13, line.len - 13};
        if (!head_value_is_legal(h->reason)) {
            return fault(502, "control byte in the reason phrase");
        }
    }
    return fault(0, NULL);
}

/* Finds the whole head and copies it into the arena. */
static enum h1_result take_head(struct arena *arena, const char *data, size_t len,
                                const struct limits *limits, uint16_t bad, struct str *out_head,
                                struct head_fault *out_fault)
{
    bool bad_byte = false;
    size_t head_len = head_length(data, len, &bad_byte);
    if (bad_byte) {
        *out_fault = fault(bad, why_ctl);
        return H1_FAULT;
    }
    if (head_len > limits->header_bytes_max || (head_len == 0 && len > limits->header_bytes_max)) {
        /* Where the start line alone is too long the client should know it. */
        bool one_line = bad != 502 && memchr(data, '\n', limits->header_bytes_max) == NULL;
        *out_fault = one_line ? fault(414, "request target too long")
                              : fault(bad == 502 ? 502 : 431, "header section too large");
        return H1_FAULT;
    }
    if (head_len == 0) {
        return H1_MORE;
    }
    char *copy = arena_try_alloc(arena, head_len);
    if (copy == NULL) {
        *out_fault = fault(503, "out of memory");
        return H1_FAULT;
    }
    memcpy(copy, data, head_len);
    *out_head = (struct str){copy, head_len};
    return H1_DONE;
}

enum h1_result h1_parse_request(struct head *h, struct arena *arena, const char *data, size_t len,
                                const struct limits *limits, size_t *out_used,
                                struct head_fault *out_fault)
{
    size_t skip = 0;
    for (int i = 0; i < EMPTY_LINES_MAX; i++) {
        if (len - skip >= 2 && data[skip] == '\r' && data[skip + 1] == '\n') {
            skip += 2;
        }
    }
    struct str rest;
    enum h1_result result =
        take_head(arena, data + skip, len - skip, limits, 400, &rest, out_fault);
    if (result != H1_DONE) {
        return result;
    }
    *out_used = skip + rest.len;
    head_init(h, true);
    struct str line = next_line(&rest);
    *out_fault = parse_request_line(h, arena, line, limits);
    if (out_fault->status == 0) {
        *out_fault = parse_fields(h, arena, rest, limits, 400);
    }
    if (arena->failed) {
        *out_fault = fault(503, "out of memory");
    }
    return out_fault->status == 0 ? H1_DONE : H1_FAULT;
}

enum h1_result h1_parse_response(struct head *h, struct arena *arena, const char *data, size_t len,
                                 const struct limits *limits, size_t *out_used,
                                 struct head_fault *out_fault)
{
    struct str rest;
    enum h1_result result = take_head(arena, data, len, limits, 502, &rest, out_fault);
    if (result != H1_DONE) {
        return result;
    }
    *out_used = rest.len;
    head_init(h, false);
    struct str line = next_line(&rest);
    *out_fault = parse_status_line(h, line);
    if (out_fault->status == 0) {
        *out_fault = parse_fields(h, arena, rest, limits, 502);
    }
    if (arena->failed) {
        *out_fault = fault(503, "out of memory");
    }
    return out_fault->status == 0 ? H1_DONE : H1_FAULT;
}

enum h1_framing h1_response_framing(struct str method, const struct head *h, uint64_t *out_length)
{
    *out_length = 0;
    if (str_eq(method, STR("HEAD")) || h->status == 204 || h->status == 304) {
        return H1_BODY_NONE;
    }
    if (h->chunked) {
        return H1_BODY_CHUNKED;
    }
    if (h->content_length != LENGTH_NONE) {
        *out_length = (uint64_t)h->content_length;
        return h->content_length == 0 ? H1_BODY_NONE : H1_BODY_LENGTH;
    }
    return H1_BODY_CLOSE;
}

void h1_body_init(struct h1_body *body, enum h1_framing framing, uint64_t length)
{
    *body = (struct h1_body){.framing = framing, .left = length};
    body->done = framing == H1_BODY_NONE || (framing == H1_BODY_LENGTH && length == 0);
}

static int hex_value(char c)
{
    if (ascii_is_digit(c)) {
        return c - '0';
    }
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* chunk-size [ chunk-ext ] CRLF. Extensions are dropped (RFC 9112 7.1.1). */
static enum h1_result read_chunk_size(struct h1_body *body, struct str data, size_t *out_used)
{
    uint64_t size = 0;
    size_t i = 0;
    for (; i < data.len && hex_value(data.ptr[i]) >= 0; i++) {
        /* 15 digits behind leading zeros, of which there may be any number that fits: one more
         * would overflow what a length can be. */
        if (size >> (14 * 4) != 0 || i >= CHUNK_LINE_MAX) {
            return H1_FAULT;
        }
        size = size * 16 + (uint64_t)hex_value(data.ptr[i]);
    }
    if (i == data.len) {
        return H1_MORE;
    }
    if (i == 0) {
        return H1_FAULT;
    }
    size_t digits = i;
    while (i < data.len && (data.ptr[i] == ' ' || data.ptr[i] == '\t')) {
        i++; /* BWS belongs to an extension; some old servers pad the size with it */
    }
    bool padded = body->strict && i > digits;
    if (i < data.len && data.ptr[i] != ';' && (data.ptr[i] != '\r' || padded)) {
        return H1_FAULT;
    }
    for (; i < data.len && i < CHUNK_LINE_MAX; i++) {
        uint8_t c = (uint8_t)data.ptr[i];
        if (c == '\r') {
            if (i + 1 == data.len) {
                return H1_MORE;
            }
            if (data.ptr[i + 1] != '\n') {
                return H1_FAULT;
            }
            *out_used = i + 2;
            body->left = size;
            body->chunk = size == 0 ? CHUNK_TRAILERS : CHUNK_DATA;
            return H1_DONE;
        }
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return H1_FAULT;
        }
    }
    return i >= CHUNK_LINE_MAX ? H1_FAULT : H1_MORE;
}

static enum h1_result read_trailers(struct h1_body *body, struct arena *arena, struct str data,
                                    const struct limits *limits, size_t *out_used)
{
    struct str rest;
    struct head_fault found;
    enum h1_result result = take_head(arena, data.ptr, data.len, limits, 400, &rest, &found);
    if (result != H1_DONE) {
        return result;
    }
    *out_used = rest.len;
    if (rest.len > 2) {
        body->trailers = arena_try_alloc(arena, sizeof *body->trailers);
        if (body->trailers == NULL) {
            return H1_FAULT;
        }
        head_init(body->trailers, false);
        if (parse_fields(body->trailers, arena, rest, limits, 400).status != 0) {
            return H1_FAULT;
        }
    }
    body->done = true;
    return H1_DONE;
}

static enum h1_result read_chunked(struct h1_body *body, struct arena *arena, struct str data,
                                   const struct limits *limits, struct str *out_piece,
                                   size_t *out_used)
{
    size_t used = 0;
    while (used < data.len) {
        struct str rest = {data.ptr + used, data.len - used};
        size_t step = 0;
        enum h1_result result = H1_DONE;
        switch (body->chunk) {
        case CHUNK_SIZE:
            result = read_chunk_size(body, rest, &step);
            break;
        case CHUNK_DATA:
            step = rest.len < body->left ? rest.len : (size_t)body->left;
            *out_piece = (struct str){rest.ptr, step};
            body->left -= step;
            if (body->left == 0) {
                body->chunk = CHUNK_END;
            }
            *out_used = used + step;
            return H1_MORE;
        case CHUNK_END:
            if (rest.ptr[0] != '\r' || (rest.len > 1 && rest.ptr[1] != '\n')) {
                return H1_FAULT;
            }
            result = rest.len > 1 ? H1_DONE : H1_MORE;
            step = 2;
            body->chunk = rest.len > 1 ? CHUNK_SIZE : CHUNK_END;
            break;
        case CHUNK_TRAILERS:
            result = read_trailers(body, arena, rest, limits, &step);
            if (result == H1_DONE) {
                *out_used = used + step;
                return H1_DONE;
            }
            break;
        }
        if (result != H1_DONE) {
            *out_used = used;
            return result;
        }
        used += step;
    }
    *out_used = used;
    return H1_MORE;
}

enum h1_result h1_body_read(struct h1_body *body, struct arena *arena, const char *data, size_t len,
                            const struct limits *limits, struct str *out_piece, size_t *out_used)
{
    *out_piece = STR_NONE;
    *out_used = 0;
    if (body->done) {
        return H1_DONE;
    }
    switch (body->framing) {
    case H1_BODY_CHUNKED:
        return read_chunked(body, arena, (struct str){data, len}, limits, out_piece, out_used);
    case H1_BODY_LENGTH:
        *out_used = len < body->left ? len : (size_t)body->left;
        *out_piece = (struct str){data, *out_used};
        body->left -= *out_used;
        body->done = body->left == 0;
        return body->done ? H1_DONE : H1_MORE;
    case H1_BODY_CLOSE:
        *out_used = len;
        *out_piece = (struct str){data, len};
        return H1_MORE;
    case H1_BODY_NONE:
        break;
    }
    body->done = true;
    return H1_DONE;
}
