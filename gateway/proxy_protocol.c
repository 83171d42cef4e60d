/* proxy_protocol: see proxy_protocol.h. Called by greeting.c for listed peers;
 * pure functions. */
#include "gateway/proxy_protocol.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#include "base/auto.h"
#include "base/str.h"

enum {
    V2_HEAD = 16, /* signature, version and command, family, length */
    V2_LOCAL = 0x20,
    V2_PROXY = 0x21,
    V2_UNSPEC = 0x00,
    V2_TCP4 = 0x11,
    V2_TCP6 = 0x21,
    V2_TCP4_LEN = 12,
    V2_TCP6_LEN = 36,
    TLV_HEAD = 3,
    TLV_CRC32C = 0x03,
    CRC_LEN = 4,
};

static const char v1_start[] = "PROXY ";
static const char v2_signature[] = "\r\n\r\n\0\r\nQUIT\n";

static enum proxy_result fault(const char **out_why, const char *why)
{
    *out_why = why;
    return PROXY_FAULT;
}

static void source_set(struct proxy_header *h, int family, const void *address, uint16_t port)
{
    h->source = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (family == AF_INET6) {
        memcpy(&h->source.sin6_addr, address, sizeof h->source.sin6_addr);
    } else {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
        memcpy(&v4.sin_addr, address, sizeof v4.sin_addr);
        memcpy(&h->source, &v4, sizeof v4);
    }
    h->has_source = true;
}

/* ---- version 1: a line of text ---- */

static bool address_read(int family, struct str text, uint8_t out[16])
{
    char copy[INET6_ADDRSTRLEN];
    if (text.len == 0 || text.len >= sizeof copy || memchr(text.ptr, '\0', text.len) != NULL) {
        return false;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return inet_pton(family, copy, out) == 1; /* refuses leading zeros itself */
}

static bool port_read(struct str text, uint16_t *out)
{
    return (text.len == 1 || (text.len > 1 && text.ptr[0] != '0')) && str_to_u16(text, out);
}

/* "TCP4 192.0.2.1 198.51.100.1 56324 443", without the CR LF. */
static bool v1_fields(struct str line, struct proxy_header *out)
{
    struct str part[6];
    size_t count = 0;
    while (count < COUNT_OF(part) && str_next(&line, ' ', &part[count])) {
        count++;
    }
    if (count > 0 && str_eq(part[0], STR("UNKNOWN"))) {
        return true; /* whatever follows is to be ignored */
    }
    uint8_t source[16];
    uint8_t target[16];
    uint16_t source_port;
    uint16_t target_port;
    if (count != 5) {
        return false;
    }
    int family = str_eq(part[0], STR("TCP4"))   ? AF_INET
                 : str_eq(part[0], STR("TCP6")) ? AF_INET6
                                                : AF_UNSPEC;
    if (family == AF_UNSPEC || !address_read(family, part[1], source) ||
        !address_read(family, part[2], target) || !port_read(part[3], &source_port) ||
        !port_read(part[4], &target_port)) {
        return false;
    }
    source_set(out, family, source, source_port);
    return true;
}

static enum proxy_result v1_read(const char *data, size_t len, struct proxy_header *out,
                                 const char **out_why)
{
    size_t seen = len < PROXY_V1_MAX ? len : PROXY_V1_MAX;
    const char *end = memchr(data, '\n', seen);
    if (end == NULL) {
        return len < PROXY_V1_MAX ? PROXY_MORE
                                  : fault(out_why, "a PROXY line of more than 107 bytes");
    }
    size_t start = sizeof v1_start - 1;
    size_t line_len = (size_t)(end - data);
    if (line_len <= start || data[line_len - 1] != '\r') {
        return fault(out_why, "a PROXY line without CR LF");
    }
    struct proxy_header header = {.len = line_len + 1};
    if (!v1_fields((struct str){data + start, line_len - 1 - start}, &header)) {
        return fault(out_why, "a malformed PROXY line");
    }
    *out = header;
    return PROXY_DONE;
}

/* ---- version 2: binary ---- */

/* CRC-32C (Castagnoli), the reflected form; at most a few KiB, once a connection. */
static uint32_t crc32c_add(uint32_t crc, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (0x82f63b78u & (0u - (crc & 1u)));
        }
    }
    return crc;
}

