/* snapshot: see snapshot.h. Encoded by the daemon's publisher, decoded by the
 * gateway's main thread, read by all workers.
 *
 * The decoder copies the bytes once into the arena and lets every string,
 * certificate and key point into that copy: a route costs its text, one
 * struct route and eight bytes or so of index. The encoding is canonical: what
 * decodes encodes to the same bytes again. The format: snapshot_encode.c.
 */
#include "routing/snapshot.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#include "base/auto.h"
#include "routing/host.h"
#include "routing/snapshot_format.h"

const struct limits limits_default = {
    .handshake_timeout_ms = 10000,
    .header_timeout_ms = 30000,
    .idle_timeout_ms = 75000,
    .body_timeout_ms = 60000,
    .write_timeout_ms = 60000,
    .connect_timeout_ms = 5000,
    .response_timeout_ms = 0,
    .tunnel_idle_timeout_ms = 3600000,
    .upstream_idle_timeout_ms = 60000,
    .upstream_idle_max = 512,
    .header_bytes_max = 65536,
    .header_count_max = 200,
    .uri_bytes_max = 16384,
    .streams_max = 128,
    .connections_max = 16000,
    .connections_per_address = 12000,
    .resets_max = 200,
    .control_frames_max = 1000,
    .failed_secrets_free = 5,
    .failed_secrets_delay_max_ms = 900000,
    .failed_secrets_per_minute = 100,
    .upstream_streams_max = 100,
    .interims_max = 32,
    .close_timeout_ms = 30000,
    .stream_window = 262144,
    .connection_window = 1048576,
    .login_bytes_max = 4096,
    .metric_routes_max = 200,
};

_Static_assert(sizeof(struct limits) == 28 * sizeof(uint32_t),
               "struct limits is uint32_t only; a new one needs a new SNAPSHOT_VERSION");

/* Reads past the end give zeros and set `cut`, which the section's end checks. */
struct reader {
    struct str left;
    bool cut;
};

static const char *take(struct reader *r, size_t len)
{
    if (r->cut || r->left.len < len) {
        r->cut = true;
        return NULL;
    }
    const char *at = r->left.ptr;
    r->left.ptr += len;
    r->left.len -= len;
    return at;
}

static uint64_t take_uint(struct reader *r, unsigned bytes)
{
    const char *at = take(r, bytes);
    uint64_t value = 0;
    for (unsigned i = 0; at != NULL && i < bytes; i++) {
        value |= (uint64_t)(uint8_t)at[i] << (8 * i);
    }
    return value;
}

static struct str take_bytes(struct reader *r, size_t len)
{
    const char *at = take(r, len);
    return at == NULL ? STR_NONE : (struct str){at, len};
}

static struct str take_str(struct reader *r)
{
    return take_bytes(r, take_uint(r, 2));
}

static int cut_error(struct err *err, const char *section)
{
    return err_set(err, ERR_REFUSED, "snapshot: cut off in the %s", section);
}

/* A count of things that take at least `each` bytes: never more than fit, so
 * that what is allocated stays in proportion to what was sent. */
static int take_count(struct reader *r, size_t each, uint32_t max, const char *section,
                      uint32_t *out_count, struct err *err)
{
    uint32_t count = (uint32_t)take_uint(r, 4);
    if (r->cut || count > r->left.len / each) {
        return cut_error(err, section);
    }
    if (count > max) {
        return err_set(err, ERR_REFUSED, "snapshot: %u %s, more than the %u allowed", count,
                       section, max);
    }
    *out_count = count;
    return 0;
}

static void *alloc_array(struct arena *arena, size_t count, size_t size, struct err *err)
{
    void *array = arena_try_alloc(arena, count * size); /* count is bounded by take_count */
    if (array == NULL) {
        (void)err_set(err, ERR_FAILED, "snapshot: out of memory"); /* NULL tells the caller */
    }
    return array;
}

