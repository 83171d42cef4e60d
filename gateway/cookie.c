/* cookie: see cookie.h. Worker threads; no state. */
#include "gateway/cookie.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "base/auto.h"

enum {
    VERSION = 1,
    MAC_BYTES = 32,
    PLAIN_BYTES = 1 + 8 + 8 + 8,
    RAW_BYTES = PLAIN_BYTES + MAC_BYTES,
};
_Static_assert(RAW_BYTES % 3 == 0 && RAW_BYTES / 3 * 4 == COOKIE_TEXT, "no padding");

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

struct str cookie_name(bool tls)
{
    return tls ? STR("__Host-wos-access") : STR("wos-access");
}

static bool is_our_name(struct str name)
{
    return str_eq(name, cookie_name(true)) || str_eq(name, cookie_name(false));
}

static void encode(const uint8_t *raw, char *out)
{
    for (size_t i = 0; i < RAW_BYTES; i += 3) {
        uint32_t v = (uint32_t)raw[i] << 16 | (uint32_t)raw[i + 1] << 8 | raw[i + 2];
        for (unsigned k = 0; k < 4; k++) {
            *out++ = alphabet[v >> (18 - 6 * k) & 63];
        }
    }
    *out = '\0';
}

static bool decode(struct str text, uint8_t *raw)
{
    if (text.len != COOKIE_TEXT) {
        return false;
    }
    for (size_t i = 0; i < COOKIE_TEXT; i += 4) {
        uint32_t v = 0;
        for (size_t k = 0; k < 4; k++) {
            const char *at = memchr(alphabet, text.ptr[i + k], sizeof alphabet - 1);
            if (at == NULL) {
                return false;
            }
            v = v << 6 | (uint32_t)(at - alphabet);
        }
        *raw++ = (uint8_t)(v >> 16);
        *raw++ = (uint8_t)(v >> 8);
        *raw++ = (uint8_t)v;
    }
    return true;
}

static void put_u64(uint8_t *to, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++) {
        to[i] = (uint8_t)(v >> (56 - 8 * i));
    }
}

static uint64_t get_u64(const uint8_t *from)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++) {
        v = v << 8 | from[i];
    }
    return v;
}

/* False: out of memory. */
static bool sign(const struct snapshot_access *access, struct str host, const uint8_t *plain,
                 uint8_t *mac)
{
    static const char purpose[] = "wos access cookie 1"; /* its NUL ends it */
    uint8_t message[sizeof purpose + 1 + HOST_MAX + PLAIN_BYTES + sizeof access->digest];
    uint8_t *to = message;
    unsigned len = 0;
    CHECK(host.len <= HOST_MAX);
    memcpy(to, purpose, sizeof purpose);
    to += sizeof purpose;
    *to++ = (uint8_t)host.len;
    memcpy(to, host.ptr, host.len);
    to += host.len;
    memcpy(to, plain, PLAIN_BYTES);
    to += PLAIN_BYTES;
    memcpy(to, access->digest, sizeof access->digest);
    to += sizeof access->digest;
    if (HMAC(EVP_sha256(), access->key, sizeof access->key, message, (size_t)(to - message), mac,
             &len) == NULL) {
        ERR_clear_error();
        return false;
    }
    return len == MAC_BYTES;
}

