/* publisher: see publisher.h. Called by sessions.c, published.c, certkeeper.c and the gateway
 * link, all on the daemon's loop. */
#include "daemon/publisher.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "base/map.h"
#include "daemon/names.h"
#include "daemon/pem_pair.h"
#include "daemon/waiters.h"

enum { PUBLISHER_MAGIC = 0x7075626c, WAIT_MS = 30000, POLICY_SERVICE = 0, POLICY_WEB_UI = 1 };

struct entry {
    char *host; /* owned, like the other strings */
    char *worktree;
    char *service;
    uint16_t service_port;
    uint16_t port;
    enum route_state state;
    enum route_host_mode host_mode;
    enum route_backend backend;
    uint64_t since_ms; /* wall clock: when the state began */
};

struct owner {
    char *name;            /* owned */
    struct entry *entries; /* owned */
    size_t count;
};

struct publisher {
    uint32_t magic;
    struct loop *loop;           /* borrowed */
    const struct config *config; /* borrowed */
    publisher_sink_fn *sink;
    void *sink_arg; /* borrowed */
    struct names names;
    struct map owners; /* name → struct owner, owned */
    struct waiters waiters;
    struct loop_timer flush_timer; /* encodes what changed in this turn */
    struct loop_timer wait_timer;
    bool is_stale;
    uint64_t generation;
    uint64_t served;
    struct buf encoded;                                /* owned; holds keys: wiped */
    char *error;                                       /* owned */
    char *fault;                                       /* owned */
    struct pem_pair pairs[2];                          /* of certificates; [0] is the default */
    uint8_t ticket_keys[SNAPSHOT_TICKET_KEYS_MAX][80]; /* secret */
    uint32_t ticket_key_count;
};

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

static enum route_class class_of(const struct owner *owner)
{
    if (strcmp(owner->name, PUBLISHER_OWNER_PUBLISH) == 0) {
        return ROUTE_PUBLISHED;
    }
    return strcmp(owner->name, PUBLISHER_OWNER_DAEMON) == 0 ? ROUTE_WEB_UI : ROUTE_SERVICE;
}

static struct route route_of(const struct owner *owner, const struct entry *e)
{
    enum route_class route_class = class_of(owner);
    return (struct route){
        .host = str_of(e->host),
        .owner = str_of(owner->name),
        .worktree = str_of(e->worktree),
        .service = str_of(e->service),
        .service_port = e->service_port,
        .port = e->port,
        .route_class = (uint8_t)route_class,
        .state = (uint8_t)e->state,
        .host_mode = (uint8_t)e->host_mode,
        .backend = (uint8_t)e->backend,
        .since_ms = e->since_ms,
        .policy = route_class == ROUTE_WEB_UI ? POLICY_WEB_UI : POLICY_SERVICE,
    };
}

