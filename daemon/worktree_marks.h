/* worktree_marks: what people put on a worktree beside its name and note: its place on the board (a
 * status of daemon/statuses.h and an order within it) and comments. Kept with the project
 * in H/projects.json, as "worktreeBoard" and "worktreeComments", by the worktree's path. One
 * thread: the daemon's loop; small file I/O.
 */
#ifndef WOS_DAEMON_WORKTREE_MARKS_H
#define WOS_DAEMON_WORKTREE_MARKS_H

#include <cjson/cJSON.h>

#include "base/err.h"

struct projects;
struct statuses;

enum {
    WORKTREE_COMMENT_MAX = 2000, /* characters */
    WORKTREE_COMMENTS_MAX = 200, /* of one worktree */
    WORKTREE_ORDER_MAX = 1000000,
};

/* Adds workflowStatusId and workflowOrder of the worktree at `path`, where it has them and the
 * status still exists. `project` may be NULL. */
void worktree_marks_add(cJSON *summary, const cJSON *project, const struct statuses *statuses,
                        const char *path);
/* `given`: {"workflowStatusId"?: id or null, "workflowOrder"?: N or null}; null removes. ERR_USAGE:
 * neither, no such status, a number that is none or out of range. */
int worktree_marks_place(struct projects *p, const char *project_id,
                         const struct statuses *statuses, const char *path, const cJSON *given,
                         struct err *err);

/* [{"id", "text", "createdAt"}], oldest first; borrowed, NULL for none. `project` may be NULL. */
const cJSON *worktree_comments(const cJSON *project, const char *path);
/* *out_id: malloc'ed. ERR_USAGE: empty, too long, control characters, too many. */
int worktree_comment_add(struct projects *p, const char *project_id, const char *path,
                         const char *text, char **out_id, struct err *err);
/* ERR_NOT_FOUND: no such comment. */
int worktree_comment_remove(struct projects *p, const char *project_id, const char *path,
                            const char *comment_id, struct err *err);

/* The worktree is gone. */
int worktree_marks_forget(struct projects *p, const char *project_id, const char *path);

#endif
