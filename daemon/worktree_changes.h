/* worktree_changes: worktrees made and removed, as operations.
 *
 * Removing: everything of the session stops, git removes the directory, then the session's files,
 * routes and names go. When git refuses, only the services have stopped. Making: git adds a
 * worktree under H/worktrees/<project>/<name>. One thread: the daemon's loop.
 */
#ifndef WOS_DAEMON_WORKTREE_CHANGES_H
#define WOS_DAEMON_WORKTREE_CHANGES_H

#include <cjson/cJSON.h>

#include "base/err.h"
#include "daemon/deploy/worktree.h"

enum { WORKTREE_NAME_MAX = 100 };

struct daemon;
struct operation;
struct worktree_changes;

struct worktree_changes *worktree_changes_new(struct daemon *d);
/* Runs of git go on; their operations end with the registry. */
void worktree_changes_free(struct worktree_changes *w);

/* Never of a source worktree: ERR_REFUSED. `force`: also with uncommitted changes. ERR_BUSY. */
struct operation *worktree_remove(struct worktree_changes *w, const struct worktree *wt, bool force,
                                  struct err *err);

/* `branch` NULL: a detached HEAD; a branch that does not exist is made. ERR_USAGE: the name or the
 * branch is no good; ERR_REFUSED: the directory is there already; ERR_BUSY. *out_path is
 * malloc'ed. */
struct operation *worktree_create(struct worktree_changes *w, const cJSON *project,
                                  const char *name, const char *branch, char **out_path,
                                  struct err *err);

#endif