/* malloc'ed array of all routes that may be served. */
static struct route *collect_routes(const struct publisher *p, uint32_t *out_count)
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
        if (class_of(owner) == ROUTE_SERVICE && !publisher_serves_services(p)) {
            continue;
        }
        for (size_t i = 0; i < owner->count && count < SNAPSHOT_ROUTES_MAX; i++) {
            routes[count++] = route_of(owner, &owner->entries[i]);
        }
    }
    *out_count = count;
    return routes;
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
    autofree struct route *routes = collect_routes(p, &route_count);
    struct policy policies[2] = {
        [POLICY_SERVICE] = {.allow = c->service_whitelist.items,
                            .allow_count = c->service_whitelist.count},
        [POLICY_WEB_UI] = {.allow = c->web_ui_whitelist.items,
                           .allow_count = c->web_ui_whitelist.count},
    };
    struct snapshot_cert certs[COUNT_OF(p->pairs)];
    for (size_t i = 0; i < COUNT_OF(certs); i++) {
        certs[i] = (struct snapshot_cert){buf_str(&p->pairs[i].chain), buf_str(&p->pairs[i].key)};
    }
    struct snapshot_spec spec = {
        .generation = ++p->generation,
        .tls = c->tunnel_ssl.enabled,
        .public_port = (uint16_t)config_public_port(c),
        .domain = str_of(c->tunnel_domain),
        .tls_min = c->tls_min == 0 ? 2 : 3,
        .hsts_seconds = c->hsts_seconds,
        .limits = c->limits,
        .trusted_proxies = {c->trusted_proxies.items, c->trusted_proxies.count},
        .proxy_protocol = {c->proxy_protocol.items, c->proxy_protocol.count},
        .routes = routes,
        .route_count = route_count,
        .policies = policies,
        .policy_count = COUNT_OF(policies),
        .certs = certs,
        .cert_count = !c->tunnel_ssl.enabled       ? 0
                      : p->pairs[1].chain.len == 0 ? 1
                                                   : 2,
        .ticket_keys = (const uint8_t(*)[80])p->ticket_keys,
        .ticket_key_count = c->tunnel_ssl.enabled ? p->ticket_key_count : 0,
    };
    secret_fini(&p->encoded);
    snapshot_encode(&spec, &p->encoded);
    p->is_stale = false;
    waiters_assign(&p->waiters, p->generation);
    return true;
}

