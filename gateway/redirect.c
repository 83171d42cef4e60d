/* redirect: see redirect.h. Called by exchange.c; the worker's thread. */
#include "gateway/redirect.h"

static bool is_ours(const struct snapshot *snapshot, struct str name)
{
    struct str domain = snapshot->spec.domain;
    return route_match(snapshot, name) != NULL || (domain.len > 0 && host_is_under(name, domain));
}

void redirect_reply(struct exchange *x)
{
    enum { HTTPS_PORT = 443 };
    const struct head *h = &x->request;
    const struct snapshot *snapshot = x->view->snapshot;
    struct str name = {h->host.name, h->host.len};
    if (!is_ours(snapshot, name)) {
        struct reply none = reply_no_route(name, &x->arena);
        exchange_answer(x, &none);
        return;
    }
    const char *port = "";
    if (snapshot->spec.public_port != HTTPS_PORT) {
        port = arena_try_printf(&x->arena, ":%u", snapshot->spec.public_port);
    }
    /* OPTIONS * is about the server: a URI without a path (RFC 9112 3.2.4). */
    struct str path = str_eq(h->target, STR("*")) ? STR("") : h->target;
    const char *to =
        arena_try_printf(&x->arena, "https://%.*s%s%.*s", STR_ARG(name), port, STR_ARG(path));
    struct reply r = reply_plain(308, arena_try_printf(&x->arena, "tunnel: moved to %s", to));
    r.location = to;
    exchange_answer(x, &r);
}
