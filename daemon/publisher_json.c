/* publisher_json: what the publisher has, as JSON for people and programs (docs/API.md). Called by
 * the API and sessions.c, on the daemon's loop. */
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/publisher_private.h"

char *entry_warning(const struct publisher *p, const struct owner *owner, const struct entry *e)
{
    enum route_class route_class = owner->route_class;
    autofree char *place =
        route_class == ROUTE_PUBLISHED
            ? xasprintf("wos publish %s", e->service)
            : xasprintf("service %s, port %u", e->service, (unsigned)e->service_port);
    return route_access_warning(p->config, route_class, &e->options, place);
}

/* Adds what both kinds of rows say of who may see the route and how it is reached. */
static void add_policy(cJSON *out, const struct publisher *p, const struct owner *owner,
                       const struct entry *e)
{
    enum route_class route_class = owner->route_class;
    struct route_access access = route_access_of(p->config, route_class, &e->options);
    struct policy policy = route_policy_of(p->config, route_class, &e->options);
    (void)json_add_str(out, "access", publish_access_name(access.access));
    (void)json_add_str(out, "backend", route_backend_name(e->options.backend));
    (void)json_add_int(out, "whitelistCount", policy.route_allow_count);
    (void)json_add_int(out, "classWhitelistCount", policy.allow_count);
    if (policy.rate_per_second > 0) {
        cJSON *rate = cJSON_AddObjectToObject(out, "rateLimit");
        (void)json_add_int(rate, "requestsPerSecond", policy.rate_per_second);
        (void)json_add_int(rate, "burst", policy.rate_burst);
    }
    if (policy.exchanges_max > 0) {
        (void)json_add_int(out, "maxConcurrent", policy.exchanges_max);
    }
    autofree char *warning = entry_warning(p, owner, e);
    if (warning != NULL) {
        (void)json_add_str(out, "warning", warning);
    }
}

void publisher_add_access(const struct publisher *p, const char *owner_name, const char *host,
                          cJSON *out)
{
    struct owner *owner = map_get(&p->owners, str_of(owner_name));
    const struct entry *e = owner == NULL ? NULL : owner_find(owner, host);
    if (e == NULL) {
        return;
    }
    enum publish_access access = route_access_of(p->config, owner->route_class, &e->options).access;
    autofree char *warning = entry_warning(p, owner, e);
    (void)json_add_str(out, "effectiveAccess", publish_access_name(access));
    if (warning != NULL) {
        (void)json_add_str(out, "warning", warning);
    }
}

static cJSON *route_json(const struct publisher *p, const struct owner *owner,
                         const struct entry *e)
{
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "host", e->host);
    if (!publisher_is_private(p, owner->name, &e->options)) {
        autofree char *url = publisher_url(p, e->host);
        (void)json_add_str(out, "url", url);
    }
    (void)json_add_str(out, "class", route_class_name(owner->route_class));
    (void)json_add_str(out, "owner", owner->name);
    (void)json_add_str(out, "worktree", e->worktree);
    (void)json_add_str(out, "service", e->service);
    if (e->service_port != 0) {
        (void)json_add_int(out, "servicePort", e->service_port);
    }
    (void)json_add_int(out, "port", e->port);
    (void)json_add_str(out, "state", route_state_name(e->state));
    (void)json_add_str(
        out, "hostMode",
        route_host_mode_of(p->config, &e->options) == ROUTE_HOST_REWRITE ? "rewrite" : "preserve");
    add_policy(out, p, owner, e);
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

static void add_tunnel_state(cJSON *row, const struct publisher *p, const struct owner *owner,
                             const struct entry *e)
{
    if (publisher_is_private(p, owner->name, &e->options)) {
        (void)json_add_str(row, "state", "private");
        (void)json_add_str(row, "hostname", e->host);
        (void)json_add_str(row, "message", "access private: no public route");
    } else if (p->fault == NULL) {
        autofree char *url = publisher_url(p, e->host);
        (void)json_add_str(row, "state", "active");
        (void)json_add_str(row, "url", url);
        (void)json_add_str(row, "hostname", e->host);
    } else {
        (void)json_add_str(row, "state", "failed");
        (void)json_add_str(row, "message", p->fault);
    }
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
        add_tunnel_state(row, p, owner, &rows[i]);
        add_policy(row, p, owner, &rows[i]);
        (void)cJSON_AddItemToArray(list, row);
    }
    return list;
}
