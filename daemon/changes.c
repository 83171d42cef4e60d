/* changes: see changes.h. Told by sessions.c, daemon.c and the API. */
#include "daemon/changes.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "base/map.h"
#include "daemon/certkeeper.h"
#include "daemon/certsource.h"
#include "daemon/channel_logs.h"
#include "daemon/daemon.h"
#include "daemon/events.h"
#include "daemon/projects.h"
#include "daemon/session_changes.h"
#include "daemon/sessions.h"
#include "daemon/statuses.h"
#include "daemon/worktree_seen.h"

enum { CHANGES_MAGIC = 0x6368616e };

struct changes {
    uint32_t magic;
    struct daemon *d;           /* borrowed */
    struct worktree_seen *seen; /* owned */
    struct map sessions;        /* → struct session_view, owned */
    struct map due;             /* names to look at; the values are the views, or this */
    bool certificate_is_due;
    bool tunnels_are_due;
    struct loop_timer timer;
    cJSON *tunnel_certificate; /* owned; NULL: not looked at yet */
    cJSON *web_certificate;    /* the same */
};

/* --- operations ----------------------------------------------------------------------- */

/* The event type that stands for a DeploymentEvent's, or NULL. */
static const char *deployment_type(const char *type)
{
    static const struct {
        const char *from;
        const char *to;
    } types[] = {
        {"step", "deployment.step"},
        {"retry", "deployment.retry"},
        {"healthcheck-attempt", "deployment.healthcheck-attempt"},
        {"volume-clone", "deployment.volume-clone"},
        {"services-discovered", "deployment.services-discovered"},
        {"complete", "deployment.completed"},
        {"failure", "deployment.failed"},
        {"log", "log.appended"},
    };
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        if (strcmp(types[i].from, type) == 0) {
            return types[i].to;
        }
    }
    return NULL;
}

static struct event_about about_session(const struct changes *c, const char *name)
{
    struct event_about about = {.session = name};
    const struct session *session =
        c->d->sessions == NULL ? NULL : sessions_find(c->d->sessions, name);
    if (session != NULL) {
        const struct worktree *wt = deployment_worktree(session_deployment(session));
        about.worktree_path = wt->root;
        about.project_id =
            c->d->projects == NULL ? NULL : projects_id_of(c->d->projects, wt->source);
    }
    return about;
}

static void operation_life(struct changes *c, const struct operation *op)
{
    struct event_about about = about_session(c, operation_session(op));
    about.operation_id = operation_id(op);
    cJSON *metadata = operation_json(op);
    const char *status = json_get_str(metadata, "status", "");
    cJSON *event = cJSON_CreateObject();
    (void)json_add_str(event, "type",
                       !operation_is_finished(op)         ? "operation.started"
                       : strcmp(status, "succeeded") == 0 ? "operation.finished"
                                                          : "operation.failed");
    (void)cJSON_AddItemToObject(event, "operation", metadata);
    events_emit(c->d->events, &about, event);
    changes_session(c, operation_session(op));
}

static void changes_on_operation(void *arg, const struct operation *op, const cJSON *event)
{
    struct changes *c = arg;
    CHECK(c->magic == CHANGES_MAGIC);
    if (event == NULL) {
        operation_life(c, op);
        return;
    }
    const char *type = deployment_type(json_get_str(event, "type", ""));
    if (type == NULL) {
        return;
    }
    struct event_about about = about_session(c, operation_session(op));
    about.operation_id = operation_id(op);
    cJSON *copy = cJSON_Duplicate(event, true);
    (void)cJSON_ReplaceItemInObjectCaseSensitive(copy, "type", cJSON_CreateString(type));
    if (strcmp(type, "log.appended") == 0) {
        (void)json_add_str(copy, "sessionName", operation_session(op));
        channel_logs_add(c->d->channel_logs, operation_session(op),
                         json_get_str(event, "channel", "deployment"),
                         json_get_str(event, "stream", "stdout"), json_get_str(event, "chunk", ""));
    } else {
        changes_session(c, operation_session(op));
    }
    events_emit(c->d->events, &about, copy);
}

/* --- looks ------------------------------------------------------------------------------- */

static void look_at_session(struct changes *c, const char *name)
{
    const struct session *session = sessions_find(c->d->sessions, name);
    if (session == NULL) {
        return;
    }
    struct session_view *before = map_get(&c->sessions, str_of(name));
    struct session_view *now = session_view_new(session, c->d->publisher);
    struct event_about about = about_session(c, name);
    session_view_compare(c->d->events, &about, before, now);
    session_view_free(map_set(&c->sessions, str_of(name), now));
}

