/* changes: turns what the parts of the daemon do into events (daemon/events.h).
 *
 * Operations are observed; sessions, the certificates and the configuration are looked at when
 * somebody says that they may have changed, in the next turn, and what is different from the
 * last look becomes events. Nothing is polled. One thread: the daemon's loop.
 */
#ifndef WOS_DAEMON_CHANGES_H
#define WOS_DAEMON_CHANGES_H

#include <cjson/cJSON.h>

#include "base/str.h"

struct changes;
struct operation;
struct daemon;

/* Uses d->events and d->operations; the other parts when they exist. */
struct changes *changes_new(struct daemon *d);
void changes_free(struct changes *c);

/* Services, health or routes of the session may be different now. */
void changes_session(struct changes *c, const char *session);
/* So may every session's tunnels be: the gateway fails, or serves again. */
void changes_tunnels(struct changes *c);
/* The session is about to go, with its names: what was known of it is forgotten. */
void changes_session_gone(struct changes *c, const char *session);
/* So may the certificates be, the tunnel's and the web listener's. */
void changes_certificate(struct changes *c);
/* config.json was saved; `restart_keys` wait for a restart. Borrowed. */
void changes_config(struct changes *c, const cJSON *restart_keys);
/* type: "project.added", …; `project` is PROJECT of docs/API.md, borrowed. */
void changes_project(struct changes *c, const char *type, const cJSON *project);
/* `git worktree list --porcelain` of the project's source: what people made or removed with git
 * becomes worktree.added and worktree.removed. */
void changes_worktrees(struct changes *c, const char *project_id, struct str porcelain);
/* The catalog of statuses. */
void changes_statuses(struct changes *c);
/* Somebody asked for another operation while `active` has its session. */
void changes_conflict(struct changes *c, const struct operation *active);
/* type: "worktree.created", "worktree.removed", "worktree.updated", …; `project_id` and `session`
 * may be NULL. */
void changes_worktree(struct changes *c, const char *type, const char *project_id,
                      const char *session, const char *path);

#endif
