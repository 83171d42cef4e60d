/* served: see served.h. Called by the endpoints for access and settings. */
#include "daemon/api/served.h"

#include <stdlib.h>

#include "base/auto.h"
#include "base/json.h"
#include "base/loop.h"
#include "daemon/api/request.h"
#include "daemon/daemon.h"

enum { ANSWER_MS = 10000 };

struct served {
    struct api_request *r; /* borrowed */
    cJSON *body;           /* owned */
    struct loop_timer timer;
};

static struct api_request *served_free(struct served *s)
{
    struct api_request *r = s->r;
    publisher_cancel(r->d->publisher, s);
    loop_timer_fini(&s->timer);
    cJSON_Delete(s->body);
    free(s);
    return r;
}

static void served_on_cancel(struct api_request *r)
{
    (void)served_free(r->work);
}

static void served_answer(struct served *s, const char *error)
{
    cJSON *body = s->body;
    s->body = NULL;
    (void)json_add_bool(body, "served", error == NULL);
    if (error != NULL) {
        (void)json_add_str(body, "message", error);
    }
    reply_json(served_free(s), HTTP_STATUS_OK, body);
}

static void served_on_done(void *arg, const char *error)
{
    served_answer(arg, error);
}

static void served_on_timer(void *arg)
{
    served_answer(arg, "no gateway has taken it yet; see wos status --all");
}

void reply_when_served(struct api_request *r, cJSON *body)
{
    if (!publisher_is_enabled(r->d->publisher)) {
        reply_json(r, HTTP_STATUS_OK, body);
        return;
    }
    struct served *s = xcalloc(1, sizeof *s);
    s->r = r;
    s->body = body;
    loop_timer_init(&s->timer, r->d->loop, served_on_timer, s);
    loop_timer_set(&s->timer, ANSWER_MS);
    r->cancel = served_on_cancel;
    r->work = s;
    publisher_await(r->d->publisher, served_on_done, s);
}
