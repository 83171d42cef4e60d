/* redact: see redact.h. Called by access_log.c for each finished request. */
#include "gateway/redact.h"

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

bool redact_is_secret_name(struct str name)
{
    char word[NAME_MAX_BYTES];
    size_t len = 0;
    for (size_t at = 0; at < name.len;) {
        char c = next_byte(name, &at);
        if (c == '%') { /* encoded twice: some services decode so */
            size_t inner = 0;
            char again[3] = {c, at < name.len ? name.ptr[at] : '\0',
                             at + 1 < name.len ? name.ptr[at + 1] : '\0'};
            char decoded = next_byte((struct str){again, sizeof again}, &inner);
            at += inner - 1;
            c = decoded;
        }
        c = ascii_lower(c);
        if (!ascii_is_digit(c) && (c < 'a' || c > 'z')) {
            continue;
        }
        if (len == sizeof word) {
            return true; /* too long to be judged */
        }
        word[len++] = c;
    }
    return is_secret_word((struct str){word, len});
}

/* A value that is a URL with user information in it, in plain or percent-encoded. */
static bool has_userinfo(struct str value)
{
    static const char scheme_end[] = "://";
    size_t seen = 0;
    for (size_t at = 0; at < value.len;) {
        char c = next_byte(value, &at);
        if (seen == 3) {
            if (c == '@') {
                return true;
            }
            if (c == '/' || c == '?' || c == '#') {
                seen = 0;
            }
        } else {
            seen = c == scheme_end[seen] ? seen + 1 : c == ':' ? 1 : 0;
        }
    }
    return false;
}

/* The part before any parameter: user information of "scheme://user:pw@host" goes. */
static void put_plain(struct out *o, struct str part)
{
    const char *mark = memmem(part.ptr, part.len, "://", 3);
    if (mark == NULL) {
        put(o, part);
        return;
    }
    size_t start = (size_t)(mark - part.ptr) + 3;
    struct str rest = {part.ptr + start, part.len - start};
    size_t end = str_find(rest, '/');
    const char *at = end == 0 ? NULL : memrchr(rest.ptr, '@', end);
    put(o, (struct str){part.ptr, start});
    if (at != NULL) {
        size_t skip = (size_t)(at - rest.ptr);
        put(o, STR("***"));
        rest = (struct str){rest.ptr + skip, rest.len - skip};
    }
    put(o, rest);
}

static void put_parameter(struct out *o, struct str param)
{
    size_t eq = str_find(param, '=');
    if (eq == param.len) {
        put(o, has_userinfo(param) ? STR("***") : param);
        return;
    }
    struct str name = {param.ptr, eq};
    struct str value = {param.ptr + eq + 1, param.len - eq - 1};
    bool hide = value.len > 0 && (redact_is_secret_name(name) || has_userinfo(value));
    put(o, has_userinfo(name) ? STR("***") : name);
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
    if (rest.len == 0 ||
        (memchr(rest.ptr, '?', rest.len) == NULL && memchr(rest.ptr, ';', rest.len) == NULL &&
         memmem(rest.ptr, rest.len, "://", 3) == NULL)) {
        return rest;
    }
    struct out o = {out, 0};
    size_t plain = find_any(rest, "?;?;");
    put_plain(&o, (struct str){rest.ptr, plain});
    rest = (struct str){rest.ptr + plain, rest.len - plain};
    while (rest.len > 0 && o.len < REDACT_MAX) {
        char mark = rest.ptr[0];
        struct str body = {rest.ptr + 1, rest.len - 1};
        in_query = in_query || mark == '?' || mark == '#';
        size_t end = find_any(body, in_query ? "&;?#" : "/;?#");
        put(&o, (struct str){rest.ptr, 1});
        if (mark == '/') {
            put(&o, (struct str){body.ptr, end});
        } else {
            put_parameter(&o, (struct str){body.ptr, end});
        }
        rest = (struct str){body.ptr + end, body.len - end};
    }
    return (struct str){out, o.len};
}
