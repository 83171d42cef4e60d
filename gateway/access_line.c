/* access_line: see access_line.h. Called by access_log.c in the workers' threads.
 *
 * Every value is bounded, so that a line always fits: the path is the largest with
 * REDACT_MAX bytes; no byte becomes more than three. */
#include "gateway/access_line.h"

#include "base/auto.h"
#include "gateway/redact.h"

enum { VALUES_MAX = 16, FIXED_MAX = 1024 }; /* texts of ACCESS_NAME_MAX; all else */

_Static_assert(REDACT_MAX * 4 + VALUES_MAX * ACCESS_NAME_MAX * 3 + FIXED_MAX <= ACCESS_LINE_MAX,
               "a line may not fit");

struct line {
    char *at;
};

static void put(struct line *l, const char *text, size_t len)
{
    memcpy(l->at, text, len);
    l->at += len;
}

#define PUT(l, literal) put((l), "" literal, sizeof(literal) - 1)

/* Length of the UTF-8 character at the start of s, 0 if it is none (RFC 3629). */
static size_t utf8_length(const uint8_t *s, size_t len)
{
    uint8_t first = s[0];
    size_t n = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || n > len) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((first == 0xe0 && s[1] < 0xa0) || (first == 0xed && s[1] > 0x9f) ||
        (first == 0xf0 && s[1] < 0x90) || (first == 0xf4 && s[1] > 0x8f)) {
        return 0;
    }
    return n;
}

/* The character at *i of s, made fit; moves *i. A control byte is shown percent-encoded. */
static void put_special(struct line *l, struct str s, size_t *i)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t c = (uint8_t)s.ptr[*i];
    if (c == '"' || c == '\\') {
        char pair[2] = {'\\', (char)c};
        put(l, pair, 2);
        (*i)++;
    } else if (c < 0x20 || c == 0x7f) {
        char text[3] = {'%', hex[c >> 4], hex[c & 15]};
        put(l, text, 3);
        (*i)++;
    } else {
        size_t n = utf8_length((const uint8_t *)s.ptr + *i, s.len - *i);
        if (n == 0) {
            PUT(l, "\xef\xbf\xbd");
            n = 1;
        } else {
            put(l, s.ptr + *i, n);
        }
        *i += n;
    }
}

/* True if one of eight bytes needs a look: no ASCII, a control, a quote or a backslash. May be
 * true for others too, never false for these. */
static bool needs_look(uint64_t eight)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t quote = eight ^ ones * '"';
    uint64_t backslash = eight ^ ones * '\\';
    uint64_t delete = eight ^ ones * 0x7f;
    uint64_t found = eight | ((eight - ones * 0x20) & ~eight) | ((quote - ones) & ~quote) |
                     ((backslash - ones) & ~backslash) | ((delete - ones) & ~delete);
    return (found & ones * 0x80) != 0;
}

/* Nothing in it needs a look; what is no eight bytes at the end is read with those before, or with
 * digits in front. */
static bool is_plain(struct str s)
{
    uint64_t eight = UINT64_C(0x0101010101010101) * '0';
    size_t i = 0;
    for (; s.len - i > sizeof eight; i += sizeof eight) {
        memcpy(&eight, s.ptr + i, sizeof eight);
        if (needs_look(eight)) {
            return false;
        }
    }
    if (s.len >= sizeof eight) {
        memcpy(&eight, s.ptr + s.len - sizeof eight, sizeof eight);
    } else {
        for (; i < s.len; i++) {
            eight = eight << 8 | (uint8_t)s.ptr[i];
        }
    }
    return !needs_look(eight);
}

/* At most three bytes come out for each that goes in. */
static void put_text(struct line *l, struct str s)
{
    if (is_plain(s)) {
        put(l, s.ptr, s.len);
        return;
    }
    for (size_t i = 0; i < s.len;) {
        char c = s.ptr[i];
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
            *l->at++ = c;
            i++;
        } else {
            put_special(l, s, &i);
        }
    }
}

static void put_number(struct line *l, uint64_t n)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    put(l, digits + at, sizeof digits - at);
}

/* Milliseconds with three decimals. */
static void put_ms(struct line *l, uint64_t us)
{
    put_number(l, us / 1000);
    char frac[4] = {'.', (char)('0' + us / 100 % 10), (char)('0' + us / 10 % 10),
                    (char)('0' + us % 10)};
    put(l, frac, sizeof frac);
}

static void put_two(char *out, unsigned n)
{
    out[0] = (char)('0' + n / 10 % 10);
    out[1] = (char)('0' + n % 10);
}

/* RFC 3339 in UTC; days to a date as in Hinnant's "chrono-compatible low-level date algorithms". */
static void put_time(struct line *l, int64_t wall_us)
{
    int64_t seconds = wall_us / 1000000;
    unsigned ms = (unsigned)(wall_us / 1000 % 1000);
    unsigned day_s = (unsigned)(seconds % 86400);
    unsigned days = (unsigned)(seconds / 86400) + 719468U; /* from 0000-03-01 */
    unsigned era = days / 146097;
    unsigned doe = days % 146097;
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    unsigned month = mp < 10 ? mp + 3 : mp - 9;
    unsigned year = yoe + era * 400 + (month <= 2 ? 1 : 0);
    char text[24];
    put_two(text, year / 100);
    put_two(text + 2, year % 100);
    text[4] = '-';
    put_two(text + 5, month);
    text[7] = '-';
    put_two(text + 8, doy - (153 * mp + 2) / 5 + 1);
    text[10] = 'T';
    put_two(text + 11, day_s / 3600);
    text[13] = ':';
    put_two(text + 14, day_s / 60 % 60);
    text[16] = ':';
    put_two(text + 17, day_s % 60);
    text[19] = '.';
    text[20] = (char)('0' + ms / 100);
    put_two(text + 21, ms % 100);
    text[23] = 'Z';
    put(l, text, sizeof text);
}

