/* snapshot_encode: a snapshot_spec as bytes; the daemon's publisher calls it. The format, which
 * snapshot.c reads:
 *
 *   magic[4] version:u16 flags:u16 generation:u64 public_port:u16
 *       flags: 1 = tls, 2 = secret, 4 = no tickets
 *   domain:str tls_min:u8 hsts:u32  limits: count:u16 then u32 each
 *   access: key[32] digest[32] revoked: u32 × u64
 *   trusted proxies, PROXY peers: peers;  peers = u32 × { family:u8 bits:u8 address[4 or 16] }
 *   policies: u32 × { access:u8 rate:u32 burst:u32 exchanges:u32 class:peers route:peers }
 *   certs: u32 × { chain:u32+bytes key:u32+bytes }   ticket keys: u32 × bytes[80]
 *   ca: u32+bytes
 *   routes: u32 × { host owner worktree service: str; service_port:u16 port:u16
 *                   class:u8 state:u8 host_mode:u8 backend:u8 policy:u32 since_ms:u64 phase:str }
 *   str = length:u16 and the bytes
 */
#include "base/auto.h"
#include "routing/snapshot_format.h"

static void put_uint(struct buf *out, uint64_t value, unsigned bytes)
{
    uint8_t raw[8];
    for (unsigned i = 0; i < bytes; i++) {
        raw[i] = (uint8_t)(value >> (8 * i));
    }
    buf_add(out, raw, bytes);
}

static void put_str(struct buf *out, struct str s)
{
    CHECK(s.len <= UINT16_MAX);
    put_uint(out, s.len, 2);
    buf_add_str(out, s);
}

static void put_blob(struct buf *out, struct str s)
{
    CHECK(s.len <= SNAPSHOT_PEM_MAX);
    put_uint(out, s.len, 4);
    buf_add_str(out, s);
}

/* Reserved at once: growing by realloc would leave copies of keys behind. */
static size_t encoded_size(const struct snapshot_spec *spec)
{
    size_t size = HEADER_BYTES + 2 + spec->domain.len + 2 + sizeof(struct limits) + (size_t)4 * 4;
    size += 2 * (size_t)SNAPSHOT_ACCESS_KEY + 4 + (size_t)spec->access.revoked_count * 8 +
            (size_t)2 * 4;
    size += ((size_t)spec->trusted_proxies.count + spec->proxy_protocol.count) * (2 + 16);
    for (uint32_t i = 0; i < spec->policy_count; i++) {
        const struct policy *policy = &spec->policies[i];
        size +=
            POLICY_BYTES_MIN + ((size_t)policy->allow_count + policy->route_allow_count) * (2 + 16);
    }
    for (uint32_t i = 0; i < spec->cert_count; i++) {
        size += CERT_BYTES_MIN + spec->certs[i].chain_pem.len + spec->certs[i].key_pem.len;
    }
    size += (size_t)spec->ticket_key_count * TICKET_BYTES + 4 + spec->ca_pem.len;
    for (uint32_t i = 0; i < spec->route_count; i++) {
        size += route_size(&spec->routes[i]);
    }
    return size;
}

static void put_peers(struct buf *out, const struct ip_prefix *items, uint32_t count)
{
    put_uint(out, count, 4);
    for (uint32_t i = 0; i < count; i++) {
        put_uint(out, items[i].family, 1);
        put_uint(out, items[i].bits, 1);
        buf_add(out, items[i].bytes, items[i].family == 4 ? 4 : 16);
    }
}

static void put_policies(struct buf *out, const struct snapshot_spec *spec)
{
    put_uint(out, spec->policy_count, 4);
    for (uint32_t i = 0; i < spec->policy_count; i++) {
        const struct policy *policy = &spec->policies[i];
        put_uint(out, policy->access, 1);
        put_uint(out, policy->rate_per_second, 4);
        put_uint(out, policy->rate_burst, 4);
        put_uint(out, policy->exchanges_max, 4);
        put_peers(out, policy->allow, policy->allow_count);
        put_peers(out, policy->route_allow, policy->route_allow_count);
    }
}