/* Of the whole header, with the four bytes of the checksum itself as zeros. */
static bool crc_is_right(const uint8_t *data, size_t len, size_t crc_at)
{
    static const uint8_t zeros[CRC_LEN];
    uint32_t crc = crc32c_add(0xffffffffu, data, crc_at);
    crc = crc32c_add(crc, zeros, CRC_LEN);
    crc = ~crc32c_add(crc, data + crc_at + CRC_LEN, len - crc_at - CRC_LEN);
    const uint8_t *given = data + crc_at;
    return crc == ((uint32_t)given[0] << 24 | (uint32_t)given[1] << 16 | (uint32_t)given[2] << 8 |
                   given[3]);
}

/* The TLVs from `at` to the end of the header. NULL, or what is wrong. */
static const char *tlvs_check(const uint8_t *data, size_t len, size_t at)
{
    size_t crc_at = 0;
    while (at < len) {
        if (len - at < TLV_HEAD) {
            return "a cut TLV in the PROXY header";
        }
        size_t size = (size_t)data[at + 1] << 8 | data[at + 2];
        if (size > len - at - TLV_HEAD) {
            return "a TLV longer than the PROXY header";
        }
        if (data[at] == TLV_CRC32C) {
            if (size != CRC_LEN || crc_at != 0) {
                return "a malformed checksum in the PROXY header";
            }
            crc_at = at + TLV_HEAD;
        }
        at += TLV_HEAD + size;
    }
    return crc_at == 0 || crc_is_right(data, len, crc_at) ? NULL
                                                          : "a wrong checksum in the PROXY header";
}

static enum proxy_result v2_addresses(const uint8_t *data, struct proxy_header *out,
                                      const char **out_why)
{
    size_t length = out->len - V2_HEAD;
    const uint8_t *at = data + V2_HEAD;
    size_t used;
    switch (data[13]) {
    case V2_TCP4:
        used = V2_TCP4_LEN;
        break;
    case V2_TCP6:
        used = V2_TCP6_LEN;
        break;
    case V2_UNSPEC:
        return PROXY_DONE; /* how long the addresses are nobody knows: all is skipped */
    default:
        return fault(out_why, "a PROXY header for something else than TCP");
    }
    if (length < used) {
        return fault(out_why, "a PROXY header too short for its addresses");
    }
    const char *why = tlvs_check(data, out->len, V2_HEAD + used);
    if (why != NULL) {
        return fault(out_why, why);
    }
    if (used == V2_TCP4_LEN) {
        source_set(out, AF_INET, at, (uint16_t)(at[8] << 8 | at[9]));
    } else {
        source_set(out, AF_INET6, at, (uint16_t)(at[32] << 8 | at[33]));
    }
    return PROXY_DONE;
}

static enum proxy_result v2_read(const uint8_t *data, size_t len, struct proxy_header *out,
                                 const char **out_why)
{
    if (len > 12 && data[12] != V2_PROXY && data[12] != V2_LOCAL) {
        return fault(out_why, "an unknown version or command in the PROXY header");
    }
    if (len < V2_HEAD) {
        return PROXY_MORE;
    }
    size_t length = (size_t)data[14] << 8 | data[15];
    if (length > PROXY_V2_LENGTH_MAX) {
        return fault(out_why, "a PROXY header of more than 4096 bytes");
    }
    if (len < V2_HEAD + length) {
        return PROXY_MORE;
    }
    struct proxy_header header = {.len = V2_HEAD + length};
    if (data[12] == V2_PROXY) {
        enum proxy_result result = v2_addresses(data, &header, out_why);
        if (result != PROXY_DONE) {
            return result;
        }
    }
    *out = header;
    return PROXY_DONE;
}

/* True when the bytes there are could be the beginning of `start`. */
static bool may_be(const char *data, size_t len, const char *start, size_t start_len)
{
    return memcmp(data, start, len < start_len ? len : start_len) == 0;
}

enum proxy_result proxy_header_read(const char *data, size_t len, struct proxy_header *out,
                                    const char **out_why)
{
    enum { V1_START = sizeof v1_start - 1, V2_SIGNATURE = sizeof v2_signature - 1 };
    if (len == 0) {
        return PROXY_MORE;
    }
    if (may_be(data, len, v1_start, V1_START)) {
        return len < V1_START ? PROXY_MORE : v1_read(data, len, out, out_why);
    }
    if (may_be(data, len, v2_signature, V2_SIGNATURE)) {
        return len < V2_SIGNATURE ? PROXY_MORE : v2_read((const uint8_t *)data, len, out, out_why);
    }
    return fault(out_why, "no PROXY header");
}
