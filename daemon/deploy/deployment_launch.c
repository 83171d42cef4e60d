/* deployment_launch: the processes of a deployment: environment, start, end.
 * Called by the other deployment files; loop thread. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "daemon/deploy/deployment_internal.h"
#include "daemon/deploy/shell.h"
#include "daemon/store/store.h"

struct service_run *service_run_new(struct deployment *d, const char *name, size_t port_count)
{
    struct service_run *s = xcalloc(1, sizeof(*s));
    s->magic = SERVICE_RUN_MAGIC;
    s->deployment = d;
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
    free(s->ports);
    free(s->name);
    free(s->started_at);
    free(s->cwd);
    free(s->command);
    free_strings(s->env_keys);
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

static int environment_expand(struct deployment *d, const struct manifest_service *ms,
                              struct envlist *own, struct err *err)
{
    struct template_scope scope = {.manifest = d->up->manifest,
                                   .arguments = d->up->arguments,
                                   .argument_count = d->up->argument_count,
                                   .service_bind = d->up->service_bind};
    autofree struct template_port *ports = template_ports(d, &scope.port_count);
    scope.ports = ports;
    for (size_t i = 0; i < ms->environment_count; i++) {
        const struct manifest_pair *pair = &ms->environment[i];
        struct buf value = {0};
        int rc = template_expand(str_of(pair->value), &scope, &value, err);
        if (rc == 0) {
            envlist_set(own, str_of(pair->key), str_of(buf_cstr(&value)));
        }
        buf_fini(&value);
        if (rc < 0) {
            return err_wrap(err, "%s:%d:%d: app.services.%s.environment.%s", d->up->manifest->file,
                            pair->line, pair->column, ms->name, pair->key);
        }
    }
    return 0;
}

/* What wos itself promises a service: WOS_SERVICE_*, and that Vite accepts its
 * public name unless the service decides that itself. */
static void environment_add_contract(const struct deployment *d, const struct service_run *s,
                                     struct envlist *own)
{
    static const char vite[] = "__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS";
    const struct up *up = d->up;
    if (s->port_count > 0) {
        const char *fallback = up->service_bind == NULL ? "localhost" : up->service_bind;
        const char *hostname = public_hostname(&s->ports[0]);
        char port[8];
        (void)snprintf(port, sizeof(port), "%u", (unsigned)s->ports[0].host_port);
        envlist_set(own, STR("WOS_SERVICE_PORT"), str_of(port));
        envlist_set(own, STR("WOS_SERVICE_HOSTNAME"),
                    str_of(hostname == NULL ? fallback : hostname));
    }
    if (up->domain != NULL && envlist_get(own, vite) == NULL &&
        envlist_get(&up->base_env, vite) == NULL) {
        autofree char *value = xasprintf(".%s", up->domain);
        envlist_set(own, str_of(vite), str_of(value));
    }
}

/* env_file, environment, contract: later wins. */
static int environment_build(struct deployment *d, const struct manifest_service *ms,
                             const struct service_run *s, struct envlist *own, struct err *err)
{
    if (ms->env_file != NULL) {
        autofree char *path = path_join(d->wt.root, ms->env_file);
        if (envfile_load(path, own, err) < 0) {
            return -1;
        }
    }
    if (environment_expand(d, ms, own, err) < 0) {
        return -1;
    }
    environment_add_contract(d, s, own);
    return 0;
}

static char **environment_names(const struct envlist *own)
{
    char **names = xcalloc(own->count + 1, sizeof(*names));
    for (size_t i = 0; i < own->count; i++) {
        names[i] = xstrndup(own->items[i], str_find(str_of(own->items[i]), '='));
    }
    return names;
}

static int service_spawn(struct deployment *d, const struct manifest_service *ms,
                         struct service_run *s, struct envlist *env, struct err *err)
{
    autofree char *out = deployment_log_path(d, s->name, "stdout");
    autofree char *errors = deployment_log_path(d, s->name, "stderr");
    autofree char *dir = xasprintf("%s/shell/logs", d->wt.session_dir);
    if (dir_make(dir, 0700, err) < 0) {
        return -1;
    }
    struct shell_spec spec = {.commands = ms->script,
                              .command_count = ms->script_count,
                              .cwd = s->cwd,
                              .env = envlist_array(env),
                              .stdout_path = out,
                              .stderr_path = errors};
    s->process = shell_start(d->env.loop, &spec, service_on_exit, s, err);
    if (s->process == NULL) {
        return -1;
    }
    s->pid = subprocess_pid(s->process);
    s->start_ticks = subprocess_start_ticks(s->process);
    s->state = SERVICE_RUNNING;
    free(s->started_at);
    s->started_at = store_timestamp();
    return 0;
}

