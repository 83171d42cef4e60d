/* publisher: see publisher.h. Called by sessions.c, published.c, certkeeper.c and the gateway
 * link, all on the daemon's loop. */
#include "daemon/publisher.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/log.h"
#include "daemon/accesskey.h"
#include "daemon/publisher_private.h"
#include "daemon/trust.h"

enum { PUBLISHER_MAGIC = 0x7075626c, WAIT_MS = 30000 };

static void secret_clear(struct buf *b)
{
    OPENSSL_cleanse(b->ptr, b->len);
    b->len = 0;
}

static void secret_fini(struct buf *b)
{
    if (b->ptr != NULL) {
        secret_clear(b);
    }
    buf_fini(b);
}

static void text_set(char **slot, const char *text)
{
    char *copy = text == NULL ? NULL : xstrdup(text);
    free(*slot);
    *slot = copy;
}

/* --- waiters --------------------------------------------------------------- */

static void publisher_on_wait(void *arg)
{
    struct publisher *p = arg;
    CHECK(p->magic == PUBLISHER_MAGIC);
    uint64_t now = clock_now_ms();
    uint64_t next = waiters_expire(&p->waiters, now, "the gateway did not take the routes in time");
    if (next != 0) {
        loop_timer_set(&p->wait_timer, next - now);
    }
    waiters_run(&p->waiters, p->served);
}

static void publisher_wait(struct publisher *p, publisher_done_fn *done, void *arg)
{
    const char *error = !publisher_is_enabled(p) ? "the tunnel is disabled" : p->fault;
    waiters_add(&p->waiters, done, arg, clock_now_ms() + WAIT_MS, error);
    if (!loop_timer_is_set(&p->wait_timer)) {
        loop_timer_set(&p->wait_timer, WAIT_MS);
    }
}

/* --- the snapshot ------------------------------------------------------------ */

bool publisher_is_private(const struct publisher *p, const char *owner,
                          const struct publish_options *options)
{
    return route_access_of(p->config, owner_class_of(owner), options).access ==
           PUBLISH_ACCESS_PRIVATE;
}

static struct route route_of(const struct publisher *p, const struct owner *owner,
                             const struct entry *e, uint32_t policy)
{
    return (struct route){
        .host = str_of(e->host),
        .owner = str_of(owner->name),
        .worktree = str_of(e->worktree),
        .service = str_of(e->service),
        .service_port = e->service_port,
        .port = e->port,
        .route_class = (uint8_t)owner->route_class,
        .state = (uint8_t)e->state,
        .host_mode = (uint8_t)route_host_mode_of(p->config, &e->options),
        .backend = (uint8_t)e->options.backend,
        .since_ms = e->since_ms,
        .phase = e->state == ROUTE_STARTING ? str_of(owner->phase) : STR_NONE,
        .policy = policy,
    };
}

/* The index of the entry's policy; false when it must not be published. */
static bool entry_policy(const struct publisher *p, const struct owner *owner,
                         const struct entry *e, struct policy_table *policies, uint32_t *out_index)
{
    enum route_class route_class = owner->route_class;
    if (route_access_of(p->config, route_class, &e->options).access == PUBLISH_ACCESS_PRIVATE) {
        return false;
    }
    struct policy policy = route_policy_of(p->config, route_class, &e->options);
    return policy_table_add(policies, &policy, out_index);
}

