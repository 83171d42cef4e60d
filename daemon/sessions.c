/* sessions: see sessions.h. The API starts operations here; deployments call back from the
 * loop; the publisher answers when the routes are served. */
#include "daemon/sessions.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "daemon/daemon.h"
#include "daemon/store/store.h"

enum { SESSION_MAGIC = 0x73657373, OPS_MAX = 2 };

struct session {
    uint32_t magic;
    struct sessions *all;          /* borrowed: owner */
    char *name;                    /* owned */
    struct deployment *deployment; /* owned */
    /* Running operations in the order they end: an `up` that is being cancelled, then the
     * `down` that cancels it. Borrowed from the registry. */
    struct operation *ops[OPS_MAX];
    struct deployment_port *asked; /* owned: what on_publish wants answered; strings too */
    size_t asked_count;
};

struct sessions {
    struct daemon *d; /* borrowed */
    struct deployment_env env;
    struct map by_name; /* → struct session, owned */
};

/* --- publishing ---------------------------------------------------------------- */

static void asked_free(struct session *session)
{
    for (size_t i = 0; i < session->asked_count; i++) {
        struct deployment_port *port = &session->asked[i];
        publish_options_fini(&port->options);
        free((char *)(uintptr_t)port->service);
        free((char *)(uintptr_t)port->hostname);
        free((char *)(uintptr_t)port->url);
        free((char *)(uintptr_t)port->error);
    }
    free(session->asked);
    session->asked = NULL;
    session->asked_count = 0;
}

/* The name of one port: the one it had, or a new one. Sets hostname and url, or error. */
static void port_name(struct session *session, struct deployment_port *port, const char *before,
                      bool is_first)
{
    struct publisher *p = session->all->d->publisher;
    struct err err = {.msg = ""};
    const struct worktree *wt = deployment_worktree(session->deployment);
    if (before != NULL && publisher_keep_name(p, session->name, port->service, port->container_port,
                                              before, &err) < 0) {
        log_warn("publish", "a stored name cannot be used any more; giving a new one",
                 LOG_STR("session", session->name), LOG_STR("reason", err.msg));
    }
    char *host = publisher_name(p, session->name, wt->label, port->service, port->container_port,
                                is_first, &err);
    port->hostname = host;
    port->url = host == NULL || publisher_is_private(p, session->name, &port->options)
                    ? NULL
                    : publisher_url(p, host);
    port->error = host == NULL ? xstrdup(err.msg) : NULL;
}

/* Copies the ports and names each. */
static void asked_take(struct session *session, const struct deployment_port *ports, size_t count)
{
    asked_free(session);
    session->asked = xcalloc(count + 1, sizeof *session->asked);
    session->asked_count = count;
    bool has_names = publisher_serves_services(session->all->d->publisher);
    for (size_t i = 0; i < count; i++) {
        struct deployment_port *port = &session->asked[i];
        *port = ports[i];
        port->service = xstrdup(ports[i].service);
        publish_options_copy(&port->options, &ports[i].options);
        port->hostname = port->url = port->error = NULL;
        bool is_first = true;
        for (size_t k = 0; k < i; k++) {
            is_first = is_first && strcmp(ports[k].service, ports[i].service) != 0;
        }
        if (has_names) {
            port_name(session, port, ports[i].hostname, is_first);
        }
    }
}

static void asked_publish(struct session *session, publisher_done_fn *done)
{
    const struct worktree *wt = deployment_worktree(session->deployment);
    autofree struct publish_route *routes = xcalloc(session->asked_count + 1, sizeof *routes);
    size_t count = 0;
    for (size_t i = 0; i < session->asked_count; i++) {
        const struct deployment_port *port = &session->asked[i];
        if (port->hostname != NULL) {
            routes[count++] = (struct publish_route){
                .host = port->hostname,
                .worktree = wt->label,
                .service = port->service,
                .service_port = port->container_port,
                .port = port->host_port,
                .state = port->state,
                .options = port->options,
            };
        }
    }
    struct publisher *p = session->all->d->publisher;
    publisher_cancel(p, session);
    publisher_set_routes(p, session->name, routes, count, done, session);
}