/* Limits where 0 says something: none, nothing kept, nothing free, nothing told apart. */
static bool limit_may_be_zero(unsigned index)
{
    return index == offsetof(struct limits, response_timeout_ms) / sizeof(uint32_t) ||
           index == offsetof(struct limits, upstream_idle_max) / sizeof(uint32_t) ||
           index == offsetof(struct limits, failed_secrets_free) / sizeof(uint32_t) ||
           index == offsetof(struct limits, metric_routes_max) / sizeof(uint32_t);
}

static int decode_limits(struct reader *r, struct limits *out, struct err *err)
{
    uint32_t limits[LIMIT_COUNT];
    for (unsigned i = 0; i < LIMIT_COUNT; i++) {
        limits[i] = (uint32_t)take_uint(r, 4);
        if (!r->cut && limits[i] == 0 && !limit_may_be_zero(i)) {
            return err_set(err, ERR_REFUSED, "snapshot: limit %u is 0", i + 1);
        }
    }
    memcpy(out, limits, sizeof(*out));
    return r->cut ? cut_error(err, "limits") : 0;
}

static int decode_head(struct reader *r, struct snapshot_spec *spec, struct err *err)
{
    struct str start = take_bytes(r, sizeof SNAPSHOT_MAGIC - 1);
    if (r->cut || memcmp(start.ptr, SNAPSHOT_MAGIC, start.len) != 0) {
        return err_set(err, ERR_REFUSED, "snapshot: not a snapshot");
    }
    unsigned version = (unsigned)take_uint(r, 2);
    if (r->cut || version != SNAPSHOT_VERSION) {
        return err_set(err, ERR_REFUSED, "snapshot: version %u, this program knows %d", version,
                       SNAPSHOT_VERSION);
    }
    unsigned flags = (unsigned)take_uint(r, 2);
    spec->tls = (flags & FLAG_TLS) != 0;
    spec->access.has_secret = (flags & FLAG_SECRET) != 0;
    spec->no_tickets = (flags & FLAG_NO_TICKETS) != 0;
    spec->generation = take_uint(r, 8);
    spec->public_port = (uint16_t)take_uint(r, 2);
    spec->domain = take_str(r);
    spec->tls_min = (uint8_t)take_uint(r, 1);
    spec->hsts_seconds = (uint32_t)take_uint(r, 4);
    unsigned limit_count = (unsigned)take_uint(r, 2);
    if (r->cut) {
        return cut_error(err, "head");
    }
    if ((flags & ~(unsigned)(FLAG_TLS | FLAG_SECRET | FLAG_NO_TICKETS)) != 0 ||
        limit_count != LIMIT_COUNT) {
        return err_set(err, ERR_REFUSED, "snapshot: unknown flags or limits");
    }
    if (spec->tls_min != 2 && spec->tls_min != 3) {
        return err_set(err, ERR_REFUSED, "snapshot: TLS 1.%u as the least version", spec->tls_min);
    }
    if (spec->domain.len > 0 && !host_is_canonical(spec->domain)) {
        return err_set(err, ERR_REFUSED, "snapshot: the domain is not a lower-case host name");
    }
    return decode_limits(r, &spec->limits, err);
}

static int decode_access(struct reader *r, struct arena *arena, struct snapshot_access *access,
                         struct err *err)
{
    struct str key = take_bytes(r, sizeof(access->key));
    struct str digest = take_bytes(r, sizeof(access->digest));
    if (key.ptr == NULL || digest.ptr == NULL) {
        return cut_error(err, "access");
    }
    memcpy(access->key, key.ptr, key.len);
    memcpy(access->digest, digest.ptr, digest.len);
    OPENSSL_cleanse((void *)(uintptr_t)key.ptr, key.len + digest.len); /* our own copy */
    if (take_count(r, 8, SNAPSHOT_REVOKED_MAX, "revoked logins", &access->revoked_count, err) < 0) {
        return -1;
    }
    uint64_t *revoked = alloc_array(arena, access->revoked_count, sizeof(*revoked), err);
    if (revoked == NULL) {
        return -1;
    }
    for (uint32_t i = 0; i < access->revoked_count; i++) {
        revoked[i] = take_uint(r, 8);
        if (i > 0 && revoked[i] <= revoked[i - 1]) {
            return err_set(err, ERR_REFUSED, "snapshot: revoked logins are not in order");
        }
    }
    access->revoked = revoked;
    return 0;
}