/* malloc'ed array of all routes that may be served, with their policies. */
static struct route *collect_routes(const struct publisher *p, struct policy_table *policies,
                                    uint32_t *out_count)
{
    size_t total = 0;
    size_t at = 0;
    const struct map_entry *item;
    while ((item = map_next(&p->owners, &at)) != NULL) {
        total += ((const struct owner *)item->value)->count;
    }
    struct route *routes = xcalloc(total + 1, sizeof *routes);
    uint32_t count = 0;
    at = 0;
    while ((item = map_next(&p->owners, &at)) != NULL) {
        const struct owner *owner = item->value;
        if (owner->route_class == ROUTE_SERVICE && !publisher_serves_services(p)) {
            continue;
        }
        for (size_t i = 0; i < owner->count && count < SNAPSHOT_ROUTES_MAX; i++) {
            uint32_t policy;
            if (entry_policy(p, owner, &owner->entries[i], policies, &policy)) {
                routes[count++] = route_of(p, owner, &owner->entries[i], policy);
            }
        }
    }
    *out_count = count;
    return routes;
}

/* What opens routes of access secret. Nothing does without a secret or without a key. */
static struct snapshot_access access_of(const struct publisher *p)
{
    struct snapshot_access access = {.revoked = p->revoked, .revoked_count = p->revoked_count};
    if (p->has_access_key && p->config->service_secret != NULL) {
        access.has_secret = true;
        memcpy(access.key, p->access_key, sizeof access.key);
        accesskey_digest(p->access_key, p->config->service_secret, access.digest);
    }
    return access;
}

/* Encodes the next generation into p->encoded. False when there is nothing to serve with. */
static bool snapshot_build(struct publisher *p)
{
    const struct config *c = p->config;
    if (!publisher_is_enabled(p)) {
        return false;
    }
    if (c->tunnel_ssl.enabled && p->pairs[0].chain.len == 0) {
        text_set(&p->error, "there is no certificate to serve; nothing is published without one");
        return false;
    }
    uint32_t route_count;
    struct policy_table policies = {.count = 0};
    autofree struct route *routes = collect_routes(p, &policies, &route_count);
    struct snapshot_cert certs[COUNT_OF(p->pairs)];
    uint32_t cert_count = 0;
    for (; cert_count < COUNT_OF(certs) && p->pairs[cert_count].chain.len > 0; cert_count++) {
        const struct pem_pair *pair = &p->pairs[cert_count];
        certs[cert_count] = (struct snapshot_cert){buf_str(&pair->chain), buf_str(&pair->key)};
    }
    struct snapshot_spec spec = {
        .generation = ++p->generation,
        .tls = c->tunnel_ssl.enabled,
        .public_port = (uint16_t)config_public_port(c),
        .domain = str_of(c->tunnel_domain),
        .tls_min = c->tls_min == 0 ? 2 : 3,
        .no_tickets = !c->session_tickets,
        .hsts_seconds = c->hsts_seconds,
        .limits = c->limits,
        .access = access_of(p),
        .trusted_proxies = {c->trusted_proxies.items, c->trusted_proxies.count},
        .proxy_protocol = {c->proxy_protocol.items, c->proxy_protocol.count},
        .routes = routes,
        .route_count = route_count,
        .policies = policies.items,
        .policy_count = policies.count,
        .certs = certs,
        .cert_count = c->tunnel_ssl.enabled ? cert_count : 0,
        .ticket_keys = (const uint8_t(*)[80])p->ticket_keys,
        .ticket_key_count = c->tunnel_ssl.enabled ? p->ticket_key_count : 0,
    };
    struct buf ca_pem = {0};
    trust_read(c->home, routes, route_count, &ca_pem);
    spec.ca_pem = buf_str(&ca_pem);
    secret_clear(&p->encoded); /* its memory serves again: fresh pages cost more than encoding */
    snapshot_encode(&spec, &p->encoded);
    OPENSSL_cleanse(&spec.access, sizeof spec.access);
    policy_table_fini(&policies);
    buf_fini(&ca_pem);
    p->is_stale = false;
    waiters_assign(&p->waiters, p->generation);
    return true;
}

void publisher_flush(struct publisher *p)
{
    CHECK(p->magic == PUBLISHER_MAGIC);
    if (p->is_stale && snapshot_build(p)) {
        p->sink(p->sink_arg, p->generation, buf_str(&p->encoded));
    }
}

