/* deployment_state: between a deployment and its state.json. Called by the
 * other deployment files; loop thread. Keys of older or newer versions stay. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/deploy/deployment_internal.h"
#include "daemon/store/store.h"

static char *uuid_new(void)
{
    uint8_t b[16];
    CHECK(getrandom(b, sizeof(b), 0) == (ssize_t)sizeof(b));
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    return xasprintf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
                     b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
                     b[13], b[14], b[15]);
}

/* Replaces or adds; takes the value. */
static void state_set(cJSON *object, const char *key, cJSON *value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(object, key);
    CHECK(cJSON_AddItemToObject(object, key, value));
}

static cJSON *state_object(cJSON *object, const char *key)
{
    cJSON *found = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!cJSON_IsObject(found)) {
        found = cJSON_CreateObject();
        state_set(object, key, found);
    }
    return found;
}

static const char *port_key(uint16_t port, char buf[8])
{
    (void)snprintf(buf, 8, "%u", (unsigned)port);
    return buf;
}

static const cJSON *state_port_entry(const struct deployment *d, const char *group,
                                     const char *service, uint16_t port)
{
    char key[8];
    return json_get(json_get(json_get(d->state, group), service), port_key(port, key));
}

uint16_t state_port(const struct deployment *d, const char *service, uint16_t container_port)
{
    const cJSON *value = state_port_entry(d, "portAssignments", service, container_port);
    bool ok = cJSON_IsNumber(value) && value->valueint > 0 && value->valueint <= 65535;
    return ok ? (uint16_t)value->valueint : 0;
}

const char *state_hostname(const struct deployment *d, const char *service, uint16_t container_port)
{
    const cJSON *value = state_port_entry(d, "hostnames", service, container_port);
    return cJSON_IsString(value) ? value->valuestring : NULL;
}

void state_set_hostname(struct deployment *d, const char *service, uint16_t container_port,
                        const char *hostname)
{
    char key[8];
    cJSON *group = state_object(state_object(d->state, "hostnames"), service);
    state_set(group, port_key(container_port, key), cJSON_CreateString(hostname));
}

static cJSON *check_json(const struct port_run *p)
{
    cJSON *check = cJSON_CreateObject();
    json_add_bool(check, "enabled", p->check_enabled);
    json_add_bool(check, "allowFailure", p->allow_failure);
    json_add_str(check, "url", p->path);
    json_add_int(check, "status", p->expect);
    json_add_int(check, "timeoutMs", p->settings.timeout_ms);
    json_add_int(check, "startPeriodMs", p->settings.start_period_ms);
    json_add_int(check, "intervalMs", p->settings.interval_ms);
    json_add_int(check, "requestTimeoutMs", p->settings.request_timeout_ms);
    json_add_int(check, "retries", p->settings.retries);
    publish_options_add(&p->options, check);
    return check;
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
    cJSON *ports = cJSON_AddObjectToObject(service, "ports");
    cJSON *checks = cJSON_AddObjectToObject(service, "checks");
    for (size_t i = 0; i < s->port_count; i++) {
        char key[8];
        (void)port_key(s->ports[i].container_port, key);
        json_add_int(ports, key, s->ports[i].host_port);
        cJSON_AddItemToObject(checks, key, check_json(&s->ports[i]));
    }
    return service;
}

static void state_set_services(struct deployment *d)
{
    cJSON *shell = state_object(d->state, "shell");
    cJSON *services = cJSON_CreateObject();
    for (size_t i = 0; i < d->service_count; i++) {
        const struct service_run *s = d->services[i];
        if (s->pid != 0) {
            cJSON_AddItemToObject(services, s->name, service_json(d, s));
        }
    }
    state_set(shell, "services", services);
    cJSON *assignments = state_object(d->state, "portAssignments");
    for (size_t i = 0; i < d->service_count; i++) {
        const struct service_run *s = d->services[i];
        cJSON *ports = cJSON_CreateObject();
        for (size_t j = 0; j < s->port_count; j++) {
            char key[8];
            json_add_int(ports, port_key(s->ports[j].container_port, key), s->ports[j].host_port);
        }
        state_set(assignments, s->name, ports);
    }
}

