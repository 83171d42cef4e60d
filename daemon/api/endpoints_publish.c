/* endpoints_publish: `wos publish`, `unpublish`, and the list. */
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "base/loop.h"
#include "daemon/api/api.h"
#include "daemon/api/request.h"
#include "daemon/daemon.h"
#include "daemon/published.h"

enum { ANSWER_MS = 10000 };

/* A `publish` whose route is on its way to the workers. */
struct publishing {
    struct api_request *r; /* borrowed */
    char *name;            /* owned */
    struct loop_timer timer;
};

static struct api_request *publishing_free(struct publishing *w)
{
    struct api_request *r = w->r;
    publisher_cancel(r->d->publisher, w);
    loop_timer_fini(&w->timer);
    free(w->name);
    free(w);
    return r;
}

static void publishing_on_cancel(struct api_request *r)
{
    (void)publishing_free(r->work);
}

static void publishing_answer(struct publishing *w, const char *error)
{
    cJSON *out = published_item_json(w->r->d->published, w->name);
    struct api_request *r = publishing_free(w);
    if (out == NULL) {
        reply_error(r, 404, "not-found", "it was unpublished meanwhile", NULL);
        return;
    }
    (void)json_add_bool(out, "served", error == NULL);
    if (error != NULL) {
        (void)json_add_str(out, "message", error);
    }
    reply_json(r, HTTP_STATUS_OK, out);
}

static void publishing_on_done(void *arg, const char *error)
{
    publishing_answer(arg, error);
}

static void publishing_on_timer(void *arg)
{
    publishing_answer(arg, "no gateway has taken the route yet; see wos status --all");
}

static void reply_publish_err(struct api_request *r, const struct err *err)
{
    if (err->code == ERR_BUSY) {
        reply_error(r, 409, "name-taken", err->msg, NULL);
    } else if (err->code == ERR_REFUSED) {
        reply_error(r, 400, "tunnel-disabled", err->msg, NULL);
    } else {
        reply_err(r, err);
    }
}

static void handle_publish(struct api_request *r)
{
    struct err err = {.msg = ""};
    const char *name = json_get_str(r->body, "name", NULL);
    struct publish_options options;
    int64_t port = json_get_int(r->body, "port", 0);
    if (name == NULL || port < 1 || port > 65535) {
        reply_error(r, 400, "validation", "name and port (1 to 65535) are needed", NULL);
        return;
    }
    if (publish_options_read(r->body, &options, &err) < 0) {
        reply_error(r, 400, "validation", err.msg, NULL);
        return;
    }
    struct publishing *w = xcalloc(1, sizeof *w);
    w->r = r;
    w->name = xstrdup(name);
    loop_timer_init(&w->timer, r->d->loop, publishing_on_timer, w);
    int rc =
        published_add(r->d->published, name, (uint16_t)port, &options, publishing_on_done, w, &err);
    publish_options_fini(&options);
    if (rc < 0) {
        (void)publishing_free(w);
        reply_publish_err(r, &err);
        return;
    }
    r->cancel = publishing_on_cancel;
    r->work = w;
    loop_timer_set(&w->timer, ANSWER_MS);
}

static void handle_unpublish(struct api_request *r)
{
    struct err err = {.msg = ""};
    if (published_remove(r->d->published, r->param, &err) < 0) {
        reply_err(r, &err);
        return;
    }
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "name", r->param);
    (void)json_add_bool(out, "removed", true);
    reply_json(r, HTTP_STATUS_OK, out);
}

static void handle_list(struct api_request *r)
{
    cJSON *out = cJSON_CreateObject();
    (void)cJSON_AddItemToObject(out, "published", published_json(r->d->published));
    reply_json(r, HTTP_STATUS_OK, out);
}

const struct api_endpoint api_publish_endpoints[] = {
    {API_POST, "/publish", API_LOCAL, handle_publish},
    {API_GET, "/publish", API_LOCAL, handle_list},
    {API_DELETE, "/publish/:", API_LOCAL, handle_unpublish},
    {0, NULL, API_LOCAL, NULL},
};
