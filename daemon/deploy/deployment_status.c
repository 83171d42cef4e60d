/* deployment_status: what a deployment looks like from outside, as JSON. Called by
 * the core for status and lists; loop thread. */
#include <stdlib.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/deploy/deployment_internal.h"

static const char *service_state_name(const struct service_run *s)
{
    switch (s->state) {
    case SERVICE_CREATED:
        return "created";
    case SERVICE_RUNNING:
        return "running";
    case SERVICE_STOPPING:
        return "stopping";
    case SERVICE_STOPPED:
        return "stopped";
    case SERVICE_EXITED:
        return "exited";
    case SERVICE_RESTARTING:
        return "restarting";
    case SERVICE_PAUSED:
        return "paused";
    case SERVICE_UNKNOWN:
        return "unknown";
    }
    return "unknown";
}

static const char *status_of_services(const struct deployment *d)
{
    size_t running = 0;
    size_t failed = 0;
    size_t counted = 0;
    size_t unknown = 0;
    bool unhealthy = false;
    for (size_t i = 0; i < d->service_count; i++) {
        const struct service_run *s = d->services[i];
        if (service_is_done(s)) {
            continue;
        }
        counted++;
        running += s->state == SERVICE_RUNNING;
        failed += s->state == SERVICE_EXITED;
        unknown += s->state == SERVICE_UNKNOWN;
        for (size_t j = 0; j < s->port_count; j++) {
            const struct port_run *p = &s->ports[j];
            unhealthy =
                unhealthy || (p->check_enabled && !p->allow_failure && p->health != HEALTH_HEALTHY);
        }
    }
    if (unknown > 0 && unknown == counted) {
        return "unknown";
    }
    if (running == 0) {
        if (failed > 0) {
            return "failed";
        }
        return counted == 0 && d->service_count > 0 ? "running" : "stopped";
    }
    return running < counted || unhealthy ? "running_partial" : "running";
}

const char *deployment_status(const struct deployment *d)
{
    if (d->is_down) {
        return d->initialised ? "stopping" : "not_started";
    }
    if (d->action != NULL) {
        return service_action_status(d);
    }
    if (d->up != NULL) {
        return d->initialised && d->up->services_started ? "checking" : "pending";
    }
    bool runs = false; /* also when the daemon died in the middle of the first up */
    for (size_t i = 0; i < d->service_count; i++) {
        runs = runs || service_is_running(d->services[i]);
    }
    if (!d->initialised && !runs) {
        return d->failed_before ? "failed" : "not_started";
    }
    return status_of_services(d);
}

/* A container that does not run publishes nothing: its host ports may be somebody else's. */
static bool is_published(const struct service_run *s)
{
    bool is_over = s->state == SERVICE_EXITED || s->state == SERVICE_STOPPED;
    return s->deployment->mode == MANIFEST_SHELL || !is_over;
}

static cJSON *service_ports_json(const struct service_run *s)
{
    cJSON *ports = cJSON_CreateArray();
    for (size_t i = 0; is_published(s) && i < s->port_count; i++) {
        cJSON *port = cJSON_CreateObject();
        json_add_int(port, "containerPort", s->ports[i].container_port);
        json_add_int(port, "hostPort", s->ports[i].host_port);
        json_add_str(port, "hostIp", "127.0.0.1");
        json_add_str(port, "protocol", "tcp");
        if (s->ports[i].options.backend != BACKEND_HTTP) {
            json_add_str(port, "backend", route_backend_name(s->ports[i].options.backend));
        }
        cJSON_AddItemToArray(ports, port);
    }
    return ports;
}

cJSON *deployment_services_json(const struct deployment *d)
{
    cJSON *services = cJSON_CreateArray();
    for (size_t i = 0; i < d->service_count; i++) {
        const struct service_run *s = d->services[i];
        cJSON *service = cJSON_CreateObject();
        json_add_str(service, "service", s->name);
        json_add_str(service, "state", service_state_name(s));
        if (s->state == SERVICE_EXITED || service_is_done(s)) {
            char text[64];
            json_add_str(service, "status", subprocess_status_text(s->status, text, sizeof(text)));
        }
        cJSON_AddItemToObject(service, "ports", service_ports_json(s));
        if (s->started_at != NULL) {
            json_add_str(service, "startedAt", s->started_at);
        }
        if (s->state == SERVICE_RUNNING && s->pid != 0) {
            json_add_int(service, "pid", s->pid);
        }
        if (s->container != NULL) {
            json_add_int(service, "restartCount", s->restart_count);
        }
        cJSON_AddItemToArray(services, service);
    }
    return services;
}

static const char *health_state_name(const struct port_run *p)
{
    if (!p->check_enabled) {
        return "disabled";
    }
    if (p->health == HEALTH_HEALTHY) {
        return "healthy";
    }
    if (p->health == HEALTH_WAITING) {
        return "waiting";
    }
    return p->allow_failure ? "failed-allowed" : "failed";
}

static cJSON *port_health_json(const struct port_run *p)
{
    cJSON *row = cJSON_CreateObject();
    json_add_str(row, "service", p->service->name);
    json_add_int(row, "containerPort", p->container_port);
    json_add_str(row, "state", health_state_name(p));
    json_add_bool(row, "enabled", p->check_enabled);
    json_add_bool(row, "allowFailure", p->allow_failure);
    if (!p->check_enabled) {
        return row;
    }
    autofree char *url =
        xasprintf("%s://localhost:%u%s", publish_backend_scheme(p->options.backend),
                  (unsigned)p->host_port, p->path);
    json_add_str(row, "url", url);
    if (p->expect != 0) {
        json_add_int(row, "expectedStatus", p->expect);
    }
    if (p->observed != 0) {
        json_add_int(row, "observedStatus", p->observed);
    }
    json_add_int(row, "timeoutMs", p->settings.timeout_ms);
    json_add_int(row, "startPeriodMs", p->settings.start_period_ms);
    json_add_int(row, "intervalMs", p->settings.interval_ms);
    json_add_int(row, "retries", p->settings.retries);
    if (p->message != NULL) {
        json_add_str(row, "message", p->message);
    }
    return row;
}

cJSON *deployment_health_json(const struct deployment *d)
{
    cJSON *rows = cJSON_CreateArray();
    for (size_t i = 0; i < d->service_count; i++) {
        const struct service_run *s = d->services[i];
        for (size_t j = 0; j < s->port_count; j++) {
            cJSON_AddItemToArray(rows, port_health_json(&s->ports[j]));
        }
    }
    return rows;
}

cJSON *deployment_state_json(const struct deployment *d)
{
    return d->initialised ? cJSON_Duplicate(d->state, true) : cJSON_CreateNull();
}