static void publisher_on_flush(void *arg)
{
    struct publisher *p = arg;
    publisher_flush(p);
    waiters_run(&p->waiters, p->served);
}

static void publisher_touch(struct publisher *p)
{
    p->is_stale = true;
    if (!loop_timer_is_set(&p->flush_timer)) {
        loop_timer_set(&p->flush_timer, 0);
    }
}

/* --- life -------------------------------------------------------------------- */

struct publisher *publisher_new(struct loop *loop, const struct config *config,
                                publisher_sink_fn *sink, void *sink_arg)
{
    struct publisher *p = xcalloc(1, sizeof *p);
    p->magic = PUBLISHER_MAGIC;
    p->loop = loop;
    p->config = config;
    p->sink = sink;
    p->sink_arg = sink_arg;
    p->generation = (uint64_t)clock_wall_ms();
    names_init(&p->names, config->tunnel_domain == NULL ? "" : config->tunnel_domain);
    loop_timer_init(&p->flush_timer, loop, publisher_on_flush, p);
    loop_timer_init(&p->wait_timer, loop, publisher_on_wait, p);
    /* A gateway without a route still answers, with 404, in the right protocol. */
    publisher_touch(p);
    return p;
}

void publisher_free(struct publisher *p)
{
    if (p == NULL) {
        return;
    }
    CHECK(p->magic == PUBLISHER_MAGIC);
    loop_timer_fini(&p->flush_timer);
    loop_timer_fini(&p->wait_timer);
    waiters_fini(&p->waiters);
    size_t at = 0;
    const struct map_entry *item;
    while ((item = map_next(&p->owners, &at)) != NULL) {
        owner_free(item->value);
    }
    map_fini(&p->owners);
    names_fini(&p->names);
    secret_fini(&p->encoded);
    for (size_t i = 0; i < COUNT_OF(p->pairs); i++) {
        pem_pair_fini(&p->pairs[i]);
    }
    OPENSSL_cleanse(p->ticket_keys, sizeof p->ticket_keys);
    OPENSSL_cleanse(p->access_key, sizeof p->access_key);
    free(p->revoked);
    free(p->error);
    free(p->fault);
    p->magic = 0;
    free(p);
}

bool publisher_is_enabled(const struct publisher *p)
{
    return p->config->tunnel_enabled && p->config->tunnel_domain != NULL;
}

bool publisher_serves_services(const struct publisher *p)
{
    return publisher_is_enabled(p) && p->config->service_tunnels_enabled;
}

/* --- names --------------------------------------------------------------------- */

char *publisher_name(struct publisher *p, const char *owner, const char *worktree,
                     const char *service, uint16_t service_port, bool is_first, struct err *err)
{
    const char *host = names_give(&p->names, owner, worktree, service, service_port, is_first, err);
    return host == NULL ? NULL : xstrdup(host);
}

int publisher_keep_name(struct publisher *p, const char *owner, const char *service,
                        uint16_t service_port, const char *host, struct err *err)
{
    return names_keep(&p->names, owner, service, service_port, host, err);
}

char *publisher_host_of_label(const struct publisher *p, const char *label)
{
    return xasprintf("%s.%s", label, p->names.domain);
}

void publisher_forget_name(struct publisher *p, const char *owner, const char *service,
                           uint16_t service_port)
{
    names_drop(&p->names, owner, service, service_port);
}

const char *publisher_name_owner(const struct publisher *p, const char *host)
{
    return names_owner(&p->names, host);
}

char *publisher_url(const struct publisher *p, const char *host)
{
    const char *scheme = config_scheme(p->config);
    uint32_t port = config_public_port(p->config);
    uint32_t usual = p->config->tunnel_ssl.enabled ? 443 : 80;
    if (port == usual) {
        return xasprintf("%s://%s", scheme, host);
    }
    return xasprintf("%s://%s:%u", scheme, host, port);
}