/* Every worker serves the routes, or never will: the deployment goes on. */
static void session_on_published(void *arg, const char *error)
{
    struct session *session = arg;
    CHECK(session->magic == SESSION_MAGIC);
    bool has_names = publisher_serves_services(session->all->d->publisher);
    for (size_t i = 0; has_names && error != NULL && i < session->asked_count; i++) {
        struct deployment_port *port = &session->asked[i];
        free((char *)(uintptr_t)port->hostname);
        free((char *)(uintptr_t)port->url);
        port->hostname = port->url = NULL;
        if (port->error == NULL) {
            port->error = xstrdup(error);
        }
    }
    deployment_published(session->deployment, session->asked, session->asked_count);
    asked_free(session);
}

static void session_on_publish(void *arg, const struct deployment_port *ports, size_t count)
{
    struct session *session = arg;
    CHECK(session->magic == SESSION_MAGIC);
    asked_take(session, ports, count);
    asked_publish(session, session_on_published);
}

static void session_on_drop(void *arg)
{
    struct session *session = arg;
    CHECK(session->magic == SESSION_MAGIC);
    publisher_cancel(session->all->d->publisher, session);
    publisher_drop_routes(session->all->d->publisher, session->name);
}

static void session_on_port_state(void *arg, const char *service, uint16_t container_port,
                                  enum route_state state)
{
    struct session *session = arg;
    CHECK(session->magic == SESSION_MAGIC);
    publisher_set_state(session->all->d->publisher, session->name, service, container_port, state);
}

/* --- operations ------------------------------------------------------------------ */

static void session_on_event(void *arg, const cJSON *event)
{
    struct session *session = arg;
    CHECK(session->magic == SESSION_MAGIC);
    if (session->ops[0] != NULL) {
        operation_emit(session->ops[0], cJSON_Duplicate(event, true));
    }
}

static void session_on_crash(void *arg, const char *service, const char *status)
{
    struct session *session = arg;
    CHECK(session->magic == SESSION_MAGIC);
    log_warn("session", "a service ended by itself", LOG_STR("session", session->name),
             LOG_STR("service", service), LOG_STR("status", status));
}

static void session_on_done(void *arg, enum deployment_outcome outcome, enum err_code code,
                            const char *message)
{
    struct session *session = arg;
    CHECK(session->magic == SESSION_MAGIC);
    struct operation *op = session->ops[0];
    if (op == NULL) {
        return;
    }
    session->ops[0] = session->ops[1];
    session->ops[1] = NULL;
    bool is_failure = outcome == DEPLOYMENT_FAILED;
    log_info("session", is_failure ? "operation failed" : "operation done",
             LOG_STR("session", session->name), LOG_STR("kind", operation_kind(op)),
             LOG_STR("operation", operation_id(op)),
             LOG_STR("error", is_failure && message != NULL ? message : ""));
    const char *failure = message == NULL ? "it failed without saying why" : message;
    operation_finish(op, is_failure && code == ERR_CONFIG ? "config-invalid" : NULL,
                     is_failure ? failure : NULL);
}

static const struct deployment_ops session_deployment_ops = {
    .on_event = session_on_event,
    .on_publish = session_on_publish,
    .on_drop = session_on_drop,
    .on_port_state = session_on_port_state,
    .on_crash = session_on_crash,
    .on_done = session_on_done,
};

static struct health_settings health_of(const struct config *c)
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
        .health = health_of(fresh),
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

struct operation *session_down(struct session *session, struct err *err)
{
    struct operations *registry = session->all->d->operations;
    bool is_over_up = session->ops[0] != NULL && session->ops[1] == NULL &&
                      strcmp(operation_kind(session->ops[0]), "up") == 0;
    struct operation *op = is_over_up ? operation_begin_over(registry, "down", session->name)
                                      : operation_begin(registry, "down", session->name, err);
    if (op == NULL) {
        return NULL;
    }
    session->ops[is_over_up ? 1 : 0] = op;
    if (deployment_down(session->deployment, err) < 0) {
        session->ops[is_over_up ? 1 : 0] = NULL;
        operation_finish(op, NULL, err->msg);
        return NULL;
    }
    log_info("session", "operation started", LOG_STR("session", session->name),
             LOG_STR("kind", "down"), LOG_STR("operation", operation_id(op)));
    return op;
}

/* --- life --------------------------------------------------------------------------- */

struct sessions *sessions_new(struct daemon *d)
{
    struct sessions *s = xcalloc(1, sizeof *s);
    s->d = d;
    s->env = (struct deployment_env){.loop = d->loop, .fetch = d->fetch, .home = d->home};
    return s;
}

