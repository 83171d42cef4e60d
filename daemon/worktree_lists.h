/* worktree_lists: `git worktree list` of several repositories at once, without blocking. */
#ifndef WOS_DAEMON_WORKTREE_LISTS_H
#define WOS_DAEMON_WORKTREE_LISTS_H

#include <stddef.h>

#include "base/loop.h"

struct worktree_list {
    char *source;    /* the directory asked about */
    char *porcelain; /* for worktree_entry_next; NULL: git failed */
    char *error;     /* why; else NULL */
};

struct worktree_lists;

/* Called once, from the loop; the lists in the order asked, borrowed for the call. */
typedef void worktree_lists_fn(void *arg, const struct worktree_list *lists, size_t count);

struct worktree_lists *worktree_lists_read(struct loop *loop, const char *const *sources,
                                           size_t count, worktree_lists_fn *on_done, void *arg);
/* on_done does not come any more. */
void worktree_lists_cancel(struct worktree_lists *lists);

#endif
