/* compose_state: what a Docker deployment keeps in state.json, and finding it again when the
 * daemon starts. Called through runner_ops; loop thread. */
#include <stdlib.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/deploy/runid.h"
#include "daemon/deploy/runner_compose.h"

enum { ORPHAN_GRACE_MS = 5000 };

/* Where the engine is; kept in the state for a daemon with another environment. */
static const char *const engine_variables[] = {"DOCKER_HOST",       "DOCKER_CONTEXT",
                                               "DOCKER_CONFIG",     "DOCKER_CERT_PATH",
                                               "DOCKER_TLS_VERIFY", "WOS_DOCKER_BIN"};

static void save_process(cJSON *docker, const char *key, pid_t pid, uint64_t start_ticks)
{
    if (pid != 0) {
        cJSON *entry = cJSON_AddObjectToObject(docker, key);
        json_add_int(entry, "pid", pid);
        json_add_int(entry, "startTicks", (int64_t)start_ticks);
    }
}

/* What a crashed daemon left stays written down until it has ended. */
static void save_command(const struct compose_run *c, cJSON *docker)
{
    uint64_t ticks = 0;
    const char *run_id = c->run_id != NULL ? c->run_id : c->orphan_id;
    if (run_id != NULL) {
        json_add_str(docker, "runId", run_id);
    }
    if (c->orphan != NULL) {
        save_process(docker, "command", subprocess_pid(c->orphan),
                     subprocess_start_ticks(c->orphan));
    } else {
        pid_t pid = docker_command_pid(c->command, &ticks);
        save_process(docker, "command", pid, ticks);
    }
    if (c->old_events != NULL) {
        save_process(docker, "events", subprocess_pid(c->old_events),
                     subprocess_start_ticks(c->old_events));
    } else {
        pid_t pid = docker_watch_pid(c->watch, &ticks);
        save_process(docker, "events", pid, ticks);
    }
}

void compose_save(struct deployment *d)
{
    struct compose_run *c = compose_of(d);
    cJSON *docker = cJSON_CreateObject();
    if (c->file_count > 0) {
        state_set(d->state, "composeFile", cJSON_CreateString(c->files[0]));
    }
    if (c->file_count > 1) {
        cJSON *files = cJSON_CreateArray();
        for (size_t i = 0; i < c->file_count; i++) {
            cJSON_AddItemToArray(files, cJSON_CreateString(c->files[i]));
        }
        state_set(d->state, "composeFiles", files);
    }
    if (c->project_dir != NULL) {
        json_add_str(docker, "projectDirectory", c->project_dir);
    }
    cJSON *environment = cJSON_AddObjectToObject(docker, "environment");
    for (size_t i = 0; i < COUNT_OF(engine_variables); i++) {
        const char *value = envlist_get(&c->env, engine_variables[i]);
        if (value != NULL) {
            json_add_str(environment, engine_variables[i], value);
        }
    }
    cJSON *services = cJSON_AddObjectToObject(docker, "services");
    for (size_t i = 0; c->is_launched && i < d->service_count; i++) {
        cJSON *service = cJSON_CreateObject();
        state_add_ports(d->services[i], service);
        state_add_end(d->services[i], service);
        json_add_bool(service, "isDependency", d->services[i]->is_dep);
        json_add_str(service, "startedAt",
                     d->services[i]->started_at == NULL ? "" : d->services[i]->started_at);
        cJSON_AddItemToObject(services, d->services[i]->name, service);
    }
    if (c->tool.is_known) {
        json_add_str(docker, "program", c->tool.docker);
        json_add_str(docker, "composeProgram", c->tool.compose == NULL ? "" : c->tool.compose);
    }
    save_command(c, docker);
    state_set(d->state, "docker", docker);
}

/* What the last up found serves until the next searches again: at the start of a daemon with
 * many sessions nothing is asked but what runs. */
static void restore_tool(struct compose_run *c, const cJSON *docker)
{
    const char *program = json_get_str(docker, "program", "");
    const char *compose = json_get_str(docker, "composeProgram", "");
    if (program[0] != '\0') {
        c->tool = (struct docker_tool){.docker = xstrdup(program),
                                       .compose = compose[0] == '\0' ? NULL : xstrdup(compose),
                                       .is_known = true};
    }
}

