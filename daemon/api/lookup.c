/* lookup: see lookup.h. */
#include "daemon/api/lookup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "daemon/api/request.h"
#include "daemon/daemon.h"
#include "daemon/projects.h"
#include "daemon/sessions.h"

struct lookup {
    struct api_request *r;          /* borrowed */
    struct worktree_lookup *handle; /* owned */
    lookup_found_fn *found;
    lookup_failed_fn *failed;
    char *path; /* owned */
    bool known_only;
    bool also_gone;
};

static void lookup_free(struct lookup *lookup)
{
    free(lookup->path);
    free(lookup);
}

static void lookup_on_cancel(struct api_request *r)
{
    struct lookup *lookup = r->work;
    worktree_lookup_cancel(lookup->handle);
    lookup_free(lookup);
}

/* The path without symbolic links and "..", as far as it is there. malloc'ed. */
static char *path_as_it_was(const char *path)
{
    autofree char *there = xstrdup(path);
    for (char *slash; (slash = strrchr(there, '/')) != NULL && slash != there;) {
        *slash = '\0';
        autofree char *real = path_real(there, NULL);
        if (real != NULL) {
            return path_join(real, path + strlen(there) + 1);
        }
    }
    return xstrdup(path);
}

/* The worktree of the session whose directory `path` was, or was in. What is there is asked of git
 * alone: a slip in the path must not mean the worktree around it. */
static const struct worktree *worktree_gone(const struct daemon *d, const char *path)
{
    autofree char *root = path_as_it_was(path);
    size_t len = strlen(root);
    while (len > 1 && root[len - 1] == '/') {
        root[--len] = '\0';
    }
    for (char *slash; len > 1; len = (size_t)(slash - root)) {
        root[len] = '\0';
        const struct session *session = sessions_find_root(d->sessions, root);
        if (session != NULL) {
            return deployment_worktree(session_deployment(session));
        }
        slash = strrchr(root, '/');
        *slash = '\0';
        bool is_there = file_exists(root);
        if (slash == root || is_there) {
            return NULL;
        }
    }
    return NULL;
}

static void lookup_on_done(void *arg, const struct worktree *wt, const struct err *err)
{
    struct lookup lookup = *(struct lookup *)arg;
    free(arg);
    autofree char *path = lookup.path;
    lookup.r->cancel = NULL;
    lookup.r->work = NULL;
    if (wt == NULL && lookup.also_gone) {
        wt = worktree_gone(lookup.r->d, path);
    }
    if (lookup.known_only &&
        (wt == NULL || projects_find_source(lookup.r->d->projects, wt->source) == NULL)) {
        reply_error(lookup.r, 404, "not-found", "no known project has a worktree at that path",
                    NULL);
    } else if (wt != NULL) {
        lookup.found(lookup.r, wt);
    } else {
        lookup.failed(lookup.r, err);
    }
}

static void start(struct api_request *r, const char *path, struct lookup shape)
{
    if (path == NULL || *path != '/') {
        struct err err = {.msg = ""};
        (void)err_set(&err, ERR_USAGE, "path must be an absolute path");
        shape.failed(r, &err);
        return;
    }
    struct lookup *lookup = xcalloc(1, sizeof *lookup);
    *lookup = shape;
    lookup->r = r;
    lookup->path = xstrdup(path);
    r->cancel = lookup_on_cancel;
    r->work = lookup;
    lookup->handle = worktree_resolve(r->d->loop, r->d->home, path, lookup_on_done, lookup);
}

void lookup_worktree_or(struct api_request *r, const char *path, lookup_found_fn *found,
                        lookup_failed_fn *failed)
{
    start(r, path, (struct lookup){.found = found, .failed = failed, .known_only = r->is_public});
}

void lookup_anywhere_or(struct api_request *r, const char *path, lookup_found_fn *found,
                        lookup_failed_fn *failed)
{
    start(r, path, (struct lookup){.found = found, .failed = failed});
}

static void lookup_reply(struct api_request *r, const struct err *err)
{
    if (err->code == ERR_CONFIG) {
        reply_error(r, 400, "not-a-worktree", err->msg, NULL);
    } else if (err->code == ERR_SYSTEM && (err->sys == ENOENT || err->sys == ENOTDIR)) {
        reply_error(r, 404, "not-found", err->msg, NULL);
    } else {
        reply_err(r, err);
    }
}

void lookup_worktree(struct api_request *r, const char *path, lookup_found_fn *found)
{
    lookup_worktree_or(r, path, found, lookup_reply);
}

void lookup_session(struct api_request *r, const char *path, lookup_found_fn *found)
{
    start(
        r, path,
        (struct lookup){
            .found = found, .failed = lookup_reply, .known_only = r->is_public, .also_gone = true});
}
