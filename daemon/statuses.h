/* statuses: the columns of the board, that is what people say a worktree's work is at ("review",
 * "done"), kept in H/statuses.json. What a worktree has is in daemon/worktree_marks.h.
 *
 * Every change is written at once (0600, replaced by rename); when that fails it is taken
 * back. One thread: the daemon's loop; small file I/O.
 */
#ifndef WOS_DAEMON_STATUSES_H
#define WOS_DAEMON_STATUSES_H

#include <cjson/cJSON.h>

#include "base/err.h"

enum { STATUSES_MAX = 50 };

struct statuses;

/* A file that is no good is put aside as statuses.json.bad and the list begins empty. */
struct statuses *statuses_new(const char *home);
void statuses_free(struct statuses *s);

/* [{"id", "name", "colorSlot", "order"}] in their order; borrowed until the next change. */
const cJSON *statuses_list(const struct statuses *s);
/* NULL: no such id. Borrowed. */
const cJSON *statuses_find(const struct statuses *s, const char *id);

/* `given`: {"name", "colorSlot"?}. NULL with ERR_USAGE for a wrong or missing member and when there
 * are STATUSES_MAX. */
const cJSON *statuses_add(struct statuses *s, const cJSON *given, struct err *err);
/* `changes`: {"name"?, "colorSlot"?, "order"?}; order is the place it moves to. ERR_NOT_FOUND. */
int statuses_change(struct statuses *s, const char *id, const cJSON *changes, struct err *err);
/* Worktrees that have it have none from then on. */
int statuses_remove(struct statuses *s, const char *id, struct err *err);

#endif
