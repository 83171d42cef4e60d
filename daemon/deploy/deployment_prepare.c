/* deployment_prepare: what an `up` is to do: manifest, selection, ports. Called
 * by deployment_up.c; loop thread. Reads deploy.yaml and state files. */
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/deploy/deployment_internal.h"
#include "daemon/deploy/order.h"
#include "daemon/deploy/ports.h"
#include "daemon/deploy/selection.h"
#include "daemon/store/store.h"

static int up_select(struct up *up, struct err *err)
{
    const struct manifest *m = up->manifest;
    const struct selection selection = {.services = (const char *const *)up->services,
                                        .target = up->target,
                                        .arguments = up->arguments,
                                        .argument_count = up->argument_count};
    if (selection_check(&selection, m, err) < 0) {
        return -1;
    }
    if (m->service_count == 0) {
        return err_set(err, ERR_CONFIG, "%s declares no services under app.services", m->file);
    }
    up->selected = order_services(m, NULL, err);
    if (up->selected == NULL) {
        return -1;
    }
    for (size_t i = 0; i < m->service_count; i++) {
        if (selection_has(&selection, m, up->selected[i]->name)) {
            up->selected[up->selected_count++] = up->selected[i];
        }
    }
    return 0;
}

int up_prepare(struct deployment *d, enum err_code *out_code, char **out_message)
{
    struct up *up = d->up;
    autofree char *path = manifest_path(d->wt.source, d->wt.is_source);
    up->manifest = manifest_load(path);
    if (up->manifest->warnings.count > 0) {
        autofree char *warnings = manifest_warnings_text(up->manifest);
        autofree char *line = xasprintf("%s\n", warnings);
        event_log(d, "deployment", "stderr", str_of(line));
    }
    if (!manifest_ok(up->manifest)) {
        *out_code = ERR_CONFIG;
        *out_message = manifest_errors_text(up->manifest);
        return -1;
    }
    struct err err = {0};
    if (up_select(up, &err) < 0) {
        *out_code = err.code;
        *out_message = xstrdup(err.msg);
        return -1;
    }
    *out_message = up_check_services(d, out_code);
    return *out_message == NULL ? 0 : -1;
}

static bool port_is_reserved(void *arg, uint16_t port)
{
    return port_set_has(arg, port);
}

/* Ports of services that deploy.yaml no longer has are given back. */
static void forget_old_assignments(struct deployment *d)
{
    cJSON *assignments = cJSON_GetObjectItemCaseSensitive(d->state, "portAssignments");
    cJSON *entry = assignments == NULL ? NULL : assignments->child;
    while (entry != NULL) {
        cJSON *next = entry->next;
        if (entry->string != NULL && manifest_find(d->up->manifest, entry->string) == NULL) {
            cJSON_Delete(cJSON_DetachItemViaPointer(assignments, entry));
        }
        entry = next;
    }
}

static void port_run_fill(struct deployment *d, struct port_run *p, const struct manifest_port *mp)
{
    p->container_port = mp->port;
    publish_options_copy(&p->options, &mp->options);
    p->check_enabled = mp->health.enabled;
    p->allow_failure = mp->allow_failure;
    p->path = xstrdup(mp->health.path);
    p->expect = mp->health.status;
    p->settings = health_effective(&mp->health, &d->health);
    p->route = ROUTE_STARTING;
}

/* Adds the selection to d->services, by name, without processes. */
static void make_services(struct deployment *d, bool deps)
{
    const struct manifest *m = d->up->manifest;
    for (size_t i = 0; i < m->service_count; i++) {
        const struct manifest_service *ms = &m->services[i];
        if (ms->is_dep != deps) {
            continue;
        }
        bool selected = false;
        for (size_t j = 0; j < d->up->selected_count; j++) {
            selected = selected || d->up->selected[j] == ms;
        }
        if (!selected) {
            continue;
        }
        struct service_run *s = service_run_new(d, ms->name, ms->port_count);
        s->is_dep = ms->is_dep;
        for (size_t j = 0; j < ms->port_count; j++) {
            port_run_fill(d, &s->ports[j], &ms->ports[j]);
        }
    }
}

static bool is_other(void *arg, const char *session)
{
    const struct deployment *d = arg;
    return strcmp(session, d->wt.session_name) != 0;
}

static bool is_active_other(void *arg, const char *session)
{
    const struct deployment *d = arg;
    return is_other(arg, session) &&
           (d->env.is_active == NULL || d->env.is_active(d->env.arg, session));
}

/* First without the ports of any other session, so that each finds its own again. Only when the
 * range has no others left are those of sessions taken where nothing runs. */
static int choose_ports(struct deployment *d, struct port_binding *bindings, size_t count,
                        struct err *err)
{
    static store_wanted_fn *const passes[] = {is_other, is_active_other};
    const struct manifest *m = d->up->manifest;
    autofree struct port_set *reserved = xcalloc(1, sizeof(*reserved));
    struct ports_request request = {.project = d->wt.project_name,
                                    .start = m->port_start,
                                    .end = m->port_end,
                                    .dynamic = m->dynamic_ports,
                                    .is_reserved = m->dynamic_ports ? port_is_reserved : NULL,
                                    .arg = reserved};
    int rc = -1;
    for (size_t i = 0; rc < 0 && i < COUNT_OF(passes); i++) {
        store_collect_ports(d->env.home, passes[i], d, reserved);
        for (size_t k = 0; k < sizeof(reserved->bits); k++) {
            reserved->bits[k] |= d->up->excluded.bits[k];
        }
        rc = ports_assign(&request, bindings, count, err);
    }
    return rc;
}

int up_assign_ports(struct deployment *d, struct err *err)
{
    deployment_clear_services(d);
    make_services(d, false);
    make_services(d, true);
    forget_old_assignments(d);
    size_t count = 0;
    for (size_t i = 0; i < d->service_count; i++) {
        count += d->services[i]->port_count;
    }
    autofree struct port_binding *bindings = xcalloc(count + 1, sizeof(*bindings));
    size_t at = 0;
    for (size_t i = 0; i < d->service_count; i++) {
        const struct service_run *s = d->services[i];
        for (size_t j = 0; j < s->port_count; j++) {
            uint16_t port = s->ports[j].container_port;
            bindings[at++] = (struct port_binding){.kind = s->is_dep ? "deps" : "app",
                                                   .service = s->name,
                                                   .container_port = port,
                                                   .previous_port = state_port(d, s->name, port)};
        }
    }
    if (choose_ports(d, bindings, count, err) < 0) {
        return -1;
    }
    at = 0;
    for (size_t i = 0; i < d->service_count; i++) {
        for (size_t j = 0; j < d->services[i]->port_count; j++) {
            d->services[i]->ports[j].host_port = bindings[at++].host_port;
        }
    }
    return state_save(d, err);
}
