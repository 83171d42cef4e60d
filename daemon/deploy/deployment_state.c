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
void state_set(cJSON *object, const char *key, cJSON *value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(object, key);
    CHECK(cJSON_AddItemToObject(object, key, value));
}

cJSON *state_object(cJSON *object, const char *key)
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

/* "ports" and "checks" of a service's entry. */
void state_add_ports(const struct service_run *s, cJSON *service)
{
    cJSON *ports = cJSON_AddObjectToObject(service, "ports");
    cJSON *checks = cJSON_AddObjectToObject(service, "checks");
    for (size_t i = 0; i < s->port_count; i++) {
        char key[8];
        (void)port_key(s->ports[i].container_port, key);
        json_add_int(ports, key, s->ports[i].host_port);
        cJSON_AddItemToObject(checks, key, check_json(&s->ports[i]));
    }
}

void state_add_end(const struct service_run *s, cJSON *service)
{
    if (s->state == SERVICE_STOPPED || s->state == SERVICE_EXITED) {
        json_add_str(service, "state", s->state == SERVICE_STOPPED ? "stopped" : "exited");
        json_add_int(service, "waitStatus", s->status);
    }
}

bool state_restore_end(struct service_run *s, const cJSON *entry)
{
    const char *state = json_get_str(entry, "state", "");
    int64_t status = json_get_int(entry, "waitStatus", -1);
    bool is_stopped = strcmp(state, "stopped") == 0;
    if (!is_stopped && strcmp(state, "exited") != 0) {
        return false;
    }
    s->state = is_stopped ? SERVICE_STOPPED : SERVICE_EXITED;
    s->status = status < 0 || status > 0xffff ? -1 : (int)status;
    return true;
}

static void state_set_ports(struct deployment *d)
{
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

static void forget_process(cJSON *entry)
{
    if (cJSON_GetObjectItemCaseSensitive(entry, "startTicks") != NULL) {
        state_set(entry, "startTicks", cJSON_CreateNumber(0));
    }
    cJSON_DeleteItemFromObjectCaseSensitive(entry, "mark");
}

/* After a boot other processes have the pids, with start times that may fit: none of the file's
 * is there any more. Files of older versions do not say of which boot they are. */
static void forget_other_boot(cJSON *state)
{
    char now[PROCESS_BOOT_ID_SIZE];
    const char *then = json_get_str(state, "bootId", NULL);
    if (then == NULL || !process_boot_id(now) || strcmp(then, now) == 0) {
        return;
    }
    cJSON *shell = cJSON_GetObjectItemCaseSensitive(state, "shell");
    cJSON *docker = cJSON_GetObjectItemCaseSensitive(state, "docker");
    cJSON *entry;
    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(shell, "services"))
    {
        forget_process(entry);
    }
    forget_process(cJSON_GetObjectItemCaseSensitive(shell, "forward"));
    forget_process(cJSON_GetObjectItemCaseSensitive(docker, "command"));
    forget_process(cJSON_GetObjectItemCaseSensitive(docker, "events"));
}

int state_save(struct deployment *d, struct err *err)
{
    cJSON *state = d->state;
    char boot[PROCESS_BOOT_ID_SIZE];
    if (process_boot_id(boot)) {
        state_set(state, "bootId", cJSON_CreateString(boot));
    }
    state_set(state, "initialized", cJSON_CreateBool(d->initialised));
    state_set(state, "projectName", cJSON_CreateString(d->wt.project_name));
    state_set(state, "worktreeRoot", cJSON_CreateString(d->wt.root));
    state_set(state, "sourcePath", cJSON_CreateString(d->wt.source));
    state_set(state, "label", cJSON_CreateString(d->wt.label));
    state_set(state, "backend", cJSON_CreateString(d->runner->backend));
    state_set(state, "mode", cJSON_CreateString(manifest_mode_name(d->mode)));
    state_set_ports(d);
    /* What another runner left; the present one sets its own. */
    state_set(state, "composeFile", cJSON_CreateString(""));
    cJSON_DeleteItemFromObjectCaseSensitive(state, "composeFiles");
    cJSON_DeleteItemFromObjectCaseSensitive(state, "docker");
    cJSON_DeleteItemFromObjectCaseSensitive(cJSON_GetObjectItemCaseSensitive(state, "shell"),
                                            "services");
    d->runner->save(d);
    if (d->up != NULL) {
        state_set(state, "noTunnel", cJSON_CreateBool(d->up->no_tunnel));
    }
    return store_save_state(d->env.home, d->wt.session_name, state, err);
}

void state_new_id(struct deployment *d)
{
    autofree char *uuid = uuid_new();
    state_set(d->state, "deploymentId", cJSON_CreateString(uuid));
}

void state_note_up(struct deployment *d, const char *last_up, int64_t duration_ms)
{
    cJSON *state = d->state;
    state_set(state, "lastUp", cJSON_CreateString(last_up));
    state_set(state, "lastUpDurationMs", cJSON_CreateNumber((double)duration_ms));
    if (d->up->head != NULL) {
        state_set(state, "lastUpCommit", cJSON_CreateString(d->up->head));
    }
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

struct service_run *state_restore_service(struct deployment *d, const cJSON *entry)
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
    s->started_at = xstrdup(json_get_str(entry, "startedAt", ""));
    s->status = -1;
    return s;
}

void state_restore_services(struct deployment *d)
{
    const char *backend = json_get_str(d->state, "backend", NULL);
    const char *mode = json_get_str(d->state, "mode", "shell");
    bool is_docker = backend != NULL && strcmp(backend, "docker") == 0;
    d->mode = !is_docker                     ? MANIFEST_SHELL
              : strcmp(mode, "compose") == 0 ? MANIFEST_COMPOSE
                                             : MANIFEST_GENERATED;
    d->runner = runner_of(d->mode);
    forget_other_boot(d->state);
    d->runner->restore(d);
    if (d->service_count > 0) {
        deployment_monitor_start(d, true);
    }
}
