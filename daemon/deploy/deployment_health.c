/* deployment_health: the checks during `up`, and the monitor after it. Called
 * by the other deployment files; loop thread. */
#include <stdlib.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/deploy/deployment_internal.h"

enum {
    MONITOR_MS = 5000,
    CALM_ROUNDS = 12,     /* looks in a row at which nothing was different … */
    CALM_MS = MONITOR_MS, /* … after which there is this much more time between two */
};

void port_set_route(struct port_run *p, enum route_state state)
{
    struct deployment *d = p->service->deployment;
    if (p->route == state || p->service->is_dep) {
        return;
    }
    p->route = state;
    d->calm_rounds = 0;
    d->ops.on_port_state(d->arg, p->service->name, p->container_port, state);
}

void deployment_withdraw_ended(struct deployment *d)
{
    for (size_t i = 0; i < d->service_count; i++) {
        const struct service_run *s = d->services[i];
        bool has_ended = s->state == SERVICE_STOPPED || s->state == SERVICE_EXITED;
        for (size_t j = 0; has_ended && j < s->port_count; j++) {
            if (s->ports[j].health == HEALTH_HEALTHY) {
                s->ports[j].health = HEALTH_WAITING;
            }
            port_set_route(&s->ports[j], ROUTE_STOPPED);
        }
    }
}

static void port_note(struct port_run *p, bool healthy, int status, const char *message)
{
    p->health = healthy ? HEALTH_HEALTHY : HEALTH_FAILED;
    p->observed = status;
    free(p->message);
    p->message = message == NULL ? NULL : xstrdup(message);
    if (p->service->state == SERVICE_RUNNING) {
        port_set_route(p, healthy ? ROUTE_LIVE : ROUTE_FAILING);
    }
}

void deployment_cancel_checks(struct deployment *d)
{
    for (size_t i = 0; i < d->service_count; i++) {
        struct service_run *s = d->services[i];
        for (size_t j = 0; j < s->port_count; j++) {
            health_cancel(s->ports[j].check);
            s->ports[j].check = NULL;
        }
    }
}

/* What a beginner's script gets wrong. In a container the engine listens, whatever runs inside. */
static char *port_hint(const struct port_run *p)
{
    const struct service_run *s = p->service;
    if (s->deployment->mode != MANIFEST_SHELL) {
        return NULL;
    }
    if (p == &s->ports[0]) {
        return xstrdup("does the script use $WOS_SERVICE_PORT?");
    }
    return xasprintf("is the script given ${app.services.%s.hostPort[%u]}?", s->name,
                     (unsigned)p->container_port);
}

static void port_check(struct port_run *p, enum health_mode mode, health_attempt_fn *on_attempt,
                       health_done_fn *on_done)
{
    struct deployment *d = p->service->deployment;
    autofree char *hint = port_hint(p);
    struct health_target target = {.path = p->path,
                                   .port = p->host_port,
                                   .backend = p->options.backend,
                                   .expect = p->expect,
                                   .settings = p->settings,
                                   .hint = hint};
    p->silence_told = false;
    p->check = health_start(d->env.loop, d->env.fetch, &target, mode, on_attempt, on_done, p);
}

static void port_on_attempt(void *arg, const struct health_attempt *attempt)
{
    struct port_run *p = arg;
    CHECK(p->magic == PORT_RUN_MAGIC);
    cJSON *event = cJSON_CreateObject();
    json_add_str(event, "type", "healthcheck-attempt");
    json_add_str(event, "service", p->service->name);
    json_add_int(event, "containerPort", p->container_port);
    json_add_int(event, "attempt", attempt->attempt);
    json_add_int(event, "maxAttempts", attempt->max_attempts);
    json_add_str(event, "url", attempt->url);
    if (attempt->status != 0) {
        json_add_int(event, "status", attempt->status);
    }
    if (attempt->error != NULL) {
        json_add_str(event, "error", attempt->error);
    }
    json_add_bool(event, "matched", attempt->matched);
    event_send(p->service->deployment, event);
    if (attempt->is_silent && attempt->is_counted && !p->silence_told) {
        p->silence_told = true; /* once: the checks go on for minutes */
        autofree char *text = xasprintf("service %s port %u: %s\n", p->service->name,
                                        (unsigned)p->container_port, attempt->error);
        event_log(p->service->deployment, "deployment", "stderr", str_of(text));
    }
}

/* What a service that does not answer as it should has to say for itself. */
static void up_show_log(struct deployment *d, const struct service_run *s)
{
    const char *said = failure_note_service(d, s);
    if (said[0] != '\0') {
        autofree char *text = xasprintf("the log of %s ends with:\n%s\n", s->name, said);
        event_log(d, "deployment", "stderr", str_of(text));
    }
}

