/* worktree_changes: see worktree_changes.h. Called by the API. */
#include "daemon/worktree_changes.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/changes.h"
#include "daemon/daemon.h"
#include "daemon/git.h"
#include "daemon/projects.h"
#include "daemon/sessions.h"
#include "daemon/store/store.h"
#include "daemon/terminal.h"
#include "daemon/worktree_marks.h"

enum { CHANGE_TIMEOUT_MS = 10 * 60 * 1000, BRANCH_MAX = 200 };

/* One operation under way. */
struct change {
    struct change *next, **link;  /* the list; link NULL: the daemon has ended */
    struct worktree_changes *all; /* borrowed */
    char *session;                /* owned: its name */
    char *path;                   /* owned: of the worktree */
    char *source;                 /* owned */
    char *branch;                 /* owned; NULL: detached */
    struct operation *op;         /* borrowed from the registry */
    bool is_forced;
};

struct worktree_changes {
    struct daemon *d; /* borrowed */
    struct change *list;
};

struct worktree_changes *worktree_changes_new(struct daemon *d)
{
    struct worktree_changes *w = xcalloc(1, sizeof *w);
    w->d = d;
    return w;
}

static struct change *change_new(struct worktree_changes *w, const char *session, const char *path,
                                 const char *source)
{
    struct change *change = xcalloc(1, sizeof *change);
    change->all = w;
    change->session = xstrdup(session);
    change->path = xstrdup(path);
    change->source = xstrdup(source);
    change->next = w->list;
    change->link = &w->list;
    if (change->next != NULL) {
        change->next->link = &change->next;
    }
    w->list = change;
    return change;
}

static void change_unlink(struct change *change)
{
    CHECK(change->link != NULL);
    *change->link = change->next;
    if (change->next != NULL) {
        change->next->link = change->link;
    }
    change->link = NULL;
}

static void change_free(struct change *change)
{
    if (change->link != NULL) {
        change_unlink(change);
    }
    free(change->session);
    free(change->path);
    free(change->source);
    free(change->branch);
    free(change);
}

void worktree_changes_free(struct worktree_changes *w)
{
    while (w != NULL && w->list != NULL) {
        change_unlink(w->list); /* freed when git is done */
    }
    free(w);
}

static void log_output(struct operation *op, const struct subprocess_output *output)
{
    if (output->out.len > 0) {
        operation_log(op, "deployment", "stdout", output->out);
    }
    if (output->err.len > 0) {
        operation_log(op, "deployment", "stderr", output->err);
    }
}

/* --- removing ------------------------------------------------------------------------------ */

static void forget_texts(struct daemon *d, const struct change *change)
{
    const char *id = projects_id_of(d->projects, change->source);
    autofree char *copy = id == NULL ? NULL : xstrdup(id);
    if (copy != NULL) {
        (void)projects_set_text(d->projects, copy, PROJECT_WORKTREE_NAME, change->path, NULL, NULL);
        (void)projects_set_text(d->projects, copy, PROJECT_WORKTREE_NOTE, change->path, NULL, NULL);
        (void)worktree_marks_forget(d->projects, copy, change->path);
    }
}

/* The worktree is gone: so is what we kept of it. */
static void removal_forget(struct daemon *d, struct session *session, const struct change *change)
{
    struct err err = {.msg = ""};
    session_finish(session, NULL);
    sessions_drop(session);
    if (store_remove(d->home, change->session, &err) < 0) {
        log_warn("session", "its files are not removed", LOG_STR("session", change->session),
                 LOG_STR("error", err.msg));
    }
    forget_texts(d, change);
    changes_worktree(d->changes, "worktree.removed", projects_id_of(d->projects, change->source),
                     change->session, change->path);
}

