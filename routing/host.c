/* host: see host.h. Pure functions, any thread.
 *
 * Callers: the gateway for every Host and :authority, the snapshot decoder for
 * every route, the daemon when it gives out names. Nothing else in the tree
 * compares host names.
 */
#include "routing/host.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"

enum { NAME_MAX_BYTES = 253, LABEL_MAX_BYTES = 63, LABEL_HASH_DIGITS = 6, PORT_DIGITS_MAX = 5 };

static const bool label_bytes[256] = {
    ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['-'] = true, ['_'] = true};

/* Legal labels all the way, read once: each request's Host comes here. *out_numeric says whether
 * the last one is digits only, which makes the whole either an IPv4 address or nothing (a browser
 * would read "1.2" as an address too, and two readings are one too many). */
static bool labels_are_legal(struct str name, bool *out_numeric)
{
    size_t start = 0; /* of the present label */
    for (size_t i = 0;; i++) {
        if (i < name.len && label_bytes[(uint8_t)name.ptr[i]]) {
            continue;
        }
        if (i == start || i - start > LABEL_MAX_BYTES || name.ptr[start] == '-' ||
            name.ptr[i - 1] == '-') {
            return false;
        }
        if (i == name.len) {
            break;
        }
        if (name.ptr[i] != '.') {
            return false;
        }
        start = i + 1;
    }
    size_t digits = start;
    while (digits < name.len && ascii_is_digit(name.ptr[digits])) {
        digits++;
    }
    *out_numeric = digits == name.len;
    return name.len <= NAME_MAX_BYTES;
}

static bool port_parse(struct str digits, uint16_t *out_port)
{
    if (digits.len == 0) {
        *out_port = 0;
        return true;
    }
    uint16_t port;
    if (digits.len > PORT_DIGITS_MAX || !str_to_u16(digits, &port) || port == 0) {
        return false;
    }
    *out_port = port;
    return true;
}

/* "[...]": the address in its canonical spelling, so that "[::0:1]" and
 * "[::1]" are one name. */
static bool parse_bracketed(struct str inside, struct host *out)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (inside.len == 0 || inside.len >= sizeof(text) ||
        memchr(inside.ptr, '\0', inside.len) != NULL) {
        return false;
    }
    memcpy(text, inside.ptr, inside.len);
    text[inside.len] = '\0';
    if (inet_pton(AF_INET6, text, &address) != 1 ||
        inet_ntop(AF_INET6, &address, text, sizeof(text)) == NULL) {
        return false;
    }
    int len = snprintf(out->name, sizeof(out->name), "[%s]", text);
    out->len = (uint8_t)len;
    out->is_ip = true;
    return true;
}

static bool parse_name(struct str name, struct host *out)
{
    if (name.len > 1 && name.ptr[name.len - 1] == '.') {
        name.len--;
    }
    bool numeric;
    if (!labels_are_legal(name, &numeric)) {
        return false;
    }
    if (numeric) {
        char text[INET_ADDRSTRLEN];
        struct in_addr address;
        if (name.len >= sizeof text) {
            return false;
        }
        memcpy(text, name.ptr, name.len);
        text[name.len] = '\0';
        if (inet_pton(AF_INET, text, &address) != 1) {
            return false;
        }
    }
    for (size_t i = 0; i < name.len; i++) {
        out->name[i] = ascii_lower(name.ptr[i]);
    }
    out->name[name.len] = '\0';
    out->len = (uint8_t)name.len;
    out->is_ip = numeric;
    return true;
}

