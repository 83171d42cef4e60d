/* policy: see policy.h. Pure functions, any thread. Parsing is the daemon's
 * (config), matching the gateway's (every request with an address list).
 */
#include "routing/policy.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/auto.h"

enum { V4_BITS = 32, V6_BITS = 128, MAPPED_BITS = 96, MAPPED_OFFSET = 12 };

static const uint8_t mapped_prefix[MAPPED_OFFSET] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_mapped(const uint8_t *bytes)
{
    return memcmp(bytes, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

/* An octet like "010" is 8 to one reader and 10 to another. */
static bool has_leading_zero(struct str address)
{
    struct str octet;
    while (str_next(&address, '.', &octet)) {
        if (octet.len > 1 && octet.ptr[0] == '0' && ascii_is_digit(octet.ptr[1])) {
            return true;
        }
    }
    return false;
}

static int address_parse(struct str text, struct str address, struct ip_prefix *out,
                         struct err *err)
{
    char copy[INET6_ADDRSTRLEN];
    if (memchr(address.ptr, '%', address.len) != NULL) {
        return err_set(err, ERR_CONFIG, "%.*s: an address with a zone cannot be listed",
                       STR_ARG(text));
    }
    bool v6 = memchr(address.ptr, ':', address.len) != NULL;
    if (!v6 && has_leading_zero(address)) {
        return err_set(err, ERR_CONFIG, "%.*s: leading zeros are not allowed in an address",
                       STR_ARG(text));
    }
    bool fits = address.len > 0 && address.len < sizeof(copy) &&
                memchr(address.ptr, '\0', address.len) == NULL;
    if (fits) {
        memcpy(copy, address.ptr, address.len);
        copy[address.len] = '\0';
    }
    if (!fits || inet_pton(v6 ? AF_INET6 : AF_INET, copy, out->bytes) != 1) {
        return err_set(err, ERR_CONFIG,
                       "%.*s: not an IP address or CIDR prefix (like 192.0.2.1, 10.0.0.0/8 or "
                       "2001:db8::/32; names are not looked up)",
                       STR_ARG(text));
    }
    out->family = v6 ? 6 : 4;
    out->bits = v6 ? V6_BITS : V4_BITS;
    return 0;
}

static bool has_host_bits(const struct ip_prefix *prefix)
{
    unsigned whole = prefix->bits / 8;
    unsigned size = prefix->family == 4 ? 4 : 16;
    if (prefix->bits % 8 != 0) {
        if ((prefix->bytes[whole] & (0xffu >> (prefix->bits % 8))) != 0) {
            return true;
        }
        whole++;
    }
    for (unsigned i = whole; i < size; i++) {
        if (prefix->bytes[i] != 0) {
            return true;
        }
    }
    return false;
}

/* Peers that come as ::ffff:a.b.c.d are compared as IPv4, so a prefix written
 * that way has to become one too, or it would never match. */
static void reduce_mapped(struct ip_prefix *prefix)
{
    if (prefix->family != 6 || prefix->bits < MAPPED_BITS || !is_mapped(prefix->bytes)) {
        return;
    }
    memmove(prefix->bytes, prefix->bytes + MAPPED_OFFSET, 4);
    memset(prefix->bytes + 4, 0, 12);
    prefix->family = 4;
    prefix->bits = (uint8_t)(prefix->bits - MAPPED_BITS);
}

int ip_prefix_parse(struct str text, struct ip_prefix *out, struct err *err)
{
    struct ip_prefix prefix = {.bits = 0};
    if (text.len == 0) {
        return err_set(err, ERR_CONFIG, "an empty text is not an IP address");
    }
    size_t slash = str_find(text, '/');
    if (address_parse(text, (struct str){text.ptr, slash}, &prefix, err) < 0) {
        return -1;
    }
    if (slash < text.len) {
        struct str digits = {text.ptr + slash + 1, text.len - slash - 1};
        uint16_t bits;
        bool leading_zero = digits.len > 1 && digits.ptr[0] == '0';
        if (leading_zero || !str_to_u16(digits, &bits) || bits > prefix.bits) {
            return err_set(err, ERR_CONFIG, "%.*s: the prefix length must be 0 to %u",
                           STR_ARG(text), prefix.bits);
        }
        prefix.bits = (uint8_t)bits;
        if (has_host_bits(&prefix)) {
            return err_set(err, ERR_CONFIG,
                           "%.*s: the address has bits set beyond the first %u; write the "
                           "network's own address",
                           STR_ARG(text), prefix.bits);
        }
    }
    reduce_mapped(&prefix);
    *out = prefix;
    return 0;
}

void ip_prefix_format(const struct ip_prefix *prefix, char out[IP_PREFIX_TEXT])
{
    bool v4 = prefix->family == 4;
    char address[INET6_ADDRSTRLEN];
    CHECK(inet_ntop(v4 ? AF_INET : AF_INET6, prefix->bytes, address, sizeof(address)) != NULL);
    if (prefix->bits == (v4 ? V4_BITS : V6_BITS)) {
        (void)snprintf(out, IP_PREFIX_TEXT, "%s", address);
    } else {
        (void)snprintf(out, IP_PREFIX_TEXT, "%s/%u", address, prefix->bits);
    }
}

/* The peer's address bytes and family (4 or 6), v4-mapped reduced; 0 for
 * anything that is no Internet address. */
static uint8_t peer_bytes(const struct sockaddr *peer, const uint8_t **out_bytes)
{
    if (peer == NULL) {
        return 0;
    }
    if (peer->sa_family == AF_INET) {
        *out_bytes = (const uint8_t *)&((const struct sockaddr_in *)(const void *)peer)->sin_addr;
        return 4;
    }
    if (peer->sa_family != AF_INET6) {
        return 0;
    }
    *out_bytes = ((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr.s6_addr;
    if (is_mapped(*out_bytes)) {
        *out_bytes += MAPPED_OFFSET;
        return 4;
    }
    return 6;
}

static bool prefix_has_bytes(const struct ip_prefix *prefix, uint8_t family, const uint8_t *bytes)
{
    if (prefix->family != family) {
        return false;
    }
    unsigned whole = prefix->bits / 8;
    unsigned rest = prefix->bits % 8;
    if (memcmp(prefix->bytes, bytes, whole) != 0) {
        return false;
    }
    return rest == 0 || ((prefix->bytes[whole] ^ bytes[whole]) >> (8 - rest)) == 0;
}

bool ip_prefix_has(const struct ip_prefix *prefix, const struct sockaddr *peer)
{
    const uint8_t *bytes = NULL;
    uint8_t family = peer_bytes(peer, &bytes);
    return family != 0 && prefix_has_bytes(prefix, family, bytes);
}

static bool list_has(const struct ip_prefix *items, uint32_t count, uint8_t family,
                     const uint8_t *bytes)
{
    for (uint32_t i = 0; family != 0 && i < count; i++) {
        if (prefix_has_bytes(&items[i], family, bytes)) {
            return true;
        }
    }
    return count == 0;
}

bool policy_allows(const struct policy *policy, const struct sockaddr *peer)
{
    if (policy->allow_count == 0 && policy->route_allow_count == 0) {
        return true;
    }
    const uint8_t *bytes = NULL;
    uint8_t family = peer_bytes(peer, &bytes);
    return list_has(policy->allow, policy->allow_count, family, bytes) &&
           list_has(policy->route_allow, policy->route_allow_count, family, bytes);
}

void peer_format(const struct sockaddr *peer, char *out, size_t size)
{
    CHECK(size > 0);
    const uint8_t *bytes = NULL;
    uint8_t family = peer_bytes(peer, &bytes);
    if (family == 0 ||
        inet_ntop(family == 4 ? AF_INET : AF_INET6, bytes, out, (socklen_t)size) == NULL) {
        (void)snprintf(out, size, "%s", "unknown"); /* may be cut: the caller chose the size */
    }
}