static void session_free(struct session *session)
{
    publisher_cancel(session->all->d->publisher, session);
    deployment_free(session->deployment);
    asked_free(session);
    free(session->name);
    session->magic = 0;
    free(session);
}

void sessions_free(struct sessions *s)
{
    if (s == NULL) {
        return;
    }
    size_t at = 0;
    const struct map_entry *entry;
    while ((entry = map_next(&s->by_name, &at)) != NULL) {
        session_free(entry->value);
    }
    map_fini(&s->by_name);
    free(s);
}

static struct session *session_new(struct sessions *s, const char *name)
{
    struct session *session = xcalloc(1, sizeof *session);
    session->magic = SESSION_MAGIC;
    session->all = s;
    session->name = xstrdup(name);
    return session;
}

struct session *sessions_find(const struct sessions *s, const char *name)
{
    return map_get(&s->by_name, str_of(name));
}

struct session *sessions_get(struct sessions *s, const struct worktree *wt)
{
    struct session *session = sessions_find(s, wt->session_name);
    if (session == NULL) {
        session = session_new(s, wt->session_name);
        session->deployment = deployment_new(&s->env, wt, &session_deployment_ops, session);
        (void)map_set(&s->by_name, str_of(session->name), session);
    }
    return session;
}

struct deployment *session_deployment(const struct session *session)
{
    return session->deployment;
}

const char *session_name(const struct session *session)
{
    return session->name;
}

/* --- restore -------------------------------------------------------------------------- */

/* Takes again every name the session's state holds: {"hostnames": {service: {"port": host}}}. */
static void session_keep_names(struct session *session)
{
    autojson cJSON *state = deployment_state_json(session->deployment);
    const cJSON *service;
    const cJSON *host;
    cJSON_ArrayForEach(service, json_get(state, "hostnames"))
    {
        cJSON_ArrayForEach(host, service)
        {
            uint16_t port;
            struct err err = {.msg = ""};
            if (cJSON_IsString(host) && host->string != NULL &&
                str_to_u16(str_of(host->string), &port) &&
                publisher_keep_name(session->all->d->publisher, session->name, service->string,
                                    port, host->valuestring, &err) < 0) {
                log_info("publish", "a stored name is not taken again",
                         LOG_STR("session", session->name), LOG_STR("reason", err.msg));
            }
        }
    }
}

static void session_publish_again(struct session *session)
{
    if (!deployment_wants_routes(session->deployment)) {
        return;
    }
    struct deployment_port *ports = NULL;
    size_t count = deployment_ports(session->deployment, &ports);
    if (count > 0) {
        asked_take(session, ports, count);
        asked_publish(session, NULL);
        asked_free(session);
        log_info("session", "restored", LOG_STR("session", session->name), LOG_INT("ports", count));
    }
    free(ports);
}

void sessions_tunnels_changed(struct sessions *s)
{
    struct publisher *p = s->d->publisher;
    size_t at = 0;
    const struct map_entry *entry;
    while ((entry = map_next(&s->by_name, &at)) != NULL) {
        struct session *session = entry->value;
        if (!publisher_serves_services(p)) {
            publisher_drop_routes(p, session->name);
        } else if (!deployment_is_busy(session->deployment) &&
                   strcmp(deployment_status(session->deployment), "stopped") != 0) {
            session_publish_again(session);
        }
    }
}

void sessions_restore(struct sessions *s)
{
    struct health_settings health = health_of(s->d->config);
    char **names = store_list(s->d->home);
    for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
        struct err err = {.msg = ""};
        struct session *session = session_new(s, names[i]);
        session->deployment =
            deployment_restore(&s->env, names[i], &health, &session_deployment_ops, session, &err);
        if (session->deployment == NULL) {
            log_warn("session", "cannot be restored", LOG_STR("session", names[i]),
                     LOG_STR("error", err.msg));
            session_free(session);
            continue;
        }
        (void)map_set(&s->by_name, str_of(session->name), session);
    }
    store_names_free(names);
    /* All old names first: nobody gets a new one that was another's. */
    size_t at = 0;
    const struct map_entry *entry;
    while ((entry = map_next(&s->by_name, &at)) != NULL) {
        session_keep_names(entry->value);
    }
    at = 0;
    while ((entry = map_next(&s->by_name, &at)) != NULL) {
        session_publish_again(entry->value);
    }
}

/* --- for people ------------------------------------------------------------------------ */

