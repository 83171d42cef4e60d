/* session_json: sessions as the API shows them. See sessions.h. */
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/daemon.h"
#include "daemon/sessions.h"
#include "daemon/store/store.h"
#include "daemon/usage.h"

static void add_operations(const struct session *session, cJSON *out)
{
    const struct operations *registry = session_daemon(session)->operations;
    const struct operation *active = operations_active(registry, session_name(session));
    const struct operation *latest = operations_latest(registry, session_name(session));
    if (active != NULL) {
        (void)cJSON_AddItemToObject(out, "activeOperation", operation_json(active));
    }
    if (latest != NULL) {
        (void)cJSON_AddItemToObject(out, "latestOperation", operation_json(latest));
    }
}

cJSON *session_summary_json(const cJSON *services)
{
    int64_t running = 0;
    const cJSON *service;
    cJSON_ArrayForEach(service, services)
    {
        running += strcmp(json_get_str(service, "state", ""), "running") == 0 ? 1 : 0;
    }
    cJSON *out = cJSON_CreateObject();
    (void)json_add_int(out, "running", running);
    return json_add_int(out, "total", cJSON_GetArraySize(services));
}

/* Of the process and its session, or of the container's processes; NULL: none on this machine. */
static cJSON *service_usage(const struct session *session, const cJSON *service)
{
    struct usage *usage = session_daemon(session)->usage;
    pid_t pid = (pid_t)json_get_int(service, "pid", 0);
    if (pid > 0) {
        return usage_json(usage, pid);
    }
    const char *name = json_get_str(service, "service", "");
    const char *id = deployment_container(session_deployment(session), name, &pid);
    return id == NULL ? NULL : usage_container_json(usage, pid, id);
}

cJSON *session_services_json(const struct session *session, cJSON **out_total)
{
    cJSON *services = deployment_services_json(session_deployment(session));
    cJSON *total = NULL;
    cJSON *service;
    cJSON_ArrayForEach(service, services)
    {
        cJSON *one = service_usage(session, service);
        if (one != NULL) {
            total = usage_add(total, one);
            (void)cJSON_AddItemToObject(service, "resourceUsage", one);
        }
    }
    if (out_total != NULL) {
        *out_total = total;
    } else {
        cJSON_Delete(total);
    }
    return services;
}

/* Where an operation stopped: its last step, and the log channel that tells more. */
static void add_failed_step(const char *step, cJSON *failure)
{
    if (step != NULL) {
        (void)json_add_str(failure, "step", step);
        (void)json_add_str(failure, "channel",
                           strcmp(step, "init-script") == 0 ? "init" : "deployment");
    }
}

static void add_failure(const struct session *session, cJSON *detail)
{
    const cJSON *latest = json_get(detail, "latestOperation");
    cJSON *failure = NULL;
    if (strcmp(json_get_str(latest, "status", ""), "failed") == 0) {
        failure = cJSON_CreateObject();
        (void)json_add_str(failure, "operationId", json_get_str(latest, "operationId", ""));
        (void)json_add_str(failure, "kind", json_get_str(latest, "kind", ""));
        (void)json_add_str(failure, "message", json_get_str(latest, "failureMessage", ""));
        const struct operation *op =
            operations_latest(session_daemon(session)->operations, session_name(session));
        add_failed_step(op == NULL ? NULL : operation_last_step(op), failure);
    } else if (latest == NULL) {
        autojson cJSON *stored =
            store_load_failure(session_daemon(session)->home, session_name(session));
        if (stored != NULL) {
            const char *id = json_get_str(stored, "operationId", NULL);
            failure = cJSON_CreateObject();
            if (id != NULL) {
                (void)json_add_str(failure, "operationId", id);
            }
            (void)json_add_str(failure, "kind", "up");
            (void)json_add_str(failure, "message", json_get_str(stored, "message", ""));
            add_failed_step(json_get_str(stored, "step", NULL), failure);
        }
    }
    if (failure != NULL) {
        (void)cJSON_AddItemToObject(failure, "logTail",
                                    deployment_failure_log_json(session_deployment(session)));
        (void)cJSON_AddItemToObject(detail, "failureContext", failure);
    }
}

void session_add_detail(const struct session *session, cJSON *detail)
{
    const struct deployment *deployment = session_deployment(session);
    const struct worktree *wt = deployment_worktree(deployment);
    cJSON *worktree = cJSON_AddObjectToObject(detail, "worktree");
    (void)json_add_str(worktree, "path", wt->root);
    (void)json_add_str(worktree, "sessionName", session_name(session));
    (void)json_add_str(worktree, "status", deployment_status(deployment));
    (void)json_add_str(detail, "projectName", wt->project_name);
    (void)cJSON_AddItemToObject(detail, "state", deployment_state_json(deployment));
    autojson cJSON *total = NULL;
    cJSON *services = session_services_json(session, &total);
    (void)cJSON_AddItemToObject(detail, "services", services);
    if (total != NULL) {
        (void)cJSON_AddItemToObject(worktree, "resourceUsage", cJSON_Duplicate(total, true));
    }
    (void)cJSON_AddItemToObject(detail, "serviceSummary", session_summary_json(services));
    (void)cJSON_AddItemToObject(detail, "appPortHealthchecks", deployment_health_json(deployment));
    (void)cJSON_AddItemToObject(
        detail, "tunnels",
        publisher_tunnels_json(session_daemon(session)->publisher, session_name(session)));
    add_operations(session, detail);
    add_failure(session, detail);
}

static cJSON *session_status_json(const struct session *session)
{
    const struct worktree *wt = deployment_worktree(session_deployment(session));
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "sessionName", session_name(session));
    (void)json_add_str(out, "worktreePath", wt->root);
    (void)json_add_str(out, "projectName", wt->project_name);
    (void)json_add_str(out, "status", deployment_status(session_deployment(session)));
    (void)cJSON_AddItemToObject(out, "services",
                                deployment_services_json(session_deployment(session)));
    (void)cJSON_AddItemToObject(
        out, "tunnels",
        publisher_tunnels_json(session_daemon(session)->publisher, session_name(session)));
    add_operations(session, out);
    return out;
}

cJSON *sessions_status_json(const struct sessions *s)
{
    autofree struct session **rows = NULL;
    size_t count = sessions_list(s, &rows);
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < count; i++) {
        (void)cJSON_AddItemToArray(list, session_status_json(rows[i]));
    }
    return list;
}
