/* summaries: see summaries.h. Called by the endpoints of projects and worktrees. */
#include "daemon/api/summaries.h"

#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/daemon.h"
#include "daemon/gitfacts.h"
#include "daemon/projects.h"
#include "daemon/sessions.h"
#include "daemon/worktree_marks.h"

/* --- worktrees --------------------------------------------------------------------------- */

static void add_text(cJSON *out, const char *name, const char *value)
{
    if (value != NULL) {
        (void)json_add_str(out, name, value);
    }
}

static void add_slice(cJSON *out, const char *name, struct str value)
{
    if (value.ptr != NULL) {
        (void)json_add_slice(out, name, value);
    }
}

static void add_facts(struct daemon *d, cJSON *out, const char *root)
{
    const cJSON *fact;
    cJSON_ArrayForEach(fact, gitfacts_get(d->gitfacts, root))
    {
        if (!cJSON_IsObject(fact) && strcmp(fact->string, "commitsSinceBase") != 0) {
            (void)cJSON_AddItemToObject(out, fact->string, cJSON_Duplicate(fact, true));
        }
    }
}

static void add_session(struct daemon *d, cJSON *out, const char *root)
{
    struct session *session = sessions_find_root(d->sessions, root);
    if (session == NULL) {
        autofree char *name = worktree_session_name(d->home, root);
        (void)json_add_str(out, "sessionName", name);
        (void)json_add_str(out, "status", "not_started");
        return;
    }
    cJSON *total = NULL;
    autojson cJSON *services = session_services_json(session, &total);
    (void)json_add_str(out, "sessionName", session_name(session));
    (void)json_add_str(out, "status", deployment_status(session_deployment(session)));
    if (cJSON_GetArraySize(services) > 0) {
        (void)cJSON_AddItemToObject(out, "serviceSummary", session_summary_json(services));
    }
    if (total != NULL) {
        (void)cJSON_AddItemToObject(out, "resourceUsage", total);
    }
    const struct operation *active = operations_active(d->operations, session_name(session));
    if (active != NULL) {
        (void)cJSON_AddItemToObject(out, "activeOperation", operation_json(active));
    }
}

cJSON *summary_of_entry(struct daemon *d, const cJSON *project, const struct worktree_entry *entry,
                        bool is_source)
{
    autofree char *path = str_dup(entry->path);
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "path", path);
    add_slice(out, "branch", entry->branch);
    if (entry->branch.ptr != NULL) {
        autofree char *ref = xasprintf("refs/heads/%.*s", STR_ARG(entry->branch));
        (void)json_add_str(out, "branchRef", ref);
    }
    add_slice(out, "head", entry->head);
    (void)json_add_bool(out, "detached", entry->detached);
    (void)json_add_bool(out, "isSource", is_source);
    add_session(d, out, path);
    add_text(out, "displayName", project_text(project, PROJECT_WORKTREE_NAME, path));
    add_text(out, "note", project_text(project, PROJECT_WORKTREE_NOTE, path));
    worktree_marks_add(out, project, d->statuses, path);
    add_facts(d, out, path);
    return out;
}

void summary_add_worktree(struct daemon *d, cJSON *worktree, const struct worktree *wt)
{
    const cJSON *project = projects_find_source(d->projects, wt->source);
    (void)json_add_bool(worktree, "isSource", wt->is_source);
    (void)json_add_bool(worktree, "detached", wt->branch == NULL);
    add_text(worktree, "branch", wt->branch);
    if (wt->branch != NULL) {
        autofree char *ref = xasprintf("refs/heads/%s", wt->branch);
        (void)json_add_str(worktree, "branchRef", ref);
    }
    add_text(worktree, "head", wt->head);
    add_text(worktree, "displayName", project_text(project, PROJECT_WORKTREE_NAME, wt->root));
    add_text(worktree, "note", project_text(project, PROJECT_WORKTREE_NOTE, wt->root));
    worktree_marks_add(worktree, project, d->statuses, wt->root);
    add_facts(d, worktree, wt->root);
}

/* --- projects ------------------------------------------------------------------------------ */

static void add_worktrees(struct daemon *d, cJSON *worktrees, const cJSON *project,
                          const struct worktree_list *list)
{
    const char *source = json_get_str(project, "sourcePath", "");
    struct str rest = str_of(list->porcelain);
    struct worktree_entry entry;
    while (worktree_entry_next(&rest, &entry)) {
        if (!entry.bare) {
            bool is_source = str_eq(entry.path, str_of(source));
            (void)cJSON_AddItemToArray(worktrees, summary_of_entry(d, project, &entry, is_source));
        }
    }
}