int state_save(struct deployment *d, struct err *err)
{
    cJSON *state = d->state;
    state_set(state, "initialized", cJSON_CreateBool(d->initialised));
    state_set(state, "projectName", cJSON_CreateString(d->wt.project_name));
    state_set(state, "composeFile", cJSON_CreateString(""));
    state_set(state, "worktreeRoot", cJSON_CreateString(d->wt.root));
    state_set(state, "sourcePath", cJSON_CreateString(d->wt.source));
    state_set(state, "label", cJSON_CreateString(d->wt.label));
    state_set(state, "backend", cJSON_CreateString("shell"));
    state_set(state, "mode", cJSON_CreateString("shell"));
    state_set_services(d);
    if (d->up != NULL) {
        state_set(state, "noTunnel", cJSON_CreateBool(d->up->no_tunnel));
    }
    return store_save_state(d->env.home, d->wt.session_name, state, err);
}

void state_note_up(struct deployment *d, const char *last_up, int64_t duration_ms)
{
    cJSON *state = d->state;
    state_set(state, "lastUp", cJSON_CreateString(last_up));
    state_set(state, "lastUpDurationMs", cJSON_CreateNumber((double)duration_ms));
    if (d->up->head != NULL) {
        state_set(state, "lastUpCommit", cJSON_CreateString(d->up->head));
    }
    autofree char *uuid = uuid_new();
    state_set(state, "deploymentId", cJSON_CreateString(uuid));
    cJSON *arguments = cJSON_CreateObject();
    for (size_t i = 0; i < d->up->argument_count; i++) {
        json_add_str(arguments, d->up->arguments[i].key, d->up->arguments[i].value);
    }
    state_set(state_object(state, "shell"), "runtimeArguments", arguments);
}

static uint32_t check_number(const cJSON *check, const char *key)
{
    int64_t value = json_get_int(check, key, 0);
    return value < 0 || value > 0x7fffffff ? 0 : (uint32_t)value;
}

static bool restore_port(struct deployment *d, struct service_run *s, struct port_run *p,
                         const cJSON *entry, const cJSON *checks)
{
    uint16_t container = 0;
    if (!str_to_u16(str_of(entry->string), &container) || !cJSON_IsNumber(entry) ||
        entry->valueint < 1 || entry->valueint > 65535) {
        return false;
    }
    const cJSON *check = json_get(checks, entry->string);
    const char *path = json_get_str(check, "url", "/");
    const char *hostname = state_hostname(d, s->name, container);
    struct manifest_health own = {.timeout_ms = check_number(check, "timeoutMs"),
                                  .start_period_ms = check_number(check, "startPeriodMs"),
                                  .start_period_set = json_get(check, "startPeriodMs") != NULL,
                                  .interval_ms = check_number(check, "intervalMs"),
                                  .retries = check_number(check, "retries")};
    *p = (struct port_run){.magic = PORT_RUN_MAGIC,
                           .service = s,
                           .container_port = container,
                           .host_port = (uint16_t)entry->valueint,
                           .check_enabled = json_get_bool(check, "enabled", false),
                           .allow_failure = json_get_bool(check, "allowFailure", false),
                           .path = xstrdup(path[0] == '/' ? path : "/"),
                           .expect = (int)check_number(check, "status"),
                           .settings = health_effective(&own, &d->health),
                           .hostname = hostname == NULL ? NULL : xstrdup(hostname)};
    struct err err = {.msg = ""};
    if (publish_options_read(check, &p->options, &err) < 0) {
        /* Who may see it is not known any more: nobody, until the next up. */
        p->options = (struct publish_options){.access = PUBLISH_ACCESS_PRIVATE};
    }
    return true;
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
    const cJSON *ports = json_get(entry, "ports");
    if (!cJSON_IsObject(ports)) {
        ports = NULL;
    }
    struct service_run *s = service_run_new(d, entry->string, (size_t)cJSON_GetArraySize(ports));
    s->port_count = 0;
    const cJSON *port;
    cJSON_ArrayForEach(port, ports)
    {
        if (restore_port(d, s, &s->ports[s->port_count], port, json_get(entry, "checks"))) {
            s->port_count++;
        }
    }
    s->pid = (pid_t)json_get_int(entry, "pid", 0);
    s->start_ticks = (uint64_t)json_get_int(entry, "startTicks", 0);
    s->started_at = xstrdup(json_get_str(entry, "startedAt", ""));
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

void state_restore_services(struct deployment *d)
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
    if (d->service_count > 0) {
        deployment_monitor_start(d, true);
    }
}
