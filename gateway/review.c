/* review: see review.h. Called by the worker and the fronts. */
#include "gateway/review.h"

#include <openssl/crypto.h>
#include <string.h>

#include "base/auto.h"
#include "gateway/access.h"
#include "gateway/conn.h"
#include "gateway/exchange.h"
#include "gateway/worker.h"

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

/* One by one: a route's policy is an index into them. */
static bool policies_are_same(const struct snapshot_spec *a, const struct snapshot_spec *b)
{
    if (a->policy_count != b->policy_count) {
        return false;
    }
    for (uint32_t i = 0; i < a->policy_count; i++) {
        const struct policy *p = &a->policies[i];
        const struct policy *q = &b->policies[i];
        if (p->access != q->access ||
            !prefixes_are_same(p->allow, p->allow_count, q->allow, q->allow_count) ||
            !prefixes_are_same(p->route_allow, p->route_allow_count, q->route_allow,
                               q->route_allow_count)) {
            return false;
        }
    }
    return true;
}

static bool access_is_same(const struct snapshot_access *a, const struct snapshot_access *b)
{
    return a->has_secret == b->has_secret && CRYPTO_memcmp(a->key, b->key, sizeof a->key) == 0 &&
           CRYPTO_memcmp(a->digest, b->digest, sizeof a->digest) == 0 &&
           a->revoked_count == b->revoked_count &&
           (a->revoked_count == 0 ||
            memcmp(a->revoked, b->revoked, a->revoked_count * sizeof a->revoked[0]) == 0);
}

static bool routes_are_kept(const struct snapshot *before, const struct snapshot *now)
{
    uint32_t next = 0; /* where the next is, if the order is the same */
    for (uint32_t i = 0; i < before->spec.route_count; i++) {
        const struct route *old = &before->spec.routes[i];
        const struct route *route = next < now->spec.route_count ? &now->spec.routes[next] : NULL;
        if (route == NULL || !str_eq(route->host, old->host)) {
            route = route_match(now, old->host);
        }
        if (route == NULL || route->policy != old->policy ||
            !str_eq(route->service, old->service) || !str_eq(route->worktree, old->worktree)) {
            return false;
        }
        next = (uint32_t)(route - now->spec.routes) + 1;
    }
    return true;
}

bool review_is_needed(const struct snapshot *before, const struct snapshot *now)
{
    return !access_is_same(&before->spec.access, &now->spec.access) ||
           !policies_are_same(&before->spec, &now->spec) || !routes_are_kept(before, now);
}

void review_worker(struct worker *w)
{
    /* One that ends stays in memory, and linked to the next, until the turn is over. */
    for (struct conn *c = w->fronts; c != NULL;) {
        struct conn *next = c->front_next;
        if (c->state == CONN_OPEN) {
            c->ops->on_event(c, CONN_REVIEW);
        }
        c = next;
    }
}

static void end(struct exchange *x, enum exchange_deny why, const struct reply *r)
{
    if (x->back_owner != NULL) {
        x->back->cancel(x);
    }
    if (x->head_sent) {
        exchange_cut(x, ABORT_POLICY);
        return;
    }
    exchange_deny(x, why);
    exchange_answer(x, r);
}

void review_exchange(struct exchange *x)
{
    const struct snapshot *snapshot = x->worker->view->snapshot;
    const struct str host = {x->request.host.name, x->request.host.len};
    CHECK(x->magic == EXCHANGE_MAGIC);
    if (!x->admitted) {
        return;
    }
    const struct route *route = route_match(snapshot, host);
    if (route == NULL || !str_eq(route->service, x->route->service) ||
        !str_eq(route->worktree, x->route->worktree)) {
        struct reply r = reply_no_route(host, &x->arena);
        end(x, EXCHANGE_DENY_UNKNOWN_HOST, &r);
        return;
    }
    const struct policy *policy = &snapshot->spec.policies[route->policy];
    if (!policy_allows(policy, exchange_client(x))) {
        struct reply r = reply_forbidden();
        end(x, EXCHANGE_DENY_WHITELIST, &r);
    } else if (!access_still_admits(x, &snapshot->spec.access, policy)) {
        struct reply r = reply_plain(401, "tunnel: this address needs a secret, or a new login");
        end(x, EXCHANGE_DENY_SECRET, &r);
    }
}
