/* gitfacts: what git says of a worktree's work, remembered.
 *
 * gitfacts_get never waits: it gives what is known and, when that is older than GITFACTS_FRESH_MS,
 * has git asked again in the background (`status`, then `log -1`; at most GITFACTS_RUNS at
 * a time). A worktree that nobody asked for is forgotten after GITFACTS_KEEP_MS. One thread.
 */
#ifndef WOS_DAEMON_GITFACTS_H
#define WOS_DAEMON_GITFACTS_H

#include <cjson/cJSON.h>

#include "base/loop.h"

enum {
    GITFACTS_FRESH_MS = 3000,
    GITFACTS_KEEP_MS = 10 * 60 * 1000,
    GITFACTS_RUNS = 2,
};

struct gitfacts;

/* on_change: the facts of a worktree became known or are different now. */
typedef void gitfacts_change_fn(void *arg, const char *root);
struct gitfacts *gitfacts_new(struct loop *loop, gitfacts_change_fn *on_change, void *arg);
void gitfacts_free(struct gitfacts *g);

/* {"aheadCount"?, "behindCount"?, "uncommittedCount", "lastCommitHash"?, "lastCommitSubject"?,
 * "lastCommitTime"?, "changes": {"total", "staged", "unstaged", "untracked", "unmerged"}}, borrowed
 * until the next turn; NULL: not known yet. */
const cJSON *gitfacts_get(struct gitfacts *g, const char *root);
/* From the next run on, "commitsSinceBase" counts the commits after `base` (a commit's name). */
void gitfacts_set_base(struct gitfacts *g, const char *root, const char *base);
/* The pure part: the output of `git status --porcelain=v2 --branch` as such an object. */
cJSON *gitfacts_parse_status(const char *text, size_t len);

#endif
