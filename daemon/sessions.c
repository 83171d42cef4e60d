/* sessions: see sessions.h. The API starts operations here; deployments call back from the
 * loop; the publisher answers when the routes are served. */
#include "daemon/sessions.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "daemon/changes.h"
#include "daemon/daemon.h"
#include "daemon/projects.h"
#include "daemon/sessions_private.h"
#include "daemon/store/store.h"
#include "daemon/terminal.h"

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
    changes_session(session->all->d->changes, session->name);
}

static void session_on_port_state(void *arg, const char *service, uint16_t container_port,
                                  enum route_state state)
{
    struct session *session = arg;
    CHECK(session->magic == SESSION_MAGIC);
    publisher_set_state(session->all->d->publisher, session->name, service, container_port, state);
    changes_session(session->all->d->changes, session->name);
}

/* --- operations ------------------------------------------------------------------ */

/* The steps during which routes are published already, in words for people. */
static void note_phase(struct session *session, const cJSON *event)
{
    static const char *const phases[][2] = {
        {"init-script", "init scripts"},
        {"compose-up", "starting services"},
        {"healthcheck", "health checks"},
    };
    const char *id = json_get_str(event, "id", "");
    if (strcmp(json_get_str(event, "type", ""), "step") != 0 ||
        strcmp(json_get_str(event, "state", ""), "running") != 0) {
        return;
    }
    for (size_t i = 0; i < COUNT_OF(phases); i++) {
        if (strcmp(id, phases[i][0]) == 0) {
            publisher_set_phase(session->all->d->publisher, session->name, phases[i][1]);
        }
    }
}

static void session_on_event(void *arg, const cJSON *event)
{
    struct session *session = arg;
    CHECK(session->magic == SESSION_MAGIC);
    note_phase(session, event);
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
    changes_session(session->all->d->changes, session->name);
}

/* A repository is known from its first deployment on. */
static void session_note_project(struct session *session)
{
    struct daemon *d = session->all->d;
    struct err err = {.msg = ""};
    bool is_new;
    const cJSON *project =
        projects_add(d->projects, deployment_worktree(session->deployment)->source, &is_new, &err);
    if (project == NULL) {
        log_warn("projects", "projects.json is not written", LOG_STR("error", err.msg));
    } else if (is_new) {
        changes_project(d->changes, "project.added", project);
    }
}

/* Done means that the next request finds it so. What could not be served was said already. */
static void session_on_served(void *arg, const char *error)
{
    (void)error;
    operation_finish(arg, NULL, NULL);
}

/* The down is told by its own operation. */
static void session_cancelled(const struct session *session, struct operation *op)
{
    bool is_up = strcmp(operation_kind(op), "up") == 0;
    log_info("session", "operation cancelled", LOG_STR("session", session->name),
             LOG_STR("kind", operation_kind(op)), LOG_STR("operation", operation_id(op)));
    operation_finish(op, OPERATION_CANCELLED,
                     is_up ? NULL : "cancelled: the deployment was stopped");
}

/* The words of the API that a command's exit code depends on. */
static const char *word_of(enum err_code code)
{
    return code == ERR_CONFIG ? "config-invalid" : code == ERR_USAGE ? "validation" : NULL;
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
    if (outcome == DEPLOYMENT_SUCCEEDED && strcmp(operation_kind(op), "up") == 0) {
        session_note_project(session);
    }
    if (session->then != NULL && outcome != DEPLOYMENT_CANCELLED) {
        session_then_fn *then = session->then;
        session->then = NULL;
        session->ops[0] = op;
        then(session->then_arg, is_failure ? message : NULL);
        return;
    }
    if (outcome == DEPLOYMENT_CANCELLED) {
        session_cancelled(session, op);
        return;
    }
    log_info("session", is_failure ? "operation failed" : "operation done",
             LOG_STR("session", session->name), LOG_STR("kind", operation_kind(op)),
             LOG_STR("operation", operation_id(op)),
             LOG_STR("error", is_failure && message != NULL ? message : ""));
    struct publisher *p = session->all->d->publisher;
    if (outcome == DEPLOYMENT_SUCCEEDED && publisher_serves_services(p)) {
        publisher_await(p, session_on_served, op);
        return;
    }
    const char *failure = message == NULL ? "it failed without saying why" : message;
    operation_finish(op, is_failure ? word_of(code) : NULL, is_failure ? failure : NULL);
}

static const struct deployment_ops session_deployment_ops = {
    .on_event = session_on_event,
    .on_publish = session_on_publish,
    .on_drop = session_on_drop,
    .on_port_state = session_on_port_state,
    .on_crash = session_on_crash,
    .on_done = session_on_done,
};

/* --- life --------------------------------------------------------------------------- */

/* One whose state cannot be read may have anything. */
static bool session_is_active(void *arg, const char *name)
{
    const struct session *session = sessions_find(arg, name);
    return session == NULL || deployment_is_active(session->deployment);
}

struct sessions *sessions_new(struct daemon *d)
{
    struct sessions *s = xcalloc(1, sizeof *s);
    s->d = d;
    s->env = (struct deployment_env){.loop = d->loop,
                                     .fetch = d->fetch,
                                     .home = d->home,
                                     .docker_events = docker_events_new(d->loop),
                                     .is_active = session_is_active,
                                     .arg = s};
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
    docker_events_free(s->env.docker_events);
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

struct daemon *session_daemon(const struct session *session)
{
    return session->all->d;
}

static int session_by_name(const void *a, const void *b)
{
    return strcmp((*(struct session *const *)a)->name, (*(struct session *const *)b)->name);
}

size_t sessions_list(const struct sessions *s, struct session ***out_list)
{
    struct session **rows = xcalloc(s->by_name.count + 1, sizeof(struct session *));
    size_t count = 0;
    size_t at = 0;
    const struct map_entry *entry;
    while ((entry = map_next(&s->by_name, &at)) != NULL) {
        rows[count++] = entry->value;
    }
    qsort(rows, count, sizeof *rows, session_by_name);
    *out_list = rows;
    return count;
}

struct session *sessions_find_root(const struct sessions *s, const char *root)
{
    size_t at = 0;
    const struct map_entry *entry;
    while ((entry = map_next(&s->by_name, &at)) != NULL) {
        const struct session *session = entry->value;
        if (strcmp(deployment_worktree(session->deployment)->root, root) == 0) {
            return entry->value;
        }
    }
    return NULL;
}

void sessions_drop(struct session *session)
{
    struct sessions *s = session->all;
    publisher_drop_routes(s->d->publisher, session->name);
    publisher_forget(s->d->publisher, session->name);
    changes_session_gone(s->d->changes, session->name);
    terminals_end_session(s->d->terminals, session->name);
    (void)map_del(&s->by_name, str_of(session->name));
    session_free(session);
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

/* A down that the last daemon did not end. */
static void session_go_on(struct session *session)
{
    struct err err = {.msg = ""};
    if (deployment_was_stopping(session->deployment) && session_down(session, &err) == NULL) {
        log_warn("session", "an interrupted down is not continued",
                 LOG_STR("session", session->name), LOG_STR("error", err.msg));
    }
}

void sessions_restore(struct sessions *s)
{
    struct health_settings health = session_health(s->d->config);
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
        const char *source = deployment_worktree(session->deployment)->source;
        if (deployment_is_initialised(session->deployment) &&
            projects_find_source(s->d->projects, source) == NULL) {
            session_note_project(session);
        }
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
        session_go_on(entry->value);
    }
}