static cJSON *certificate_event(const char *type, const cJSON *now)
{
    cJSON *event = cJSON_CreateObject();
    (void)json_add_str(event, "type", type);
    (void)json_add_str(event, "listenerKind", json_get_str(now, "listenerKind", "tunnel"));
    (void)json_add_str(event, "source", json_get_str(now, "source", "disabled"));
    const cJSON *names = json_get(now, "names");
    (void)cJSON_AddItemToObject(event, "hostnames",
                                names == NULL ? cJSON_CreateArray() : cJSON_Duplicate(names, true));
    if (json_get_str(now, "notAfter", NULL) != NULL) {
        (void)json_add_str(event, "notAfter", json_get_str(now, "notAfter", ""));
    }
    return event;
}

/* Another certificate than at the last look is served. */
static void tell_served(struct changes *c, const char *was, const cJSON *now, bool was_issued)
{
    autofree char *at = time_text(clock_wall_ms());
    if (*was != '\0') {
        events_emit(c->d->events, NULL, certificate_event("certificate.renewed", now));
    } else if (was_issued) {
        events_emit(c->d->events, NULL, certificate_event("certificate.issued", now));
    }
    cJSON *event = certificate_event("certificate.activated", now);
    (void)json_add_str(event, "activatedAt", at);
    events_emit(c->d->events, NULL, event);
}

/* A listener's, from files or the local CA; certjobs tells of those that a CA gives. */
static void look_at_certificate(struct changes *c, const char *kind, cJSON **seen)
{
    if (certkeeper_renewer(c->d->certkeeper, kind) != NULL) {
        return;
    }
    cJSON *now = certkeeper_json(c->d->certkeeper, kind);
    const char *was = json_get_str(*seen, "fingerprint", "");
    const char *is = json_get_str(now, "fingerprint", "");
    if (*is != '\0' && strcmp(was, is) != 0) {
        const struct certsource *source = certkeeper_source(c->d->certkeeper, kind);
        tell_served(c, was, now, certsource_has_issued(source));
    }
    const cJSON *error = json_get(now, "lastError");
    if (error != NULL && !cJSON_Compare(error, json_get(*seen, "lastError"), true)) {
        cJSON *event = certificate_event("certificate.failed", now);
        (void)json_add_str(event, "phase", json_get_str(error, "phase", ""));
        (void)json_add_str(event, "message", json_get_str(error, "message", ""));
        events_emit(c->d->events, NULL, event);
    }
    cJSON_Delete(*seen);
    *seen = now;
}

/* Every session is to be looked at. */
static void all_are_due(struct changes *c)
{
    autofree struct session **all = NULL;
    size_t count = sessions_list(c->d->sessions, &all);
    for (size_t i = 0; i < count; i++) {
        (void)map_set(&c->due, str_of(session_name(all[i])), c);
    }
}

static void changes_look(void *arg)
{
    struct changes *c = arg;
    CHECK(c->magic == CHANGES_MAGIC);
    if (c->certificate_is_due) {
        c->certificate_is_due = false;
        look_at_certificate(c, "tunnel", &c->tunnel_certificate);
        look_at_certificate(c, "web", &c->web_certificate);
    }
    if (c->tunnels_are_due && c->d->sessions != NULL) {
        c->tunnels_are_due = false;
        all_are_due(c);
    }
    struct map due = c->due;
    c->due = (struct map){0};
    size_t at = 0;
    const struct map_entry *entry;
    while (c->d->sessions != NULL && (entry = map_next(&due, &at)) != NULL) {
        look_at_session(c, entry->key);
    }
    map_fini(&due);
}

static void look_later(struct changes *c)
{
    if (!loop_timer_is_set(&c->timer)) {
        loop_timer_set(&c->timer, 0);
    }
}

void changes_session(struct changes *c, const char *session)
{
    if (c != NULL) {
        (void)map_set(&c->due, str_of(session), c);
        look_later(c);
    }
}

void changes_tunnels(struct changes *c)
{
    c->tunnels_are_due = true;
    look_later(c);
}

/* One tunnel.dropped for each name the session had. */
static void tell_dropped(struct changes *c, const char *name)
{
    const struct session *session = sessions_find(c->d->sessions, name);
    if (session == NULL) {
        return;
    }
    struct event_about about = about_session(c, name);
    autojson cJSON *state = deployment_state_json(session_deployment(session));
    const cJSON *service;
    const cJSON *host;
    cJSON_ArrayForEach(service, json_get(state, "hostnames"))
    {
        cJSON_ArrayForEach(host, service)
        {
            uint16_t port;
            if (cJSON_IsString(host) && str_to_u16(str_of(host->string), &port)) {
                cJSON *event = cJSON_CreateObject();
                (void)json_add_str(event, "type", "tunnel.dropped");
                (void)json_add_str(event, "service", service->string);
                (void)json_add_int(event, "containerPort", port);
                (void)json_add_str(event, "hostname", host->valuestring);
                events_emit(c->d->events, &about, event);
            }
        }
    }
}

