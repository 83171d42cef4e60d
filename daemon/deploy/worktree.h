/* worktree: which git worktree a path is in, and every name derived from it.
 *
 * Runs `git` on the loop without blocking. The answer comes exactly once, from
 * the loop, never from inside worktree_resolve, and not after a cancel. Outside
 * a worktree the error is ERR_CONFIG with exactly WORKTREE_NOT_GIT as its text
 * (the CLI exits with 3 for it).
 */
#ifndef WOS_DAEMON_DEPLOY_WORKTREE_H
#define WOS_DAEMON_DEPLOY_WORKTREE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"

#define WORKTREE_NOT_GIT "wos must be run from inside a Git worktree"

/* A zeroed struct is empty; worktree_fini accepts it. All strings owned. */
struct worktree {
    char *root;         /* absolute, symbolic links resolved */
    char *source;       /* root of the source worktree (may equal root) */
    char *session_name; /* file-name safe */
    char *session_dir;  /* <home>/sessions/<session_name> */
    char *project_name; /* wos-<repo>-<8 hex of sha1(root)> */
    char *label;        /* base name of root as a DNS label */
    char *branch;       /* short name; NULL when detached */
    char *head;         /* commit; NULL before the first */
    bool is_source;
};

struct worktree_lookup; /* one resolve under way */

/* Exactly one of wt and err is not NULL; both borrowed for the call. */
typedef void worktree_done_fn(void *arg, const struct worktree *wt, const struct err *err);

struct worktree_lookup *worktree_resolve(struct loop *loop, const char *home, const char *path,
                                         worktree_done_fn *on_done, void *arg);
void worktree_lookup_cancel(struct worktree_lookup *lookup);

void worktree_copy(struct worktree *to, const struct worktree *from);
void worktree_fini(struct worktree *wt);

/* The pure parts. One entry of `git worktree list --porcelain`. */
struct worktree_entry {
    struct str path;
    struct str head;   /* STR_NONE if absent */
    struct str branch; /* without refs/heads/; STR_NONE when detached */
    bool bare;
    bool detached;
};
/* Cuts the next entry off *rest; false at the end. */
bool worktree_entry_next(struct str *rest, struct worktree_entry *out);
/* First entry neither bare nor detached, else the first; false when none. */
bool worktree_pick_source(struct str porcelain, struct worktree_entry *out);
/* The session name of a root under `home`: the documented form, or the hashed one when the
 * documented is no fit file name or its directory belongs to another worktree. malloc'ed. */
char *worktree_session_name(const char *home, const char *root);
/* malloc'ed. */
char *worktree_project_name(const char *root, const char *source);

#endif
