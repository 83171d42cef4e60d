/* treecopy: copying and removing trees of files without blocking the loop.
 *
 * `cp` does the work in a process of its own: owners, times, links and holes are kept, and
 * file systems that can share blocks do (--reflink=auto). The copy grows beside its
 * destination under the name TREECOPY_PARTIAL… and gets its own name when it is complete: a
 * destination that exists is a whole copy. What a crash left behind under such a name is
 * removed by the next copy to the same destination.
 */
#ifndef WOS_DAEMON_DEPLOY_TREECOPY_H
#define WOS_DAEMON_DEPLOY_TREECOPY_H

#include "base/err.h"
#include "base/loop.h"

#define TREECOPY_PARTIAL ".wos-partial-"
#define TREECOPY_TRASH ".wos-trash-"

struct treecopy;

/* NULL when the copy is complete. Once, from the loop; not after a cancel. */
typedef void treecopy_fn(void *arg, const struct err *err);

/* Makes the folders above `to`; `to` must not exist (checked again at the end). */
struct treecopy *treecopy_start(struct loop *loop, const char *from, const char *to,
                                treecopy_fn *on_done, void *arg, struct err *err);
/* Ends the copying at once and removes in the background what there is of it. NULL is allowed. */
void treecopy_cancel(struct treecopy *copy);

/* Removes a tree in the background; whoever watches hears nothing. */
void tree_remove_later(struct loop *loop, const char *path);
/* Gives the tree a name of trash beside it and removes that in the background; a missing
 * one is success. */
int tree_trash(struct loop *loop, const char *path, struct err *err);

#endif
