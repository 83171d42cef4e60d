/* review: see review.h. Called by the worker and the fronts. */
#include "gateway/review.h"

#include "base/auto.h"
#include "gateway/access.h"
#include "gateway/conn.h"
#include "gateway/exchange.h"
#include "gateway/worker.h"

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
