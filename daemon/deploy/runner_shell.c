/* runner_shell: services as processes of this host. Called through runner_ops by the
 * deployment; loop thread. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/deploy/deployment_internal.h"
#include "daemon/deploy/shell.h"
#include "daemon/store/store.h"

enum { SETTLE_MS = 300 }; /* for services nobody checks: a typo in a script shows at once */

/* Adopting what a service left behind needs it too. */
static void service_on_exit(void *arg, int status);

static bool deployment_has_processes(const struct deployment *d)
{
    for (size_t i = 0; i < d->service_count; i++) {
        if (d->services[i]->process != NULL) {
            return true;
        }
    }
    return false;
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

static void service_on_exit(void *arg, int status)
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
        deployment_continue(d, deployment_on_stopped, 0);
    }
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

static int service_launch(struct deployment *d, const struct manifest_service *ms,
                          struct service_run *s, struct err *err)
{
    struct envlist own = {0};
    struct envlist env = {0};
    struct buf line = {0};
    s->cwd = ms->cwd == NULL ? xstrdup(d->wt.root) : path_join(d->wt.root, ms->cwd);
    shell_join(ms->script, ms->script_count, &line);
    s->command = buf_take(&line);
    int rc = service_environment(d, ms, s, &own, err);
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

static void shell_init(struct deployment *d, const char *script)
{
    struct err err = {0};
    d->up->init = initrun_start(d->env.loop, script, d->wt.root, envlist_array(&d->up->base_env),
                                up_on_init_output, up_on_init_done, d, &err);
    if (d->up->init == NULL) {
        (void)err_wrap(&err, "init script");
        up_fail(d, err.code, err.msg);
    }
}

static void shell_launch(struct deployment *d)
{
    struct err err = {0};
    for (size_t i = 0; i < d->up->selected_count; i++) {
        const struct manifest_service *ms = d->up->selected[i];
        struct service_run *s = deployment_find(d, ms->name);
        /* Saved after each start: a daemon that dies here leaves nothing unknown behind. */
        if (service_launch(d, ms, s, &err) < 0 || state_save(d, &err) < 0) {
            up_fail_launch(d, &err);
            return;
        }
        autofree char *line = xasprintf("started %s (pid %d)\n", s->name, (int)s->pid);
        event_log(d, "deployment", "stdout", str_of(line));
    }
    up_launched(d);
}

static void shell_on_settled(void *arg)
{
    struct deployment *d = arg;
    CHECK(d->magic == DEPLOYMENT_MAGIC && d->up != NULL);
    up_step_done(d);
}

static void shell_status(struct deployment *d)
{
    bool unchecked = false;
    for (size_t i = 0; i < d->service_count; i++) {
        const struct service_run *s = d->services[i];
        bool checked = false;
        for (size_t j = 0; j < s->port_count; j++) {
            checked = checked || (s->ports[j].check_enabled && !s->ports[j].allow_failure);
        }
        unchecked = unchecked || !checked;
    }
    deployment_continue(d, shell_on_settled, unchecked ? SETTLE_MS : 0);
}

static void shell_stop(struct deployment *d)
{
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
        deployment_continue(d, deployment_on_stopped, 0);
    }
}

static cJSON *service_json(const struct deployment *d, const struct service_run *s)
{
    cJSON *service = cJSON_CreateObject();
    json_add_int(service, "pid", s->pid);
    json_add_int(service, "processGroupId", s->pid);
    json_add_int(service, "startTicks", (int64_t)s->start_ticks);
    cJSON *command = cJSON_AddArrayToObject(service, "command");
    const char *const argv[] = {"sh", "-lc", s->command == NULL ? "" : s->command};
    for (size_t i = 0; i < COUNT_OF(argv); i++) {
        cJSON_AddItemToArray(command, cJSON_CreateString(argv[i]));
    }
    json_add_str(service, "cwd", s->cwd);
    cJSON *keys = cJSON_AddArrayToObject(service, "environmentKeys");
    for (size_t i = 0; s->env_keys != NULL && s->env_keys[i] != NULL; i++) {
        cJSON_AddItemToArray(keys, cJSON_CreateString(s->env_keys[i]));
    }
    cJSON *logs = cJSON_AddObjectToObject(service, "logFiles");
    autofree char *out = deployment_log_path(d, s->name, "stdout");
    autofree char *errors = deployment_log_path(d, s->name, "stderr");
    json_add_str(logs, "stdout", out);
    json_add_str(logs, "stderr", errors);
    json_add_str(service, "startedAt", s->started_at);
    state_add_ports(s, service);
    return service;
}

static void shell_save(struct deployment *d)
{
    cJSON *services = cJSON_CreateObject();
    for (size_t i = 0; i < d->service_count; i++) {
        const struct service_run *s = d->services[i];
        if (s->pid != 0) {
            cJSON_AddItemToObject(services, s->name, service_json(d, s));
        }
    }
    state_set(state_object(d->state, "shell"), "services", services);
}

static void restore_keys(struct service_run *s, const cJSON *keys)
{
    size_t count = (size_t)cJSON_GetArraySize(keys);
    s->env_keys = xcalloc(count + 1, sizeof(char *));
    size_t used = 0;
    const cJSON *key;
    cJSON_ArrayForEach(key, keys)
    {
        if (cJSON_IsString(key)) {
            s->env_keys[used++] = xstrdup(key->valuestring);
        }
    }
}

static void restore_service(struct deployment *d, const cJSON *entry)
{
    struct service_run *s = state_restore_service(d, entry);
    s->pid = (pid_t)json_get_int(entry, "pid", 0);
    s->start_ticks = (uint64_t)json_get_int(entry, "startTicks", 0);
    s->cwd = xstrdup(json_get_str(entry, "cwd", d->wt.root));
    const cJSON *line = cJSON_GetArrayItem(json_get(entry, "command"), 2);
    s->command = xstrdup(cJSON_IsString(line) ? line->valuestring : "");
    restore_keys(s, json_get(entry, "environmentKeys"));
    s->process = subprocess_adopt(d->env.loop, s->pid, s->start_ticks, service_on_exit, s, NULL);
    s->state = s->process != NULL ? SERVICE_RUNNING : SERVICE_EXITED;
    s->status = -1;
    for (size_t i = 0; i < s->port_count; i++) {
        s->ports[i].route = s->process != NULL ? ROUTE_LIVE : ROUTE_STOPPED;
    }
}

static void shell_restore(struct deployment *d)
{
    const cJSON *services = json_get(json_get(d->state, "shell"), "services");
    const cJSON *entry;
    if (!cJSON_IsObject(services)) {
        services = NULL;
    }
    cJSON_ArrayForEach(entry, services)
    {
        restore_service(d, entry);
    }
}

/* Processes are let go with their services; init scripts end with the up. */
static void shell_release(struct deployment *d)
{
    (void)d;
}

const struct runner_ops runner_shell = {
    .backend = "shell",
    .init = shell_init,
    .launch = shell_launch,
    .status = shell_status,
    .stop = shell_stop,
    .save = shell_save,
    .restore = shell_restore,
    .release = shell_release,
};
