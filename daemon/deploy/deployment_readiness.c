/* deployment_readiness: in which order services start. Called by runners that start them one
 * by one, and by what watches them; loop thread.
 *
 * A service starts when all it depends on (of those selected) are ready, otherwise at once.
 * Ready is: every health check that may not fail has matched, one that may fail is over; without
 * checks, it has run for SETTLE_MS or ended with 0. Ports of services others wait for are
 * checked as soon as they run. One that cannot become ready fails the up, which names
 * who was not started because of it; what runs stays, as after a failed health check. */
#include <stdlib.h>

#include "base/auto.h"
#include "daemon/deploy/deployment_internal.h"

enum { SETTLE_MS = 300 };

static bool depends_on(const struct manifest_service *ms, const char *name)
{
    for (size_t i = 0; i < ms->dependency_count; i++) {
        if (strcmp(ms->dependencies[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_dependents(const struct deployment *d, const char *name)
{
    for (size_t i = 0; i < d->up->selected_count; i++) {
        if (depends_on(d->up->selected[i], name)) {
            return true;
        }
    }
    return false;
}

static bool may_start(const struct deployment *d, const struct manifest_service *ms)
{
    for (size_t i = 0; i < ms->dependency_count; i++) {
        const struct service_run *s = deployment_find(d, ms->dependencies[i]);
        if (s != NULL && !s->ready) {
            return false; /* one that was not selected is the caller's business */
        }
    }
    return true;
}

static bool has_checks(const struct service_run *s)
{
    for (size_t i = 0; i < s->port_count; i++) {
        if (s->ports[i].check_enabled) {
            return true;
        }
    }
    return false;
}

static void readiness_watch(struct deployment *d, struct service_run *s)
{
    if (!has_dependents(d, s->name)) {
        s->ready = true; /* nobody waits: the health step looks at it */
    } else if (has_checks(s)) {
        service_begin_checks(s);
    } else {
        loop_timer_set(&s->settle, SETTLE_MS);
    }
}

/* Starts what may start; dependencies come first in `selected`, so one pass sees all. */
static void readiness_step(struct deployment *d)
{
    struct err err = {0};
    size_t waiting = 0; /* those not started, or not known to be */
    for (size_t i = 0; i < d->up->selected_count; i++) {
        const struct manifest_service *ms = d->up->selected[i];
        struct service_run *s = deployment_find(d, ms->name);
        if (s->launched) {
            waiting += s->is_starting ? 1 : 0;
            continue;
        }
        if (!may_start(d, ms)) {
            waiting++;
            continue;
        }
        s->launched = true;
        int rc = d->up->start(d, ms, s, &err);
        if (rc < 0) {
            d->up->start = NULL;
            deployment_cancel_checks(d);
            up_fail_launch(d, &err);
            return;
        }
        s->is_starting = rc > 0;
        if (s->is_starting) {
            waiting++;
        } else {
            readiness_watch(d, s);
        }
    }
    if (waiting == 0) {
        d->up->start = NULL;
        up_launched(d);
        return;
    }
    for (size_t i = 0; i < d->service_count; i++) {
        if (d->services[i]->launched && !d->services[i]->is_starting) {
            service_begin_checks(d->services[i]); /* routes open while others still wait */
        }
    }
}

static void readiness_on_continue(void *arg)
{
    struct deployment *d = arg;
    CHECK(d->magic == DEPLOYMENT_MAGIC && d->up != NULL && d->up->start != NULL);
    readiness_step(d);
}

void readiness_begin(struct deployment *d, service_start_fn *start)
{
    d->up->start = start;
    readiness_step(d);
}

static bool is_launching(const struct service_run *s)
{
    const struct deployment *d = s->deployment;
    return d->up != NULL && d->up->start != NULL && !d->is_down;
}

void readiness_on_started(struct service_run *s)
{
    if (is_launching(s)) {
        s->is_starting = false;
        readiness_watch(s->deployment, s);
        deployment_continue(s->deployment, readiness_on_continue, 0);
    }
}

static void readiness_mark(struct service_run *s)
{
    s->ready = true;
    deployment_continue(s->deployment, readiness_on_continue, 0);
}

void readiness_on_settled(void *arg)
{
    struct service_run *s = arg;
    CHECK(s->magic == SERVICE_RUN_MAGIC);
    if (is_launching(s)) {
        readiness_mark(s);
    }
}

/* "; not started: web, api (they need db)" or nothing. */
static void add_victims(struct deployment *d, struct buf *text)
{
    bool first = true;
    for (size_t i = 0; i < d->up->selected_count; i++) {
        const struct manifest_service *ms = d->up->selected[i];
        if (!deployment_find(d, ms->name)->launched) {
            buf_printf(text, "%s%s",
                       first ? "\nnot started, because what they depend on is not "
                               "ready: "
                             : ", ",
                       ms->name);
            first = false;
        }
    }
}

void readiness_fail(struct deployment *d, const char *reason)
{
    struct buf text = {0};
    buf_add_text(&text, reason);
    add_victims(d, &text);
    d->up->start = NULL;
    if (up_keep_services(d) == 0) {
        up_fail(d, ERR_FAILED, buf_cstr(&text));
    }
    buf_fini(&text);
}

void readiness_on_checked(struct service_run *s)
{
    struct deployment *d = s->deployment;
    if (!is_launching(s) || s->ready) {
        return; /* nobody waits for it: the health step judges */
    }
    bool all_over = true;
    for (size_t i = 0; i < s->port_count; i++) {
        const struct port_run *p = &s->ports[i];
        all_over = all_over && (p->check == NULL || !p->check_enabled);
        if (p->check_enabled && !p->allow_failure && p->health == HEALTH_FAILED) {
            autofree char *reason = health_failure_text(d, p);
            readiness_fail(d, reason);
            return;
        }
    }
    if (all_over) {
        readiness_mark(s);
    }
}

void readiness_on_ended(struct service_run *s)
{
    struct deployment *d = s->deployment;
    loop_timer_clear(&s->settle);
    if (!is_launching(s)) {
        return;
    }
    if (service_is_done(s)) {
        readiness_mark(s);
        return;
    }
    autofree char *reason = service_exit_text(d, s);
    readiness_fail(d, reason);
}
