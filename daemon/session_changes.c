/* session_changes: see session_changes.h. */
#include "daemon/session_changes.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/sessions.h"

struct session_view {
    const char *status; /* a constant */
    cJSON *summary;     /* owned: {"running","total"} */
    cJSON *services;    /* owned, and below: arrays of docs/API.md */
    cJSON *health;
    cJSON *tunnels;
};

struct session_view *session_view_new(const struct session *session, const struct publisher *p)
{
    const struct deployment *deployment = session_deployment(session);
    struct session_view *view = xcalloc(1, sizeof *view);
    view->status = deployment_status(deployment);
    view->services = deployment_services_json(deployment);
    view->summary = session_summary_json(view->services);
    view->health = deployment_health_json(deployment);
    view->tunnels = publisher_tunnels_json(p, session_name(session));
    return view;
}

void session_view_free(struct session_view *view)
{
    if (view == NULL) {
        return;
    }
    cJSON_Delete(view->summary);
    cJSON_Delete(view->services);
    cJSON_Delete(view->health);
    cJSON_Delete(view->tunnels);
    free(view);
}

/* The row of the same service (and container port, where rows have one), or NULL. */
static const cJSON *same_row(const cJSON *rows, const cJSON *row)
{
    const cJSON *other;
    cJSON_ArrayForEach(other, rows)
    {
        if (strcmp(json_get_str(other, "service", ""), json_get_str(row, "service", "")) == 0 &&
            json_get_int(other, "containerPort", 0) == json_get_int(row, "containerPort", 0)) {
            return other;
        }
    }
    return NULL;
}

static cJSON *event_new(const char *type)
{
    cJSON *event = cJSON_CreateObject();
    return json_add_str(event, "type", type);
}

/* An event that has the row's members. */
static void emit_row(struct events *events, const struct event_about *about, const char *type,
                     const cJSON *row)
{
    cJSON *event = event_new(type);
    const cJSON *member;
    cJSON_ArrayForEach(member, row)
    {
        if (strcmp(member->string, "type") != 0) {
            (void)cJSON_AddItemToObject(event, member->string, cJSON_Duplicate(member, true));
        }
    }
    events_emit(events, about, event);
}

static void compare_status(struct events *events, const struct event_about *about,
                           const struct session_view *before, const struct session_view *now)
{
    if (before != NULL && strcmp(before->status, now->status) == 0 &&
        cJSON_Compare(before->summary, now->summary, true)) {
        return;
    }
    cJSON *event = event_new("worktree.deployment-status.changed");
    (void)json_add_str(event, "sessionName", about->session);
    if (before != NULL) {
        (void)json_add_str(event, "previous", before->status);
        (void)cJSON_AddItemToObject(event, "previousSummary",
                                    cJSON_Duplicate(before->summary, true));
    }
    (void)json_add_str(event, "status", now->status);
    (void)cJSON_AddItemToObject(event, "summary", cJSON_Duplicate(now->summary, true));
    events_emit(events, about, event);
}

/* [{service, state, status?}] */
static cJSON *states_json(const cJSON *services)
{
    cJSON *out = cJSON_CreateArray();
    const cJSON *service;
    cJSON_ArrayForEach(service, services)
    {
        cJSON *row = cJSON_CreateObject();
        (void)json_add_str(row, "service", json_get_str(service, "service", ""));
        (void)json_add_str(row, "state", json_get_str(service, "state", ""));
        if (json_get_str(service, "status", NULL) != NULL) {
            (void)json_add_str(row, "status", json_get_str(service, "status", ""));
        }
        (void)cJSON_AddItemToArray(out, row);
    }
    return out;
}

static const char *service_event_type(const char *was, const char *is)
{
    if (strcmp(is, "running") == 0) {
        return "service.started";
    }
    if (strcmp(is, "exited") == 0 || strcmp(is, "dead") == 0) {
        return "service.crashed";
    }
    return strcmp(was, "running") == 0 || strcmp(is, "stopped") == 0 ? "service.stopped" : NULL;
}

static void compare_service(struct events *events, const struct event_about *about,
                            const cJSON *old, const cJSON *service)
{
    const char *was = json_get_str(old, "state", "");
    const char *is = json_get_str(service, "state", "");
    if (old == NULL) {
        emit_row(events, about, "service.discovered", service);
    }
    if (strcmp(was, is) == 0) {
        return;
    }
    const char *type = service_event_type(was, is);
    if (type != NULL) {
        emit_row(events, about, type, service);
    }
    if (old != NULL) {
        cJSON *event = event_new("service.state.changed");
        (void)json_add_str(event, "service", json_get_str(service, "service", ""));
        (void)json_add_str(event, "previous", was);
        (void)json_add_str(event, "state", is);
        events_emit(events, about, event);
    }
}

static void compare_services(struct events *events, const struct event_about *about,
                             const cJSON *before, const cJSON *now)
{
    autojson cJSON *old_states = states_json(before);
    autojson cJSON *states = states_json(now);
    if (cJSON_Compare(old_states, states, true)) {
        return;
    }
    const cJSON *service;
    cJSON_ArrayForEach(service, now)
    {
        compare_service(events, about, same_row(before, service), service);
    }
    cJSON_ArrayForEach(service, before)
    {
        if (same_row(now, service) == NULL) {
            emit_row(events, about, "service.removed", service);
        }
    }
    cJSON *event = event_new("compose.status.changed");
    if (before != NULL) {
        (void)cJSON_AddItemToObject(event, "previous", cJSON_Duplicate(old_states, true));
    }
    (void)cJSON_AddItemToObject(event, "current", cJSON_Duplicate(states, true));
    events_emit(events, about, event);
}

static void compare_health(struct events *events, const struct event_about *about,
                           const cJSON *before, const cJSON *now)
{
    const cJSON *row;
    cJSON_ArrayForEach(row, now)
    {
        const cJSON *old = same_row(before, row);
        if (old == NULL ||
            strcmp(json_get_str(old, "state", ""), json_get_str(row, "state", "")) != 0) {
            emit_row(events, about, "healthcheck.changed", row);
        }
    }
}

static bool has_other_port(const cJSON *old, const cJSON *row)
{
    return json_get_int(old, "hostPort", 0) != json_get_int(row, "hostPort", 0);
}

static void compare_tunnels(struct events *events, const struct event_about *about,
                            const cJSON *before, const cJSON *now)
{
    const cJSON *row;
    cJSON_ArrayForEach(row, now)
    {
        const cJSON *old = same_row(before, row);
        const char *was = json_get_str(old, "state", "");
        const char *is = json_get_str(row, "state", "");
        bool is_moved = strcmp(json_get_str(old, "url", ""), json_get_str(row, "url", "")) != 0;
        bool is_failed = strcmp(is, "failed") == 0;
        if (strcmp(was, is) != 0) {
            emit_row(events, about, is_failed ? "tunnel.failed" : "tunnel.opened", row);
        } else if (is_moved || has_other_port(old, row)) {
            emit_row(events, about, is_failed ? "tunnel.failed" : "tunnel.reset", row);
        }
    }
    cJSON_ArrayForEach(row, before)
    {
        if (same_row(now, row) == NULL) {
            emit_row(events, about, "tunnel.closed", row);
        }
    }
}

void session_view_compare(struct events *events, const struct event_about *about,
                          const struct session_view *before, const struct session_view *now)
{
    compare_services(events, about, before == NULL ? NULL : before->services, now->services);
    compare_health(events, about, before == NULL ? NULL : before->health, now->health);
    compare_tunnels(events, about, before == NULL ? NULL : before->tunnels, now->tunnels);
    compare_status(events, about, before, now);
}
