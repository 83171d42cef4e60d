/* deployment_services: the services a deployment has, as records. Called by the other
 * deployment files and the runners; loop thread. */
#include <stdlib.h>

#include "base/auto.h"
#include "daemon/deploy/deployment_internal.h"

struct service_run *service_run_new(struct deployment *d, const char *name, size_t port_count)
{
    struct service_run *s = xcalloc(1, sizeof(*s));
    s->magic = SERVICE_RUN_MAGIC;
    s->deployment = d;
    loop_timer_init(&s->settle, d->env.loop, readiness_on_settled, s);
    s->name = xstrdup(name);
    s->ports = xcalloc(port_count + 1, sizeof(s->ports[0]));
    s->port_count = port_count;
    for (size_t i = 0; i < port_count; i++) {
        s->ports[i].magic = PORT_RUN_MAGIC;
        s->ports[i].service = s;
    }
    d->services = xrealloc(d->services, (d->service_count + 1) * sizeof(struct service_run *));
    d->services[d->service_count++] = s;
    return s;
}

static void free_strings(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        free(list[i]);
    }
    free(list);
}

void service_run_free(struct service_run *s)
{
    for (size_t i = 0; i < s->port_count; i++) {
        struct port_run *p = &s->ports[i];
        health_cancel(p->check);
        free(p->path);
        publish_options_fini(&p->options);
        free(p->hostname);
        free(p->url);
        free(p->error);
        free(p->message);
        p->magic = 0;
    }
    subprocess_release(s->process);
    loop_timer_fini(&s->settle);
    free(s->ports);
    free(s->name);
    free(s->container);
    free(s->started_at);
    free(s->cwd);
    free(s->command);
    free_strings(s->env_keys);
    free(s->run_id);
    free(s->mark);
    s->magic = 0;
    free(s);
}

void deployment_clear_services(struct deployment *d)
{
    for (size_t i = 0; i < d->service_count; i++) {
        service_run_free(d->services[i]);
    }
    free(d->services);
    d->services = NULL;
    d->service_count = 0;
}

struct service_run *deployment_find(const struct deployment *d, const char *name)
{
    for (size_t i = 0; i < d->service_count; i++) {
        if (strcmp(d->services[i]->name, name) == 0) {
            return d->services[i];
        }
    }
    return NULL;
}

const char *deployment_container(const struct deployment *d, const char *service, pid_t *out_pid)
{
    const struct service_run *s = deployment_find(d, service);
    if (s == NULL || s->container == NULL || s->container_pid == 0) {
        return NULL;
    }
    *out_pid = s->container_pid;
    return s->container;
}

struct port_run *service_find_port(const struct service_run *s, uint16_t container_port)
{
    for (size_t i = 0; i < s->port_count; i++) {
        if (s->ports[i].container_port == container_port) {
            return &s->ports[i];
        }
    }
    return NULL;
}

bool service_is_done(const struct service_run *s)
{
    return s->state == SERVICE_STOPPED && s->status == 0 && s->port_count == 0;
}

bool service_is_running(const struct service_run *s)
{
    return s->process != NULL || s->state == SERVICE_RUNNING;
}
