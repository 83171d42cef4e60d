/* compose_plan: from a manifest with its ports and names to the compose files of a session.
 * Called by runner_compose.c in the step "launch"; loop thread. Small file I/O. */
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/deploy/compose_base.h"
#include "daemon/deploy/compose_file.h"
#include "daemon/deploy/compose_hosts.h"
#include "daemon/deploy/digest.h"
#include "daemon/deploy/envfile.h"
#include "daemon/deploy/runner_compose.h"
#include "daemon/deploy/shell.h"

static const char *public_name(const struct port_run *p)
{
    return p->url == NULL ? NULL : p->hostname;
}

static void add_label(struct envlist *labels, const char *key, const char *value)
{
    envlist_set(labels, str_of(key), str_of(value));
}

static void add_tunnel_labels(const struct service_run *s, struct envlist *labels)
{
    struct buf list = {0};
    for (size_t i = 0; i < s->port_count; i++) {
        const struct port_run *p = &s->ports[i];
        if (public_name(p) == NULL) {
            continue;
        }
        unsigned port = p->container_port;
        autofree char *name_key = xasprintf("dev.wos.tunnel.%u.hostname", port);
        autofree char *port_key = xasprintf("dev.wos.tunnel.%u.host-port", port);
        autofree char *host_port = xasprintf("%u", (unsigned)p->host_port);
        add_label(labels, name_key, p->hostname);
        add_label(labels, port_key, host_port);
        buf_printf(&list, "%s%u", list.len == 0 ? "" : ",", port);
    }
    if (list.len > 0) {
        add_label(labels, "dev.wos.tunnel.ports", buf_cstr(&list));
    }
    buf_fini(&list);
}

static void add_labels(const struct deployment *d, const char *service, const struct service_run *s,
                       struct envlist *labels)
{
    uint8_t digest[DIGEST_SHA256_SIZE];
    digest_sha256(str_of(d->env.home), digest);
    autofree char *home = digest_hex(digest, 16);
    add_label(labels, "dev.wos.managed", "true");
    add_label(labels, "dev.wos.schema", "1");
    add_label(labels, "dev.wos.home-hash", home);
    add_label(labels, "dev.wos.session", d->wt.session_name);
    add_label(labels, "dev.wos.project", d->wt.project_name);
    add_label(labels, "dev.wos.mode", manifest_mode_name(d->mode));
    add_label(labels, "dev.wos.service", service);
    add_label(labels, "dev.wos.deployment-id", json_get_str(d->state, "deploymentId", ""));
    if (s != NULL && !s->is_dep) {
        add_tunnel_labels(s, labels);
    }
}

/* What every tunnelled port is called outside, beside the contract's first port. */
static void add_tunnel_names(const struct service_run *s, struct envlist *environment)
{
    for (size_t i = 0; i < s->port_count; i++) {
        if (public_name(&s->ports[i]) != NULL) {
            autofree char *key =
                xasprintf("WOS_SERVICE_HOSTNAME_%u", (unsigned)s->ports[i].container_port);
            envlist_set(environment, str_of(key), str_of(s->ports[i].hostname));
        }
    }
}

static void service_add_ports(const struct service_run *s, struct compose_service *out)
{
    out->ports = xcalloc(s->port_count + 1, sizeof(out->ports[0]));
    for (size_t i = 0; i < s->port_count; i++) {
        out->ports[out->port_count++] =
            (struct compose_port){s->ports[i].host_port, s->ports[i].container_port};
    }
}

static void service_add_dependencies(struct deployment *d, const struct manifest_service *ms,
                                     struct compose_service *out)
{
    out->depends_on = xcalloc(ms->dependency_count + 1, sizeof(out->depends_on[0]));
    for (size_t i = 0; i < ms->dependency_count; i++) {
        if (deployment_find(d, ms->dependencies[i]) != NULL) {
            out->depends_on[out->depends_count++] = ms->dependencies[i];
        }
    }
}

/* path_join on the container's side; malloc'ed. */
static char *container_dir(const char *cwd)
{
    return cwd == NULL ? xstrdup("/workspace") : path_join("/workspace", cwd);
}