static void add_operations(const struct session *session, cJSON *out)
{
    const struct operations *registry = session->all->d->operations;
    const struct operation *active = operations_active(registry, session->name);
    const struct operation *latest = operations_latest(registry, session->name);
    if (active != NULL) {
        (void)cJSON_AddItemToObject(out, "activeOperation", operation_json(active));
    }
    if (latest != NULL) {
        (void)cJSON_AddItemToObject(out, "latestOperation", operation_json(latest));
    }
}

/* {"running","total"} of a SERVICE array. */
static cJSON *summary_json(const cJSON *services)
{
    int64_t running = 0;
    const cJSON *service;
    cJSON_ArrayForEach(service, services)
    {
        running += strcmp(json_get_str(service, "state", ""), "running") == 0 ? 1 : 0;
    }
    cJSON *out = cJSON_CreateObject();
    (void)json_add_int(out, "running", running);
    return json_add_int(out, "total", cJSON_GetArraySize(services));
}

static void add_failure(const struct session *session, cJSON *detail)
{
    const cJSON *latest = json_get(detail, "latestOperation");
    cJSON *failure = NULL;
    if (strcmp(json_get_str(latest, "status", ""), "failed") == 0) {
        failure = cJSON_CreateObject();
        (void)json_add_str(failure, "operationId", json_get_str(latest, "operationId", ""));
        (void)json_add_str(failure, "kind", json_get_str(latest, "kind", ""));
        (void)json_add_str(failure, "message", json_get_str(latest, "failureMessage", ""));
    } else if (latest == NULL) {
        autojson cJSON *stored = store_load_failure(session->all->d->home, session->name);
        if (stored != NULL) {
            failure = cJSON_CreateObject();
            (void)json_add_str(failure, "kind", "up");
            (void)json_add_str(failure, "message", json_get_str(stored, "message", ""));
        }
    }
    if (failure != NULL) {
        (void)cJSON_AddItemToObject(failure, "logTail",
                                    deployment_failure_log_json(session->deployment));
        (void)cJSON_AddItemToObject(detail, "failureContext", failure);
    }
}

void session_add_detail(const struct session *session, cJSON *detail)
{
    const struct deployment *deployment = session->deployment;
    const struct worktree *wt = deployment_worktree(deployment);
    cJSON *worktree = cJSON_AddObjectToObject(detail, "worktree");
    (void)json_add_str(worktree, "path", wt->root);
    (void)json_add_str(worktree, "sessionName", session->name);
    (void)json_add_str(worktree, "status", deployment_status(deployment));
    (void)json_add_str(detail, "projectName", wt->project_name);
    (void)cJSON_AddItemToObject(detail, "state", deployment_state_json(deployment));
    cJSON *services = deployment_services_json(deployment);
    (void)cJSON_AddItemToObject(detail, "services", services);
    (void)cJSON_AddItemToObject(detail, "serviceSummary", summary_json(services));
    (void)cJSON_AddItemToObject(detail, "appPortHealthchecks", deployment_health_json(deployment));
    (void)cJSON_AddItemToObject(detail, "tunnels",
                                publisher_tunnels_json(session->all->d->publisher, session->name));
    add_operations(session, detail);
    add_failure(session, detail);
}

static cJSON *session_status_json(const struct session *session)
{
    const struct worktree *wt = deployment_worktree(session->deployment);
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "sessionName", session->name);
    (void)json_add_str(out, "worktreePath", wt->root);
    (void)json_add_str(out, "projectName", wt->project_name);
    (void)json_add_str(out, "status", deployment_status(session->deployment));
    (void)cJSON_AddItemToObject(out, "services", deployment_services_json(session->deployment));
    (void)cJSON_AddItemToObject(out, "tunnels",
                                publisher_tunnels_json(session->all->d->publisher, session->name));
    add_operations(session, out);
    return out;
}

static int session_by_name(const void *a, const void *b)
{
    return strcmp((*(struct session *const *)a)->name, (*(struct session *const *)b)->name);
}

cJSON *sessions_status_json(const struct sessions *s)
{
    autofree struct session **rows = xcalloc(s->by_name.count + 1, sizeof(struct session *));
    size_t count = 0;
    size_t at = 0;
    const struct map_entry *entry;
    while ((entry = map_next(&s->by_name, &at)) != NULL) {
        rows[count++] = entry->value;
    }
    qsort(rows, count, sizeof *rows, session_by_name);
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < count; i++) {
        (void)cJSON_AddItemToArray(list, session_status_json(rows[i]));
    }
    return list;
}
