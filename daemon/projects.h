/* projects: the repositories this home knows, kept in H/projects.json.
 *
 * A project is a source worktree. It is added by hand or by the first successful `up` in one of its
 * worktrees, and stays until it is removed by hand. The names and notes that
 * people give to worktrees are kept with it. Members of the file that are not known
 * here stay. Every change is written at once (0600, replaced by rename); when that fails the
 * change is taken back. One thread: the daemon's loop; small file I/O.
 */
#ifndef WOS_DAEMON_PROJECTS_H
#define WOS_DAEMON_PROJECTS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum {
    PROJECT_NAME_MAX = 120, /* characters of a name of a project or a worktree */
    PROJECT_NOTE_MAX = 1000,
    PROJECT_COLORS = 36,
    PROJECTS_MAX = 1000,
};

struct projects;

/* A file that is no good is put aside as projects.json.bad and the list begins empty. */
struct projects *projects_new(const char *home);
void projects_free(struct projects *p);

/* The stored objects, borrowed until the next change: {"id", "displayName", "sourcePath",
 * "createdAt", "lastSeenAt", "colorSlot", "order", …}. In their order. NULL at the end. */
const cJSON *projects_at(const struct projects *p, size_t index);
const cJSON *projects_find(const struct projects *p, const char *id);
const cJSON *projects_find_source(const struct projects *p, const char *source);
/* NULL when there is none; borrowed. */
const char *projects_id_of(const struct projects *p, const char *source);

/* Adds the source worktree's root, or says when it was seen last. NULL with the error. */
const cJSON *projects_add(struct projects *p, const char *source, bool *out_is_new,
                          struct err *err);
/* `changes`: {displayName?, colorSlot?, order?}. ERR_USAGE names what is wrong,
 * ERR_NOT_FOUND: no such id. */
int projects_change(struct projects *p, const char *id, const cJSON *changes, struct err *err);
int projects_remove(struct projects *p, const char *id, struct err *err);

/* What people wrote about the worktree at `path`; NULL for nothing. Borrowed. */
enum project_text { PROJECT_WORKTREE_NAME, PROJECT_WORKTREE_NOTE };
const char *project_text(const cJSON *project, enum project_text what, const char *path);
/* Text NULL or empty: removed. ERR_USAGE: too long, or control characters in it. */
int projects_set_text(struct projects *p, const char *id, enum project_text what, const char *path,
                      const char *text, struct err *err);
/* Changes the stored object by a function of the caller's; -1 with the error takes it all back. */
typedef int projects_edit_fn(void *arg, cJSON *project, struct err *err);
int projects_edit(struct projects *p, const char *id, projects_edit_fn *edit, void *arg,
                  struct err *err);
/* What git said against listing its worktrees; NULL: nothing. True when that is news. */
bool projects_note_error(struct projects *p, const char *id, const char *error);
/* True when the text may be stored; `limit` in characters. */
bool project_text_is_good(const char *text, size_t limit, bool may_have_lines);

#endif
