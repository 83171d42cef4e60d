/* endpoints_projects: the repositories this home knows, their worktrees' names and notes. Lists ask
 * git for every project's worktrees; the request waits for that. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/api/guard.h"
#include "daemon/api/lookup.h"
#include "daemon/api/request.h"
#include "daemon/api/summaries.h"
#include "daemon/changes.h"
#include "daemon/daemon.h"
#include "daemon/projects.h"

/* --- answers with lists ---------------------------------------------------------------------- */

/* An answer that waits for git. */
struct answer {
    struct api_request *r;        /* borrowed */
    struct worktree_lists *lists; /* owned */
    char *project_id;             /* owned; NULL: no "project" member */
    int status;                   /* of the answer */
    int is_created;               /* -1: no "created" member */
    bool has_projects;            /* the "projects" member */
};

static void answer_free(struct answer *answer)
{
    free(answer->project_id);
    free(answer);
}

static void answer_on_cancel(struct api_request *r)
{
    struct answer *answer = r->work;
    worktree_lists_cancel(answer->lists);
    answer_free(answer);
}

/* Tells when a repository has gone or is back, and what is new in it. */
static void note_state(struct daemon *d, const struct worktree_list *list)
{
    const char *known = projects_id_of(d->projects, list->source);
    autofree char *id = known == NULL ? NULL : xstrdup(known);
    bool is_stale = list->porcelain == NULL;
    if (id != NULL && projects_note_error(d->projects, id, is_stale ? list->error : NULL)) {
        changes_project(d->changes, is_stale ? "project.stale" : "project.recovered",
                        projects_find(d->projects, id));
    }
    if (id != NULL && !is_stale) {
        changes_worktrees(d->changes, id, str_of(list->porcelain));
    }
}

static void answer_on_lists(void *arg, const struct worktree_list *lists, size_t count)
{
    struct answer *answer = arg;
    struct api_request *r = answer->r;
    r->cancel = NULL;
    r->work = NULL;
    cJSON *out = cJSON_CreateObject();
    cJSON *projects = cJSON_CreateArray();
    for (size_t i = 0; i < count; i++) {
        note_state(r->d, &lists[i]);
        const cJSON *project = projects_find_source(r->d->projects, lists[i].source);
        if (project == NULL) {
            continue; /* removed meanwhile */
        }
        cJSON *summary = summary_of_project(r->d, project, &lists[i]);
        if (answer->project_id != NULL &&
            strcmp(json_get_str(project, "id", ""), answer->project_id) == 0) {
            (void)cJSON_AddItemToObject(out, "project", cJSON_Duplicate(summary, true));
        }
        (void)cJSON_AddItemToArray(projects, summary);
    }
    if (answer->is_created >= 0) {
        (void)json_add_bool(out, "created", answer->is_created != 0);
    }
    if (answer->has_projects) {
        (void)cJSON_AddItemToObject(out, "projects", projects);
    } else {
        cJSON_Delete(projects);
    }
    int status = answer->status;
    answer_free(answer);
    reply_json(r, status, out);
}

/* Answers with what `shape` says, when git has told the worktrees of every project. */
static void answer_with_lists(struct api_request *r, struct answer shape)
{
    const struct projects *p = r->d->projects;
    autofree const char **sources = NULL;
    size_t count = 0;
    const cJSON *project;
    for (size_t i = 0; (project = projects_at(p, i)) != NULL; i++) {
        bool is_wanted =
            shape.has_projects || strcmp(json_get_str(project, "id", ""), shape.project_id) == 0;
        if (is_wanted) {
            sources = xrealloc(sources, (count + 1) * sizeof *sources);
            sources[count++] = json_get_str(project, "sourcePath", "");
        }
    }
    struct answer *answer = xcalloc(1, sizeof *answer);
    *answer = shape;
    answer->r = r;
    answer->project_id = shape.project_id == NULL ? NULL : xstrdup(shape.project_id);
    r->cancel = answer_on_cancel;
    r->work = answer;
    answer->lists = worktree_lists_read(r->d->loop, sources, count, answer_on_lists, answer);
}

static void handle_list(struct api_request *r)
{
    answer_with_lists(r, (struct answer){.status = 200, .is_created = -1, .has_projects = true});
}

/* --- adding --------------------------------------------------------------------------------------
 */

static void add_go_on(struct api_request *r, const struct worktree *wt)
{
    struct err err = {.msg = ""};
    bool is_new;
    const cJSON *project = projects_add(r->d->projects, wt->source, &is_new, &err);
    if (project == NULL) {
        reply_err(r, &err);
        return;
    }
    changes_project(r->d->changes, is_new ? "project.added" : "project.updated", project);
    autofree char *id = xstrdup(json_get_str(project, "id", ""));
    answer_with_lists(
        r, (struct answer){.status = is_new ? 201 : 200, .is_created = is_new, .project_id = id});
}

static void add_failed(struct api_request *r, const struct err *err)
{
    reply_error(r, 400, "validation", err->msg, NULL);
}

static void handle_add(struct api_request *r)
{
    const char *path = json_get_str(r->body, "path", NULL);
    /* Who may open a terminal reaches every repository anyway. */
    if (guard_terminal_is_open(r->d, r->is_public)) {
        lookup_anywhere_or(r, path, add_go_on, add_failed);
    } else {
        lookup_worktree_or(r, path, add_go_on, add_failed);
    }
}