cJSON *summary_of_project(struct daemon *d, const cJSON *project, const struct worktree_list *list)
{
    static const char *const members[] = {"id",         "displayName", "sourcePath", "createdAt",
                                          "lastSeenAt", "colorSlot",   "order"};
    cJSON *out = cJSON_CreateObject();
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        const cJSON *member = json_get(project, members[i]);
        (void)cJSON_AddItemToObject(out, members[i],
                                    member == NULL ? cJSON_CreateNumber(0)
                                                   : cJSON_Duplicate(member, true));
    }
    bool is_stale = list != NULL && list->porcelain == NULL;
    if (is_stale) {
        (void)json_add_str(out, "error", list->error);
    }
    (void)json_add_bool(out, "stale", is_stale);
    cJSON *worktrees = cJSON_AddArrayToObject(out, "worktrees");
    if (list != NULL && list->porcelain != NULL) {
        add_worktrees(d, worktrees, project, list);
    }
    return out;
}

/* --- details --------------------------------------------------------------------------------- */

static cJSON *texts_json(const char *const *texts, size_t count)
{
    cJSON *out = cJSON_CreateArray();
    for (size_t i = 0; i < count; i++) {
        (void)cJSON_AddItemToArray(out, cJSON_CreateString(texts[i]));
    }
    return out;
}

static cJSON *ports_json(const struct manifest *m)
{
    cJSON *out = cJSON_CreateArray();
    for (size_t i = 0; i < m->service_count; i++) {
        for (size_t j = 0; j < m->services[i].port_count; j++) {
            cJSON *port = cJSON_CreateObject();
            (void)json_add_str(port, "service", m->services[i].name);
            (void)json_add_int(port, "containerPort", m->services[i].ports[j].port);
            (void)cJSON_AddItemToArray(out, port);
        }
    }
    return out;
}

void summary_add_manifest(cJSON *detail, const struct manifest *m)
{
    cJSON *options = cJSON_AddObjectToObject(detail, "deploymentOptions");
    cJSON *targets = cJSON_AddArrayToObject(options, "targets");
    for (size_t i = 0; i < m->target_count; i++) {
        cJSON *target = cJSON_CreateObject();
        (void)json_add_str(target, "name", m->targets[i].name);
        (void)cJSON_AddItemToObject(
            target, "services", texts_json(m->targets[i].services, m->targets[i].service_count));
        (void)cJSON_AddItemToArray(targets, target);
    }
    cJSON *services = cJSON_AddArrayToObject(options, "appServices");
    cJSON *deps = cJSON_AddArrayToObject(options, "deps");
    for (size_t i = 0; i < m->service_count; i++) {
        (void)cJSON_AddItemToArray(m->services[i].is_dep ? deps : services,
                                   cJSON_CreateString(m->services[i].name));
    }
    (void)cJSON_AddItemToObject(options, "arguments", texts_json(m->arguments, m->argument_count));
    (void)cJSON_AddItemToObject(options, "ports", ports_json(m));

    const cJSON *state = json_get(detail, "state");
    cJSON *preview = cJSON_AddObjectToObject(detail, "launchPreview");
    (void)json_add_int(preview, "serviceCount", (int64_t)m->service_count);
    (void)cJSON_AddItemToObject(preview, "ports", ports_json(m));
    if (json_get(state, "lastUpDurationMs") != NULL) {
        (void)json_add_int(preview, "lastRunDurationMs",
                           json_get_int(state, "lastUpDurationMs", 0));
    }
}

void summary_add_freshness(struct daemon *d, cJSON *detail, const struct worktree *wt)
{
    const cJSON *state = json_get(detail, "state");
    const char *last_up = json_get_str(state, "lastUp", NULL);
    const char *commit = json_get_str(state, "lastUpCommit", NULL);
    if (last_up == NULL) {
        return;
    }
    cJSON *out = cJSON_AddObjectToObject(detail, "deployFreshness");
    (void)json_add_str(out, "lastUpAt", last_up);
    if (json_get(state, "lastUpDurationMs") != NULL) {
        (void)json_add_int(out, "deployDurationMs", json_get_int(state, "lastUpDurationMs", 0));
    }
    if (commit == NULL) {
        return;
    }
    (void)json_add_str(out, "lastUpCommit", commit);
    if (wt->head != NULL && strcmp(wt->head, commit) == 0) {
        (void)json_add_int(out, "commitsSinceDeploy", 0);
        return;
    }
    gitfacts_set_base(d->gitfacts, wt->root, commit);
    const cJSON *count = json_get(gitfacts_get(d->gitfacts, wt->root), "commitsSinceBase");
    if (count != NULL) {
        (void)cJSON_AddItemToObject(out, "commitsSinceDeploy", cJSON_Duplicate(count, true));
    }
}
