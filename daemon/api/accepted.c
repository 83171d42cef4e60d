/* accepted: see accepted.h. */
#include "daemon/api/accepted.h"

#include "base/json.h"
#include "daemon/api/request.h"
#include "daemon/changes.h"
#include "daemon/daemon.h"

static void reply_busy(struct api_request *r, const char *session, const struct err *err)
{
    cJSON *extra = cJSON_CreateObject();
    (void)json_add_str(extra, "sessionName", session == NULL ? "" : session);
    const struct operation *active =
        session == NULL ? NULL : operations_active(r->d->operations, session);
    if (active != NULL) {
        (void)cJSON_AddItemToObject(extra, "active", operation_json(active));
        changes_conflict(r->d->changes, active);
    }
    reply_error(r, 409, "session-busy", err->msg, extra);
}

void reply_accepted(struct api_request *r, const char *session, const struct operation *op,
                    cJSON *extra, const struct err *err)
{
    if (op == NULL) {
        cJSON_Delete(extra);
        if (err->code == ERR_BUSY) {
            reply_busy(r, session, err);
        } else {
            reply_err(r, err);
        }
        return;
    }
    cJSON *out = extra != NULL ? extra : cJSON_CreateObject();
    (void)json_add_str(out, "operationId", operation_id(op));
    (void)json_add_str(out, "sessionName", operation_session(op));
    (void)json_add_str(out, "kind", operation_kind(op));
    (void)json_add_str(out, "startedAt", operation_started_at(op));
    reply_json(r, 202, out);
}
