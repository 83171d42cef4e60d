/* containers: see containers.h. Called by runner_compose. */
#include "daemon/deploy/containers.h"

#include <stdlib.h>

#include "base/auto.h"
#include "base/json.h"

static void container_read(const cJSON *entry, struct containers *out)
{
    const cJSON *state = json_get(entry, "State");
    const cJSON *labels = json_get(json_get(entry, "Config"), "Labels");
    const char *id = json_get_str(entry, "Id", "");
    const char *service = json_get_str(labels, "com.docker.compose.service", "");
    const char *oneoff = json_get_str(labels, "com.docker.compose.oneoff", "");
    if (id[0] == '\0' || service[0] == '\0' || str_eq_nocase(str_of(oneoff), STR("true"))) {
        return;
    }
    const char *started = json_get_str(state, "StartedAt", "");
    const char *deployment = json_get_str(labels, "dev.wos.deployment-id", NULL);
    int64_t pid = json_get_int(state, "Pid", 0);
    bool was_started = started[0] != '\0' && strncmp(started, "0001-", 5) != 0;
    out->items[out->count++] = (struct container){
        .id = xstrdup(id),
        .service = xstrdup(service),
        .state = xstrdup(json_get_str(state, "Status", "unknown")),
        .started_at = was_started ? xstrdup(started) : NULL,
        .deployment_id = deployment == NULL ? NULL : xstrdup(deployment),
        .exit_code = (int)json_get_int(state, "ExitCode", 0),
        .restart_count = (int)json_get_int(entry, "RestartCount", 0),
        .pid = pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0,
    };
}

int containers_parse(struct str text, struct containers *out, struct err *err)
{
    autojson cJSON *array = json_parse(text, "docker inspect", err);
    if (array == NULL) {
        return -1;
    }
    if (!cJSON_IsArray(array)) {
        return err_set(err, ERR_FAILED, "docker inspect: not a list");
    }
    *out = (struct containers){
        .items = xcalloc((size_t)cJSON_GetArraySize(array) + 1, sizeof(out->items[0]))};
    const cJSON *entry;
    cJSON_ArrayForEach(entry, array)
    {
        container_read(entry, out);
    }
    return 0;
}

static void container_fini(struct container *c)
{
    free(c->id);
    free(c->service);
    free(c->state);
    free(c->started_at);
    free(c->deployment_id);
}

void containers_fini(struct containers *list)
{
    for (size_t i = 0; i < list->count; i++) {
        container_fini(&list->items[i]);
    }
    free(list->items);
    *list = (struct containers){0};
}

void containers_keep(struct containers *list, const char *deployment_id)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct container *c = &list->items[i];
        bool is_foreign = deployment_id[0] != '\0' && c->deployment_id != NULL &&
                          strcmp(c->deployment_id, deployment_id) != 0;
        if (is_foreign) {
            container_fini(c);
        } else {
            list->items[kept++] = *c;
        }
    }
    list->count = kept;
}

const struct container *containers_find(const struct containers *list, const char *service)
{
    const struct container *found = NULL;
    for (size_t i = 0; i < list->count; i++) {
        const struct container *c = &list->items[i];
        if (strcmp(c->service, service) == 0 &&
            (found == NULL || strcmp(c->state, "running") == 0)) {
            found = c;
        }
    }
    return found;
}