static int decode_peers(struct reader *r, struct arena *arena, uint32_t max,
                        const struct ip_prefix **out_items, uint32_t *out_count, struct err *err)
{
    uint32_t count;
    if (take_count(r, PREFIX_BYTES_MIN, max, "addresses of a list", &count, err) < 0) {
        return -1;
    }
    *out_items = NULL;
    *out_count = count;
    if (count == 0) {
        return 0;
    }
    struct ip_prefix *items = alloc_array(arena, count, sizeof(*items), err);
    if (items == NULL) {
        return -1;
    }
    for (uint32_t i = 0; i < count; i++) {
        items[i] = (struct ip_prefix){.family = (uint8_t)take_uint(r, 1)};
        items[i].bits = (uint8_t)take_uint(r, 1);
        if (r->cut) {
            return cut_error(err, "address lists");
        }
        bool v4 = items[i].family == 4;
        if ((!v4 && items[i].family != 6) || items[i].bits > (v4 ? 32 : 128)) {
            return err_set(err, ERR_REFUSED, "snapshot: an address list has a bad prefix");
        }
        struct str bytes = take_bytes(r, v4 ? 4 : 16);
        if (bytes.ptr == NULL) {
            return cut_error(err, "address lists");
        }
        memcpy(items[i].bytes, bytes.ptr, bytes.len);
    }
    *out_items = items;
    return 0;
}

static int decode_policy(struct reader *r, struct arena *arena, struct policy *policy,
                         struct err *err)
{
    *policy = (struct policy){.access = (uint8_t)take_uint(r, 1)};
    policy->rate_per_second = (uint32_t)take_uint(r, 4);
    policy->rate_burst = (uint32_t)take_uint(r, 4);
    policy->exchanges_max = (uint32_t)take_uint(r, 4);
    if (policy->access > POLICY_SECRET ||
        (policy->rate_per_second > 0 && policy->rate_burst == 0)) {
        return err_set(err, ERR_REFUSED, "snapshot: a policy that makes no sense");
    }
    if (decode_peers(r, arena, UINT32_MAX, &policy->allow, &policy->allow_count, err) < 0) {
        return -1;
    }
    return decode_peers(r, arena, UINT32_MAX, &policy->route_allow, &policy->route_allow_count,
                        err);
}

static int decode_policies(struct reader *r, struct arena *arena, struct snapshot_spec *spec,
                           struct err *err)
{
    if (take_count(r, POLICY_BYTES_MIN, SNAPSHOT_POLICIES_MAX, "policies", &spec->policy_count,
                   err) < 0) {
        return -1;
    }
    struct policy *policies = alloc_array(arena, spec->policy_count, sizeof(*policies), err);
    if (policies == NULL) {
        return -1;
    }
    for (uint32_t i = 0; i < spec->policy_count; i++) {
        if (decode_policy(r, arena, &policies[i], err) < 0) {
            return -1;
        }
    }
    spec->policies = policies;
    return 0;
}

static int take_pem(struct reader *r, struct str *out, struct err *err)
{
    size_t len = take_uint(r, 4);
    if (len > SNAPSHOT_PEM_MAX) {
        return err_set(err, ERR_REFUSED, "snapshot: a certificate or key of %zu bytes", len);
    }
    *out = take_bytes(r, len);
    if (r->cut) {
        return cut_error(err, "certificates");
    }
    if (len == 0) {
        return err_set(err, ERR_REFUSED, "snapshot: an empty certificate or key");
    }
    return 0;
}

