/* endpoints_actions: worktrees made and removed, single services stopped and started anew, logs by
 * channel. */
#include <stdlib.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/api/accepted.h"
#include "daemon/api/api.h"
#include "daemon/api/channels.h"
#include "daemon/api/lookup.h"
#include "daemon/api/request.h"
#include "daemon/daemon.h"
#include "daemon/git.h"
#include "daemon/gitfacts.h"
#include "daemon/projects.h"
#include "daemon/sessions.h"
#include "daemon/worktree_changes.h"

/* --- services -------------------------------------------------------------------------------- */

static void service_go_on(struct api_request *r, const struct worktree *wt, bool is_restart)
{
    struct session *session = sessions_find(r->d->sessions, wt->session_name);
    const char *service = json_get_str(r->body, "service", NULL);
    struct err err = {.msg = ""};
    if (service == NULL) {
        reply_error(r, 400, "validation", "service must be the name of a service", NULL);
        return;
    }
    if (session == NULL || (!deployment_is_initialised(session_deployment(session)) &&
                            !deployment_is_busy(session_deployment(session)))) {
        reply_error(r, 400, "not-deployed",
                    "no wos deployment has been initialized for the current worktree", NULL);
        return;
    }
    const struct operation *op = session_service(session, service, is_restart, &err);
    if (op == NULL && err.code == ERR_NOT_FOUND) {
        reply_error(r, 400, "unknown-service", err.msg, NULL);
        return;
    }
    cJSON *extra = cJSON_CreateObject();
    (void)json_add_str(extra, "service", service);
    reply_accepted(r, wt->session_name, op, extra, &err);
}

static void stop_go_on(struct api_request *r, const struct worktree *wt)
{
    service_go_on(r, wt, false);
}

static void restart_go_on(struct api_request *r, const struct worktree *wt)
{
    service_go_on(r, wt, true);
}

static void handle_service_stop(struct api_request *r)
{
    lookup_worktree(r, json_get_str(r->body, "path", NULL), stop_go_on);
}

static void handle_service_restart(struct api_request *r)
{
    lookup_worktree(r, json_get_str(r->body, "path", NULL), restart_go_on);
}

/* --- removing a worktree ------------------------------------------------------------------------
 */

/* A removal that waits for git's answer whether anything is uncommitted. */
struct removal {
    struct api_request *r; /* borrowed; NULL: the client went */
    struct worktree wt;
};

static void removal_free(struct removal *removal)
{
    worktree_fini(&removal->wt);
    free(removal);
}

static void removal_on_cancel(struct api_request *r)
{
    struct removal *removal = r->work;
    removal->r = NULL; /* freed when git is done */
}

static void remove_now(struct api_request *r, const struct worktree *wt, bool force)
{
    struct err err = {.msg = ""};
    const struct operation *op = worktree_remove(r->d->worktree_changes, wt, force, &err);
    reply_accepted(r, wt->session_name, op, NULL, &err);
}

static void reply_dirty(struct api_request *r, const struct worktree *wt, cJSON *changes)
{
    cJSON *extra = cJSON_CreateObject();
    (void)json_add_str(extra, "path", wt->root);
    (void)cJSON_AddItemToObject(extra, "changes", changes);
    autofree char *message = xasprintf("%s has %d uncommitted changes", wt->root,
                                       (int)json_get_int(changes, "total", 0));
    reply_error(r, 409, "worktree-dirty", message, extra);
}

static void removal_on_status(void *arg, const struct subprocess_output *output)
{
    struct removal *removal = arg;
    struct api_request *r = removal->r;
    if (r == NULL) {
        removal_free(removal);
        return;
    }
    r->cancel = NULL;
    r->work = NULL;
    autojson cJSON *facts = gitfacts_parse_status(output->out.ptr, output->out.len);
    if (!git_succeeded(output)) {
        autofree char *message = git_complaint("git status", output);
        reply_error(r, 500, "server-error", message, NULL);
    } else if (json_get_int(facts, "uncommittedCount", 0) > 0) {
        reply_dirty(r, &removal->wt, cJSON_DetachItemFromObjectCaseSensitive(facts, "changes"));
    } else {
        remove_now(r, &removal->wt, false);
    }
    removal_free(removal);
}

static void remove_go_on(struct api_request *r, const struct worktree *wt)
{
    static const char *const argv[] = {"git", "status", "--porcelain=v2", "--branch", NULL};
    struct err err = {.msg = ""};
    if (wt->is_source) {
        reply_error(r, 400, "source-worktree", "primary/source worktree cannot be removed by wos",
                    NULL);
        return;
    }
    if (json_get_bool(r->body, "discardChanges", false)) { /* nothing else may force git */
        remove_now(r, wt, true);
        return;
    }
    if (!file_exists(wt->root)) { /* and no changes with it */
        remove_now(r, wt, false);
        return;
    }
    struct removal *removal = xcalloc(1, sizeof *removal);
    removal->r = r;
    worktree_copy(&removal->wt, wt);
    r->cancel = removal_on_cancel;
    r->work = removal;
    if (git_start(r->d->loop, wt->root, argv, removal_on_status, removal, &err) < 0) {
        r->cancel = NULL;
        r->work = NULL;
        removal_free(removal);
        reply_err(r, &err);
    }
}

static void handle_remove(struct api_request *r)
{
    lookup_session(r, json_get_str(r->body, "path", NULL), remove_go_on);
}

/* --- making a worktree
 * ----------------------------------------------------------------------------- */

static void handle_create(struct api_request *r)
{
    struct err err = {.msg = ""};
    const char *id = json_get_str(r->body, "projectId", NULL);
    const char *branch = json_get_str(r->body, "branch", NULL);
    const cJSON *project = id == NULL ? NULL : projects_find(r->d->projects, id);
    if (project == NULL) {
        reply_error(r, id == NULL ? 400 : 404, id == NULL ? "validation" : "not-found",
                    id == NULL ? "projectId must be the id of a project" : "no such project", NULL);
        return;
    }
    autofree char *path = NULL;
    branch = branch != NULL && *branch == '\0' ? NULL : branch;
    const struct operation *op = worktree_create(
        r->d->worktree_changes, project, json_get_str(r->body, "name", NULL), branch, &path, &err);
    if (op == NULL && err.code == ERR_REFUSED) {
        reply_error(r, 409, "name-taken", err.msg, NULL);
        return;
    }
    cJSON *extra = cJSON_CreateObject();
    (void)json_add_str(extra, "projectId", id);
    (void)json_add_str(extra, "targetPath", path);
    if (branch != NULL) {
        (void)json_add_str(extra, "branch", branch);
    }
    reply_accepted(r, NULL, op, extra, &err);
}

const struct api_endpoint api_action_endpoints[] = {
    {API_POST, "/worktrees/services/stop", API_LOGGED_IN, handle_service_stop},
    {API_POST, "/worktrees/services/restart", API_LOGGED_IN, handle_service_restart},
    {API_POST, "/worktrees/remove", API_LOGGED_IN, handle_remove},
    {API_POST, "/worktrees/create", API_LOGGED_IN, handle_create},
    {API_GET, "/worktrees/logs", API_LOGGED_IN, channels_handle},
    {0, NULL, API_LOCAL, NULL},
};
