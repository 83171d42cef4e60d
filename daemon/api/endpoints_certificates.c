/* endpoints_certificates: what people ask of certificates; each is an operation. */
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/api/request.h"
#include "daemon/certjobs.h"
#include "daemon/certkeeper.h"
#include "daemon/daemon.h"

static void handle_certificates(struct api_request *r)
{
    cJSON *out = cJSON_CreateObject();
    (void)cJSON_AddItemToObject(out, "certificates", certkeeper_list_json(r->d->certkeeper));
    reply_json(r, HTTP_STATUS_OK, out);
}

static void reply_refused(struct api_request *r, const char *kind, const struct err *err)
{
    if (err->code == ERR_BUSY) {
        struct operation *active = certjobs_active(r->d->certjobs, kind);
        cJSON *extra = cJSON_CreateObject();
        if (active != NULL) {
            (void)cJSON_AddItemToObject(extra, "active", operation_json(active));
        }
        reply_error(r, 409, "certificate-busy", err->msg, extra);
    } else if (err->code == ERR_CONFIG) {
        reply_error(r, 409, "certificate-source", err->msg, NULL);
    } else {
        reply_err(r, err);
    }
}

static void start(struct api_request *r, enum certjob what)
{
    struct err err = {.msg = ""};
    bool joined = false;
    const char *kind = json_get_str(r->body, "kind", "tunnel");
    bool force = json_get_bool(r->body, "force", false);
    struct operation *op = certjobs_start(r->d->certjobs, what, kind, force, &joined, &err);
    if (op == NULL) {
        reply_refused(r, kind, &err);
        return;
    }
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "operationId", operation_id(op));
    (void)json_add_str(out, "kind", operation_kind(op));
    (void)json_add_str(out, "listenerKind", kind);
    (void)json_add_str(out, "startedAt", operation_started_at(op));
    (void)json_add_bool(out, "joined", joined);
    reply_json(r, 202, out);
}

static void handle_renew(struct api_request *r)
{
    start(r, CERTJOB_RENEW);
}

static void handle_dry_run(struct api_request *r)
{
    start(r, CERTJOB_DRY_RUN);
}

static void handle_doctor(struct api_request *r)
{
    start(r, CERTJOB_DOCTOR);
}

static void handle_revoke(struct api_request *r)
{
    start(r, CERTJOB_REVOKE);
}

static void handle_deactivate(struct api_request *r)
{
    start(r, CERTJOB_DEACTIVATE);
}

static void handle_cancel(struct api_request *r)
{
    cJSON *out = cJSON_CreateObject();
    const char *kind = json_get_str(r->body, "kind", "tunnel");
    (void)json_add_bool(out, "cancelled", certjobs_cancel(r->d->certjobs, kind));
    reply_json(r, HTTP_STATUS_OK, out);
}

const struct api_endpoint api_certificate_endpoints[] = {
    {API_GET, "/certificates", API_LOCAL, handle_certificates},
    {API_POST, "/certificates/renew", API_LOCAL, handle_renew},
    {API_POST, "/certificates/dry-run", API_LOCAL, handle_dry_run},
    {API_POST, "/certificates/doctor", API_LOCAL, handle_doctor},
    {API_POST, "/certificates/revoke", API_LOCAL, handle_revoke},
    {API_POST, "/certificates/account/deactivate", API_LOCAL, handle_deactivate},
    {API_POST, "/certificates/cancel", API_LOCAL, handle_cancel},
    {0, NULL, API_LOCAL, NULL},
};