/* Somebody removed the directory before us, and git or the whole repository has forgotten it. */
static bool is_gone(const struct change *change, const struct subprocess_output *output)
{
    if (file_exists(change->path)) {
        return false;
    }
    autofree char *said = output == NULL ? xstrdup("") : str_dup(output->err);
    return !file_exists(change->source) || strstr(said, "is not a working tree") != NULL;
}

static void removal_on_git(void *arg, const struct subprocess_output *output)
{
    struct change *change = arg;
    if (change->link == NULL) {
        change_free(change);
        return;
    }
    struct daemon *d = change->all->d;
    struct session *session = sessions_find(d->sessions, change->session);
    CHECK(session != NULL); /* its operation is still running */
    log_output(change->op, output);
    if (git_succeeded(output) || is_gone(change, output)) {
        operation_step(change->op, "prepare", "done", NULL);
        removal_forget(d, session, change);
    } else {
        autofree char *message = git_complaint("git worktree remove", output);
        operation_step(change->op, "prepare", "failed", message);
        session_finish(session, message);
    }
    change_free(change);
}

/* Nothing runs any more. */
static void removal_on_down(void *arg, const char *failure)
{
    struct change *change = arg;
    struct daemon *d = change->all->d;
    struct err err = {.msg = ""};
    const char *argv[] = {"git", "worktree", "remove", "--", change->path, NULL, NULL};
    if (change->is_forced) {
        argv[3] = "--force";
        argv[4] = "--";
        argv[5] = change->path;
    }
    if (failure == NULL) {
        terminals_end_session(d->terminals, change->session);
        operation_step(change->op, "prepare", "running", NULL);
    }
    if (failure == NULL && git_start_timeout(d->loop, change->source, argv, CHANGE_TIMEOUT_MS,
                                             removal_on_git, change, &err) == 0) {
        return;
    }
    struct session *session = sessions_find(d->sessions, change->session);
    if (failure == NULL && is_gone(change, NULL)) {
        operation_step(change->op, "prepare", "done", NULL);
        removal_forget(d, session, change);
    } else {
        session_finish(session, failure != NULL ? failure : err.msg);
    }
    change_free(change);
}

struct operation *worktree_remove(struct worktree_changes *w, const struct worktree *wt, bool force,
                                  struct err *err)
{
    if (wt->is_source) {
        (void)err_set(err, ERR_REFUSED, "primary/source worktree cannot be removed by wos");
        return NULL;
    }
    struct session *session = sessions_get(w->d->sessions, wt);
    struct change *change = change_new(w, wt->session_name, wt->root, wt->source);
    change->is_forced = force;
    change->op = session_down_then(session, "worktree-remove", removal_on_down, change, err);
    if (change->op == NULL) {
        change_free(change);
        return NULL;
    }
    return change->op;
}

/* --- making ---------------------------------------------------------------------------------- */

static bool name_is_good(const char *name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t len = name == NULL ? 0 : strlen(name);
    return len > 0 && len <= WORKTREE_NAME_MAX && strspn(name, allowed) == len && name[0] != '.' &&
           name[0] != '-' && name[len - 1] != '.';
}

/* What git's rules need not be asked for: nothing that could be an option or a revision
 * expression. git itself has the last word. */
static bool branch_is_good(const char *branch)
{
    size_t len = strlen(branch);
    return len > 0 && len <= BRANCH_MAX && branch[0] != '-' &&
           strpbrk(branch, " ~^:?*[\\") == NULL && strstr(branch, "..") == NULL &&
           strstr(branch, "@{") == NULL && project_text_is_good(branch, BRANCH_MAX, false);
}

/* H/worktrees/<repository>-<8 of the project's id>/<name>, so that two repositories of one name
 * do not meet. */
