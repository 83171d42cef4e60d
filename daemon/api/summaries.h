/* summaries: ProjectSummary, WorktreeSummary and what WorktreeDetail has beside the session
 * (docs/API.md). What git says is taken from daemon/gitfacts.h and never waited for.
 */
#ifndef WOS_DAEMON_API_SUMMARIES_H
#define WOS_DAEMON_API_SUMMARIES_H

#include <cjson/cJSON.h>

#include "daemon/deploy/manifest.h"
#include "daemon/deploy/worktree.h"
#include "daemon/worktree_lists.h"

struct daemon;

/* WorktreeSummary of one entry of git's list. `project` may be NULL. */
cJSON *summary_of_entry(struct daemon *d, const cJSON *project, const struct worktree_entry *entry,
                        bool is_source);
/* ProjectSummary; `list` NULL: without worktrees. */
cJSON *summary_of_project(struct daemon *d, const cJSON *project, const struct worktree_list *list);
/* Adds to the `worktree` member of a detail what WorktreeSummary has and the session does not. */
void summary_add_worktree(struct daemon *d, cJSON *worktree, const struct worktree *wt);
/* deploymentOptions, launchPreview; only of a good manifest. */
void summary_add_manifest(cJSON *detail, const struct manifest *m);
/* deployFreshness, of a worktree that was deployed. */
void summary_add_freshness(struct daemon *d, cJSON *detail, const struct worktree *wt);

#endif