/* Writes to *out last: it is not small, and each request's has its place already. */
bool host_parse(struct str value, struct host *out)
{
    bool bracketed = value.len > 0 && value.ptr[0] == '[';
    size_t end = str_find(value, bracketed ? ']' : ':');
    if (bracketed && end == value.len) {
        return false;
    }
    size_t name_len = bracketed ? end + 1 : end;
    struct str port = STR_NONE;
    uint16_t number;
    if (name_len < value.len) {
        if (value.ptr[name_len] != ':') {
            return false;
        }
        port = (struct str){value.ptr + name_len + 1, value.len - name_len - 1};
    }
    if (!port_parse(port, &number) ||
        !(bracketed ? parse_bracketed((struct str){value.ptr + 1, end - 1}, out)
                    : parse_name((struct str){value.ptr, end}, out))) {
        return false;
    }
    out->port = number;
    return true;
}

static bool has_capital(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] != ascii_lower(name.ptr[i])) {
            return true;
        }
    }
    return false;
}

bool host_is_canonical(struct str name)
{
    struct host host;
    bool numeric;
    if (labels_are_legal(name, &numeric) && !numeric) {
        return !has_capital(name);
    }
    return host_parse(name, &host) && str_eq((struct str){host.name, host.len}, name);
}

/* Eight bytes at a time: it is on the way of each request, and a multiplication a byte waits for
 * the one before. The end of a name overlaps what came before it. */
uint64_t host_hash(struct str name)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t h = name.len * odd;
    uint64_t word = 0;
    for (size_t i = 0; i + sizeof word <= name.len; i += sizeof word) {
        memcpy(&word, name.ptr + i, sizeof word);
        h = (h ^ word) * odd;
        h ^= h >> 32;
    }
    if (name.len >= sizeof word) {
        memcpy(&word, name.ptr + name.len - sizeof word, sizeof word);
    } else {
        for (size_t i = 0; i < name.len; i++) {
            word = word << 8 | (uint8_t)name.ptr[i];
        }
    }
    h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
    return h ^ h >> 33;
}

bool host_is_under(struct str name, struct str suffix)
{
    if (suffix.len == 0 || !str_ends(name, suffix)) {
        return false;
    }
    return name.len == suffix.len || name.ptr[name.len - suffix.len - 1] == '.';
}

char *host_label_sanitise(struct str text, const char *fallback)
{
    char *label = xmalloc(text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_lower(text.ptr[i]);
        bool keep = (c >= 'a' && c <= 'z') || ascii_is_digit(c);
        if (keep) {
            label[len++] = c;
        } else if (len > 0 && label[len - 1] != '-') {
            label[len++] = '-';
        }
    }
    if (len > 0 && label[len - 1] == '-') {
        len--;
    }
    if (len == 0) {
        free(label);
        return xstrdup(fallback);
    }
    label[len] = '\0';
    return label;
}

char *host_service_label(const char *worktree, unsigned attempt, const char *service, uint16_t port)
{
    char number[16] = "";
    char suffix[16] = "";
    if (attempt > 1) {
        (void)snprintf(number, sizeof(number), "%u", attempt); /* cannot be cut */
    }
    if (port != 0) {
        (void)snprintf(suffix, sizeof(suffix), "-%u", port); /* cannot be cut */
    }
    char *label = xasprintf("%s%s-%s%s", worktree, number, service, suffix);
    size_t len = strlen(label);
    if (len <= LABEL_MAX_BYTES) {
        return label;
    }
    uint8_t digest[EVP_MAX_MD_SIZE];
    CHECK(EVP_Digest(label, len, digest, NULL, EVP_sha256(), NULL) == 1);
    size_t keep = LABEL_MAX_BYTES - 1 - LABEL_HASH_DIGITS;
    while (keep > 0 && label[keep - 1] == '-') {
        keep--;
    }
    (void)snprintf(label + keep, len + 1 - keep, "-%02x%02x%02x", digest[0], digest[1],
                   digest[2]); /* fits: the label was longer than 63 */
    return label;
}

bool host_is_domain(struct str name)
{
    bool numeric;
    if (!labels_are_legal(name, &numeric) || numeric) {
        return false;
    }
    return memchr(name.ptr, '_', name.len) == NULL;
}
