/* pending: see pending.h. Called by the order's steps and by the renewer at start. */
#include "acme/pending.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acme/when.h"
#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "certs/cert.h"
#include "certs/issue.h"

enum { FILE_LIMIT_BYTES = 256 * 1024, AGE_MAX_SECONDS = 7 * 86400 };

void pending_fini(struct pending *pending)
{
    free(pending->directory);
    free(pending->account_url);
    free(pending->order_url);
    free(pending->names);
    EVP_PKEY_free(pending->key);
    *pending = (struct pending){.key = NULL};
}

char *pending_names(const char *const *names, size_t count)
{
    struct buf text = {0};
    for (size_t i = 0; i < count; i++) {
        buf_add_text(&text, i == 0 ? "" : ",");
        buf_add_text(&text, names[i]);
    }
    return buf_take(&text);
}

static void secret_wipe(const cJSON *json)
{
    char *secret = cJSON_GetStringValue(json_get(json, "privateKeyPem"));
    if (secret != NULL) {
        OPENSSL_cleanse(secret, strlen(secret));
    }
}

bool pending_load(const char *path, int64_t now, struct pending *out)
{
    struct buf text = {0};
    if (file_read(path, FILE_LIMIT_BYTES, &text, NULL) < 0) {
        buf_fini(&text);
        return false;
    }
    autojson cJSON *json = json_parse(buf_str(&text), path, NULL);
    issue_buf_wipe(&text);
    const char *pem = json_get_str(json, "privateKeyPem", NULL);
    struct pending pending = {
        .directory = xstrdup(json_get_str(json, "directory", "")),
        .account_url = xstrdup(json_get_str(json, "accountUrl", "")),
        .order_url = xstrdup(json_get_str(json, "orderUrl", "")),
        .names = xstrdup(json_get_str(json, "names", "")),
        .key = pem == NULL ? NULL : cert_key_parse(str_of(pem), NULL),
        .created_at = when_get(json, "createdAt"),
    };
    secret_wipe(json);
    if (pending.order_url[0] == '\0' || pending.names[0] == '\0' || pending.created_at > now ||
        now - pending.created_at > AGE_MAX_SECONDS) {
        pending_fini(&pending);
        return false;
    }
    *out = pending;
    return true;
}

int pending_save(const char *path, const struct pending *pending, struct err *err)
{
    struct buf pem = {0};
    autojson cJSON *json = cJSON_CreateObject();
    CHECK(json != NULL);
    json_add_str(json, "directory", pending->directory);
    json_add_str(json, "accountUrl", pending->account_url);
    json_add_str(json, "orderUrl", pending->order_url);
    json_add_str(json, "names", pending->names);
    when_add(json, "createdAt", pending->created_at);
    if (pending->key != NULL) {
        if (issue_key_pem(pending->key, &pem, err) < 0) {
            issue_buf_wipe(&pem);
            return -1;
        }
        json_add_str(json, "privateKeyPem", buf_cstr(&pem));
        issue_buf_wipe(&pem);
    }
    char *text = json_print(json);
    int result = file_write_atomic(path, str_of(text), 0600, err);
    OPENSSL_cleanse(text, strlen(text));
    free(text);
    secret_wipe(json);
    return result < 0 ? err_wrap(err, "keeping the order") : 0;
}

void pending_remove(const char *path)
{
    (void)unlink(path); /* not there: as wanted */
}
