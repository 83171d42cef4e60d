/* runner_shell: services as processes of this host. Called through runner_ops by the
 * deployment; loop thread. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/auto.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/deploy/deployment_internal.h"
#include "daemon/deploy/runid.h"
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
    if (d->up != NULL && d->up->start != NULL && d->on_stopped == NULL) {
        readiness_on_ended(s);
        return;
    }
    if (deployment_service_exited(d, s, false)) {
        return;
    }
    if (d->up == NULL && !d->is_down) { /* else they save it when they end */
        (void)state_save(d, NULL);      /* where that fails the next daemon takes it for crashed */
    }
    if (done_well) {
        return;
    }
    if (d->up != NULL && d->up->services_started && d->on_stopped == NULL) {
        autofree char *message = service_exit_text(d, s);
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
        (void)deployment_service_exited(d, s, true);
    }
    /* While the forwarder of serviceBind is waited for, shell_stop is still to come. */
    if (d->on_stopped != NULL && d->forward_stopped == NULL && !deployment_has_processes(d)) {
        strays_end(d, deployment_on_stopped);
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

static void environment_names_free(struct service_run *s)
{
    for (size_t i = 0; s->env_keys != NULL && s->env_keys[i] != NULL; i++) {
        free(s->env_keys[i]);
    }
    free(s->env_keys);
    s->env_keys = NULL;
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
    fault_point("launch.spawned");
    free(s->mark);
    s->mark = s->run_id;
    s->run_id = NULL;
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
    free(s->cwd);
    free(s->command);
    environment_names_free(s);
    s->cwd = ms->cwd == NULL ? xstrdup(d->wt.root) : path_join(d->wt.root, ms->cwd);
    shell_join(ms->script, ms->script_count, &line);
    s->command = buf_take(&line);
    int rc = service_environment(d, ms, s, &own, err);
    if (rc == 0) {
        s->env_keys = environment_names(&own);
        envlist_add_all(&env, envlist_array(&d->up->base_env));
        envlist_add_all(&env, envlist_array(&own));
        if (s->run_id != NULL) {
            envlist_set(&env, STR(RUNID_VARIABLE), str_of(s->run_id));
        }
        rc = service_spawn(d, ms, s, &env, err);
    }
    envlist_fini(&own);
    envlist_fini(&env);
    return rc < 0 ? err_wrap(err, "service %s", s->name) : 0;
}

static void shell_init(struct deployment *d, const char *script)
{
    struct err err = {0};
    const char *const *env = NULL;
    if (up_init_environment(d, &env, &err) == 0) {
        d->up->init = initrun_start(d->env.loop, script, d->wt.root, env, up_on_init_output,
                                    up_on_init_done, d, &err);
    }
    if (d->up->init == NULL) {
        (void)err_wrap(&err, "init script");
        up_fail(d, err.code, err.msg);
    }
}

static int shell_start_service(struct deployment *d, const struct manifest_service *ms,
                               struct service_run *s, struct err *err)
{
    /* Saved after each start: a daemon that dies here leaves nothing unknown behind. */
    if (service_launch(d, ms, s, err) < 0 || state_save(d, err) < 0) {
        return -1;
    }
    autofree char *line = xasprintf("started %s (pid %d)\n", s->name, (int)s->pid);
    event_log(d, "deployment", "stdout", str_of(line));
    return 0;
}

/* What is going to run is written down first: see runid.h. */
static void shell_launch(struct deployment *d)
{
    struct err err = {0};
    for (size_t i = 0; i < d->service_count; i++) {
        free(d->services[i]->run_id);
        d->services[i]->run_id = runid_new();
    }
    if (state_save(d, &err) < 0) {
        up_fail_launch(d, &err);
        return;
    }
    readiness_begin(d, shell_start_service);
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
        strays_end(d, deployment_on_stopped);
    }
}

static void shell_service_stop(struct deployment *d, struct service_run *s)
{
    if (s->process == NULL) {
        s->state = SERVICE_STOPPED;
        deployment_service_gone(d);
        return;
    }
    /* What ended by itself may have left something behind, which is being stopped. */
    s->state = SERVICE_STOPPING;
    subprocess_stop(s->process, SHELL_GRACE_MS);
}

static int shell_service_check(struct deployment *d, const struct service_run *s, struct err *err)
{
    const struct manifest_service *ms = NULL;
    (void)s; /* the action knows */
    if (deployment_service_prepare(d, &ms, err) < 0) {
        return -1;
    }
    int rc = service_check(d, ms, err);
    up_free(d);
    return rc;
}

/* As an up does: what is going to run is written down first, and then what does. */
static int service_start_again(struct deployment *d, struct service_run *s, struct err *err)
{
    const struct manifest_service *ms = NULL;
    free(s->run_id);
    s->run_id = runid_new();
    if (state_save(d, err) < 0 || deployment_service_prepare(d, &ms, err) < 0) {
        return -1;
    }
    int rc = service_launch(d, ms, s, err);
    up_free(d);
    if (rc == 0) {
        (void)state_save(d, NULL); /* where that fails the id in the file leads to it */
    }
    return rc;
}

static void shell_service_start(struct deployment *d, struct service_run *s)
{
    struct err err = {0};
    int rc = service_start_again(d, s, &err);
    free(s->run_id);
    s->run_id = NULL;
    deployment_service_started(d, rc < 0 ? &err : NULL);
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
    state_add_end(s, service);
    if (s->run_id != NULL) {
        json_add_str(service, "runId", s->run_id);
    }
    if (s->mark != NULL) {
        json_add_str(service, "mark", s->mark);
    }
    return service;
}