static int decode_secrets(struct reader *r, struct arena *arena, struct snapshot_spec *spec,
                          struct err *err)
{
    uint32_t count;
    if (take_count(r, CERT_BYTES_MIN, SNAPSHOT_CERTS_MAX, "certificates", &count, err) < 0) {
        return -1;
    }
    if (spec->tls && count == 0) {
        return err_set(err, ERR_REFUSED, "snapshot: TLS without a certificate");
    }
    struct snapshot_cert *certs = alloc_array(arena, count, sizeof(*certs), err);
    if (certs == NULL) {
        return -1;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (take_pem(r, &certs[i].chain_pem, err) < 0 || take_pem(r, &certs[i].key_pem, err) < 0) {
            return -1;
        }
    }
    spec->certs = certs;
    spec->cert_count = count;
    if (take_count(r, TICKET_BYTES, SNAPSHOT_TICKET_KEYS_MAX, "ticket keys", &count, err) < 0) {
        return -1;
    }
    struct str keys = take_bytes(r, (size_t)count * TICKET_BYTES);
    spec->ticket_keys = (const uint8_t(*)[TICKET_BYTES])(const void *)keys.ptr;
    spec->ticket_key_count = count;
    return 0;
}

static int decode_ca(struct reader *r, struct snapshot_spec *spec, struct err *err)
{
    size_t len = take_uint(r, 4);
    if (len > SNAPSHOT_PEM_MAX) {
        return err_set(err, ERR_REFUSED, "snapshot: certificate authorities of %zu bytes", len);
    }
    spec->ca_pem = take_bytes(r, len);
    return r->cut ? cut_error(err, "certificate authorities") : 0;
}

static int route_check(const struct route *route, const struct snapshot_spec *spec, struct err *err)
{
    if (!host_is_canonical(route->host)) {
        return err_set(err, ERR_REFUSED, "snapshot: \"%.*s\" is not a lower-case host name",
                       STR_ARG(route->host));
    }
    const char *what = NULL;
    if (route->route_class > ROUTE_PUBLISHED) {
        what = "an unknown class";
    } else if (route->state > ROUTE_STOPPED) {
        what = "an unknown state";
    } else if (route->host_mode > ROUTE_HOST_REWRITE) {
        what = "an unknown host mode";
    } else if (route->backend > BACKEND_H2C) {
        what = "an unknown backend";
    } else if (route->policy >= spec->policy_count) {
        what = "a policy that is not there";
    } else if (route->port == 0 && route->state == ROUTE_LIVE) {
        what = "no port though it is live";
    }
    if (what != NULL) {
        return err_set(err, ERR_REFUSED, "snapshot: route %.*s has %s", STR_ARG(route->host), what);
    }
    return 0;
}

static void move_str(struct str *s, const char *from, const char *to)
{
    s->ptr = to + (s->ptr - from);
}

/* The routes before, while new ones are decoded. */
struct former {
    const struct snapshot *snapshot;  /* borrowed; NULL: none */
    const struct snapshot_spec *spec; /* its; NULL: none */
    uint32_t next;                    /* where the next is, if the order is the same */
    bool same_hosts;                  /* each at the same place, so far */
};

/* Mostly a few of thousands changed: the others come in the same bytes, are known to be right, and
 * only have to point into these. */
static bool take_known_route(struct reader *r, struct former *f, struct route *out)
{
    if (f->spec == NULL || f->next >= f->spec->route_count) {
        return false;
    }
    const struct route *old = &f->spec->routes[f->next];
    const char *bytes = old->host.ptr - 2; /* behind its length */
    size_t size = route_size(old);
    if (r->left.len < size || memcmp(r->left.ptr, bytes, size) != 0) {
        return false;
    }
    const char *at = take(r, size);
    *out = *old;
    move_str(&out->host, bytes, at);
    move_str(&out->owner, bytes, at);
    move_str(&out->worktree, bytes, at);
    move_str(&out->service, bytes, at);
    move_str(&out->phase, bytes, at);
    f->next++;
    return true;
}

