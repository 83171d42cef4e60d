/* endpoints_settings: config.json, read without its secrets and saved (`wos config set`). */
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/api/api.h"
#include "daemon/api/request.h"
#include "daemon/api/served.h"
#include "daemon/api/settings_json.h"
#include "daemon/config_edit.h"
#include "daemon/daemon.h"

/* What every answer here has: the configuration, what of it waits, and the certificates. */
static void add_state(const struct daemon *d, cJSON *out)
{
    cJSON *secrets = NULL;
    cJSON *restart = daemon_restart_keys(d);
    (void)json_add_bool(out, "restartRequired", cJSON_GetArraySize(restart) > 0);
    (void)cJSON_AddItemToObject(out, "restartKeys", restart);
    (void)cJSON_AddItemToObject(out, "config", settings_config_json(d, &secrets));
    (void)cJSON_AddItemToObject(out, "secrets", secrets);
    (void)cJSON_AddItemToObject(out, "certificateStatus", settings_certificates_json(d));
    (void)cJSON_AddItemToObject(out, "problems", config_problems_json(d->config));
}

static void handle_get(struct api_request *r)
{
    cJSON *out = cJSON_CreateObject();
    add_state(r->d, out);
    reply_json(r, HTTP_STATUS_OK, out);
}

/* 400 with every field; takes the list. */
static void reply_fields(struct api_request *r, cJSON *errors)
{
    const cJSON *first = cJSON_GetArrayItem(errors, 0);
    const char *field = json_get_str(first, "field", "");
    autofree char *message =
        xasprintf("%s%s%s", field, *field == '\0' ? "" : ": ", json_get_str(first, "message", ""));
    cJSON *extra = cJSON_CreateObject();
    (void)cJSON_AddItemToObject(extra, "errors", errors);
    reply_error(r, 400, "validation", message, extra);
}

/* Writes the edit, applies what can be, and answers when the gateway has it. Closes the edit. */
static void save_and_reply(struct api_request *r, struct config_edit *edit)
{
    struct err err = {.msg = ""};
    cJSON *errors = config_edit_errors(edit);
    if (cJSON_GetArraySize(errors) > 0) {
        config_edit_close(edit);
        reply_fields(r, errors);
        return;
    }
    cJSON_Delete(errors);
    int rc = config_edit_save(edit, &err);
    config_edit_close(edit);
    if (rc < 0) {
        reply_err(r, &err);
        return;
    }
    daemon_reload_config(r->d);
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "path", r->d->config->path);
    add_state(r->d, out);
    reply_when_served(r, out);
}

static int take_changes(struct config_edit *edit, const cJSON *body, struct err *err)
{
    const cJSON *set = json_get(body, "set");
    const cJSON *unset = json_get(body, "unset");
    const cJSON *item;
    if ((set != NULL && !cJSON_IsObject(set)) || (unset != NULL && !cJSON_IsArray(unset))) {
        return err_set(err, ERR_USAGE, "the body is {\"set\": {key: value}, \"unset\": [key]}");
    }
    cJSON_ArrayForEach(item, set)
    {
        if (config_edit_set(edit, item->string, item, err) < 0) {
            return -1;
        }
    }
    cJSON_ArrayForEach(item, unset)
    {
        if (!cJSON_IsString(item)) {
            return err_set(err, ERR_USAGE, "unset is a list of keys");
        }
        if (config_edit_unset(edit, item->valuestring, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static void handle_change(struct api_request *r)
{
    struct err err = {.msg = ""};
    struct config_edit *edit = config_edit_open(r->d->home, &err);
    if (edit == NULL || take_changes(edit, r->body, &err) < 0) {
        config_edit_close(edit);
        reply_err(r, &err);
        return;
    }
    save_and_reply(r, edit);
}

static void handle_put(struct api_request *r)
{
    struct err err = {.msg = ""};
    if (r->body == NULL) {
        reply_error(r, 400, "validation", "the body must be the new configuration", NULL);
        return;
    }
    struct config_edit *edit = config_edit_open(r->d->home, &err);
    if (edit == NULL) {
        reply_err(r, &err);
        return;
    }
    config_edit_replace(edit, r->body);
    save_and_reply(r, edit);
}

const struct api_endpoint api_settings_endpoints[] = {
    {API_GET, "/settings/config", API_LOCAL, handle_get},
    {API_PUT, "/settings/config", API_LOCAL, handle_put},
    {API_POST, "/settings/config", API_LOCAL, handle_change},
    {0, NULL, API_LOCAL, NULL},
};
