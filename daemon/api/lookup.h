/* lookup: a request that waits until git has told which worktree its path is in. */
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
/* The same with an answer of the caller's; err->code ERR_CONFIG: no worktree. */
void lookup_worktree_or(struct api_request *r, const char *path, lookup_found_fn *found,
                        lookup_failed_fn *failed);

#endif