/* `route` was not taken from there: the next may be behind the one it had been. */
static void find_next(struct former *f, const struct route *route)
{
    const struct route *old = f->snapshot == NULL ? NULL : route_match(f->snapshot, route->host);
    if (old != NULL) {
        f->next = (uint32_t)(old - f->spec->routes) + 1;
    }
}

static int decode_route(struct reader *r, const struct snapshot_spec *spec, struct route *out,
                        struct err *err)
{
    *out = (struct route){.host = take_str(r)};
    out->owner = take_str(r);
    out->worktree = take_str(r);
    out->service = take_str(r);
    out->service_port = (uint16_t)take_uint(r, 2);
    out->port = (uint16_t)take_uint(r, 2);
    out->route_class = (uint8_t)take_uint(r, 1);
    out->state = (uint8_t)take_uint(r, 1);
    out->host_mode = (uint8_t)take_uint(r, 1);
    out->backend = (uint8_t)take_uint(r, 1);
    out->policy = (uint32_t)take_uint(r, 4);
    out->since_ms = take_uint(r, 8);
    out->phase = take_str(r);
    return r->cut ? cut_error(err, "routes") : route_check(out, spec, err);
}

static bool has_same_host(const struct former *f, uint32_t i, const struct route *route)
{
    return f->spec != NULL && i < f->spec->route_count &&
           str_eq(f->spec->routes[i].host, route->host);
}

static int decode_routes(struct reader *r, struct arena *arena, struct snapshot_spec *spec,
                         struct former *f, struct err *err)
{
    uint32_t count;
    if (take_count(r, ROUTE_BYTES_MIN, SNAPSHOT_ROUTES_MAX, "routes", &count, err) < 0) {
        return -1;
    }
    struct route *routes = alloc_array(arena, count, sizeof(*routes), err);
    if (routes == NULL) {
        return -1;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (take_known_route(r, f, &routes[i])) {
            f->same_hosts = f->same_hosts && f->next == i + 1;
            if (routes[i].policy >= spec->policy_count) { /* there may be fewer now */
                return route_check(&routes[i], spec, err);
            }
        } else if (decode_route(r, spec, &routes[i], err) < 0) {
            return -1;
        } else {
            find_next(f, &routes[i]);
            f->same_hosts = f->same_hosts && has_same_host(f, i, &routes[i]);
        }
    }
    f->same_hosts = f->same_hosts && f->spec != NULL && f->spec->route_count == count;
    spec->routes = routes;
    spec->route_count = count;
    return 0;
}

/* The same hosts at the same places: the index is as it was. */
static int index_copy(struct snapshot *s, const struct snapshot *before, struct err *err)
{
    size_t size = (size_t)before->index_mask + 1;
    s->index = alloc_array(&s->arena, size, sizeof(*s->index), err);
    if (s->index == NULL) {
        return -1;
    }
    memcpy(s->index, before->index, size * sizeof(*s->index));
    s->index_mask = before->index_mask;
    return 0;
}

/* At most two thirds full. */
static int index_build(struct snapshot *s, struct err *err)
{
    const struct snapshot_spec *spec = &s->spec;
    if (spec->route_count == 0) {
        return 0;
    }
    uint32_t size = INDEX_MIN;
    while (size / 3 * 2 < spec->route_count) {
        size *= 2;
    }
    s->index = alloc_array(&s->arena, size, sizeof(*s->index), err);
    if (s->index == NULL) {
        return -1;
    }
    memset(s->index, 0, size * sizeof(*s->index));
    s->index_mask = size - 1;
    for (uint32_t i = 0; i < spec->route_count; i++) {
        struct str host = spec->routes[i].host;
        uint32_t at = (uint32_t)host_hash(host) & s->index_mask;
        for (; s->index[at] != 0; at = (at + 1) & s->index_mask) {
            if (str_eq(spec->routes[s->index[at] - 1].host, host)) {
                return err_set(err, ERR_REFUSED, "snapshot: two routes for %.*s", STR_ARG(host));
            }
        }
        s->index[at] = i + 1;
    }
    return 0;
}

