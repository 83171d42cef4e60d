/* deployment_environment: what a service gets to know through its environment. Called by the
 * runners while an `up` runs; loop thread. Reads env files. */
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/file.h"
#include "daemon/deploy/deployment_internal.h"
#include "daemon/deploy/envfile.h"

/* A private port has a name and no route there: services reach each other on this machine. */
static const char *public_hostname(const struct port_run *p)
{
    return p->url == NULL ? NULL : p->hostname;
}

/* Every port of the selected services, for templates. malloc'ed. */
static struct template_port *template_ports(const struct deployment *d, size_t *out_count)
{
    size_t count = 0;
    for (size_t i = 0; i < d->service_count; i++) {
        count += d->services[i]->port_count;
    }
    struct template_port *ports = xcalloc(count + 1, sizeof(*ports));
    count = 0;
    for (size_t i = 0; i < d->service_count; i++) {
        const struct service_run *s = d->services[i];
        for (size_t j = 0; j < s->port_count; j++) {
            ports[count++] = (struct template_port){.service = s->name,
                                                    .container_port = s->ports[j].container_port,
                                                    .host_port = s->ports[j].host_port,
                                                    .hostname = public_hostname(&s->ports[j]),
                                                    .url = s->ports[j].url};
        }
    }
    *out_count = count;
    return ports;
}

/* The same before they have numbers and names. */
static struct template_port *declared_ports(const struct deployment *d, size_t *out_count)
{
    size_t count = 0;
    for (size_t i = 0; i < d->up->selected_count; i++) {
        count += d->up->selected[i]->port_count;
    }
    struct template_port *ports = xcalloc(count + 1, sizeof(*ports));
    count = 0;
    for (size_t i = 0; i < d->up->selected_count; i++) {
        const struct manifest_service *ms = d->up->selected[i];
        for (size_t j = 0; j < ms->port_count; j++) {
            ports[count++] =
                (struct template_port){.service = ms->name, .container_port = ms->ports[j].port};
        }
    }
    *out_count = count;
    return ports;
}

/* Everything but the ports. */
static struct template_scope scope_of(const struct deployment *d)
{
    return (struct template_scope){.manifest = d->up->manifest,
                                   .project = d->wt.project_name,
                                   .arguments = d->up->arguments,
                                   .argument_count = d->up->argument_count,
                                   .service_bind = d->up->service_bind};
}

static int pairs_expand(const struct template_scope *scope, const struct manifest_pair *pairs,
                        size_t count, const char *path, struct envlist *own, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct manifest_pair *pair = &pairs[i];
        struct buf value = {0};
        int rc = template_expand(str_of(pair->value), scope, &value, err);
        if (rc == 0) {
            envlist_set(own, str_of(pair->key), str_of(buf_cstr(&value)));
        }
        buf_fini(&value);
        if (rc < 0) {
            return err_wrap(err, "%s:%d:%d: %s.environment.%s", scope->manifest->file, pair->line,
                            pair->column, path, pair->key);
        }
    }
    return 0;
}

int environment_check(struct deployment *d, const struct manifest_pair *pairs, size_t count,
                      const char *path, struct err *err)
{
    struct envlist unused = {0};
    struct template_scope scope = scope_of(d);
    autofree struct template_port *ports = declared_ports(d, &scope.port_count);
    scope.ports = ports;
    int rc = pairs_expand(&scope, pairs, count, path, &unused, err);
    envlist_fini(&unused);
    return rc;
}

int environment_expand(struct deployment *d, const struct manifest_pair *pairs, size_t count,
                       const char *path, struct envlist *own, struct err *err)
{
    struct template_scope scope = scope_of(d);
    autofree struct template_port *ports = template_ports(d, &scope.port_count);
    scope.ports = ports;
    return pairs_expand(&scope, pairs, count, path, own, err);
}

/* What wos itself promises a service: WOS_SERVICE_*, and that Vite accepts its public name unless
 * the service decides that itself. A container gets nothing of the caller's environment. */
void environment_add_contract(const struct deployment *d, const struct service_run *s,
                              bool decides_hosts, struct envlist *own)
{
    const struct up *up = d->up;
    bool is_inherited =
        d->mode == MANIFEST_SHELL && envlist_get(&up->base_env, ENVIRONMENT_HOSTS) != NULL;
    if (s->port_count > 0) {
        const char *fallback = up->service_bind == NULL ? "localhost" : up->service_bind;
        const char *hostname = public_hostname(&s->ports[0]);
        char port[8];
        (void)snprintf(port, sizeof(port), "%u", (unsigned)s->ports[0].host_port);
        envlist_set(own, STR("WOS_SERVICE_PORT"), str_of(port));
        envlist_set(own, STR("WOS_SERVICE_HOSTNAME"),
                    str_of(hostname == NULL ? fallback : hostname));
    }
    if (up->domain != NULL && !decides_hosts && !is_inherited &&
        envlist_get(own, ENVIRONMENT_HOSTS) == NULL) {
        autofree char *value = xasprintf(".%s", up->domain);
        envlist_set(own, STR(ENVIRONMENT_HOSTS), str_of(value));
    }
}

int service_environment(struct deployment *d, const struct manifest_service *ms,
                        const struct service_run *s, struct envlist *own, struct err *err)
{
    if (ms->env_file != NULL) {
        autofree char *path = path_join(d->wt.root, ms->env_file);
        if (envfile_load(path, &d->up->base_env, own, err) < 0) {
            return -1;
        }
    }
    autofree char *where = xasprintf("app.services.%s", ms->name);
    if (environment_expand(d, ms->environment, ms->environment_count, where, own, err) < 0) {
        return -1;
    }
    environment_add_contract(d, s, false, own);
    return 0;
}
