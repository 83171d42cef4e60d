/* cfapi: one call of Cloudflare's API v4: authorisation, retries, errors.
 *
 * Transport errors, 429 and 5xx are tried again, at most 5 times in all, after the
 * answer's Retry-After (up to a minute; a longer one ends the call with failure.retry_at), else
 * after 1, 2, 4, 8 s. Each try may take 30 s. The calls used here can all be repeated. The
 * token goes into the request's header and nowhere else. The loop's thread.
 */
#ifndef WOS_ACME_CFAPI_H
#define WOS_ACME_CFAPI_H

#include <cjson/cJSON.h>

#include "acme/failure.h"
#include "acme/settings.h"
#include "base/fetch.h"
#include "base/loop.h"

struct cfapi;

struct cfapi_spec {
    struct loop *loop;
    struct fetch_client *fetch;
    const struct acme_settings *settings;
};

struct cfapi_answer {
    const cJSON *json;             /* borrowed for the call; NULL without a JSON answer */
    int code;                      /* of errors[0]; 0: none */
    int status;                    /* HTTP; 0: no answer */
    const struct failure *failure; /* NULL: success */
};

typedef void cfapi_done_fn(void *arg, const struct cfapi_answer *answer);

/* `path` from "/zones"; `what` for the message: "the zone example.com". `body` NULL: none. `phase`
 * is a constant. Once, from the loop, never from inside; not after cfapi_cancel. */
struct cfapi *cfapi_call(const struct cfapi_spec *spec, const char *method, const char *path,
                         const cJSON *body, const char *phase, const char *what,
                         cfapi_done_fn *done, void *arg);
/* NULL is allowed. */
void cfapi_cancel(struct cfapi *c);

#endif