static struct str cut(struct str s, size_t max)
{
    return (struct str){s.ptr, s.len < max ? s.len : max};
}

/* `key` is `,"name":"`. */
static void put_member(struct line *l, struct str key, struct str value, size_t max)
{
    if (value.len > 0) {
        put(l, key.ptr, key.len);
        put_text(l, cut(value, max));
        *l->at++ = '"';
    }
}

/* A value of our own making: nothing in it needs escaping. */
static void put_own(struct line *l, struct str key, struct str value)
{
    if (value.len > 0) {
        value = cut(value, ACCESS_NAME_MAX);
        put(l, key.ptr, key.len);
        put(l, value.ptr, value.len);
        *l->at++ = '"';
    }
}

static void put_upstream(struct line *l, const struct access_entry *e)
{
    if (e->upstream_port == 0) {
        return;
    }
    PUT(l, ",\"upstream\":\"");
    if (e->upstream_v6) {
        PUT(l, "[::1]:");
    } else {
        PUT(l, "127.0.0.1:");
    }
    put_number(l, e->upstream_port);
    PUT(l, "\"");
    if (e->upstream_reused) {
        PUT(l, ",\"reused\":true");
    }
    if (e->upstream_retried) {
        PUT(l, ",\"retried\":true");
    }
    put_member(l, STR(",\"upstreamError\":\""), str_of(e->upstream_error), ACCESS_NAME_MAX);
}

static void put_tls(struct line *l, const struct access_entry *e)
{
    if (e->tls_version != NULL) {
        put_own(l, STR(",\"tls\":\""), str_of(e->tls_version));
        put_own(l, STR(",\"cipher\":\""), str_of(e->tls_cipher));
        if (e->tls_resumed) {
            PUT(l, ",\"resumed\":true");
        }
    }
}

static void put_path(struct line *l, const struct access_entry *e)
{
    if (e->path.len > 0) {
        PUT(l, ",\"path\":\"");
        put_text(l, cut(e->path, REDACT_MAX));
        if (e->path_is_cut) {
            PUT(l, "\xe2\x80\xa6");
        }
        PUT(l, "\"");
    }
}

size_t access_line_format(const struct access_entry *e, char *out)
{
    struct line l = {out};
    PUT(&l, "{\"time\":\"");
    put_time(&l, e->wall_us);
    PUT(&l, "\"");
    put_own(&l, STR(",\"id\":\""), e->id);
    put_own(&l, STR(",\"peer\":\""), str_of(e->peer));
    if (e->via.len > 2) {
        put_member(&l, STR(",\"via\":\""), (struct str){e->via.ptr + 2, e->via.len - 2},
                   ACCESS_NAME_MAX);
    }
    put_member(&l, STR(",\"host\":\""), e->host, ACCESS_NAME_MAX);
    put_own(&l, STR(",\"route\":\""), e->route);
    put_member(&l, STR(",\"worktree\":\""), e->worktree, ACCESS_NAME_MAX);
    put_member(&l, STR(",\"service\":\""), e->service, ACCESS_NAME_MAX);
    put_member(&l, STR(",\"method\":\""), e->method, ACCESS_METHOD_MAX);
    put_path(&l, e);
    PUT(&l, ",\"status\":");
    put_number(&l, e->status);
    PUT(&l, ",\"in\":");
    put_number(&l, e->bytes_in);
    PUT(&l, ",\"out\":");
    put_number(&l, e->bytes_out);
    if (e->first_us > 0) {
        PUT(&l, ",\"firstMs\":");
        put_ms(&l, e->first_us);
    }
    PUT(&l, ",\"ms\":");
    put_ms(&l, e->duration_us);
    put_own(&l, STR(",\"protocol\":\""), str_of(e->protocol));
    put_member(&l, STR(",\"upgrade\":\""), e->upgrade, ACCESS_METHOD_MAX);
    put_tls(&l, e);
    put_upstream(&l, e);
    put_own(&l, STR(",\"reason\":\""), str_of(e->reason));
    put_own(&l, STR(",\"aborted\":\""), str_of(e->aborted));
    PUT(&l, "}\n");
    return (size_t)(l.at - out);
}

size_t access_line_refusal(const struct access_refusal *r, char *out)
{
    struct line l = {out};
    PUT(&l, "{\"time\":\"");
    put_time(&l, r->wall_us);
    PUT(&l, "\",\"event\":\"refused\"");
    put_own(&l, STR(",\"peer\":\""), str_of(r->peer));
    put_own(&l, STR(",\"reason\":\""), str_of(r->reason));
    put_member(&l, STR(",\"detail\":\""), str_of(r->detail), ACCESS_NAME_MAX);
    if (r->suppressed > 0) {
        PUT(&l, ",\"suppressed\":");
        put_number(&l, r->suppressed);
    }
    PUT(&l, "}\n");
    return (size_t)(l.at - out);
}