/* {"valid", "inputPath", "sourcePath"?, "message"?, "warning"?} */
static void validate_go_on(struct api_request *r, const struct worktree *wt)
{
    cJSON *out = cJSON_CreateObject();
    (void)json_add_bool(out, "valid", true);
    (void)json_add_str(out, "inputPath", request_query(r, "path"));
    (void)json_add_str(out, "sourcePath", wt->source);
    autofree char *path = manifest_path(wt->source, true);
    if (!file_exists(path)) {
        autofree char *message = xasprintf("deploy config not found at %s", path);
        cJSON *warning = cJSON_AddObjectToObject(out, "warning");
        (void)json_add_str(warning, "code", "missing-config");
        (void)json_add_str(warning, "message", message);
    }
    reply_json(r, 200, out);
}

static void validate_failed(struct api_request *r, const struct err *err)
{
    cJSON *out = cJSON_CreateObject();
    (void)json_add_bool(out, "valid", false);
    if (request_query(r, "path") != NULL) {
        (void)json_add_str(out, "inputPath", request_query(r, "path"));
    }
    (void)json_add_str(out, "message", err->msg);
    reply_json(r, 200, out);
}

static void handle_validate(struct api_request *r)
{
    if (!guard_terminal(r)) {
        return;
    }
    lookup_anywhere_or(r, request_query(r, "path"), validate_go_on, validate_failed);
}

/* --- one project -------------------------------------------------------------------------------
 */

static void handle_change(struct api_request *r)
{
    struct err err = {.msg = ""};
    if (projects_change(r->d->projects, r->param, r->body, &err) < 0) {
        reply_err(r, &err);
        return;
    }
    changes_project(r->d->changes, "project.updated", projects_find(r->d->projects, r->param));
    answer_with_lists(
        r, (struct answer){
               .status = 200, .is_created = -1, .project_id = r->param, .has_projects = true});
}

static void handle_remove(struct api_request *r)
{
    struct err err = {.msg = ""};
    autojson cJSON *project = cJSON_Duplicate(projects_find(r->d->projects, r->param), true);
    if (projects_remove(r->d->projects, r->param, &err) < 0) {
        reply_err(r, &err);
        return;
    }
    changes_project(r->d->changes, "project.removed", project);
    handle_list(r);
}

/* --- names and notes of worktrees
 * ------------------------------------------------------------------ */

static void set_text(struct api_request *r, const struct worktree *wt, enum project_text what,
                     const char *member)
{
    struct err err = {.msg = ""};
    bool is_new;
    const cJSON *given = json_get(r->body, member);
    if (given == NULL || (!cJSON_IsString(given) && !cJSON_IsNull(given))) {
        (void)err_set(&err, ERR_USAGE, "%s must be a text, or null to remove it", member);
        reply_err(r, &err);
        return;
    }
    const cJSON *project = projects_find_source(r->d->projects, wt->source);
    project = project != NULL ? project : projects_add(r->d->projects, wt->source, &is_new, &err);
    autofree char *id = project == NULL ? NULL : xstrdup(json_get_str(project, "id", ""));
    if (id == NULL || projects_set_text(r->d->projects, id, what, wt->root,
                                        cJSON_GetStringValue(given), &err) < 0) {
        reply_err(r, &err);
        return;
    }
    changes_worktree(r->d->changes, "worktree.updated", id, wt->session_name, wt->root);
    const struct worktree_entry entry = {.path = str_of(wt->root),
                                         .head = str_of(wt->head),
                                         .branch = str_of(wt->branch),
                                         .detached = wt->branch == NULL};
    cJSON *out = cJSON_CreateObject();
    project = projects_find(r->d->projects, id);
    (void)cJSON_AddItemToObject(out, "worktree",
                                summary_of_entry(r->d, project, &entry, wt->is_source));
    reply_json(r, 200, out);
}

static void name_go_on(struct api_request *r, const struct worktree *wt)
{
    set_text(r, wt, PROJECT_WORKTREE_NAME,
             json_get(r->body, "displayName") != NULL ? "displayName" : "name");
}

static void note_go_on(struct api_request *r, const struct worktree *wt)
{
    set_text(r, wt, PROJECT_WORKTREE_NOTE, "note");
}

static void handle_name(struct api_request *r)
{
    lookup_worktree(r, json_get_str(r->body, "path", NULL), name_go_on);
}

static void handle_note(struct api_request *r)
{
    lookup_worktree(r, json_get_str(r->body, "path", NULL), note_go_on);
}

const struct api_endpoint api_project_endpoints[] = {
    {API_GET, "/projects", API_LOGGED_IN, handle_list},
    {API_POST, "/projects", API_LOGGED_IN, handle_add},
    {API_GET, "/projects/validate", API_LOGGED_IN, handle_validate},
    {API_PATCH, "/projects/:", API_LOGGED_IN, handle_change},
    {API_DELETE, "/projects/:", API_LOGGED_IN, handle_remove},
    {API_PATCH, "/worktrees/name", API_LOGGED_IN, handle_name},
    {API_PATCH, "/worktrees/note", API_LOGGED_IN, handle_note},
    {0, NULL, API_LOCAL, NULL},
};