int service_launch(struct deployment *d, const struct manifest_service *ms, struct service_run *s,
                   struct err *err)
{
    struct envlist own = {0};
    struct envlist env = {0};
    struct buf line = {0};
    s->cwd = ms->cwd == NULL ? xstrdup(d->wt.root) : path_join(d->wt.root, ms->cwd);
    shell_join(ms->script, ms->script_count, &line);
    s->command = buf_take(&line);
    int rc = environment_build(d, ms, s, &own, err);
    if (rc == 0) {
        s->env_keys = environment_names(&own);
        envlist_add_all(&env, envlist_array(&d->up->base_env));
        envlist_add_all(&env, envlist_array(&own));
        rc = service_spawn(d, ms, s, &env, err);
    }
    envlist_fini(&own);
    envlist_fini(&env);
    return rc < 0 ? err_wrap(err, "service %s", s->name) : 0;
}

static bool deployment_has_processes(const struct deployment *d)
{
    for (size_t i = 0; i < d->service_count; i++) {
        if (d->services[i]->process != NULL) {
            return true;
        }
    }
    return false;
}

static void deployment_on_all_stopped(void *arg)
{
    struct deployment *d = arg;
    CHECK(d->magic == DEPLOYMENT_MAGIC);
    void (*on_stopped)(struct deployment * d) = d->on_stopped;
    d->on_stopped = NULL;
    on_stopped(d);
}

void deployment_stop_all(struct deployment *d, void (*on_stopped)(struct deployment *d))
{
    deployment_cancel_checks(d);
    d->on_stopped = on_stopped;
    for (size_t i = 0; i < d->service_count; i++) {
        struct service_run *s = d->services[i];
        if (s->process != NULL) {
            if (s->state == SERVICE_RUNNING) {
                s->state = SERVICE_STOPPING;
            }
            subprocess_stop(s->process, SHELL_GRACE_MS);
        }
    }
    if (!deployment_has_processes(d)) {
        deployment_continue(d, deployment_on_all_stopped, 0);
    }
}

/* "service web ended during up (exit 1)" and what it last said. */
static char *exit_message(struct deployment *d, const struct service_run *s)
{
    char status[64];
    const char *said = failure_note_service(d, s);
    return xasprintf("service %s ended during up (%s)%s%s", s->name,
                     subprocess_status_text(s->status, status, sizeof(status)),
                     said[0] == '\0' ? "; it printed nothing" : ":\n", said);
}

/* The leader ended although nobody asked. What it left behind in its group
 * would hold its ports: it is stopped too. */
static void service_on_unasked_exit(struct service_run *s, int status)
{
    struct deployment *d = s->deployment;
    s->status = status;
    bool done_well = status == 0 && s->port_count == 0;
    s->state = done_well ? SERVICE_STOPPED : SERVICE_EXITED;
    s->process = subprocess_adopt(d->env.loop, s->pid, s->start_ticks, service_on_exit, s, NULL);
    if (s->process != NULL) {
        subprocess_stop(s->process, SHELL_GRACE_MS);
    }
    for (size_t i = 0; i < s->port_count; i++) {
        health_cancel(s->ports[i].check);
        s->ports[i].check = NULL;
        s->ports[i].health = HEALTH_WAITING;
        port_set_route(&s->ports[i], ROUTE_STOPPED);
    }
    if (done_well) {
        return;
    }
    if (d->up != NULL && d->up->services_started && d->on_stopped == NULL) {
        autofree char *message = exit_message(d, s);
        up_fail(d, ERR_FAILED, message);
    } else if (d->up == NULL && !d->is_down) {
        char text[64];
        d->ops.on_crash(d->arg, s->name, subprocess_status_text(status, text, sizeof(text)));
    }
}

void service_on_exit(void *arg, int status)
{
    struct service_run *s = arg;
    CHECK(s->magic == SERVICE_RUN_MAGIC);
    struct deployment *d = s->deployment;
    subprocess_release(s->process);
    s->process = NULL;
    if (s->state == SERVICE_RUNNING) {
        service_on_unasked_exit(s, status);
    } else if (s->state == SERVICE_STOPPING) {
        s->state = SERVICE_STOPPED;
        s->status = -1;
    }
    if (d->on_stopped != NULL && !deployment_has_processes(d)) {
        deployment_continue(d, deployment_on_all_stopped, 0);
    }
}