static int decode_all(struct snapshot *s, struct str copy, const struct snapshot *before,
                      struct err *err)
{
    struct reader r = {.left = copy};
    struct former former = {
        .snapshot = before, .spec = before == NULL ? NULL : &before->spec, .same_hosts = true};
    struct snapshot_spec *spec = &s->spec;
    if (decode_head(&r, spec, err) < 0 || decode_access(&r, &s->arena, &spec->access, err) < 0 ||
        decode_peers(&r, &s->arena, SNAPSHOT_PEERS_MAX, &spec->trusted_proxies.items,
                     &spec->trusted_proxies.count, err) < 0 ||
        decode_peers(&r, &s->arena, SNAPSHOT_PEERS_MAX, &spec->proxy_protocol.items,
                     &spec->proxy_protocol.count, err) < 0 ||
        decode_policies(&r, &s->arena, spec, err) < 0 ||
        decode_secrets(&r, &s->arena, spec, err) < 0 || decode_ca(&r, spec, err) < 0 ||
        decode_routes(&r, &s->arena, spec, &former, err) < 0) {
        return -1;
    }
    if (r.left.len > 0) {
        return err_set(err, ERR_REFUSED, "snapshot: %zu bytes too many", r.left.len);
    }
    bool is_same = before != NULL && former.same_hosts && spec->route_count > 0;
    return is_same ? index_copy(s, before, err) : index_build(s, err);
}

struct snapshot *snapshot_decode_after(struct str bytes, const struct snapshot *before,
                                       struct err *err)
{
    struct snapshot *s = try_zalloc(sizeof(*s));
    if (s == NULL) {
        (void)err_set(err, ERR_FAILED, "snapshot: out of memory"); /* NULL tells the caller */
        return NULL;
    }
    atomic_init(&s->refs, 1);
    arena_init(&s->arena, 0);
    char *copy = arena_try_alloc(&s->arena, bytes.len);
    if (copy == NULL) {
        (void)err_set(err, ERR_FAILED, "snapshot: out of memory"); /* NULL tells the caller */
        goto fail_arena;
    }
    if (bytes.len > 0) {
        memcpy(copy, bytes.ptr, bytes.len);
    }
    if (decode_all(s, (struct str){copy, bytes.len}, before, err) < 0) {
        goto fail_copy;
    }
    return s;
fail_copy:
    OPENSSL_cleanse(&s->spec.access, sizeof(s->spec.access));
    OPENSSL_cleanse(copy, bytes.len); /* half decoded: where its keys are is not known */
fail_arena:
    arena_fini(&s->arena);
    free(s);
    return NULL;
}

struct snapshot *snapshot_decode(struct str bytes, struct err *err)
{
    return snapshot_decode_after(bytes, NULL, err);
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
    uint32_t before = atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    CHECK(before > 0);
    return s;
}

void snapshot_unref(struct snapshot *s)
{
    if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    OPENSSL_cleanse(&s->spec.access, sizeof(s->spec.access));
    /* Casting const away: the bytes are our own copy, const only to readers. */
    for (uint32_t i = 0; i < s->spec.cert_count; i++) {
        struct str key = s->spec.certs[i].key_pem;
        OPENSSL_cleanse((void *)(uintptr_t)key.ptr, key.len);
    }
    if (s->spec.ticket_key_count > 0) {
        OPENSSL_cleanse((void *)(uintptr_t)s->spec.ticket_keys,
                        (size_t)s->spec.ticket_key_count * TICKET_BYTES);
    }
    arena_fini(&s->arena);
    free(s);
}