bool cookie_make(const struct snapshot_access *access, struct str host, const struct cookie *cookie,
                 char out[COOKIE_TEXT + 1])
{
    uint8_t raw[RAW_BYTES] = {VERSION};
    put_u64(raw + 1, cookie->id);
    put_u64(raw + 9, cookie->issued_s);
    put_u64(raw + 17, cookie->expires_s);
    if (!sign(access, host, raw, raw + PLAIN_BYTES)) {
        return false;
    }
    encode(raw, out);
    return true;
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

bool cookie_counts(const struct snapshot_access *access, const struct cookie *cookie,
                   uint64_t now_s)
{
    return cookie->expires_s > now_s &&
           (access->revoked_count == 0 ||
            bsearch(&cookie->id, access->revoked, access->revoked_count, sizeof cookie->id,
                    compare_ids) == NULL);
}

bool cookie_verify(const struct snapshot_access *access, struct str host, struct str value,
                   uint64_t now_s, struct cookie *out_cookie)
{
    uint8_t raw[RAW_BYTES];
    uint8_t mac[MAC_BYTES];
    if (!access->has_secret || !decode(value, raw) || raw[0] != VERSION) {
        return false;
    }
    struct cookie c = {get_u64(raw + 1), get_u64(raw + 9), get_u64(raw + 17)};
    if (c.issued_s > now_s + COOKIE_SKEW_SECONDS || c.expires_s < c.issued_s ||
        c.expires_s - c.issued_s > COOKIE_SECONDS || !cookie_counts(access, &c, now_s)) {
        return false;
    }
    if (!sign(access, host, raw, mac) || CRYPTO_memcmp(mac, raw + PLAIN_BYTES, sizeof mac) != 0) {
        return false;
    }
    *out_cookie = c;
    return true;
}

/* "name=value" cut at the first '='; without one it is a value without a name (RFC 6265 5.2). */
static void split_pair(struct str pair, struct str *out_name, struct str *out_value)
{
    pair = str_trim(pair);
    size_t eq = str_find(pair, '=');
    *out_name = str_trim((struct str){pair.ptr, eq});
    *out_value = eq < pair.len ? str_trim((struct str){pair.ptr + eq + 1, pair.len - eq - 1})
                               : (struct str){pair.ptr + eq, 0};
}

bool cookie_find(const struct head *request, bool tls, const struct snapshot_access *access,
                 struct str host, uint64_t now_s, struct cookie *out_cookie)
{
    unsigned candidates = 0;
    for (uint32_t i = 0; i < request->count; i++) {
        if (!str_eq_nocase(request->fields[i].name, STR("cookie"))) {
            continue;
        }
        struct str rest = request->fields[i].value;
        struct str pair;
        while (str_next(&rest, ';', &pair)) {
            struct str name;
            struct str value;
            split_pair(pair, &name, &value);
            if (value.len != COOKIE_TEXT || !str_eq(name, cookie_name(tls))) {
                continue;
            }
            if (cookie_verify(access, host, value, now_s, out_cookie)) {
                return true;
            }
            if (++candidates == COOKIE_CANDIDATES_MAX) {
                return false;
            }
        }
    }
    return false;
}

/* The value without our cookies, in the arena. */
static struct str without_ours(struct str value, struct arena *arena)
{
    char *copy = arena_try_alloc(arena, value.len);
    if (copy == NULL) {
        return STR_NONE; /* whoever strips looks at the arena */
    }
    size_t len = 0;
    struct str rest = value;
    struct str pair;
    while (str_next(&rest, ';', &pair)) {
        struct str name;
        struct str ignored;
        split_pair(pair, &name, &ignored);
        if (is_our_name(name)) {
            continue;
        }
        if (len > 0) {
            copy[len++] = ';';
        } else {
            while (pair.len > 0 && (pair.ptr[0] == ' ' || pair.ptr[0] == '\t')) {
                pair = (struct str){pair.ptr + 1, pair.len - 1};
            }
        }
        if (pair.len > 0) {
            memcpy(copy + len, pair.ptr, pair.len);
            len += pair.len;
        }
    }
    return (struct str){copy, len};
}

static bool mentions_us(struct str value)
{
    struct str name = cookie_name(false); /* the end of the other, too */
    return value.len >= name.len && memmem(value.ptr, value.len, name.ptr, name.len) != NULL;
}

void cookie_strip(struct head *request, struct arena *arena)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < request->count; i++) {
        struct head_field f = request->fields[i];
        if (f.name.len == 6 && str_eq_nocase(f.name, STR("cookie")) && mentions_us(f.value)) {
            f.value = without_ours(f.value, arena);
            if (f.value.len == 0) {
                continue;
            }
        }
        request->fields[kept++] = f;
    }
    request->count = kept;
}

void cookie_strip_set(struct head *response)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < response->count; i++) {
        struct head_field f = response->fields[i];
        if (f.name.len == 10 && str_eq_nocase(f.name, STR("set-cookie")) && mentions_us(f.value)) {
            /* "=name=value" is a cookie without a name that would be sent as ours. */
            struct str pair = str_trim((struct str){f.value.ptr, str_find(f.value, ';')});
            while (pair.len > 0 && pair.ptr[0] == '=') {
                pair = str_trim((struct str){pair.ptr + 1, pair.len - 1});
            }
            struct str name;
            struct str ignored;
            split_pair(pair, &name, &ignored);
            if (is_our_name(name)) {
                continue;
            }
        }
        response->fields[kept++] = f;
    }
    response->count = kept;
}
