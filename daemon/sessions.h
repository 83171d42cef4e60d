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
    const struct deployment_argument *arguments;
    size_t argument_count;
    const char *const *env; /* NULL-terminated "K=V", or NULL */
};

/* Start an operation; NULL with the error (ERR_BUSY: another one runs). */
struct operation *session_up(struct session *session, const struct session_up_request *request,
                             struct err *err);
/* Cancels an `up` that runs. */
struct operation *session_down(struct session *session, struct err *err);

/* The members of WorktreeDetail that the session knows (docs/API.md). */
void session_add_detail(const struct session *session, cJSON *detail);
/* The sessions array of `GET /status/all`, by name. */
cJSON *sessions_status_json(const struct sessions *s);

#endif
