/* route_policy: see route_policy.h. Called by the publisher and sessions.c, on the daemon's
 * loop. */
#include "daemon/route_policy.h"

#include <stdlib.h>

#include "base/auto.h"
#include "routing/snapshot.h"

struct route_access route_access_of(const struct config *config, enum route_class route_class,
                                    const struct publish_options *options)
{
    if (route_class == ROUTE_WEB_UI) {
        return (struct route_access){.access = PUBLISH_ACCESS_PUBLIC};
    }
    enum publish_access widest =
        (enum publish_access)(config->service_access + PUBLISH_ACCESS_PUBLIC);
    struct route_access out = {.access = options->access};
    if (options->access == PUBLISH_ACCESS_DEFAULT) {
        out.access = widest;
    } else if (options->access < widest) {
        out.access = widest;
        out.is_capped = true;
    }
    out.is_closed = out.access == PUBLISH_ACCESS_SECRET && config->service_secret == NULL;
    return out;
}

char *route_access_warning(const struct config *config, enum route_class route_class,
                           const struct publish_options *options, const char *place)
{
    struct route_access access = route_access_of(config, route_class, options);
    if (!access.is_capped && !access.is_closed) {
        return NULL;
    }
    struct buf text = {0};
    buf_printf(&text, "%s", place);
    if (access.is_capped) {
        buf_printf(&text, " asks for access %s; tunnel.serviceTunnels.access allows %s at most",
                   publish_access_name(options->access), publish_access_name(access.access));
    }
    if (access.is_closed) {
        buf_printf(&text,
                   "%s has access secret and tunnel.serviceTunnels.secret is not set: it is "
                   "closed to everyone",
                   access.is_capped ? "; it" : "");
    }
    char *out = xstrdup(buf_cstr(&text));
    buf_fini(&text);
    return out;
}

enum route_host_mode route_host_mode_of(const struct config *config,
                                        const struct publish_options *options)
{
    if (options->host_mode == PUBLISH_HOST_DEFAULT) {
        return (enum route_host_mode)config->service_host_mode;
    }
    return options->host_mode == PUBLISH_HOST_REWRITE ? ROUTE_HOST_REWRITE : ROUTE_HOST_PRESERVE;
}

struct policy route_policy_of(const struct config *config, enum route_class route_class,
                              const struct publish_options *options)
{
    if (route_class == ROUTE_WEB_UI) {
        return (struct policy){.allow = config->web_ui_whitelist.items,
                               .allow_count = config->web_ui_whitelist.count};
    }
    struct route_access access = route_access_of(config, route_class, options);
    uint32_t rate = options->rate_per_second != 0 ? options->rate_per_second : config->service_rate;
    uint32_t burst = options->rate_burst != 0 ? options->rate_burst : config->service_burst;
    return (struct policy){
        .allow = config->service_whitelist.items,
        .allow_count = config->service_whitelist.count,
        .route_allow = options->whitelist,
        .route_allow_count = options->whitelist_count,
        .access = access.access == PUBLISH_ACCESS_PUBLIC ? POLICY_PUBLIC : POLICY_SECRET,
        .rate_per_second = rate,
        .rate_burst = rate == 0 ? 0 : burst,
        .exchanges_max =
            options->exchanges_max != 0 ? options->exchanges_max : config->service_exchanges_max,
    };
}

/* What makes two policies the same. The class's list is one of the configuration's: its address
 * tells which. */
static void policy_key(const struct policy *policy, struct buf *out)
{
    buf_add(out, &policy->allow, sizeof policy->allow);
    buf_add(out, &policy->access, sizeof policy->access);
    buf_add(out, &policy->rate_per_second, sizeof policy->rate_per_second);
    buf_add(out, &policy->rate_burst, sizeof policy->rate_burst);
    buf_add(out, &policy->exchanges_max, sizeof policy->exchanges_max);
    for (uint32_t i = 0; i < policy->route_allow_count; i++) {
        const struct ip_prefix *prefix = &policy->route_allow[i];
        buf_add(out, &prefix->family, sizeof prefix->family);
        buf_add(out, &prefix->bits, sizeof prefix->bits);
        buf_add(out, prefix->bytes, sizeof prefix->bytes);
    }
}

/* Only what is cheap to tell: policies with a list of their own go through the map. */
static bool is_plainly_same(const struct policy *a, const struct policy *b)
{
    return a->allow == b->allow && a->access == b->access &&
           a->rate_per_second == b->rate_per_second && a->rate_burst == b->rate_burst &&
           a->exchanges_max == b->exchanges_max && a->route_allow_count == 0 &&
           b->route_allow_count == 0;
}

bool policy_table_add(struct policy_table *table, const struct policy *policy, uint32_t *out_index)
{
    if (table->count > 0 && is_plainly_same(&table->items[table->last], policy)) {
        *out_index = table->last;
        return true;
    }
    struct buf key = {0};
    policy_key(policy, &key);
    uintptr_t known = (uintptr_t)map_get(&table->indexes, buf_str(&key));
    bool fits = known != 0 || table->count < SNAPSHOT_POLICIES_MAX;
    if (known == 0 && fits) {
        if ((table->count & (table->count - 1)) == 0) { /* doubled at each power of two */
            size_t cap = table->count == 0 ? 1 : 2 * (size_t)table->count;
            table->items = xrealloc(table->items, cap * sizeof *table->items);
        }
        table->items[table->count++] = *policy;
        known = table->count;
        (void)map_set(&table->indexes, buf_str(&key), (void *)known);
    }
    buf_fini(&key);
    if (fits) {
        *out_index = table->last = (uint32_t)(known - 1);
    }
    return fits;
}

void policy_table_fini(struct policy_table *table)
{
    map_fini(&table->indexes);
    free(table->items);
    *table = (struct policy_table){.count = 0};
}