static char *target_path(const struct daemon *d, const cJSON *project, const char *name)
{
    const char *source = json_get_str(project, "sourcePath", "");
    const char *slash = strrchr(source, '/');
    autofree char *repo = xstrdup(slash == NULL ? source : slash + 1);
    for (char *c = repo; *c != '\0'; c++) {
        bool is_plain = (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') ||
                        (*c >= 'A' && *c <= 'Z') || strchr("._-", *c) != NULL;
        *c = is_plain ? *c : '-';
    }
    return xasprintf("%s/worktrees/%.60s-%.8s/%s", d->home, repo, json_get_str(project, "id", ""),
                     name);
}

static void creation_end(struct change *change, const char *failure)
{
    struct daemon *d = change->all->d;
    operation_step(change->op, "prepare", failure == NULL ? "done" : "failed", failure);
    operation_finish(change->op, NULL, failure);
    if (failure == NULL) {
        changes_worktree(d->changes, "worktree.created",
                         projects_id_of(d->projects, change->source), change->session,
                         change->path);
    }
    change_free(change);
}

static void creation_on_added(void *arg, const struct subprocess_output *output)
{
    struct change *change = arg;
    if (change->link == NULL) {
        change_free(change);
        return;
    }
    log_output(change->op, output);
    autofree char *failure =
        git_succeeded(output) ? NULL : git_complaint("git worktree add", output);
    creation_end(change, failure);
}

static void creation_add(struct change *change, bool has_branch)
{
    struct err err = {.msg = ""};
    const char *detached[] = {"git", "worktree", "add", "--detach", "--", change->path, NULL};
    const char *existing[] = {"git", "worktree", "add", "--", change->path, change->branch, NULL};
    const char *made[] = {"git", "worktree", "add", "-b", change->branch, "--", change->path, NULL};
    const char *const *argv = change->branch == NULL ? detached : has_branch ? existing : made;
    if (git_start_timeout(change->all->d->loop, change->source, argv, CHANGE_TIMEOUT_MS,
                          creation_on_added, change, &err) < 0) {
        creation_end(change, err.msg);
    }
}

static void creation_on_branch(void *arg, const struct subprocess_output *output)
{
    struct change *change = arg;
    if (change->link == NULL) {
        change_free(change);
        return;
    }
    creation_add(change, git_succeeded(output));
}

static void creation_start(struct change *change)
{
    struct err err = {.msg = ""};
    operation_step(change->op, "prepare", "running", NULL);
    if (change->branch == NULL) {
        creation_add(change, false);
        return;
    }
    autofree char *ref = xasprintf("refs/heads/%s", change->branch);
    const char *const argv[] = {"git", "rev-parse", "--verify", "--quiet", ref, NULL};
    if (git_start(change->all->d->loop, change->source, argv, creation_on_branch, change, &err) <
        0) {
        creation_end(change, err.msg);
    }
}

struct operation *worktree_create(struct worktree_changes *w, const cJSON *project,
                                  const char *name, const char *branch, char **out_path,
                                  struct err *err)
{
    *out_path = NULL;
    if (!name_is_good(name)) {
        (void)err_set(err, ERR_USAGE,
                      "name must have 1 to %d of the characters A-Z a-z 0-9 . _ -, and begin "
                      "with a letter, a digit or _",
                      (int)WORKTREE_NAME_MAX);
        return NULL;
    }
    if (branch != NULL && !branch_is_good(branch)) {
        (void)err_set(err, ERR_USAGE, "branch is not a name git allows");
        return NULL;
    }
    autofree char *path = target_path(w->d, project, name);
    if (file_exists(path)) {
        (void)err_set(err, ERR_REFUSED, "%s is there already", path);
        return NULL;
    }
    autofree char *session = worktree_session_name(w->d->home, path);
    struct operation *op = operation_begin(w->d->operations, "worktree-create", session, err);
    if (op == NULL) {
        return NULL;
    }
    struct change *change = change_new(w, session, path, json_get_str(project, "sourcePath", ""));
    change->branch = branch == NULL ? NULL : xstrdup(branch);
    change->op = op;
    *out_path = xstrdup(path);
    creation_start(change);
    return op;
}