/* --- routes -------------------------------------------------------------------- */

/* Tells the log once when a route does not get the access it asks for, or is closed. */
static void entry_note(const struct publisher *p, const struct owner *owner, struct entry *e)
{
    struct route_access now = route_access_of(p->config, owner->route_class, &e->options);
    bool is_new = now.access != e->noted.access || now.is_capped != e->noted.is_capped ||
                  now.is_closed != e->noted.is_closed;
    e->noted = now;
    autofree char *warning = is_new ? entry_warning(p, owner, e) : NULL;
    if (warning != NULL) {
        log_warn("publish", "a route is less open than it asks for", LOG_STR("host", e->host),
                 LOG_STR("owner", owner->name), LOG_STR("reason", warning));
    }
}

static struct owner *owner_of(struct publisher *p, const char *name)
{
    struct owner *owner = map_get(&p->owners, str_of(name));
    if (owner == NULL) {
        owner = owner_new(name);
        (void)map_set(&p->owners, str_of(name), owner);
    }
    return owner;
}

void publisher_set_routes(struct publisher *p, const char *owner_name,
                          const struct publish_route *routes, size_t count, publisher_done_fn *done,
                          void *arg)
{
    CHECK(p->magic == PUBLISHER_MAGIC);
    struct owner *owner = owner_of(p, owner_name);
    owner_set(owner, routes, count, (uint64_t)clock_wall_ms());
    for (size_t i = 0; i < owner->count; i++) {
        entry_note(p, owner, &owner->entries[i]);
    }
    if (done != NULL) {
        publisher_wait(p, done, arg);
    }
    publisher_touch(p);
}

void publisher_put_route(struct publisher *p, const char *owner_name,
                         const struct publish_route *route, publisher_done_fn *done, void *arg)
{
    CHECK(p->magic == PUBLISHER_MAGIC);
    struct owner *owner = owner_of(p, owner_name);
    entry_note(p, owner, owner_put(owner, route, (uint64_t)clock_wall_ms()));
    if (done != NULL) {
        publisher_wait(p, done, arg);
    }
    publisher_touch(p);
}

void publisher_set_state(struct publisher *p, const char *owner_name, const char *service,
                         uint16_t service_port, enum route_state state)
{
    struct owner *owner = map_get(&p->owners, str_of(owner_name));
    for (size_t i = 0; owner != NULL && i < owner->count; i++) {
        struct entry *e = &owner->entries[i];
        if (e->service_port == service_port && strcmp(e->service, service) == 0 &&
            e->state != state) {
            e->state = state;
            e->since_ms = (uint64_t)clock_wall_ms();
            publisher_touch(p);
        }
    }
}

void publisher_set_phase(struct publisher *p, const char *owner_name, const char *phase)
{
    struct owner *owner = map_get(&p->owners, str_of(owner_name));
    if (owner == NULL || (owner->phase != NULL && strcmp(owner->phase, phase) == 0)) {
        return;
    }
    text_set(&owner->phase, phase);
    for (size_t i = 0; i < owner->count; i++) {
        if (owner->entries[i].state == ROUTE_STARTING) {
            publisher_touch(p);
            break;
        }
    }
}

void publisher_drop_routes(struct publisher *p, const char *owner_name)
{
    struct owner *owner = map_del(&p->owners, str_of(owner_name));
    if (owner != NULL) {
        owner_free(owner);
        publisher_touch(p);
    }
}

void publisher_forget(struct publisher *p, const char *owner)
{
    publisher_drop_routes(p, owner);
    names_forget(&p->names, owner);
}

void publisher_cancel(struct publisher *p, const void *arg)
{
    waiters_cancel(&p->waiters, arg);
}

