/* deployment_withdraw: asking the core for routes, and taking traffic away from services that
 * are about to stop. Called by deployment.c and deployment_up.c; loop thread. */
#include "base/auto.h"
#include "daemon/deploy/deployment_internal.h"

enum {
    WITHDRAW_TIMEOUT_MS = 5000, /* a gateway that does not answer must not keep services alive */
    WITHDRAW_DRAIN_MS = 250,    /* for requests that were with the service already */
};

void deployment_publish(struct deployment *d, void (*on_published)(struct deployment *d),
                        loop_fn *on_timeout, uint64_t timeout_ms)
{
    autofree struct deployment_port *ports = NULL;
    size_t count = deployment_ports(d, &ports);
    for (size_t i = 0; i < count; i++) {
        ports[i].hostname = state_hostname(d, ports[i].service, ports[i].container_port);
    }
    d->on_published = on_published;
    deployment_continue(d, on_timeout, timeout_ms);
    d->ops.on_publish(d->arg, ports, count);
}

static void withdraw_on_drained(void *arg)
{
    struct deployment *d = arg;
    CHECK(d->magic == DEPLOYMENT_MAGIC && d->on_withdrawn != NULL);
    void (*next)(struct deployment * d) = d->on_withdrawn;
    d->on_withdrawn = NULL;
    next(d);
}

static void withdraw_on_timeout(void *arg)
{
    struct deployment *d = arg;
    CHECK(d->magic == DEPLOYMENT_MAGIC);
    d->on_published = NULL;
    withdraw_on_drained(d);
}

static void withdraw_on_published(struct deployment *d)
{
    bool has_route = false;
    for (size_t i = 0; i < d->service_count; i++) {
        for (size_t j = 0; j < d->services[i]->port_count; j++) {
            has_route = has_route || d->services[i]->ports[j].hostname != NULL;
        }
    }
    deployment_continue(d, withdraw_on_drained, has_route ? WITHDRAW_DRAIN_MS : 0);
}

void deployment_withdraw(struct deployment *d, enum route_state state,
                         void (*on_withdrawn)(struct deployment *d))
{
    size_t port_count = 0;
    bool has_process = false;
    for (size_t i = 0; i < d->service_count; i++) {
        struct service_run *s = d->services[i];
        has_process = has_process || service_is_running(s);
        port_count += s->is_dep ? 0 : s->port_count;
        for (size_t j = 0; j < s->port_count; j++) {
            port_set_route(&s->ports[j], state);
        }
    }
    d->on_withdrawn = on_withdrawn;
    if (!has_process || port_count == 0 || !deployment_wants_routes(d)) {
        deployment_continue(d, withdraw_on_drained, 0);
        return;
    }
    deployment_publish(d, withdraw_on_published, withdraw_on_timeout, WITHDRAW_TIMEOUT_MS);
}
