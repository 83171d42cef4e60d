/* narrowing: see narrowing.h. */
#include "routing/narrowing.h"

#include <openssl/crypto.h>
#include <string.h>

static bool prefixes_are_same(const struct ip_prefix *a, uint32_t a_count,
                              const struct ip_prefix *b, uint32_t b_count)
{
    if (a_count != b_count) {
        return false;
    }
    for (uint32_t i = 0; i < a_count; i++) {
        if (a[i].family != b[i].family || a[i].bits != b[i].bits ||
            memcmp(a[i].bytes, b[i].bytes, sizeof a[i].bytes) != 0) {
            return false;
        }
    }
    return true;
}

static bool policy_is_same(const struct policy *a, const struct policy *b)
{
    return a->access == b->access &&
           prefixes_are_same(a->allow, a->allow_count, b->allow, b->allow_count) &&
           prefixes_are_same(a->route_allow, a->route_allow_count, b->route_allow,
                             b->route_allow_count);
}

/* Two snapshots, and the last pair of policies found to be the same: most routes have few. */
struct comparison {
    const struct snapshot *before;
    const struct snapshot *now;
    uint32_t same[2];
    bool has_same;
};

static bool policies_are_same(struct comparison *c, uint32_t before, uint32_t now)
{
    if (c->has_same && c->same[0] == before && c->same[1] == now) {
        return true;
    }
    if (!policy_is_same(&c->before->spec.policies[before], &c->now->spec.policies[now])) {
        return false;
    }
    c->same[0] = before;
    c->same[1] = now;
    c->has_same = true;
    return true;
}

/* Without a secret nobody was in that way. */
static bool access_is_kept(const struct snapshot_access *a, const struct snapshot_access *b)
{
    return !a->has_secret ||
           (b->has_secret && CRYPTO_memcmp(a->key, b->key, sizeof a->key) == 0 &&
            CRYPTO_memcmp(a->digest, b->digest, sizeof a->digest) == 0 &&
            a->revoked_count == b->revoked_count &&
            (a->revoked_count == 0 ||
             memcmp(a->revoked, b->revoked, a->revoked_count * sizeof a->revoked[0]) == 0));
}

static bool routes_are_kept(struct comparison *c)
{
    const struct snapshot *now = c->now;
    uint32_t next = 0; /* where the next is, if the order is the same */
    for (uint32_t i = 0; i < c->before->spec.route_count; i++) {
        const struct route *old = &c->before->spec.routes[i];
        const struct route *route = next < now->spec.route_count ? &now->spec.routes[next] : NULL;
        if (route == NULL || !str_eq(route->host, old->host)) {
            route = route_match(now, old->host);
        }
        if (route == NULL || !policies_are_same(c, old->policy, route->policy) ||
            !str_eq(route->service, old->service) || !str_eq(route->worktree, old->worktree)) {
            return false;
        }
        next = (uint32_t)(route - now->spec.routes) + 1;
    }
    return true;
}

static bool lists_are_same(const struct peer_list *a, const struct peer_list *b)
{
    return prefixes_are_same(a->items, a->count, b->items, b->count);
}

bool narrowing_between(const struct snapshot *before, const struct snapshot *now)
{
    struct comparison c = {.before = before, .now = now};
    return !lists_are_same(&before->spec.trusted_proxies, &now->spec.trusted_proxies) ||
           !lists_are_same(&before->spec.proxy_protocol, &now->spec.proxy_protocol) ||
           !access_is_kept(&before->spec.access, &now->spec.access) || !routes_are_kept(&c);
}