static void put_access(struct buf *out, const struct snapshot_access *access)
{
    buf_add(out, access->key, sizeof(access->key));
    buf_add(out, access->digest, sizeof(access->digest));
    put_uint(out, access->revoked_count, 4);
    for (uint32_t i = 0; i < access->revoked_count; i++) {
        put_uint(out, access->revoked[i], 8);
    }
}

/* Routes are many: theirs are written to reserved room, without a call a number. */
static uint8_t *write_uint(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
    return at + bytes;
}

static uint8_t *write_str(uint8_t *at, struct str s)
{
    CHECK(s.len <= UINT16_MAX);
    at = write_uint(at, s.len, 2);
    if (s.len > 0) {
        memcpy(at, s.ptr, s.len);
    }
    return at + s.len;
}

static void put_route(struct buf *out, const struct route *r)
{
    size_t size = route_size(r);
    buf_reserve(out, size);
    uint8_t *begin = (uint8_t *)out->ptr + out->len;
    uint8_t *at = write_str(begin, r->host);
    at = write_str(at, r->owner);
    at = write_str(at, r->worktree);
    at = write_str(at, r->service);
    at = write_uint(at, r->service_port, 2);
    at = write_uint(at, r->port, 2);
    at = write_uint(at, r->route_class, 1);
    at = write_uint(at, r->state, 1);
    at = write_uint(at, r->host_mode, 1);
    at = write_uint(at, r->backend, 1);
    at = write_uint(at, r->policy, 4);
    at = write_uint(at, r->since_ms, 8);
    at = write_str(at, r->phase);
    CHECK((size_t)(at - begin) == size);
    out->len += size;
}

static void put_routes(struct buf *out, const struct snapshot_spec *spec)
{
    put_uint(out, spec->route_count, 4);
    for (uint32_t i = 0; i < spec->route_count; i++) {
        put_route(out, &spec->routes[i]);
    }
}

void snapshot_encode(const struct snapshot_spec *spec, struct buf *out)
{
    buf_reserve(out, encoded_size(spec));
    buf_add_str(out, STR(SNAPSHOT_MAGIC));
    put_uint(out, SNAPSHOT_VERSION, 2);
    put_uint(out,
             (spec->tls ? FLAG_TLS : 0U) | (spec->access.has_secret ? FLAG_SECRET : 0U) |
                 (spec->no_tickets ? FLAG_NO_TICKETS : 0U),
             2);
    put_uint(out, spec->generation, 8);
    put_uint(out, spec->public_port, 2);
    put_str(out, spec->domain);
    put_uint(out, spec->tls_min, 1);
    put_uint(out, spec->hsts_seconds, 4);
    uint32_t limits[LIMIT_COUNT]; /* in the order of the struct */
    memcpy(limits, &spec->limits, sizeof(limits));
    put_uint(out, LIMIT_COUNT, 2);
    for (unsigned i = 0; i < LIMIT_COUNT; i++) {
        put_uint(out, limits[i], 4);
    }
    put_access(out, &spec->access);
    put_peers(out, spec->trusted_proxies.items, spec->trusted_proxies.count);
    put_peers(out, spec->proxy_protocol.items, spec->proxy_protocol.count);
    put_policies(out, spec);
    put_uint(out, spec->cert_count, 4);
    for (uint32_t i = 0; i < spec->cert_count; i++) {
        put_blob(out, spec->certs[i].chain_pem);
        put_blob(out, spec->certs[i].key_pem);
    }
    put_uint(out, spec->ticket_key_count, 4);
    if (spec->ticket_key_count > 0) {
        buf_add(out, spec->ticket_keys, (size_t)spec->ticket_key_count * TICKET_BYTES);
    }
    put_blob(out, spec->ca_pem);
    put_routes(out, spec);
}
