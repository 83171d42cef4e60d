/* lookup: a request that waits until git has told which worktree its path is in.
 *
 * A public request (request.h) may only name worktrees of known projects: for any other path the
 * answer is 404 `not-found` in the same words, whether a repository, something else or nothing is
 * there. So no endpoint has to think of it. */
#ifndef WOS_DAEMON_API_LOOKUP_H
#define WOS_DAEMON_API_LOOKUP_H

#include "base/err.h"
#include "daemon/deploy/worktree.h"

struct api_request;

/* The rest of the handler; it must answer. */
typedef void lookup_found_fn(struct api_request *r, const struct worktree *wt);
typedef void lookup_failed_fn(struct api_request *r, const struct err *err);

/* Answers 400 `not-a-worktree` or `validation` itself when there is no worktree at `path`. */
void lookup_worktree(struct api_request *r, const char *path, lookup_found_fn *found);
/* The same for what ends a session: when git knows no worktree at `path` any more, because somebody
 * removed it, `found` gets the one that a session has there. */
void lookup_session(struct api_request *r, const char *path, lookup_found_fn *found);
/* The same with an answer of the caller's; err->code ERR_CONFIG: no worktree. */
void lookup_worktree_or(struct api_request *r, const char *path, lookup_found_fn *found,
                        lookup_failed_fn *failed);
/* The same for the few endpoints where a public request may name any path of the machine. */
void lookup_anywhere_or(struct api_request *r, const char *path, lookup_found_fn *found,
                        lookup_failed_fn *failed);

#endif
