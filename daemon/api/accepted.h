/* accepted: the answer to who started an operation. */
#ifndef WOS_DAEMON_API_ACCEPTED_H
#define WOS_DAEMON_API_ACCEPTED_H

#include <cjson/cJSON.h>

#include "base/err.h"

struct api_request;
struct operation;

/* 202 {"operationId", "sessionName", "kind", "startedAt", …extra}; with `op` NULL the error:
 * ERR_BUSY is 409 session-busy with the operation that runs in `session`. Takes `extra` (may be
 * NULL). */
void reply_accepted(struct api_request *r, const char *session, const struct operation *op,
                    cJSON *extra, const struct err *err);

#endif