static int plan_service(struct compose_run *c, const struct manifest_service *ms,
                        struct compose_service *out, struct err *err)
{
    struct deployment *d = c->d;
    struct service_run *s = deployment_find(d, ms->name);
    CHECK(s != NULL);
    out->name = ms->name;
    out->image = ms->image;
    out->container_name = xasprintf("%s-%s", d->wt.project_name, ms->name);
    out->volumes = ms->volumes;
    out->volume_count = ms->volume_count;
    out->volume_root = d->wt.root;
    add_labels(d, ms->name, s, &out->labels);
    service_add_ports(s, out);
    autofree char *where = xasprintf("%s.%s", ms->is_dep ? "deps" : "app.services", ms->name);
    if (environment_expand(d, ms->environment, ms->environment_count, where, &out->environment,
                           err) < 0) {
        return -1;
    }
    if (ms->is_dep) {
        return 0;
    }
    out->workspace = d->wt.root;
    out->working_dir = container_dir(ms->cwd);
    out->env_file = ms->env_file == NULL ? NULL : path_join(d->wt.root, ms->env_file);
    bool decides_hosts = out->env_file != NULL && envfile_names(out->env_file, ENVIRONMENT_HOSTS);
    environment_add_contract(d, s, decides_hosts, &out->environment);
    add_tunnel_names(s, &out->environment);
    if (out->env_file != NULL && !file_exists(out->env_file)) {
        return err_set(err, ERR_CONFIG, "service %s: env_file %s does not exist", ms->name,
                       out->env_file);
    }
    service_add_dependencies(d, ms, out);
    struct buf script = {0};
    for (size_t i = 0; i < ms->script_count; i++) {
        buf_printf(&script, "%s%s", i == 0 ? "" : " && ", ms->script[i]);
    }
    out->script = buf_take(&script);
    return 0;
}

static void service_fini(struct compose_service *s)
{
    free((char *)(uintptr_t)s->container_name);
    free((char *)(uintptr_t)s->working_dir);
    free((char *)(uintptr_t)s->env_file);
    free((char *)(uintptr_t)s->script);
    free(s->ports);
    free(s->depends_on);
    envlist_fini(&s->environment);
    envlist_fini(&s->labels);
}

/* The service that runs the init scripts: started by `compose run` only. */
static void plan_init(struct compose_run *c, struct compose_service *out, char **volumes)
{
    struct deployment *d = c->d;
    out->name = "wos-init";
    out->image = d->up->manifest->image;
    out->profile = "wos-internal";
    out->working_dir = xstrdup("/workspace");
    out->workspace = d->wt.root;
    add_labels(d, "wos-init", NULL, &out->labels);
    compose_caches_add(c, out, volumes);
    out->volumes = (const char *const *)volumes;
}

static bool has_init(const struct deployment *d)
{
    const struct manifest *m = d->up->manifest;
    bool any = m->init_count > 0;
    for (size_t i = 0; i < m->service_count; i++) {
        any = any || m->services[i].init_count > 0;
    }
    return any && m->image != NULL;
}

static void set_files(struct compose_run *c, const char *project_dir, const char *first,
                      const char *second)
{
    free(c->project_dir);
    c->project_dir = xstrdup(project_dir);
    for (size_t i = 0; i < COUNT_OF(c->files); i++) {
        free(c->files[i]);
        c->files[i] = NULL;
    }
    c->file_count = second == NULL ? 1 : 2;
    c->files[0] = path_join(c->d->wt.session_dir, first);
    c->files[1] = second == NULL ? NULL : path_join(c->d->wt.session_dir, second);
}

static int plan_save(const struct compose_run *c, size_t index, struct compose_file *file,
                     struct err *err)
{
    struct buf text = {0};
    compose_file_write(file, &text);
    int rc = file_write_atomic(c->files[index], buf_str(&text), 0600, err);
    buf_fini(&text);
    return rc;
}

static int plan_generated(struct compose_run *c, struct err *err)
{
    struct deployment *d = c->d;
    char *volumes[CACHE_KINDS] = {0};
    autofree struct compose_service *services =
        xcalloc(d->up->selected_count + 2, sizeof(*services));
    struct compose_file file = {.services = services, .service_bind = d->up->service_bind};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < d->up->selected_count; i++) {
        rc = plan_service(c, d->up->selected[i], &services[file.count++], err);
    }
    if (rc == 0 && has_init(d)) {
        plan_init(c, &services[file.count++], volumes);
    }
    if (rc == 0) {
        set_files(c, d->wt.root, "compose.yaml", NULL);
        rc = plan_save(c, 0, &file, err);
    }
    for (size_t i = 0; i < file.count; i++) {
        service_fini(&services[i]);
    }
    for (size_t i = 0; i < CACHE_KINDS; i++) {
        free(volumes[i]);
    }
    return rc;
}

