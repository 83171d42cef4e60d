/* endpoints_exec: a command beside a service: POST starts it, a WebSocket attaches to it. */
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/api/attach.h"
#include "daemon/api/guard.h"
#include "daemon/api/lookup.h"
#include "daemon/api/request.h"
#include "daemon/daemon.h"
#include "daemon/deploy/deployment_exec.h"
#include "daemon/service_command.h"
#include "daemon/sessions.h"
#include "daemon/terminal.h"

/* The words, borrowed from the body; NULL when they are no good. The caller frees the array. */
static const char **command_of(const cJSON *body)
{
    const cJSON *command = json_get(body, "command");
    int count = cJSON_GetArraySize(command);
    if (!cJSON_IsArray(command) || count == 0 || count > EXEC_ARGS_MAX) {
        return NULL;
    }
    const char **argv = xcalloc((size_t)count + 1, sizeof *argv);
    size_t used = 0;
    const cJSON *word;
    cJSON_ArrayForEach(word, command)
    {
        if (!cJSON_IsString(word) || (used == 0 && *word->valuestring == '\0')) {
            free(argv);
            return NULL;
        }
        argv[used++] = word->valuestring;
    }
    return argv;
}

static uint16_t size_of(const cJSON *body, const char *name)
{
    int64_t size = json_get_int(body, name, 0);
    return size < 1 || size > TERMINAL_SIZE_MAX ? 0 : (uint16_t)size;
}

static void reply_terminal(struct api_request *r, const struct terminal *t, const char *service)
{
    autofree char *path = xasprintf("/ui/v1/terminals/%s/attach", terminal_id(t));
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "terminalId", terminal_id(t));
    (void)json_add_str(out, "attachPath", path);
    cJSON *session = cJSON_AddObjectToObject(out, "session");
    (void)json_add_str(session, "id", terminal_id(t));
    (void)json_add_str(session, "sessionName", terminal_session(t));
    (void)json_add_str(session, "service", service);
    (void)json_add_bool(session, "tty", !terminal_uses_pipes(t));
    reply_json(r, 201, out);
}

static void exec_go_on(struct api_request *r, const struct worktree *wt)
{
    const struct session *session = sessions_find(r->d->sessions, wt->session_name);
    const char *service = json_get_str(r->body, "service", NULL);
    autofree const char **argv = command_of(r->body);
    struct err err = {.msg = ""};
    if (service == NULL || argv == NULL) {
        reply_error(r, 400, "validation",
                    "service must be a name and command a list of 1 to 1024 texts", NULL);
        return;
    }
    if (session == NULL || !deployment_is_initialised(session_deployment(session))) {
        reply_error(r, 400, "not-deployed",
                    "no wos deployment has been initialized for the current worktree", NULL);
        return;
    }
    bool is_tty = json_get_bool(r->body, "tty", true);
    struct exec_plan plan = {0};
    if (service_command_plan(session_deployment(session), service, argv, is_tty, &plan, &err) < 0) {
        reply_error(r, 400, err.code == ERR_NOT_FOUND ? "unknown-service" : "service-not-running",
                    err.msg, NULL);
        return;
    }
    const struct terminal_spec spec = {
        .argv = (const char *const *)plan.argv,
        .env = (const char *const *)plan.env,
        .cwd = plan.cwd,
        .hangup = (const char *const *)plan.hangup,
        .session = wt->session_name,
        .cols = size_of(r->body, "cols"),
        .rows = size_of(r->body, "rows"),
        .use_pipes = !is_tty,
    };
    const struct terminal *t = terminal_open(r->d->terminals, &spec, &err);
    exec_plan_fini(&plan);
    if (t == NULL) {
        reply_error(r, 503, "unavailable", err.msg, NULL);
        return;
    }
    reply_terminal(r, t, service);
}

static void handle_exec(struct api_request *r)
{
    if (guard_terminal(r)) {
        lookup_worktree(r, json_get_str(r->body, "path", NULL), exec_go_on);
    }
}

const struct api_endpoint api_exec_endpoints[] = {
    {API_POST, "/worktrees/exec", API_LOGGED_IN, handle_exec},
    {API_GET, "/terminals/:/attach", API_LOGGED_IN, attach_handle},
    {0, NULL, API_LOCAL, NULL},
};
