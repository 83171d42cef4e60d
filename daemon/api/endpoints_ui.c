/* endpoints_ui: what the web UI needs beside what commands need: the sessions with their health,
 * and the table of configuration keys. */
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/api/request.h"
#include "daemon/config_keys.h"
#include "daemon/daemon.h"
#include "daemon/sessions.h"

static void handle_sessions(struct api_request *r)
{
    cJSON *list = sessions_status_json(r->d->sessions);
    cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        const struct session *session =
            sessions_find(r->d->sessions, json_get_str(item, "sessionName", ""));
        (void)cJSON_AddItemToObject(item, "appPortHealthchecks",
                                    deployment_health_json(session_deployment(session)));
    }
    cJSON *out = cJSON_CreateObject();
    (void)cJSON_AddItemToObject(out, "sessions", list);
    reply_json(r, HTTP_STATUS_OK, out);
}

/* --- keys ---------------------------------------------------------------------------------- */

static const char *type_name(enum config_type type)
{
    static const char *const names[] = {
        [KEY_BOOL] = "bool",     [KEY_INT] = "int",    [KEY_DURATION] = "duration",
        [KEY_STRING] = "string", [KEY_WORD] = "word",  [KEY_IPS] = "ips",
        [KEY_TEXTS] = "texts",   [KEY_OTHER] = "json",
    };
    return names[type];
}

static cJSON *key_json(const struct config_key *key)
{
    char allowed[256];
    config_key_allowed(key, allowed, sizeof allowed);
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "key", key->path);
    (void)json_add_str(out, "type", type_name(key->type));
    if (key->type == KEY_INT || key->type == KEY_DURATION) {
        (void)json_add_int(out, "min", key->min);
        (void)json_add_int(out, "max", key->max);
    }
    if (key->type == KEY_WORD) {
        cJSON *words = cJSON_AddArrayToObject(out, "words");
        struct str rest = str_of(key->words);
        struct str word;
        while (str_next(&rest, '|', &word)) {
            autofree char *text = str_dup(word);
            (void)cJSON_AddItemToArray(words, cJSON_CreateString(text));
        }
    }
    if (key->fallback != NULL) {
        (void)json_add_str(out, "default", key->fallback);
    }
    (void)json_add_str(out, "allowed", allowed);
    (void)json_add_bool(out, "secret", key->is_secret);
    (void)json_add_bool(out, "live", config_key_is_live(key->path));
    return json_add_str(out, "doc", key->doc);
}

static void handle_keys(struct api_request *r)
{
    cJSON *out = cJSON_CreateObject();
    cJSON *keys = cJSON_AddArrayToObject(out, "keys");
    for (size_t i = 0; i < config_key_count; i++) {
        if (config_key_is_used(&config_keys[i])) {
            (void)cJSON_AddItemToArray(keys, key_json(&config_keys[i]));
        }
    }
    reply_json(r, HTTP_STATUS_OK, out);
}

const struct api_endpoint api_ui_endpoints[] = {
    {API_GET, "/sessions", API_LOGGED_IN, handle_sessions},
    {API_GET, "/settings/keys", API_LOCAL, handle_keys},
    {0, NULL, API_LOCAL, NULL},
};
