/* deployment: one session's services, from `up` to `down`.
 *
 * One object per session, made by the core when a session is first used
 * (deployment_new) or when the daemon starts (deployment_restore). At most one
 * operation runs at a time (the core keeps that rule; deployment_up and
 * _down return ERR_BUSY). `up` walks an array of steps; each ends by calling
 * the next from the loop. Everything is on the loop's thread, and all callbacks come
 * from the loop, never from inside a call of this header.
 *
 *     up:   on_event… → on_publish → (core) deployment_published → on_port_state…
 *           → on_done
 *     down: on_event… → on_drop → on_done
 *
 * Where services run already, both begin with an on_publish of their ports, as STARTING or
 * STOPPED: nothing is stopped before the core's answer, so that requests meet a clear 503.
 *
 * The daemon's end leaves services running: deployment_free lets them go
 * without a signal; they are found again by deployment_restore.
 */
#ifndef WOS_DAEMON_DEPLOY_DEPLOYMENT_H
#define WOS_DAEMON_DEPLOY_DEPLOYMENT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/fetch.h"
#include "base/loop.h"
#include "daemon/deploy/docker_events.h"
#include "daemon/deploy/health.h"
#include "daemon/deploy/manifest.h"
#include "daemon/deploy/template.h"
#include "daemon/deploy/worktree.h"
#include "routing/route.h"

struct deployment;

/* One declared port of a running (or starting) service. Strings borrowed for the call. */
struct deployment_port {
    const char *service;
    uint16_t container_port;        /* as declared in deploy.yaml */
    uint16_t host_port;             /* on the loopback */
    struct publish_options options; /* the whitelist is borrowed too */
    enum route_state state;
    /* In on_publish: the name given before to this (session, service, port),
     * or NULL. In deployment_published: the name and URL given, or NULL both
     * with `error` set; a private port gets its name and no URL. */
    const char *hostname;
    const char *url;
    const char *error;
};

enum deployment_outcome {
    DEPLOYMENT_SUCCEEDED,
    DEPLOYMENT_FAILED,
    DEPLOYMENT_CANCELLED, /* ended by a down */
};

struct deployment_ops {
    /* A DeploymentEvent {"type": "step" | "log" | …}; borrowed. */
    void (*on_event)(void *arg, const cJSON *event);
    /* Publish these ports (replacing what the session had), then answer with
     * deployment_published. Not called with --no-tunnel or without ports. */
    void (*on_publish)(void *arg, const struct deployment_port *ports, size_t count);
    /* Withdraw every route of the session. */
    void (*on_drop)(void *arg);
    /* A port's service became live, failing (health) or stopped (it exited):
     * also after `up`, as long as it runs. */
    void (*on_port_state)(void *arg, const char *service, uint16_t container_port,
                          enum route_state state);
    /* A service ended by itself after `up`; status text "exit 3". */
    void (*on_crash)(void *arg, const char *service, const char *status);
    /* The operation is over. message: NULL on success; else a sentence, which may
     * hold several lines (all problems of a deploy.yaml). code: ERR_CONFIG means exit 3,
     * ERR_USAGE 2. */
    void (*on_done)(void *arg, enum deployment_outcome outcome, enum err_code code,
                    const char *message);
};

/* What all deployments share; borrowed, must outlive them. */
struct deployment_env {
    struct loop *loop;
    struct fetch_client *fetch;
    const char *home;                    /* WOS_HOME */
    struct docker_events *docker_events; /* for the Docker modes */
    /* Has the session services that run, or an operation? NULL: all have. */
    bool (*is_active)(void *arg, const char *session);
    void *arg; /* of is_active */
};

/* Everything is copied by deployment_up. */
struct deployment_request {
    const char *operation_id; /* recorded in last-up-failure.json; may be NULL */
    bool force;
    bool no_tunnel;
    const char *const *services; /* NULL-terminated selection, or NULL: all */
    const char *target;          /* NULL, or a name in targets; not with services */
    const struct template_argument *arguments;
    size_t argument_count;
    const char *const *env; /* the caller's "K=V" list, or NULL: the daemon's */
    /* From config.json, read again for each operation. */
    struct health_settings health;
    const char *head;         /* the worktree's commit, kept as lastUpCommit, or NULL */
    const char *domain;       /* tunnel.domain when the tunnel is on, or NULL */
    const char *service_bind; /* serviceBind or NULL */
};

