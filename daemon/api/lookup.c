/* lookup: see lookup.h. */
#include "daemon/api/lookup.h"

#include <errno.h>
#include <stdlib.h>

#include "base/auto.h"
#include "daemon/api/request.h"
#include "daemon/daemon.h"
#include "daemon/projects.h"

struct lookup {
    struct api_request *r;          /* borrowed */
    struct worktree_lookup *handle; /* owned */
    lookup_found_fn *found;
    lookup_failed_fn *failed;
    bool known_only;
};

static void lookup_on_cancel(struct api_request *r)
{
    struct lookup *lookup = r->work;
    worktree_lookup_cancel(lookup->handle);
    free(lookup);
}

static void lookup_on_done(void *arg, const struct worktree *wt, const struct err *err)
{
    struct lookup lookup = *(struct lookup *)arg;
    free(arg);
    lookup.r->cancel = NULL;
    lookup.r->work = NULL;
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