void changes_session_gone(struct changes *c, const char *session)
{
    if (c != NULL) {
        tell_dropped(c, session);
        (void)map_del(&c->due, str_of(session));
        session_view_free(map_del(&c->sessions, str_of(session)));
        channel_logs_forget(c->d->channel_logs, session);
    }
}

void changes_certificate(struct changes *c)
{
    if (c != NULL) {
        c->certificate_is_due = true;
        look_later(c);
    }
}

/* --- told ---------------------------------------------------------------------------------- */

void changes_config(struct changes *c, const cJSON *restart_keys)
{
    cJSON *event = cJSON_CreateObject();
    (void)json_add_str(event, "type", "config.changed");
    (void)json_add_bool(event, "restartRequired", cJSON_GetArraySize(restart_keys) > 0);
    (void)cJSON_AddItemToObject(event, "restartKeys", cJSON_Duplicate(restart_keys, true));
    events_emit(c->d->events, NULL, event);
    changes_certificate(c);
}

void changes_project(struct changes *c, const char *type, const cJSON *project)
{
    cJSON *event = cJSON_CreateObject();
    (void)json_add_str(event, "type", type);
    (void)cJSON_AddItemToObject(event, "project", cJSON_Duplicate(project, true));
    const struct event_about about = {.project_id = json_get_str(project, "id", NULL)};
    events_emit(c->d->events, &about, event);
    if (strcmp(type, "project.removed") == 0) {
        worktree_seen_forget(c->seen, json_get_str(project, "id", ""));
    }
}

void changes_statuses(struct changes *c)
{
    cJSON *event = cJSON_CreateObject();
    (void)json_add_str(event, "type", "status.catalog.changed");
    (void)cJSON_AddItemToObject(event, "statuses",
                                cJSON_Duplicate(statuses_list(c->d->statuses), true));
    events_emit(c->d->events, NULL, event);
}

void changes_conflict(struct changes *c, const struct operation *active)
{
    struct event_about about = about_session(c, operation_session(active));
    about.operation_id = operation_id(active);
    cJSON *event = cJSON_CreateObject();
    (void)json_add_str(event, "type", "operation.conflict");
    (void)cJSON_AddItemToObject(event, "operation", operation_json(active));
    events_emit(c->d->events, &about, event);
}

void changes_worktree(struct changes *c, const char *type, const char *project_id,
                      const char *session, const char *path)
{
    cJSON *event = cJSON_CreateObject();
    (void)json_add_str(event, "type", type);
    (void)json_add_str(event, "path", path);
    const struct event_about about = {
        .project_id = project_id, .session = session, .worktree_path = path};
    events_emit(c->d->events, &about, event);
    bool is_made = strcmp(type, "worktree.created") == 0;
    if (project_id != NULL && (is_made || strcmp(type, "worktree.removed") == 0)) {
        worktree_seen_note(c->seen, project_id, path, is_made);
    }
}

/* Of changes_worktrees. */
struct listing {
    struct changes *c;
    const char *project_id;
};

static void changes_on_news(void *arg, const char *path, bool is_new)
{
    const struct listing *listing = arg;
    changes_worktree(listing->c, is_new ? "worktree.added" : "worktree.removed",
                     listing->project_id, NULL, path);
}

void changes_worktrees(struct changes *c, const char *project_id, struct str porcelain)
{
    struct listing listing = {c, project_id};
    worktree_seen_look(c->seen, project_id, porcelain, changes_on_news, &listing);
}

/* --- life ------------------------------------------------------------------------------------ */

struct changes *changes_new(struct daemon *d)
{
    struct changes *c = xcalloc(1, sizeof *c);
    c->magic = CHANGES_MAGIC;
    c->d = d;
    c->seen = worktree_seen_new();
    loop_timer_init(&c->timer, d->loop, changes_look, c);
    operations_observe(d->operations, changes_on_operation, c);
    return c;
}

void changes_free(struct changes *c)
{
    if (c == NULL) {
        return;
    }
    operations_observe(c->d->operations, NULL, NULL);
    loop_timer_fini(&c->timer);
    size_t at = 0;
    const struct map_entry *entry;
    while ((entry = map_next(&c->sessions, &at)) != NULL) {
        session_view_free(entry->value);
    }
    map_fini(&c->sessions);
    map_fini(&c->due);
    cJSON_Delete(c->tunnel_certificate);
    cJSON_Delete(c->web_certificate);
    worktree_seen_free(c->seen);
    c->magic = 0;
    free(c);
}
