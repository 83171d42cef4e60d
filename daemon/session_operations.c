/* session_operations: the operations of a session, begun here for the API (sessions.h); they end in
 * sessions.c, when the deployment says so. The daemon's loop. */
#include <string.h>

#include "base/auto.h"
#include "base/log.h"
#include "daemon/sessions_private.h"

struct health_settings session_health(const struct config *c)
{
    return (struct health_settings){
        .timeout_ms = c->health_timeout_ms,
        .start_period_ms = c->health_start_period_ms,
        .start_period_set = true,
        .interval_ms = c->health_interval_ms,
        .request_timeout_ms = c->health_request_timeout_ms,
        .retries = c->health_retries,
    };
}

struct operation *session_up(struct session *session, const struct session_up_request *request,
                             struct err *err)
{
    struct daemon *d = session->all->d;
    struct operation *op = operation_begin(d->operations, "up", session->name, err);
    if (op == NULL) {
        return NULL;
    }
    /* The health defaults and serviceBind may have changed since the start. */
    struct config *fresh = config_load(d->home);
    struct deployment_request up = {
        .operation_id = operation_id(op),
        .force = request->force,
        .no_tunnel = request->no_tunnel,
        .services = request->services,
        .target = request->target,
        .arguments = request->arguments,
        .argument_count = request->argument_count,
        .env = request->env,
        .health = session_health(fresh),
        .head = request->head,
        .domain = publisher_is_enabled(d->publisher) ? d->config->tunnel_domain : NULL,
        .service_bind = fresh->service_bind,
    };
    session->ops[0] = op;
    int rc = deployment_up(session->deployment, &up, err);
    config_free(fresh);
    if (rc < 0) {
        session->ops[0] = NULL;
        operation_finish(op, NULL, err->msg);
        return NULL;
    }
    log_info("session", "operation started", LOG_STR("session", session->name),
             LOG_STR("kind", "up"), LOG_STR("operation", operation_id(op)));
    return op;
}

/* What a down does not wait for. */
static bool gives_way(const struct operation *op)
{
    return strcmp(operation_kind(op), "up") == 0 ||
           strncmp(operation_kind(op), "service-", strlen("service-")) == 0;
}

/* Its work is done; the workers of the gateway are still to say that they serve the result. */
static bool session_is_settling(const struct session *session)
{
    const struct operation *op = operations_active(session->all->d->operations, session->name);
    return session->ops[0] == NULL && op != NULL && gives_way(op);
}

/* Begins the operation in its place: after the one that it cancels. */
static struct operation *session_begin_down(struct session *session, const char *kind,
                                            size_t *out_place, struct err *err)
{
    struct operations *registry = session->all->d->operations;
    bool is_first =
        session->ops[0] != NULL && session->ops[1] == NULL && gives_way(session->ops[0]);
    bool is_over = is_first || session_is_settling(session);
    struct operation *op = is_over ? operation_begin_over(registry, kind, session->name)
                                   : operation_begin(registry, kind, session->name, err);
    *out_place = is_first ? 1 : 0;
    return op;
}

struct operation *session_down_then(struct session *session, const char *kind,
                                    session_then_fn *then, void *arg, struct err *err)
{
    size_t place;
    struct operation *op = session_begin_down(session, kind, &place, err);
    if (op == NULL) {
        return NULL;
    }
    session->ops[place] = op;
    session->then = then;
    session->then_arg = arg;
    if (deployment_down(session->deployment, err) < 0) {
        session->ops[place] = NULL;
        session->then = NULL;
        operation_finish(op, NULL, err->msg);
        return NULL;
    }
    log_info("session", "operation started", LOG_STR("session", session->name),
             LOG_STR("kind", kind), LOG_STR("operation", operation_id(op)));
    return op;
}

struct operation *session_down(struct session *session, struct err *err)
{
    return session_down_then(session, "down", NULL, NULL, err);
}

struct operation *session_service(struct session *session, const char *service, bool is_restart,
                                  struct err *err)
{
    struct daemon *d = session->all->d;
    const char *kind = is_restart ? "service-restart" : "service-stop";
    if (!deployment_has_service(session->deployment, service)) {
        (void)err_set(err, ERR_NOT_FOUND, "no service named %s was deployed", service);
        return NULL;
    }
    struct operation *op = operation_begin(d->operations, kind, session->name, err);
    if (op == NULL) {
        return NULL;
    }
    struct config *fresh = config_load(d->home);
    const struct deployment_service_request request = {
        .service = service,
        .is_restart = is_restart,
        .domain = publisher_is_enabled(d->publisher) ? d->config->tunnel_domain : NULL,
        .service_bind = fresh->service_bind,
    };
    session->ops[0] = op;
    int rc = deployment_service(session->deployment, &request, err);
    config_free(fresh);
    if (rc < 0) {
        session->ops[0] = NULL;
        operation_finish(op, NULL, err->msg);
        return NULL;
    }
    return op;
}

void session_finish(struct session *session, const char *failure)
{
    struct operation *op = session->ops[0];
    session->ops[0] = NULL;
    log_info("session", failure == NULL ? "operation done" : "operation failed",
             LOG_STR("session", session->name), LOG_STR("kind", operation_kind(op)),
             LOG_STR("error", failure == NULL ? "" : failure));
    operation_finish(op, NULL, failure);
}
