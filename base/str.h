/* str: slices of bytes that somebody else owns.
 *
 * Everything that comes from a peer is a `struct str`: it may hold any byte
 * and is not NUL-terminated. A slice lives exactly as long as the buffer or
 * arena it points into. `struct buf` is the growing counterpart that owns.
 * Comparisons that ignore case do so for ASCII only, whatever the locale.
 */
#ifndef WOS_BASE_STR_H
#define WOS_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *ptr; /* borrowed */
    size_t len;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_NONE ((struct str){NULL, 0})
/* For printf("%.*s", STR_ARG(s)); lengths beyond INT_MAX are cut. */
#define STR_ARG(s) (int)((s).len > 0x7fffffff ? 0x7fffffff : (s).len), (s).ptr

static inline struct str str_of(const char *text)
{
    return (struct str){text, text == NULL ? 0 : strlen(text)};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline char ascii_lower(char c)
{
    return (c >= 'A' && c <= 'Z') ? (char)(c - 'A' + 'a') : c;
}

static inline bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool bytes_eq_nocase(const char *a, const char *b, size_t len);
static inline bool str_eq_nocase(struct str a, struct str b)
{
    return a.len == b.len && bytes_eq_nocase(a.ptr, b.ptr, a.len); /* mostly the lengths tell */
}
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
/* Index of the first `c`, or s.len. */
size_t str_find(struct str s, char c);
/* Without spaces and tabs at both ends (the OWS of RFC 9110). */
struct str str_trim(struct str s);
/* Cuts the part before the first `sep` off *rest, past the separator; false
 * when *rest was used up (its ptr is then NULL). "a,,b" gives "a", "", "b". */
bool str_next(struct str *rest, char sep, struct str *out_part);
/* True if the comma list `list` has `token`, ignoring case and OWS. */
bool str_list_has(struct str list, struct str token);
/* Digits only, no sign, no space, no overflow; *out untouched otherwise. */
bool str_to_u64(struct str s, uint64_t *out);
bool str_to_u16(struct str s, uint16_t *out);
/* Write at `to`, where the caller has made room, without a NUL; the place behind. A number takes at
 * most U64_DIGITS bytes. printf costs ten times as much, which a request's head feels. */
enum { U64_DIGITS = 20 };
static inline char *str_put(char *to, struct str s)
{
    if (s.len > 0) {
        memcpy(to, s.ptr, s.len);
    }
    return to + s.len;
}
char *u64_put(char *to, uint64_t n);
char *u64_put_hex(char *to, uint64_t n); /* lower case, no "0x" */
/* A malloc'ed, NUL-terminated copy; a NUL inside ends it early for C. */
char *str_dup(struct str s);
/* FNV-1a, for maps whose keys a peer cannot choose freely. */
uint64_t str_hash(struct str s);

/* buf: bytes that grow at the end. Zero-initialised is empty and valid. One that `may_fail` drops
 * what it has no memory for and remembers that it `failed`, so that whoever makes a text of many
 * pieces looks once, at its end; any other aborts. */
struct buf {
    char *ptr; /* owned */
    size_t len;
    size_t cap;
    bool may_fail;
    bool failed;
};

void buf_reserve(struct buf *b, size_t extra);
void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_str(struct buf *b, struct str s);
void buf_add_text(struct buf *b, const char *text);
void buf_add_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Drops the first `n` bytes. */
void buf_consume(struct buf *b, size_t n);
/* NUL-terminated view, valid until the next change. */
const char *buf_cstr(struct buf *b);
/* Hands the (NUL-terminated) memory to the caller, who frees it. */
char *buf_take(struct buf *b);
void buf_fini(struct buf *b);

static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->ptr, b->len};
}

#endif
