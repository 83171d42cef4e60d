/* endpoints_board: what people keep about worktrees on the board: the catalog of statuses, a
 * worktree's place in it, and comments. */
#include <stdlib.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/api/lookup.h"
#include "daemon/api/request.h"
#include "daemon/api/summaries.h"
#include "daemon/changes.h"
#include "daemon/daemon.h"
#include "daemon/projects.h"
#include "daemon/statuses.h"
#include "daemon/worktree_marks.h"

/* --- the catalog ---------------------------------------------------------------------------- */

static void reply_statuses(struct api_request *r, int status, const cJSON *one)
{
    cJSON *out = cJSON_CreateObject();
    if (one != NULL) {
        (void)cJSON_AddItemToObject(out, "status", cJSON_Duplicate(one, true));
    }
    (void)cJSON_AddItemToObject(out, "statuses",
                                cJSON_Duplicate(statuses_list(r->d->statuses), true));
    reply_json(r, status, out);
}

static void handle_list(struct api_request *r)
{
    reply_statuses(r, HTTP_STATUS_OK, NULL);
}

static void handle_add(struct api_request *r)
{
    struct err err = {.msg = ""};
    const cJSON *status = statuses_add(r->d->statuses, r->body, &err);
    if (status == NULL) {
        reply_err(r, &err);
        return;
    }
    changes_statuses(r->d->changes);
    reply_statuses(r, 201, status);
}

static void handle_change(struct api_request *r)
{
    struct err err = {.msg = ""};
    if (statuses_change(r->d->statuses, r->param, r->body, &err) < 0) {
        reply_err(r, &err);
        return;
    }
    changes_statuses(r->d->changes);
    reply_statuses(r, HTTP_STATUS_OK, statuses_find(r->d->statuses, r->param));
}

static void handle_remove(struct api_request *r)
{
    struct err err = {.msg = ""};
    if (statuses_remove(r->d->statuses, r->param, &err) < 0) {
        reply_err(r, &err);
        return;
    }
    changes_statuses(r->d->changes);
    reply_statuses(r, HTTP_STATUS_OK, NULL);
}

/* --- worktrees ------------------------------------------------------------------------------- */

/* The id of the worktree's project, which is added when there is none; malloc'ed. NULL with the
 * error. */
static char *project_of(struct daemon *d, const struct worktree *wt, struct err *err)
{
    bool is_new;
    const cJSON *project = projects_find_source(d->projects, wt->source);
    if (project == NULL) {
        project = projects_add(d->projects, wt->source, &is_new, err);
    }
    return project == NULL ? NULL : xstrdup(json_get_str(project, "id", ""));
}

static void place_go_on(struct api_request *r, const struct worktree *wt)
{
    struct err err = {.msg = ""};
    autofree char *id = project_of(r->d, wt, &err);
    if (id == NULL ||
        worktree_marks_place(r->d->projects, id, r->d->statuses, wt->root, r->body, &err) < 0) {
        reply_err(r, &err);
        return;
    }
    changes_worktree(r->d->changes, "worktree.board.changed", id, wt->session_name, wt->root);
    const struct worktree_entry entry = {.path = str_of(wt->root),
                                         .head = str_of(wt->head),
                                         .branch = str_of(wt->branch),
                                         .detached = wt->branch == NULL};
    cJSON *out = cJSON_CreateObject();
    const cJSON *project = projects_find(r->d->projects, id);
    (void)cJSON_AddItemToObject(out, "worktree",
                                summary_of_entry(r->d, project, &entry, wt->is_source));
    reply_json(r, HTTP_STATUS_OK, out);
}

static void handle_place(struct api_request *r)
{
    lookup_worktree(r, json_get_str(r->body, "path", NULL), place_go_on);
}

/* {"comment"?, "comments"} */
static void reply_comments(struct api_request *r, int status, const struct worktree *wt,
                           const char *made)
{
    const cJSON *project = projects_find_source(r->d->projects, wt->source);
    const cJSON *list = worktree_comments(project, wt->root);
    cJSON *out = cJSON_CreateObject();
    if (made != NULL) { /* the newest is the last */
        const cJSON *comment = cJSON_GetArrayItem(list, cJSON_GetArraySize(list) - 1);
        (void)cJSON_AddItemToObject(out, "comment", cJSON_Duplicate(comment, true));
    }
    (void)cJSON_AddItemToObject(out, "comments",
                                list == NULL ? cJSON_CreateArray() : cJSON_Duplicate(list, true));
    reply_json(r, status, out);
}

static void comments_go_on(struct api_request *r, const struct worktree *wt)
{
    reply_comments(r, HTTP_STATUS_OK, wt, NULL);
}

static void handle_comments(struct api_request *r)
{
    lookup_worktree(r, request_query(r, "path"), comments_go_on);
}

static void comment_add_go_on(struct api_request *r, const struct worktree *wt)
{
    struct err err = {.msg = ""};
    autofree char *comment = NULL;
    autofree char *id = project_of(r->d, wt, &err);
    if (id == NULL ||
        worktree_comment_add(r->d->projects, id, wt->root, json_get_str(r->body, "text", NULL),
                             &comment, &err) < 0) {
        reply_err(r, &err);
        return;
    }
    changes_worktree(r->d->changes, "worktree.comment.changed", id, wt->session_name, wt->root);
    reply_comments(r, 201, wt, comment);
}

static void handle_comment_add(struct api_request *r)
{
    lookup_worktree(r, json_get_str(r->body, "path", NULL), comment_add_go_on);
}

/* A client may give a DELETE its members in the body or in the query. */
static const char *body_or_query(const struct api_request *r, const char *name)
{
    return json_get_str(r->body, name, request_query(r, name));
}

static void comment_remove_go_on(struct api_request *r, const struct worktree *wt)
{
    struct err err = {.msg = ""};
    const char *comment = body_or_query(r, "id");
    const char *known = projects_id_of(r->d->projects, wt->source);
    autofree char *id = known == NULL ? NULL : xstrdup(known);
    int rc = 0;
    if (comment == NULL) {
        rc = err_set(&err, ERR_USAGE, "id must be that of a comment");
    } else if (id == NULL) {
        rc = err_set(&err, ERR_NOT_FOUND, "no such comment");
    } else {
        rc = worktree_comment_remove(r->d->projects, id, wt->root, comment, &err);
    }
    if (rc < 0) {
        reply_err(r, &err);
        return;
    }
    changes_worktree(r->d->changes, "worktree.comment.changed", id, wt->session_name, wt->root);
    reply_comments(r, HTTP_STATUS_OK, wt, NULL);
}

static void handle_comment_remove(struct api_request *r)
{
    lookup_worktree(r, body_or_query(r, "path"), comment_remove_go_on);
}

const struct api_endpoint api_board_endpoints[] = {
    {API_GET, "/statuses", API_LOGGED_IN, handle_list},
    {API_POST, "/statuses", API_LOGGED_IN, handle_add},
    {API_PATCH, "/statuses/:", API_LOGGED_IN, handle_change},
    {API_DELETE, "/statuses/:", API_LOGGED_IN, handle_remove},
    {API_PATCH, "/worktrees/status", API_LOGGED_IN, handle_place},
    {API_GET, "/worktrees/comments", API_LOGGED_IN, handle_comments},
    {API_POST, "/worktrees/comments", API_LOGGED_IN, handle_comment_add},
    {API_DELETE, "/worktrees/comments", API_LOGGED_IN, handle_comment_remove},
    {0, NULL, API_LOCAL, NULL},
};
