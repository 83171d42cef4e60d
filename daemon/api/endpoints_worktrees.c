/* endpoints_worktrees: up, down and the detail of a worktree. Each first asks git where `path` is;
 * the request waits for that. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/api/accepted.h"
#include "daemon/api/api.h"
#include "daemon/api/guard.h"
#include "daemon/api/logs.h"
#include "daemon/api/lookup.h"
#include "daemon/api/request.h"
#include "daemon/api/summaries.h"
#include "daemon/daemon.h"
#include "daemon/deploy/selection.h"
#include "daemon/projects.h"
#include "daemon/sessions.h"

/* --- the deploy config ----------------------------------------------------------------- */

/* A list of the lines. */
static cJSON *lines_json(const char *text)
{
    cJSON *list = cJSON_CreateArray();
    struct str rest = str_of(text);
    struct str line;
    while (str_next(&rest, '\n', &line)) {
        autofree char *item = str_dup(line);
        (void)cJSON_AddItemToArray(list, cJSON_CreateString(item));
    }
    return list;
}

/* With what a person does about it. */
static char *missing_text(const struct worktree *wt, const char *path)
{
    autofree char *main_path = manifest_path(wt->source, true);
    bool is_there = !wt->is_source && access(main_path, F_OK) == 0;
    return xasprintf("deploy config not found at %s; %s", path,
                     is_there
                         ? "the main worktree's is deploy.yaml beside it: copy that, or what of "
                           "it other worktrees shall run"
                         : "wos init writes one");
}

static void add_problems(const struct manifest *m, cJSON *object)
{
    autofree char *errors = manifest_errors_text(m);
    (void)cJSON_AddItemToObject(object, "errors", lines_json(errors));
    if (m->warnings.count > 0) { /* a misspelt key is often why another is missing */
        autofree char *warnings = manifest_warnings_text(m);
        (void)cJSON_AddItemToObject(object, "warnings", lines_json(warnings));
    }
}

/* True when the worktree's deploy config can be deployed, and declares what is asked for; else
 * answered with every problem. */
static bool config_is_good(struct api_request *r, const struct worktree *wt,
                           const struct selection *selection)
{
    autofree char *path = manifest_path(wt->source, wt->is_source);
    struct manifest *m = manifest_load(path);
    struct err err = {.msg = ""};
    bool is_good = manifest_ok(m);
    if (is_good && selection_check(selection, m, &err) < 0) {
        is_good = false;
        reply_err(r, &err);
    } else if (!is_good) {
        cJSON *extra = cJSON_CreateObject();
        (void)json_add_str(extra, "path", path);
        autofree char *text = m->missing ? missing_text(wt, path)
                                         : xasprintf("%zu problem%s in %s", m->errors.count,
                                                     m->errors.count == 1 ? "" : "s", path);
        if (!m->missing) {
            add_problems(m, extra);
        }
        reply_error(r, 400, m->missing ? "config-missing" : "config-invalid", text, extra);
    }
    manifest_free(m);
    return is_good;
}

static void add_config(const struct worktree *wt, cJSON *detail)
{
    autofree char *path = manifest_path(wt->source, wt->is_source);
    struct manifest *m = manifest_load(path);
    cJSON *out = cJSON_AddObjectToObject(detail, "projectConfig");
    (void)json_add_str(out, "path", path);
    if (manifest_ok(m)) {
        (void)json_add_str(out, "status", "valid");
        (void)json_add_str(out, "mode", manifest_mode_name(m->mode));
        summary_add_manifest(detail, m);
    } else if (m->missing) {
        autofree char *text = xasprintf("deploy config not found at %s", path);
        (void)json_add_str(out, "status", "missing");
        (void)json_add_str(out, "message", text);
    } else {
        autofree char *text = manifest_errors_text(m);
        (void)json_add_str(out, "status", "invalid");
        (void)json_add_str(out, "message", text);
        add_problems(m, out);
    }
    manifest_free(m);
}

/* --- up ------------------------------------------------------------------------------------ */

/* The lists that a session_up_request borrows. */
struct up_lists {
    const char **services;
    struct template_argument *arguments;
    char **env;
};

static void up_lists_fini(struct up_lists *lists)
{
    for (size_t i = 0; lists->env != NULL && lists->env[i] != NULL; i++) {
        free(lists->env[i]);
    }
    free(lists->env);
    free(lists->services);
    free(lists->arguments);
}

/* An object whose members are all strings. */
static bool is_text_map(const cJSON *object)
{
    const cJSON *item;
    if (!cJSON_IsObject(object)) {
        return false;
    }
    cJSON_ArrayForEach(item, object)
    {
        if (!cJSON_IsString(item) || item->string[0] == '\0' || strchr(item->string, '=') != NULL) {
            return false;
        }
    }
    return true;
}

/* NULL, or what is wrong with the body. */
static const char *up_services(const cJSON *body, struct up_lists *lists,
                               struct session_up_request *up)
{
    const cJSON *services = json_get(body, "services");
    if (services == NULL || cJSON_IsNull(services)) {
        return NULL;
    }
    if (!cJSON_IsArray(services) || cJSON_GetArraySize(services) == 0) {
        return "services must be a list of names";
    }
    if (up->target != NULL) {
        return "services and target exclude each other";
    }
    lists->services = xcalloc((size_t)cJSON_GetArraySize(services) + 1, sizeof(char *));
    size_t count = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, services)
    {
        if (!cJSON_IsString(item)) {
            return "services must be a list of names";
        }
        lists->services[count++] = item->valuestring;
    }
    up->services = lists->services;
    return NULL;
}