static char *failure_line(const struct port_run *p)
{
    return xasprintf("health check of service %s port %u failed: %s (GET %s://localhost:%u%s)",
                     p->service->name, (unsigned)p->container_port,
                     p->message == NULL ? "no answer" : p->message,
                     publish_backend_scheme(p->options.backend), (unsigned)p->host_port, p->path);
}

char *health_failure_text(struct deployment *d, const struct port_run *p)
{
    up_show_log(d, p->service);
    return failure_line(p);
}

/* All checks are over: one sentence per port that may not fail. */
static void up_judge_health(struct deployment *d)
{
    struct buf text = {0};
    for (size_t i = 0; i < d->service_count; i++) {
        const struct service_run *s = d->services[i];
        for (size_t j = 0; j < s->port_count; j++) {
            const struct port_run *p = &s->ports[j];
            if (p->check_enabled && !p->allow_failure && p->health != HEALTH_HEALTHY) {
                autofree char *line = text.len == 0 ? health_failure_text(d, p) : failure_line(p);
                buf_printf(&text, "%s%s", text.len == 0 ? "" : "\n", line);
            }
        }
    }
    if (text.len > 0) {
        up_fail(d, ERR_FAILED, buf_cstr(&text));
    } else {
        up_step_done(d);
    }
    buf_fini(&text);
}

static void port_on_up_checked(void *arg, bool healthy, int status, const char *message)
{
    struct port_run *p = arg;
    CHECK(p->magic == PORT_RUN_MAGIC);
    struct deployment *d = p->service->deployment;
    p->check = NULL;
    port_note(p, healthy, status, message);
    CHECK(d->up != NULL && d->up->checks_left > 0);
    d->up->checks_left--;
    if (d->up->judging && d->up->checks_left == 0) {
        up_judge_health(d);
    } else if (!d->up->judging) {
        readiness_on_checked(p->service);
    }
}

void service_begin_checks(struct service_run *s)
{
    for (size_t i = 0; i < s->port_count; i++) {
        struct port_run *p = &s->ports[i];
        if (!p->check_enabled) {
            port_set_route(p, ROUTE_LIVE);
        } else if (p->check == NULL && p->health == HEALTH_WAITING) {
            s->deployment->up->checks_left++;
            port_check(p, HEALTH_UNTIL, port_on_attempt, port_on_up_checked);
        }
    }
}

void up_check_health(struct deployment *d)
{
    d->up->judging = true;
    for (size_t i = 0; i < d->service_count; i++) {
        service_begin_checks(d->services[i]);
    }
    if (d->up->checks_left == 0) {
        up_judge_health(d);
    }
}

static void port_on_service_checked(void *arg, bool healthy, int status, const char *message)
{
    struct port_run *p = arg;
    CHECK(p->magic == PORT_RUN_MAGIC);
    p->check = NULL;
    port_note(p, healthy, status, message);
    service_action_checked(p->service->deployment);
}

void port_check_service(struct port_run *p)
{
    port_check(p, HEALTH_UNTIL, port_on_attempt, port_on_service_checked);
}

static void port_on_monitored(void *arg, bool healthy, int status, const char *message)
{
    struct port_run *p = arg;
    CHECK(p->magic == PORT_RUN_MAGIC);
    p->check = NULL;
    port_note(p, healthy, status, message);
}

void deployment_monitor_start(struct deployment *d, bool at_once)
{
    d->calm_rounds = 0;
    loop_timer_set(&d->monitor, at_once ? 0 : MONITOR_MS);
}

/* One look at every running port that has a check, and again in five seconds; in ten when nothing
 * changes: hundreds of services shall not keep an idle machine busy. */
void deployment_monitor(struct deployment *d)
{
    bool any = false;
    for (size_t i = 0; i < d->service_count; i++) {
        struct service_run *s = d->services[i];
        for (size_t j = 0; j < s->port_count && s->state == SERVICE_RUNNING; j++) {
            struct port_run *p = &s->ports[j];
            if (!p->check_enabled) {
                continue;
            }
            any = true;
            if (p->check == NULL && !deployment_is_busy(d)) {
                port_check(p, HEALTH_ONCE, NULL, port_on_monitored);
            }
        }
    }
    if (any) {
        bool is_calm = d->calm_rounds >= CALM_ROUNDS;
        d->calm_rounds += is_calm ? 0 : 1;
        loop_timer_set(&d->monitor, is_calm ? MONITOR_MS + CALM_MS : MONITOR_MS);
    }
}
