/* redact: see redact.h. Called by access_log.c for each finished request. */
#include "gateway/redact.h"

#include <stdint.h>

#include "base/auto.h"

enum { NAME_MAX_BYTES = 64 };

struct out {
    char *ptr;
    size_t len;
};

static void put(struct out *o, struct str s)
{
    size_t room = REDACT_MAX - o->len;
    size_t n = s.len < room ? s.len : room;
    if (n > 0) {
        memcpy(o->ptr + o->len, s.ptr, n);
        o->len += n;
    }
}

static int hex_digit(char c)
{
    if (ascii_is_digit(c)) {
        return c - '0';
    }
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of `s` at *at, percent-decoded; moves *at. */
static char next_byte(struct str s, size_t *at)
{
    char c = s.ptr[(*at)++];
    if (c == '%' && *at + 1 < s.len) {
        int high = hex_digit(s.ptr[*at]);
        int low = hex_digit(s.ptr[*at + 1]);
        if (high >= 0 && low >= 0) {
            *at += 2;
            return (char)(high << 4 | low);
        }
    }
    return c;
}

/* The same, decoded as often as it is encoded: some services decode twice. */
static char next_plain(struct str s, size_t *at)
{
    char c = next_byte(s, at);
    while (c == '%' && *at + 1 < s.len) {
        int high = hex_digit(s.ptr[*at]);
        int low = hex_digit(s.ptr[*at + 1]);
        if (high < 0 || low < 0) {
            break;
        }
        c = (char)(high << 4 | low);
        *at += 2;
    }
    return c;
}

static bool contains(struct str s, struct str part)
{
    return part.len <= s.len && memmem(s.ptr, s.len, part.ptr, part.len) != NULL;
}

/* `name` in lower case, letters and digits only. */
static bool is_secret_word(struct str name)
{
    static const struct str parts[] = {
        {"token", 5},       {"apikey", 6}, {"accesskey", 9},   {"secret", 6},    {"passw", 5},
        {"passphrase", 10}, {"pwd", 3},    {"credential", 10}, {"signature", 9}, {"session", 7},
        {"cookie", 6},      {"bearer", 6}, {"jwt", 3},         {"saml", 4},      {"csrf", 4},
        {"xsrf", 4},        {"otp", 3},
    };
    static const struct str words[] = {
        {"code", 4}, {"sig", 3},    {"sid", 3},         {"pw", 2},       {"pass", 4},
        {"pin", 3},  {"nonce", 5},  {"devicecode", 10}, {"usercode", 8}, {"authcode", 8},
        {"hmac", 4}, {"ticket", 6}, {"assertion", 9},   {"invite", 6},   {"magic", 5},
    };
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        if (contains(name, parts[i])) {
            return true;
        }
    }
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (str_eq(name, words[i])) {
            return true;
        }
    }
    if (str_ends(name, STR("key")) || str_starts(name, STR("sig"))) {
        return true;
    }
    return contains(name, STR("auth")) &&
           (!contains(name, STR("author")) || contains(name, STR("authoriz")));
}

/* `c` in lower case. */
static bool is_word_byte(char c)
{
    return ascii_is_digit(c) || (c >= 'a' && c <= 'z');
}

bool redact_is_secret_name(struct str name)
{
    char word[NAME_MAX_BYTES];
    size_t len = 0;
    for (size_t at = 0; at < name.len;) {
        char c = ascii_lower(next_plain(name, &at));
        if (!is_word_byte(c)) {
            continue;
        }
        if (len == sizeof word) {
            return true; /* too long to be judged */
        }
        word[len++] = c;
    }
    return is_secret_word((struct str){word, len});
}

/* The name that is being read: its letters and digits, of a long one the last. */
struct word {
    char text[NAME_MAX_BYTES];
    size_t len;
    size_t label; /* where what follows its last dot begins */
    bool is_over; /* white space follows: only '=' or ':' makes it a name */
};

static void word_add(struct word *w, char c)
{
    enum { HALF = NAME_MAX_BYTES / 2 };
    if (w->is_over) {
        w->len = w->label = 0;
        w->is_over = false;
    }
    if (w->len == sizeof w->text) {
        memmove(w->text, w->text + HALF, HALF);
        w->len = HALF;
        w->label = w->label > HALF ? w->label - HALF : 0;
    }
    w->text[w->len++] = c;
}

static bool word_is_secret(const struct word *w, size_t from)
{
    return w->len > from + 1 && is_secret_word((struct str){w->text + from, w->len - from});
}

/* Takes one byte; true when a value follows it whose name looks like a secret's. Names are what
 * stands before '=', and before ':' without the labels in front: "auth.example:443" is a host. */
