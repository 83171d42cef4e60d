/* endpoints_terminals: the terminals of the web UI: list, open, rename, close. A WebSocket attaches
 * to one (attach.h). By the public name only with tunnel.webUi.terminalEnabled. */
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/api/guard.h"
#include "daemon/api/lookup.h"
#include "daemon/api/request.h"
#include "daemon/daemon.h"
#include "daemon/service_command.h"
#include "daemon/sessions.h"
#include "daemon/shells.h"
#include "daemon/terminal.h"

static void handle_list(struct api_request *r)
{
    if (!guard_terminal(r)) {
        return;
    }
    cJSON *out = cJSON_CreateObject();
    (void)cJSON_AddItemToObject(out, "terminals",
                                shells_list(r->d->shells, request_query(r, "path")));
    reply_json(r, HTTP_STATUS_OK, out);
}

/* The size given, 0 when there is none; false when it is none. */
static bool size_read(const cJSON *body, const char *name, uint16_t *out)
{
    const cJSON *value = json_get(body, name);
    int64_t size = json_get_int(body, name, 0);
    if (value != NULL && (size < 1 || size > TERMINAL_SIZE_MAX)) {
        return false;
    }
    *out = (uint16_t)size;
    return true;
}

/* False after having answered. */
static bool title_read(struct api_request *r, const char **out)
{
    const cJSON *value = json_get(r->body, "title");
    *out = cJSON_IsString(value) ? value->valuestring : NULL;
    if (value != NULL && (*out == NULL || !shells_title_is_good(*out))) {
        reply_error(r, 400, "validation",
                    "title must be a text of 1 to 80 bytes without control characters", NULL);
        return false;
    }
    return true;
}

/* A shell in a service; false after having answered. */
static bool service_plan(struct api_request *r, const struct worktree *wt, const char *service,
                         const char *program, struct exec_plan *out)
{
    const struct session *session = sessions_find(r->d->sessions, wt->session_name);
    struct err err = {.msg = ""};
    if (session == NULL || !deployment_is_initialised(session_deployment(session))) {
        reply_error(r, 400, "not-deployed", "nothing was started in this worktree yet", NULL);
        return false;
    }
    const struct deployment *d = session_deployment(session);
    struct service_shell shell = service_command_shell(d, program);
    if (service_command_plan(d, service, shell.argv, true, out, &err) < 0) {
        reply_error(r, 400, err.code == ERR_NOT_FOUND ? "unknown-service" : "service-not-running",
                    err.msg, NULL);
        return false;
    }
    return true;
}

static void open_go_on(struct api_request *r, const struct worktree *wt)
{
    const cJSON *service = json_get(r->body, "service");
    struct exec_plan plan = {0};
    struct err err = {.msg = ""};
    struct shell_spec spec = {.wt = wt, .plan = &plan};
    if (service != NULL && !cJSON_IsString(service)) {
        reply_error(r, 400, "validation", "service must be a name", NULL);
        return;
    }
    if (!size_read(r->body, "cols", &spec.cols) || !size_read(r->body, "rows", &spec.rows)) {
        reply_error(r, 400, "validation", "cols and rows must be 1 to 1000", NULL);
        return;
    }
    if (!title_read(r, &spec.title)) {
        return;
    }
    if (service == NULL) {
        shells_plan(r->d->shells, wt, &plan);
    } else {
        spec.service = service->valuestring;
        if (!service_plan(r, wt, spec.service, shells_program(r->d->shells), &plan)) {
            exec_plan_fini(&plan);
            return;
        }
    }
    cJSON *terminal = shells_open(r->d->shells, &spec, &err);
    exec_plan_fini(&plan);
    if (terminal == NULL) {
        reply_error(r, 503, "unavailable", err.msg, NULL);
        return;
    }
    reply_json(r, 201, terminal);
}

static void handle_open(struct api_request *r)
{
    if (guard_terminal(r)) {
        lookup_worktree(r, json_get_str(r->body, "path", NULL), open_go_on);
    }
}

static void handle_rename(struct api_request *r)
{
    const char *title;
    if (!guard_terminal(r) || !title_read(r, &title)) {
        return;
    }
    if (title == NULL) {
        reply_error(r, 400, "validation", "title is missing", NULL);
        return;
    }
    cJSON *terminal = shells_rename(r->d->shells, r->param, title);
    if (terminal == NULL) {
        reply_error(r, 404, "not-found", "no such terminal", NULL);
        return;
    }
    reply_json(r, HTTP_STATUS_OK, terminal);
}

static void handle_close(struct api_request *r)
{
    if (!guard_terminal(r)) {
        return;
    }
    if (!shells_close(r->d->shells, r->param)) {
        reply_error(r, 404, "not-found", "no such terminal", NULL);
        return;
    }
    cJSON *out = cJSON_CreateObject();
    (void)json_add_bool(out, "closed", true);
    reply_json(r, HTTP_STATUS_OK, out);
}

const struct api_endpoint api_terminal_endpoints[] = {
    {API_GET, "/terminals", API_LOGGED_IN, handle_list},
    {API_POST, "/terminals", API_LOGGED_IN, handle_open},
    {API_PATCH, "/terminals/:", API_LOGGED_IN, handle_rename},
    {API_DELETE, "/terminals/:", API_LOGGED_IN, handle_close},
    {0, NULL, API_LOCAL, NULL},
};