void publisher_set_tls(struct publisher *p, const struct publisher_tls *tls)
{
    CHECK(tls->ticket_key_count <= SNAPSHOT_TICKET_KEYS_MAX);
    CHECK(tls->cert_count <= COUNT_OF(p->pairs));
    for (uint32_t i = 0; i < COUNT_OF(p->pairs); i++) {
        bool is_given = i < tls->cert_count;
        pem_pair_set(&p->pairs[i], is_given ? tls->certs[i].chain_pem : STR_NONE,
                     is_given ? tls->certs[i].key_pem : STR_NONE);
    }
    for (uint32_t i = 0; i < tls->ticket_key_count; i++) {
        memcpy(p->ticket_keys[i], tls->ticket_keys[i], sizeof p->ticket_keys[i]);
    }
    p->ticket_key_count = tls->ticket_key_count;
    publisher_touch(p);
}

void publisher_set_access(struct publisher *p, const uint8_t key[SNAPSHOT_ACCESS_KEY],
                          const uint64_t *revoked, uint32_t revoked_count)
{
    CHECK(revoked_count <= SNAPSHOT_REVOKED_MAX);
    memcpy(p->access_key, key, sizeof p->access_key);
    p->has_access_key = true;
    free(p->revoked);
    p->revoked = xcalloc(revoked_count + 1, sizeof *p->revoked);
    if (revoked_count > 0) {
        memcpy(p->revoked, revoked, revoked_count * sizeof *revoked);
    }
    p->revoked_count = revoked_count;
    publisher_touch(p);
}

void publisher_config_changed(struct publisher *p)
{
    size_t at = 0;
    const struct map_entry *item;
    while ((item = map_next(&p->owners, &at)) != NULL) {
        struct owner *owner = item->value;
        for (size_t i = 0; i < owner->count; i++) {
            entry_note(p, owner, &owner->entries[i]);
        }
    }
    publisher_touch(p);
}

void publisher_await(struct publisher *p, publisher_done_fn *done, void *arg)
{
    publisher_wait(p, done, arg);
    publisher_touch(p);
}

/* --- the gateway's side ---------------------------------------------------------- */

void publisher_set_fault(struct publisher *p, const char *fault)
{
    bool is_news =
        (fault == NULL) != (p->fault == NULL) || (fault != NULL && strcmp(fault, p->fault) != 0);
    text_set(&p->fault, fault);
    if (fault != NULL) {
        waiters_fail_all(&p->waiters, fault);
        loop_timer_set(&p->flush_timer, 0);
    }
    if (is_news && p->fault_fn != NULL) {
        p->fault_fn(p->fault_arg);
    }
}

void publisher_on_fault(struct publisher *p, publisher_fault_fn *fn, void *arg)
{
    p->fault_fn = fn;
    p->fault_arg = arg;
}

void publisher_on_ack(struct publisher *p, uint64_t generation)
{
    if (generation > p->served && generation <= p->generation) {
        p->served = generation;
    }
    if (generation == p->generation) {
        text_set(&p->error, NULL);
    }
    waiters_run(&p->waiters, p->served);
}

void publisher_on_nack(struct publisher *p, uint64_t generation, const char *error)
{
    text_set(&p->error, error);
    waiters_fail_until(&p->waiters, generation, error);
    waiters_run(&p->waiters, p->served);
}

struct str publisher_snapshot(struct publisher *p, uint64_t *out_generation)
{
    if (p->is_stale) {
        (void)snapshot_build(p); /* without one, the last is still right */
    }
    *out_generation = p->generation;
    return buf_str(&p->encoded);
}

void publisher_raise_generation(struct publisher *p, uint64_t at_least)
{
    if (p->generation < at_least) {
        p->generation = at_least;
        publisher_touch(p);
    }
}

uint64_t publisher_generation(const struct publisher *p)
{
    return p->generation;
}

uint64_t publisher_served_generation(const struct publisher *p)
{
    return p->served;
}

const char *publisher_error(const struct publisher *p)
{
    return p->fault != NULL ? p->fault : p->error;
}
