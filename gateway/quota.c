/* quota: see quota.h. Sets are made by the gateway's main thread; entering and
 * leaving is the workers' (exchange.c). */
#include "gateway/quota.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/auto.h"

struct quota {
    _Atomic uint32_t refs;      /* sets and exchanges */
    _Atomic uint32_t exchanges; /* under way */
    _Atomic uint64_t full_ns;   /* when the bucket will be full again */
};

struct quota_set {
    _Atomic uint32_t refs;
    uint32_t count;
    struct quota *items[]; /* one reference on each; by route; NULL: no limit */
};

static struct quota *quota_ref(struct quota *q)
{
    (void)atomic_fetch_add_explicit(&q->refs, 1, memory_order_relaxed);
    return q;
}

static void quota_unref(struct quota *q)
{
    if (q != NULL && atomic_fetch_sub_explicit(&q->refs, 1, memory_order_acq_rel) == 1) {
        free(q);
    }
}

struct quota_set *quota_set_ref(struct quota_set *set)
{
    if (set != NULL) {
        (void)atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    }
    return set;
}

void quota_set_unref(struct quota_set *set)
{
    if (set == NULL || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        quota_unref(set->items[i]);
    }
    free(set);
}

static struct quota *quota_before(const struct snapshot *before, const struct quota_set *old,
                                  struct str host)
{
    const struct route *route = before == NULL || old == NULL ? NULL : route_match(before, host);
    return route == NULL ? NULL : old->items[route - before->spec.routes];
}

bool quota_set_new(const struct snapshot *now, const struct snapshot *before,
                   const struct quota_set *old, struct quota_set **out_set)
{
    const struct snapshot_spec *spec = &now->spec;
    bool is_needed = false;
    for (uint32_t i = 0; i < spec->policy_count; i++) {
        is_needed = is_needed || quota_is_needed(&spec->policies[i]);
    }
    if (!is_needed) {
        *out_set = NULL;
        return true;
    }
    struct quota_set *set = try_zalloc(sizeof *set + spec->route_count * sizeof set->items[0]);
    if (set == NULL) {
        return false;
    }
    atomic_init(&set->refs, 1);
    set->count = spec->route_count;
    for (uint32_t i = 0; i < spec->route_count; i++) {
        const struct route *route = &spec->routes[i];
        if (!quota_is_needed(&spec->policies[route->policy])) {
            continue;
        }
        struct quota *kept = quota_before(before, old, route->host);
        if (kept != NULL) {
            set->items[i] = quota_ref(kept);
            continue;
        }
        set->items[i] = try_zalloc(sizeof *set->items[i]);
        if (set->items[i] == NULL) {
            quota_set_unref(set);
            return false;
        }
        atomic_init(&set->items[i]->refs, 1);
    }
    *out_set = set;
    return true;
}

/* Takes a token; 0, or the seconds until there is one. */
static uint32_t take_token(struct quota *q, const struct policy *policy, uint64_t now_us)
{
    const uint64_t second_ns = 1000000000;
    uint64_t token_ns = second_ns / policy->rate_per_second;
    uint64_t burst_ns = token_ns * (policy->rate_burst > 0 ? policy->rate_burst : 1);
    uint64_t now_ns = now_us * 1000;
    uint64_t full_ns = atomic_load_explicit(&q->full_ns, memory_order_relaxed);
    uint64_t then_ns;
    do {
        /* Never more than a whole bucket behind: the burst may have been larger once. */
        uint64_t from_ns = full_ns > now_ns + burst_ns ? now_ns + burst_ns : full_ns;
        then_ns = (from_ns > now_ns ? from_ns : now_ns) + token_ns;
        if (then_ns > now_ns + burst_ns) {
            uint64_t wait_s = (then_ns - burst_ns - now_ns + second_ns - 1) / second_ns;
            return wait_s > UINT32_MAX ? UINT32_MAX : (uint32_t)wait_s;
        }
    } while (!atomic_compare_exchange_weak_explicit(&q->full_ns, &full_ns, then_ns,
                                                    memory_order_relaxed, memory_order_relaxed));
    return 0;
}

uint32_t quota_enter(struct quota_set *set, const struct snapshot *snapshot,
                     const struct route *route, uint64_t now_us, struct quota **out_quota)
{
    const struct policy *policy = &snapshot->spec.policies[route->policy];
    struct quota *q = set == NULL ? NULL : set->items[route - snapshot->spec.routes];
    *out_quota = NULL;
    if (q == NULL) {
        return 0;
    }
    uint32_t before = atomic_fetch_add_explicit(&q->exchanges, 1, memory_order_relaxed);
    uint32_t wait_s = policy->exchanges_max > 0 && before >= policy->exchanges_max ? 1
                      : policy->rate_per_second > 0 ? take_token(q, policy, now_us)
                                                    : 0;
    if (wait_s > 0) {
        (void)atomic_fetch_sub_explicit(&q->exchanges, 1, memory_order_relaxed);
        return wait_s;
    }
    *out_quota = quota_ref(q);
    return 0;
}

void quota_leave(struct quota *q)
{
    if (q != NULL) {
        (void)atomic_fetch_sub_explicit(&q->exchanges, 1, memory_order_relaxed);
        quota_unref(q);
    }
}