/* A session known from git. Loads the saved state if there is one. */
struct deployment *deployment_new(const struct deployment_env *env, const struct worktree *wt,
                                  const struct deployment_ops *ops, void *arg);
/* A session known from its state file alone, at daemon start: checks every recorded process
 * (pid and start time) and watches those that live. NULL with an error if the
 * directory holds no usable state. `health` is for the monitor. */
struct deployment *deployment_restore(const struct deployment_env *env, const char *session_name,
                                      const struct health_settings *health,
                                      const struct deployment_ops *ops, void *arg, struct err *err);
/* Stops watching; services go on. Cancels an operation without on_done. Not from
 * inside a callback: defer it. */
void deployment_free(struct deployment *d);

int deployment_up(struct deployment *d, const struct deployment_request *request, struct err *err);
/* Stops everything. During an up or a service's operation: cancels it first (its on_done comes
 * with CANCELLED, then the down's own on_done). Never deployed: succeeds at once. */
int deployment_down(struct deployment *d, struct err *err);
/* After deployment_restore: the last daemon died in the middle of a down. */
bool deployment_was_stopping(const struct deployment *d);
/* Stops one service of a deployment, or starts it anew, while the others go on; ends in on_done. A
 * mistake in deploy.yaml, or a file it needs that is missing, ends a restart before it stops
 * anything. Its environment is made as the last up made it, with the daemon's in place of the
 * caller's. ERR_NOT_FOUND: no such service; ERR_BUSY. */
struct deployment_service_request {
    const char *service;
    bool is_restart;
    const char *domain;       /* as in struct deployment_request */
    const char *service_bind; /* likewise */
};
bool deployment_is_active(const struct deployment *d); /* as in struct deployment_env */
bool deployment_has_service(const struct deployment *d, const char *service);
int deployment_service(struct deployment *d, const struct deployment_service_request *request,
                       struct err *err);
/* The core's answer to on_publish, entries found by service and container port.
 * A refused port does not fail the deployment. May also be called after a
 * restore, so that names and URLs are known again. */
void deployment_published(struct deployment *d, const struct deployment_port *ports, size_t count);

const struct worktree *deployment_worktree(const struct deployment *d);
/* True while an operation runs. */
bool deployment_is_busy(const struct deployment *d);
/* True when a deployment was ever initialised here. */
bool deployment_is_initialised(const struct deployment *d);
/* Ports of the current services, for publishing after a restore; the array is
 * malloc'ed (free it), its strings borrowed until the next call on d. */
size_t deployment_ports(const struct deployment *d, struct deployment_port **out_ports);
/* Whether the last up published routes (not --no-tunnel). */
bool deployment_wants_routes(const struct deployment *d);

/* "not_started", "pending", "checking", "running", "running_partial", "failed",
 * "stopped", "stopping": the rules of the contract. */
const char *deployment_status(const struct deployment *d);
/* [{service, state, status?, ports: [...], startedAt?, pid?}], sorted; caller frees. */
cJSON *deployment_services_json(const struct deployment *d);
/* The id of the service's container and, for the engine's machine, the pid of its first process;
 * NULL: it has none that runs. Borrowed until the loop goes on. */
const char *deployment_container(const struct deployment *d, const char *service, pid_t *out_pid);
/* [{service, containerPort, state, enabled, allowFailure, url, …}]; caller frees. */
cJSON *deployment_health_json(const struct deployment *d);
/* The state file as an object, or null; caller frees. */
cJSON *deployment_state_json(const struct deployment *d);
/* Up to ten last lines of the log that explains why the last up failed; caller frees. */
cJSON *deployment_failure_log_json(const struct deployment *d);
/* Absolute path of a service's log file; stream "stdout" or "stderr". malloc'ed. */
char *deployment_log_path(const struct deployment *d, const char *service, const char *stream);

#endif
