/* worktree_seen: which worktrees git listed for each project the last time, so that those people
 * add and remove with git itself are noticed.
 *
 * The first list of a project only says what there is. What wos itself made or removed is noted
 * by worktree_seen_note, and is no news. One thread: the daemon's loop.
 */
#ifndef WOS_DAEMON_WORKTREE_SEEN_H
#define WOS_DAEMON_WORKTREE_SEEN_H

#include <stdbool.h>

#include "base/str.h"

struct worktree_seen;

struct worktree_seen *worktree_seen_new(void);
void worktree_seen_free(struct worktree_seen *w); /* NULL is allowed */

/* `path` is new (or gone) since the last list; borrowed for the call. */
typedef void worktree_seen_fn(void *arg, const char *path, bool is_new);
/* `porcelain` is what `git worktree list --porcelain` wrote in the project's source. */
void worktree_seen_look(struct worktree_seen *w, const char *project_id, struct str porcelain,
                        worktree_seen_fn *on_news, void *arg);
/* wos made the worktree, or removed it. */
void worktree_seen_note(struct worktree_seen *w, const char *project_id, const char *path,
                        bool exists);
/* The project was removed from the list of projects. */
void worktree_seen_forget(struct worktree_seen *w, const char *project_id);

#endif