static void restore_files(struct compose_run *c, const cJSON *state, const cJSON *docker)
{
    const char *dir = json_get_str(docker, "projectDirectory", NULL);
    c->project_dir = dir == NULL ? NULL : xstrdup(dir);
    const cJSON *files = json_get(state, "composeFiles");
    const char *first = json_get_str(state, "composeFile", "");
    int count = cJSON_IsArray(files) ? cJSON_GetArraySize(files) : 0;
    for (int i = 0; i < count && c->file_count < COUNT_OF(c->files); i++) {
        const cJSON *file = cJSON_GetArrayItem(files, i);
        if (cJSON_IsString(file)) {
            c->files[c->file_count++] = xstrdup(file->valuestring);
        }
    }
    if (c->file_count == 0 && first[0] != '\0') {
        c->files[c->file_count++] = xstrdup(first);
    }
}

static void restore_on_looked(struct compose_run *c)
{
    struct deployment *d = c->d;
    if (c->look_failed) {
        return; /* the watch goes on looking */
    }
    if (!d->initialised && c->found.count > 0) {
        d->initialised = true; /* an up was killed after its containers were there */
    }
    (void)state_save(d, NULL);
}

static void restore_begin(struct compose_run *c)
{
    compose_watch_start(c);
    compose_look(c, restore_on_looked);
    (void)state_save(c->d, NULL);
}

static void orphan_on_exit(void *arg, int status)
{
    struct compose_run *c = arg;
    (void)status;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    subprocess_release(c->orphan);
    c->orphan = NULL;
    free(c->orphan_id);
    c->orphan_id = NULL;
    if (c->d->on_stopped != NULL) {
        compose_with_tool(c, compose_stop_begin);
    } else if (c->d->up == NULL) {
        /* Killed before anything was launched: what init scripts ran in is of no use. */
        compose_with_tool(c, c->is_launched ? restore_begin : compose_stop_begin);
    }
}

/* A command whose start was not recorded any more. */
static enum process_answer orphan_seek(void *arg, struct process_info *out_leader)
{
    struct compose_run *c = arg;
    (void)out_leader; /* nobody is left to watch */
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    return runid_kill(c->orphan_id);
}

static void old_events_on_exit(void *arg, int status)
{
    struct compose_run *c = arg;
    (void)status;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    subprocess_release(c->old_events);
    c->old_events = NULL;
}

static struct subprocess *adopt_entry(struct compose_run *c, const cJSON *entry,
                                      subprocess_exit_fn *on_exit)
{
    return entry == NULL
               ? NULL
               : subprocess_adopt(c->d->env.loop, (pid_t)json_get_int(entry, "pid", 0),
                                  (uint64_t)json_get_int(entry, "startTicks", 0), on_exit, c, NULL);
}

/* What the last daemon's commands are at. */
static void restore_commands(struct compose_run *c, const cJSON *docker)
{
    c->old_events = adopt_entry(c, json_get(docker, "events"), old_events_on_exit);
    if (c->old_events != NULL) {
        subprocess_stop(c->old_events, 0); /* it only watched */
    }
    const char *run_id = json_get_str(docker, "runId", NULL);
    c->orphan = adopt_entry(c, json_get(docker, "command"), orphan_on_exit);
    if (c->orphan != NULL) {
        subprocess_stop(c->orphan, ORPHAN_GRACE_MS);
    } else if (run_id != NULL) {
        c->orphan_id = xstrdup(run_id);
        c->orphan = subprocess_seek(c->d->env.loop, orphan_seek, orphan_on_exit, c, NULL);
    }
    if (c->orphan == NULL) {
        free(c->orphan_id);
        c->orphan_id = NULL;
        if (c->is_launched || run_id != NULL) {
            compose_with_tool(c, c->is_launched ? restore_begin : compose_stop_begin);
        }
    }
}

void compose_restore(struct deployment *d)
{
    struct compose_run *c = compose_of(d);
    const cJSON *docker = json_get(d->state, "docker");
    const cJSON *entry;
    restore_files(c, d->state, docker);
    restore_tool(c, docker);
    cJSON_ArrayForEach(entry, json_get(docker, "environment"))
    {
        if (cJSON_IsString(entry) && entry->string != NULL) {
            envlist_set(&c->env, str_of(entry->string), str_of(entry->valuestring));
        }
    }
    cJSON_ArrayForEach(entry, json_get(docker, "services"))
    {
        struct service_run *s = state_restore_service(d, entry);
        s->is_dep = json_get_bool(entry, "isDependency", false);
        if (!state_restore_end(s, entry)) {
            s->state = SERVICE_RUNNING; /* until the first look says otherwise */
        }
        for (size_t i = 0; i < s->port_count; i++) {
            s->ports[i].route = s->state == SERVICE_RUNNING ? ROUTE_LIVE : ROUTE_STOPPED;
        }
        c->is_launched = true;
    }
    restore_commands(c, docker);
}
