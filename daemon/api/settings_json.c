/* settings_json: see settings_json.h. */
#include "daemon/api/settings_json.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/certkeeper.h"
#include "daemon/config_edit.h"
#include "daemon/config_effective.h"
#include "daemon/daemon.h"

static const char *source_name(const struct config_ssl *ssl)
{
    if (!ssl->enabled) {
        return "disabled";
    }
    return ssl->source == SSL_FILES         ? "files"
           : ssl->source == SSL_LETSENCRYPT ? "letsencrypt"
                                            : "self-signed";
}

cJSON *settings_config_json(const struct daemon *d, cJSON **out_secrets)
{
    struct err err = {.msg = ""};
    struct config_edit *edit = config_edit_open(d->home, &err); /* NULL: no JSON object */
    autojson cJSON *shown = edit == NULL ? NULL : config_edit_json(edit);
    config_edit_close(edit);
    cJSON *raw = cJSON_DetachItemFromObjectCaseSensitive(shown, "config");
    if (!d->config->exists || raw == NULL) {
        cJSON_Delete(raw);
        raw = cJSON_CreateNull();
    }
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "path", d->config->path);
    (void)json_add_bool(out, "exists", d->config->exists);
    (void)cJSON_AddItemToObject(out, "raw", raw);
    if (err.msg[0] != '\0') {
        (void)json_add_str(out, "error", err.msg);
    }
    (void)cJSON_AddItemToObject(out, "effective", config_effective_json(d->config));
    cJSON *ssl = cJSON_AddObjectToObject(out, "effectiveSsl");
    (void)json_add_str(cJSON_AddObjectToObject(ssl, "web"), "source",
                       source_name(&d->config->web_ssl));
    (void)json_add_str(cJSON_AddObjectToObject(ssl, "tunnel"), "source",
                       source_name(&d->config->tunnel_ssl));
    if (out_secrets != NULL) {
        cJSON *secrets = cJSON_DetachItemFromObjectCaseSensitive(shown, "secrets");
        *out_secrets = secrets != NULL ? secrets : cJSON_CreateArray();
    }
    return out;
}

cJSON *settings_certificates_json(const struct daemon *d)
{
    static const char *const kinds[] = {"web", "tunnel"};
    cJSON *out = cJSON_CreateObject();
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        cJSON *cert = certkeeper_json(d->certkeeper, kinds[i]);
        const cJSON *names = json_get(cert, "names");
        (void)cJSON_AddItemToObject(
            cert, "hostnames", names == NULL ? cJSON_CreateArray() : cJSON_Duplicate(names, true));
        (void)cJSON_AddItemToObject(out, kinds[i], cert);
    }
    return out;
}

char *settings_first_run(const struct daemon *d)
{
    struct buf text = {0};
    struct err err;
    char *out = NULL;
    if (file_read(d->config->path, CONFIG_SIZE_MAX, &text, &err) == 0) {
        autojson cJSON *root = json_parse(buf_str(&text), "config.json", &err);
        const char *value = json_get_str(root, "firstRunCompleted", NULL);
        out = value == NULL || *value == '\0' ? NULL : xstrdup(value);
    }
    buf_fini(&text);
    return out;
}