static bool word_step(struct word *w, char c)
{
    c = ascii_lower(c);
    if (is_word_byte(c)) {
        word_add(w, c);
        return false;
    }
    switch (c) {
    case ' ':
    case '\t':
    case '+':
        w->is_over = true;
        return false;
    case '.':
        w->label = w->len;
        return false;
    case '_':
    case '-':
    case '[':
    case ']':
    case '"':
    case '\'':
    case '\\':
        return false;
    default:
        break;
    }
    bool is_secret =
        (c == '=' && word_is_secret(w, 0)) || (c == ':' && word_is_secret(w, w->label));
    w->len = w->label = 0;
    w->is_over = false;
    return is_secret;
}

/* True if the text, decoded, has a secret in it: the user information of a URL ("//user:pw@"), or
 * what follows a secret's name ("/cb?token=x", {"password":"x"}). */
static bool tells_secret(struct str text)
{
    struct word word;
    word.len = word.label = 0; /* its bytes need no zeroing */
    word.is_over = false;
    size_t slashes = 0; /* in a row; two or more begin an authority, and stay while it lasts */
    size_t user = 0;    /* bytes of the authority */
    for (size_t at = 0; at < text.len;) {
        char c = next_plain(text, &at);
        if (c == '/') {
            slashes = user > 0 ? 1 : slashes + 1;
            user = 0;
        } else if (c == '?' || c == '#' || slashes < 2) {
            slashes = user = 0;
        } else if (c == '@' && user > 0) {
            return true;
        } else {
            user++;
        }
        if (word_step(&word, c) && at < text.len) {
            return true;
        }
    }
    return false;
}

/* A segment of the path of `target`. Behind "//" stands an authority, without whose user
 * information it can be shown. */
static void put_segment(struct out *o, struct str target, struct str segment)
{
    bool is_authority = segment.ptr >= target.ptr + 2 && memcmp(segment.ptr - 2, "//", 2) == 0;
    const char *at =
        is_authority && segment.len > 0 ? memrchr(segment.ptr, '@', segment.len) : NULL;
    if (at != NULL && at > segment.ptr) {
        put(o, STR("***"));
        segment = (struct str){at, (size_t)(segment.ptr + segment.len - at)};
    }
    struct str whole =
        is_authority && at == NULL ? (struct str){segment.ptr - 2, segment.len + 2} : segment;
    bool is_encoded = segment.len > 0 && memchr(segment.ptr, '%', segment.len) != NULL;
    put(o, is_encoded && tells_secret(whole) ? STR("***") : segment);
}

/* The part before any parameter. */
static void put_path(struct out *o, struct str target, struct str path)
{
    for (;;) {
        size_t end = str_find(path, '/');
        put_segment(o, target, (struct str){path.ptr, end});
        if (end == path.len) {
            return;
        }
        put(o, STR("/"));
        path = (struct str){path.ptr + end + 1, path.len - end - 1};
    }
}

static void put_parameter(struct out *o, struct str param)
{
    size_t eq = str_find(param, '=');
    if (eq == param.len) {
        put(o, tells_secret(param) ? STR("***") : param);
        return;
    }
    struct str name = {param.ptr, eq};
    struct str value = {param.ptr + eq + 1, param.len - eq - 1};
    bool hide = value.len > 0 && (redact_is_secret_name(name) || tells_secret(value));
    put(o, tells_secret(name) ? STR("***") : name);
    put(o, STR("="));
    put(o, hide ? STR("***") : value);
}

/* Index of the first byte that is one of the four in `set`, or s.len. */
static size_t find_any(struct str s, const char set[4])
{
    size_t at = 0;
    while (at < s.len) {
        char c = s.ptr[at];
        if (c == set[0] || c == set[1] || c == set[2] || c == set[3]) {
            break;
        }
        at++;
    }
    return at;
}

struct str redact_target(struct str target, char *out)
{
    bool in_query = false;
    struct str rest = target.len > REDACT_MAX ? (struct str){target.ptr, REDACT_MAX} : target;
    static const bool marks[256] = {['?'] = true, [';'] = true, ['%'] = true, ['@'] = true};
    size_t first = 0;
    while (first < rest.len && !marks[(uint8_t)rest.ptr[first]]) {
        first++;
    }
    if (first == rest.len) {
        return rest; /* most are so */
    }
    struct out o = {out, 0};
    size_t plain = find_any(rest, "?;?;");
    put_path(&o, target, (struct str){rest.ptr, plain});
    rest = (struct str){rest.ptr + plain, rest.len - plain};
    while (rest.len > 0 && o.len < REDACT_MAX) {
        char mark = rest.ptr[0];
        struct str body = {rest.ptr + 1, rest.len - 1};
        in_query = in_query || mark == '?' || mark == '#';
        size_t end = find_any(body, in_query ? "&;?#" : "/;?#");
        put(&o, (struct str){rest.ptr, 1});
        if (mark == '/') {
            put_segment(&o, target, (struct str){body.ptr, end});
        } else {
            put_parameter(&o, (struct str){body.ptr, end});
        }
        rest = (struct str){body.ptr + end, body.len - end};
    }
    return (struct str){out, o.len};
}
