/* str: see str.h. Any thread. */
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"

/* Eight bytes in lower case. The sums do not leave their byte; 0x80 in `capital` marks A to Z. */
static uint64_t lower_eight(uint64_t bytes)
{
    const uint64_t ones = UINT64_MAX / 255;
    uint64_t low = bytes & ones * 0x7f;
    uint64_t capital = (low + ones * (0x80 - 'A')) & ~(low + ones * (0x7f - 'Z')) & ~bytes;
    return bytes | (capital & ones * 0x80) >> 2;
}

bool bytes_eq_nocase(const char *a, const char *b, size_t len)
{
    uint64_t x = 0;
    uint64_t y = 0;
    size_t i = 0;
    for (; len - i > sizeof x; i += sizeof x) {
        memcpy(&x, a + i, sizeof x);
        memcpy(&y, b + i, sizeof y);
        if (lower_eight(x) != lower_eight(y)) {
            return false;
        }
    }
    if (len >= sizeof x) { /* the end overlaps what is equal already */
        memcpy(&x, a + len - sizeof x, sizeof x);
        memcpy(&y, b + len - sizeof y, sizeof y);
    } else {
        for (; i < len; i++) {
            x = x << 8 | (uint8_t)a[i];
            y = y << 8 | (uint8_t)b[i];
        }
    }
    return lower_eight(x) == lower_eight(y);
}

bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_eq((struct str){s.ptr, prefix.len}, prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.len >= suffix.len &&
           str_eq((struct str){s.ptr + (s.len - suffix.len), suffix.len}, suffix);
}

size_t str_find(struct str s, char c)
{
    const char *at = s.len == 0 ? NULL : memchr(s.ptr, c, s.len);
    return at == NULL ? s.len : (size_t)(at - s.ptr);
}

static bool is_ows(char c)
{
    return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
    while (s.len > 0 && is_ows(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && is_ows(s.ptr[s.len - 1])) {
        s.len--;
    }
    return s;
}

bool str_next(struct str *rest, char sep, struct str *out_part)
{
    if (rest->ptr == NULL) {
        return false;
    }
    size_t at = str_find(*rest, sep);
    *out_part = (struct str){rest->ptr, at};
    if (at == rest->len) {
        *rest = STR_NONE;
    } else {
        rest->ptr += at + 1;
        rest->len -= at + 1;
    }
    return true;
}

bool str_list_has(struct str list, struct str token)
{
    struct str part;
    while (str_next(&list, ',', &part)) {
        if (str_eq_nocase(str_trim(part), token)) {
            return true;
        }
    }
    return false;
}

bool str_to_u64(struct str s, uint64_t *out)
{
    uint64_t value = 0;
    if (s.len == 0) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (!ascii_is_digit(s.ptr[i]) || __builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.ptr[i] - '0'), &value)) {
            return false;
        }
    }
    *out = value;
    return true;
}

bool str_to_u16(struct str s, uint16_t *out)
{
    uint64_t value;
    if (!str_to_u64(s, &value) || value > UINT16_MAX) {
        return false;
    }
    *out = (uint16_t)value;
    return true;
}

static char *put_digits(char *to, uint64_t n, unsigned base)
{
    char digits[U64_DIGITS];
    size_t at = sizeof digits;
    do {
        digits[--at] = "0123456789abcdef"[n % base];
        n /= base;
    } while (n > 0);
    return str_put(to, (struct str){digits + at, sizeof digits - at});
}

char *u64_put(char *to, uint64_t n)
{
    return put_digits(to, n, 10);
}

char *u64_put_hex(char *to, uint64_t n)
{
    return put_digits(to, n, 16);
}

char *str_dup(struct str s)
{
    char *copy = xmalloc(s.len + 1);
    if (s.len > 0) {
        memcpy(copy, s.ptr, s.len);
    }
    copy[s.len] = '\0';
    return copy;
}

uint64_t str_hash(struct str s)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < s.len; i++) {
        hash ^= (uint8_t)s.ptr[i];
        hash *= 0x100000001b3u;
    }
    return hash;
}

/* False: there is no memory, and b may fail. */
static bool buf_grow(struct buf *b, size_t extra)
{
    size_t want;
    CHECK(!__builtin_add_overflow(b->len, extra, &want));
    if (b->failed) {
        return false;
    }
    if (want <= b->cap) {
        return true;
    }
    size_t cap = b->cap < 128 ? 128 : b->cap;
    while (cap < want) {
        CHECK(!__builtin_mul_overflow(cap, (size_t)2, &cap));
    }
    char *grown = b->may_fail ? realloc(b->ptr, cap) : xrealloc(b->ptr, cap);
    if (grown == NULL) {
        b->failed = true;
        return false;
    }
    b->ptr = grown;
    b->cap = cap;
    return true;
}

void buf_reserve(struct buf *b, size_t extra)
{
    (void)buf_grow(b, extra); /* b->failed, if it may */
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    if (len == 0 || !buf_grow(b, len)) {
        return;
    }
    memcpy(b->ptr + b->len, data, len);
    b->len += len;
}

void buf_add_str(struct buf *b, struct str s)
{
    buf_add(b, s.ptr, s.len);
}

void buf_add_text(struct buf *b, const char *text)
{
    buf_add(b, text, strlen(text));
}

void buf_add_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_list again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    CHECK(len >= 0);
    if (buf_grow(b, (size_t)len + 1)) {
        (void)vsnprintf(b->ptr + b->len, (size_t)len + 1, fmt, again);
        b->len += (size_t)len;
    }
    va_end(again);
}

void buf_consume(struct buf *b, size_t n)
{
    CHECK(n <= b->len);
    if (n == 0) {
        return;
    }
    memmove(b->ptr, b->ptr + n, b->len - n);
    b->len -= n;
}

const char *buf_cstr(struct buf *b)
{
    CHECK(!b->may_fail); /* there may be no room for the NUL */
    buf_reserve(b, 1);
    b->ptr[b->len] = '\0';
    return b->ptr;
}

char *buf_take(struct buf *b)
{
    (void)buf_cstr(b);
    char *taken = b->ptr;
    *b = (struct buf){0};
    return taken;
}

void buf_fini(struct buf *b)
{
    free(b->ptr);
    *b = (struct buf){0};
}