static const char *up_maps(const cJSON *body, struct up_lists *lists, struct session_up_request *up)
{
    const cJSON *arguments = json_get(body, "arguments");
    const cJSON *environment = json_get(body, "environment");
    const cJSON *item;
    if (arguments != NULL && !cJSON_IsNull(arguments)) {
        if (!is_text_map(arguments)) {
            return "arguments must be an object of texts";
        }
        size_t count = (size_t)cJSON_GetArraySize(arguments);
        lists->arguments = xcalloc(count + 1, sizeof *lists->arguments);
        cJSON_ArrayForEach(item, arguments)
        {
            lists->arguments[up->argument_count++] =
                (struct template_argument){item->string, item->valuestring};
        }
        up->arguments = lists->arguments;
    }
    if (environment != NULL && !cJSON_IsNull(environment)) {
        if (!is_text_map(environment)) {
            return "environment must be an object of texts";
        }
        lists->env = xcalloc((size_t)cJSON_GetArraySize(environment) + 1, sizeof(char *));
        size_t count = 0;
        cJSON_ArrayForEach(item, environment)
        {
            lists->env[count++] = xasprintf("%s=%s", item->string, item->valuestring);
        }
        up->env = (const char *const *)lists->env;
    }
    return NULL;
}

static void up_go_on(struct api_request *r, const struct worktree *wt)
{
    struct session *session = sessions_get(r->d->sessions, wt);
    struct up_lists lists = {NULL, NULL, NULL};
    struct err err = {.msg = ""};
    struct session_up_request up = {
        .force = json_get_bool(r->body, "force", false),
        .no_tunnel = json_get_bool(r->body, "noTunnel", false),
        .target = json_get_str(r->body, "target", NULL),
        .head = wt->head,
    };
    const char *fault = up_services(r->body, &lists, &up);
    if (fault == NULL) {
        fault = up_maps(r->body, &lists, &up);
    }
    const struct selection selection = {.services = up.services,
                                        .target = up.target,
                                        .arguments = up.arguments,
                                        .argument_count = up.argument_count};
    if (fault != NULL) {
        reply_error(r, 400, "validation", fault, NULL);
    } else if (operations_active(r->d->operations, session_name(session)) != NULL ||
               config_is_good(r, wt, &selection)) {
        /* A busy session is told so before anything about its config. */
        struct operation *op = session_up(session, &up, &err);
        reply_accepted(r, session_name(session), op, NULL, &err);
    }
    up_lists_fini(&lists);
}

/* Whoever sets a service's environment (BASH_ENV, LD_PRELOAD, ...) runs programs. `arguments` need
 * no guard: they fill only what deploy.yaml itself asks for by name. */
static void handle_up(struct api_request *r)
{
    const cJSON *environment = json_get(r->body, "environment");
    if (environment != NULL && !cJSON_IsNull(environment) && !guard_terminal(r)) {
        return;
    }
    lookup_worktree(r, json_get_str(r->body, "path", NULL), up_go_on);
}

/* --- down and detail -------------------------------------------------------------------------- */

static void down_go_on(struct api_request *r, const struct worktree *wt)
{
    struct session *session = sessions_get(r->d->sessions, wt);
    const struct deployment *deployment = session_deployment(session);
    struct err err = {.msg = ""};
    if (!deployment_is_initialised(deployment) && !deployment_is_busy(deployment) &&
        strcmp(deployment_status(deployment), "not_started") == 0) {
        reply_error(r, 404, "not-deployed",
                    "no wos deployment has been initialized for the current worktree", NULL);
        return;
    }
    struct operation *op = session_down(session, &err);
    reply_accepted(r, session_name(session), op, NULL, &err);
}

static void handle_down(struct api_request *r)
{
    lookup_session(r, json_get_str(r->body, "path", NULL), down_go_on);
}

static void detail_go_on(struct api_request *r, const struct worktree *wt)
{
    const struct session *session = sessions_get(r->d->sessions, wt);
    cJSON *out = cJSON_CreateObject();
    session_add_detail(session, out);
    summary_add_worktree(r->d, cJSON_GetObjectItemCaseSensitive(out, "worktree"), wt);
    (void)json_add_str(out, "projectId", projects_id_of(r->d->projects, wt->source));
    summary_add_freshness(r->d, out, wt);
    add_config(wt, out);
    if (api_web_url(r->d->api) != NULL) {
        (void)json_add_str(out, "webUrl", api_web_url(r->d->api));
    }
    reply_json(r, HTTP_STATUS_OK, out);
}

static void handle_detail(struct api_request *r)
{
    lookup_worktree(r, request_query(r, "path"), detail_go_on);
}

const struct api_endpoint api_worktree_endpoints[] = {
    {API_GET, "/worktrees", API_LOGGED_IN, handle_detail},
    {API_POST, "/worktrees/up", API_LOGGED_IN, handle_up},
    {API_POST, "/worktrees/down", API_LOGGED_IN, handle_down},
    {API_GET, "/sessions/:/logs", API_LOGGED_IN, logs_handle},
    {0, NULL, API_LOCAL, NULL},
};
