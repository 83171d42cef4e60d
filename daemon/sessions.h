/* sessions: every session of this home, and what ties its deployment to the
 * operations registry and the publisher.
 *
 * A session exists from the first time its worktree is named (or found on disk
 * at the start) until the daemon ends. One thread: the daemon's loop.
 */
#ifndef WOS_DAEMON_SESSIONS_H
#define WOS_DAEMON_SESSIONS_H

#include <cjson/cJSON.h>

#include "base/err.h"
#include "daemon/deploy/deployment.h"
#include "daemon/deploy/worktree.h"
#include "daemon/operations.h"

struct daemon;
struct session;
struct sessions;

/* Uses the daemon's loop, config, fetch, operations and publisher. */
struct sessions *sessions_new(struct daemon *d);
/* Services and routes stay. */
void sessions_free(struct sessions *s);
/* Finds every session on disk; those with living services get their routes back, and every
 * name a session ever had is taken again. */
void sessions_restore(struct sessions *s);
/* tunnel.serviceTunnels.enabled changed: services lose their routes, or those of deployed sessions
 * get them again (a session with an operation under way with its next one). */
void sessions_tunnels_changed(struct sessions *s);

/* NULL when there is none. */
struct session *sessions_find(const struct sessions *s, const char *name);
/* The session of the worktree, made when it is new. */
struct session *sessions_get(struct sessions *s, const struct worktree *wt);
struct deployment *session_deployment(const struct session *session);
const char *session_name(const struct session *session);

/* What a client asked for with `up`; all borrowed for the call. */
struct session_up_request {
    bool force;
    bool no_tunnel;
    const char *const *services; /* NULL-terminated, or NULL */
    const char *target;          /* or NULL */
    const struct template_argument *arguments;
    size_t argument_count;
    const char *const *env; /* NULL-terminated "K=V", or NULL */
    const char *head;       /* the worktree's commit, or NULL */
};

/* Start an operation; NULL with the error (ERR_BUSY: another one runs). */
struct operation *session_up(struct session *session, const struct session_up_request *request,
                             struct err *err);
/* Cancels an `up` that runs. */
struct operation *session_down(struct session *session, struct err *err);

/* Stops one service, or starts it anew. ERR_NOT_FOUND: none of that name was deployed. */
struct operation *session_service(struct session *session, const char *service, bool is_restart,
                                  struct err *err);
/* As session_down, as an operation of another kind. When everything has stopped, `then` is called
 * from the loop in place of the end: failure NULL, or why it could not be stopped. It, or what
 * it starts, must end in session_finish. `then` NULL: the operation ends there. */
typedef void session_then_fn(void *arg, const char *failure);
struct operation *session_down_then(struct session *session, const char *kind,
                                    session_then_fn *then, void *arg, struct err *err);
void session_finish(struct session *session, const char *failure);
/* Forgets the session, its routes and names; its files are the caller's. No operation runs. */
void sessions_drop(struct session *session);

struct daemon *session_daemon(const struct session *session);
/* By the worktree's root; NULL when there is none. */
struct session *sessions_find_root(const struct sessions *s, const char *root);
/* By name; the caller frees the array. */
size_t sessions_list(const struct sessions *s, struct session ***out_list);

/* session_json.c: the members of WorktreeDetail that the session knows (docs/API.md). */
void session_add_detail(const struct session *session, cJSON *detail);
/* The sessions array of `GET /status/all`, by name. */
cJSON *sessions_status_json(const struct sessions *s);
/* {"running","total"} of a SERVICE array. */
cJSON *session_summary_json(const cJSON *services);
/* SERVICE array, with resourceUsage; *out_total (may be NULL) gets the sum, or NULL. */
cJSON *session_services_json(const struct session *session, cJSON **out_total);

#endif