static void shell_save(struct deployment *d)
{
    cJSON *services = cJSON_CreateObject();
    cJSON *launching = cJSON_CreateObject();
    for (size_t i = 0; i < d->service_count; i++) {
        const struct service_run *s = d->services[i];
        if (s->pid != 0 || s->run_id != NULL) {
            cJSON_AddItemToObject(s->pid != 0 ? services : launching, s->name, service_json(d, s));
        }
    }
    cJSON *shell = state_object(d->state, "shell");
    state_set(shell, "services", services);
    state_set(shell, "launching", launching);
    if (d->up == NULL && d->old_init == NULL) {
        cJSON_DeleteItemFromObjectCaseSensitive(shell, "initRunId");
    }
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

/* It may have been started, and that not written down any more. */
static enum process_answer service_seek(void *arg, struct process_info *out_leader)
{
    struct service_run *s = arg;
    CHECK(s->magic == SERVICE_RUN_MAGIC);
    bool is_first = s->process == NULL; /* then the services are just being restored */
    enum process_answer answer = runid_find_leader(s->run_id, out_leader);
    if (answer == PROCESS_UNKNOWN) {
        return answer; /* the id stays in the file */
    }
    if (answer == PROCESS_FOUND) {
        free(s->mark);
        s->mark = s->run_id;
    } else {
        free(s->run_id);
    }
    s->run_id = NULL;
    if (answer == PROCESS_FOUND) {
        s->pid = out_leader->pid;
        s->start_ticks = out_leader->start_ticks;
    }
    if (!is_first) {
        (void)state_save(s->deployment, NULL); /* where that fails the id in the file leads to it */
    }
    return answer;
}

static void restore_service(struct deployment *d, const cJSON *entry)
{
    struct service_run *s = state_restore_service(d, entry);
    const char *id = json_get_str(entry, "runId", NULL);
    const char *mark = json_get_str(entry, "mark", NULL);
    s->mark = mark == NULL ? NULL : xstrdup(mark);
    s->pid = (pid_t)json_get_int(entry, "pid", 0);
    s->start_ticks = (uint64_t)json_get_int(entry, "startTicks", 0);
    if (id != NULL) {
        s->run_id = xstrdup(id);
        s->process = subprocess_seek(d->env.loop, service_seek, service_on_exit, s, NULL);
    }
    bool is_new = s->process != NULL;
    s->cwd = xstrdup(json_get_str(entry, "cwd", d->wt.root));
    const cJSON *line = cJSON_GetArrayItem(json_get(entry, "command"), 2);
    s->command = xstrdup(cJSON_IsString(line) ? line->valuestring : "");
    restore_keys(s, json_get(entry, "environmentKeys"));
    if (!is_new) {
        s->process =
            subprocess_adopt(d->env.loop, s->pid, s->start_ticks, service_on_exit, s, NULL);
    }
    if (is_new || !state_restore_end(s, entry)) {
        s->state = s->process != NULL ? SERVICE_RUNNING : SERVICE_EXITED;
    } else if (s->process != NULL) {
        subprocess_stop(s->process, SHELL_GRACE_MS); /* what it left behind */
    }
    for (size_t i = 0; i < s->port_count; i++) {
        s->ports[i].route = s->state == SERVICE_RUNNING ? ROUTE_LIVE : ROUTE_STOPPED;
    }
}

/* What an init script left, whose up is gone: nobody would look at how it ends. */
static enum process_answer old_init_seek(void *arg, struct process_info *out_leader)
{
    struct deployment *d = arg;
    (void)out_leader; /* nobody is left to watch */
    CHECK(d->magic == DEPLOYMENT_MAGIC);
    const char *id = json_get_str(json_get(d->state, "shell"), "initRunId", NULL);
    return id == NULL ? PROCESS_NONE : runid_kill(id);
}

static void old_init_on_exit(void *arg, int status)
{
    struct deployment *d = arg;
    (void)status;
    CHECK(d->magic == DEPLOYMENT_MAGIC);
    subprocess_release(d->old_init);
    d->old_init = NULL;
    cJSON_DeleteItemFromObjectCaseSensitive(state_object(d->state, "shell"), "initRunId");
    (void)state_save(d, NULL); /* where that fails the next daemon looks for it again */
}

/* The daemon died while it started services: those whose start worked are found by their id. */
static void restore_launching(struct deployment *d, cJSON *shell)
{
    cJSON *launching = cJSON_DetachItemFromObjectCaseSensitive(shell, "launching");
    cJSON *entry;
    cJSON_ArrayForEach(entry, launching)
    {
        struct process_info leader;
        const char *id = json_get_str(entry, "runId", NULL);
        if (id != NULL && deployment_find(d, entry->string) == NULL &&
            runid_find_leader(id, &leader) != PROCESS_NONE) {
            restore_service(d, entry);
        }
    }
    bool news = cJSON_GetArraySize(launching) > 0;
    cJSON_Delete(launching);
    if (json_get_str(shell, "initRunId", NULL) != NULL) {
        d->old_init = subprocess_seek(d->env.loop, old_init_seek, old_init_on_exit, d, NULL);
        news = true;
    }
    if (news) {
        (void)state_save(d, NULL); /* where that fails the ids stay in the file for another try */
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
    restore_launching(d, cJSON_GetObjectItemCaseSensitive(d->state, "shell"));
    forward_restore(d);
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
    .service_check = shell_service_check,
    .service_stop = shell_service_stop,
    .service_start = shell_service_start,
    .save = shell_save,
    .restore = shell_restore,
    .release = shell_release,
};