static void publisher_on_flush(void *arg)
{
    struct publisher *p = arg;
    CHECK(p->magic == PUBLISHER_MAGIC);
    if (p->is_stale && snapshot_build(p)) {
        p->sink(p->sink_arg, p->generation, buf_str(&p->encoded));
    }
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

static void entries_free(struct owner *owner)
{
    for (size_t i = 0; i < owner->count; i++) {
        free(owner->entries[i].host);
        free(owner->entries[i].worktree);
        free(owner->entries[i].service);
    }
    free(owner->entries);
    owner->entries = NULL;
    owner->count = 0;
}

static void owner_free(struct owner *owner)
{
    entries_free(owner);
    free(owner->name);
    free(owner);
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
    pem_pair_fini(&p->pairs[0]);
    pem_pair_fini(&p->pairs[1]);
    OPENSSL_cleanse(p->ticket_keys, sizeof p->ticket_keys);
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

static struct entry entry_copy(const struct publisher *p, const struct publish_route *r)
{
    enum route_host_mode mode = (enum route_host_mode)p->config->service_host_mode;
    enum publish_host asked = r->options.host_mode;
    if (asked != PUBLISH_HOST_DEFAULT) {
        mode = asked == PUBLISH_HOST_REWRITE ? ROUTE_HOST_REWRITE : ROUTE_HOST_PRESERVE;
    }
    return (struct entry){
        .host = xstrdup(r->host),
        .worktree = xstrdup(r->worktree == NULL ? "" : r->worktree),
        .service = xstrdup(r->service),
        .service_port = r->service_port,
        .port = r->port,
        .state = r->state,
        .host_mode = mode,
        .backend = r->options.backend,
        .since_ms = (uint64_t)clock_wall_ms(),
    };
}

void publisher_set_routes(struct publisher *p, const char *owner_name,
                          const struct publish_route *routes, size_t count, publisher_done_fn *done,
                          void *arg)
{
    CHECK(p->magic == PUBLISHER_MAGIC);
    struct owner *owner = map_get(&p->owners, str_of(owner_name));
    if (owner == NULL) {
        owner = xcalloc(1, sizeof *owner);
        owner->name = xstrdup(owner_name);
        (void)map_set(&p->owners, str_of(owner_name), owner);
    }
    struct entry *entries = xcalloc(count + 1, sizeof *entries);
    for (size_t i = 0; i < count; i++) {
        entries[i] = entry_copy(p, &routes[i]);
    }
    entries_free(owner);
    owner->entries = entries;
    owner->count = count;
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
    pem_pair_set(&p->pairs[0], tls->chain_pem, tls->key_pem);
    pem_pair_set(&p->pairs[1], tls->second_chain_pem, tls->second_key_pem);
    for (uint32_t i = 0; i < tls->ticket_key_count; i++) {
        memcpy(p->ticket_keys[i], tls->ticket_keys[i], sizeof p->ticket_keys[i]);
    }
    p->ticket_key_count = tls->ticket_key_count;
    publisher_touch(p);
}

/* --- the gateway's side ---------------------------------------------------------- */

void publisher_set_fault(struct publisher *p, const char *fault)
{
    text_set(&p->fault, fault);
    if (fault != NULL) {
        waiters_fail_all(&p->waiters, fault);
        loop_timer_set(&p->flush_timer, 0);
    }
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

/* --- for people -------------------------------------------------------------------- */

static cJSON *route_json(const struct publisher *p, const struct owner *owner,
                         const struct entry *e)
{
    autofree char *url = publisher_url(p, e->host);
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "host", e->host);
    (void)json_add_str(out, "url", url);
    (void)json_add_str(out, "class", route_class_name(class_of(owner)));
    (void)json_add_str(out, "owner", owner->name);
    (void)json_add_str(out, "worktree", e->worktree);
    (void)json_add_str(out, "service", e->service);
    if (e->service_port != 0) {
        (void)json_add_int(out, "servicePort", e->service_port);
    }
    (void)json_add_int(out, "port", e->port);
    (void)json_add_str(out, "state", route_state_name(e->state));
    (void)json_add_str(out, "hostMode",
                       e->host_mode == ROUTE_HOST_REWRITE ? "rewrite" : "preserve");
    return out;
}

static int entry_by_host(const void *a, const void *b)
{
    return strcmp(json_get_str(*(cJSON *const *)a, "host", ""),
                  json_get_str(*(cJSON *const *)b, "host", ""));
}

cJSON *publisher_routes_json(const struct publisher *p)
{
    size_t count = 0;
    cJSON **rows = NULL;
    size_t at = 0;
    const struct map_entry *item;
    while ((item = map_next(&p->owners, &at)) != NULL) {
        const struct owner *owner = item->value;
        rows = xrealloc(rows, (count + owner->count + 1) * sizeof *rows);
        for (size_t i = 0; i < owner->count; i++) {
            rows[count++] = route_json(p, owner, &owner->entries[i]);
        }
    }
    if (count > 0) {
        qsort(rows, count, sizeof *rows, entry_by_host);
    }
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < count; i++) {
        (void)cJSON_AddItemToArray(list, rows[i]);
    }
    free(rows);
    return list;
}

static int entry_by_service(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;
    int order = strcmp(x->service, y->service);
    return order != 0 ? order : (int)x->service_port - (int)y->service_port;
}

cJSON *publisher_tunnels_json(const struct publisher *p, const char *owner_name)
{
    cJSON *list = cJSON_CreateArray();
    const struct owner *owner = map_get(&p->owners, str_of(owner_name));
    if (owner == NULL || owner->count == 0) {
        return list;
    }
    autofree struct entry *rows = xcalloc(owner->count, sizeof *rows);
    memcpy(rows, owner->entries, owner->count * sizeof *rows);
    qsort(rows, owner->count, sizeof *rows, entry_by_service);
    for (size_t i = 0; i < owner->count; i++) {
        cJSON *row = cJSON_CreateObject();
        (void)json_add_str(row, "service", rows[i].service);
        (void)json_add_int(row, "containerPort", rows[i].service_port);
        (void)json_add_int(row, "hostPort", rows[i].port);
        (void)json_add_str(row, "state", p->fault == NULL ? "active" : "failed");
        if (p->fault == NULL) {
            autofree char *url = publisher_url(p, rows[i].host);
            (void)json_add_str(row, "url", url);
            (void)json_add_str(row, "hostname", rows[i].host);
        } else {
            (void)json_add_str(row, "message", p->fault);
        }
        (void)cJSON_AddItemToArray(list, row);
    }
    return list;
}