/* --- mode compose -------------------------------------------------------------------- */

static int plan_overlay(struct compose_run *c, const struct compose_base *base, struct err *err)
{
    struct deployment *d = c->d;
    const struct manifest *m = d->up->manifest;
    autofree struct compose_service *services = xcalloc(m->service_count + 1, sizeof(*services));
    struct compose_file file = {
        .version = base->version, .services = services, .service_bind = d->up->service_bind};
    for (size_t i = 0; i < m->service_count; i++) {
        struct compose_service *out = &services[file.count++];
        const struct service_run *s = deployment_find(d, m->services[i].name);
        CHECK(s != NULL);
        out->name = s->name;
        add_labels(d, s->name, s, &out->labels);
        service_add_ports(s, out);
        bool decides = compose_hosts_are_decided(base, c->project_dir, d->wt.root, s->name);
        environment_add_contract(d, s, decides, &out->environment);
        add_tunnel_names(s, &out->environment);
    }
    int rc = plan_save(c, 1, &file, err);
    for (size_t i = 0; i < file.count; i++) {
        service_fini(&services[i]);
    }
    return rc;
}

static int plan_command_environment(struct compose_run *c, struct err *err)
{
    struct deployment *d = c->d;
    const struct manifest_compose *mc = &d->up->manifest->compose;
    for (size_t i = 0; i < mc->env_file_count; i++) {
        autofree char *path = path_join(d->wt.root, mc->env_files[i]);
        if (envfile_load(path, NULL, &c->env, err) < 0) {
            return -1;
        }
    }
    return environment_expand(d, mc->environment, mc->environment_count, "compose", &c->env, err);
}

static int check_exposed(const struct deployment *d, const struct compose_base *base,
                         const char *path, struct err *err)
{
    const struct manifest *m = d->up->manifest;
    for (size_t i = 0; !base->has_include && i < m->service_count; i++) {
        const struct manifest_service *s = &m->services[i];
        if (!compose_base_has(base, s->name)) {
            return err_set(err, ERR_CONFIG, "%s:%d:%d: compose.expose: %s has no service %s",
                           m->file, s->line, s->column, path, s->name);
        }
    }
    return 0;
}

static int plan_compose(struct compose_run *c, struct err *err)
{
    struct deployment *d = c->d;
    const struct manifest *m = d->up->manifest;
    autofree char *path = path_join(d->wt.root, m->compose.config);
    struct buf text = {0};
    if (file_read(path, COMPOSE_TEXT_MAX, &text, err) < 0) {
        buf_fini(&text);
        err->code = ERR_CONFIG;
        return err_wrap(err, "%s:%d:%d: compose.config", m->file, m->compose.line,
                        m->compose.column);
    }
    autofree char *dir = xstrdup(path);
    *strrchr(dir, '/') = '\0';
    struct compose_base base = {0};
    int rc = compose_base_make(buf_str(&text), path, dir, &base, err);
    if (rc == 0) {
        rc = check_exposed(d, &base, path, err);
    }
    if (rc == 0) {
        rc = plan_command_environment(c, err);
    }
    if (rc == 0) {
        set_files(c, dir, "compose-base.yaml", "compose-overlay.yaml");
        rc = file_write_atomic(c->files[0], buf_str(&base.text), 0600, err);
    }
    if (rc == 0) {
        rc = plan_overlay(c, &base, err);
    }
    free(c->other_files);
    c->other_files = buf_take(&base.others);
    compose_base_fini(&base);
    buf_fini(&text);
    return rc;
}

int compose_plan_write(struct compose_run *c, struct err *err)
{
    if (dir_make(c->d->wt.session_dir, 0700, err) < 0) {
        return -1;
    }
    return c->d->mode == MANIFEST_COMPOSE ? plan_compose(c, err) : plan_generated(c, err);
}
