/* endpoints_access: `wos access`: logins of routes with access secret. */
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/api/request.h"
#include "daemon/api/served.h"
#include "daemon/daemon.h"
#include "daemon/logins.h"

static void handle_logins(struct api_request *r)
{
    cJSON *out = cJSON_CreateObject();
    const char *error = logins_error(r->d->logins);
    (void)json_add_bool(out, "hasSecret", r->d->config->service_secret != NULL);
    if (error != NULL) {
        (void)json_add_str(out, "error", error);
    }
    (void)cJSON_AddItemToObject(out, "logins", logins_json(r->d->logins));
    reply_json(r, HTTP_STATUS_OK, out);
}

static void handle_revoke(struct api_request *r)
{
    struct err err = {.msg = ""};
    if (logins_revoke(r->d->logins, r->param, &err) < 0) {
        reply_err(r, &err);
        return;
    }
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "revoked", r->param);
    reply_when_served(r, out);
}

static void handle_revoke_all(struct api_request *r)
{
    struct err err = {.msg = ""};
    if (logins_revoke_all(r->d->logins, &err) < 0) {
        reply_err(r, &err);
        return;
    }
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "revoked", "all");
    reply_when_served(r, out);
}

const struct api_endpoint api_access_endpoints[] = {
    {API_GET, "/access/logins", API_LOCAL, handle_logins},
    {API_DELETE, "/access/logins/:", API_LOCAL, handle_revoke},
    {API_DELETE, "/access/logins", API_LOCAL, handle_revoke_all},
    {0, NULL, API_LOCAL, NULL},
};
