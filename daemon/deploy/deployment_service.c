/* deployment_service: one service stopped, or started anew, while the others go on. Called by the
 * core through deployment.h and by the runners; loop thread.
 *
 *     begin → restart: runner's service_check
 *           → (routes withdrawn) → runner's service_stop → deployment_service_stopped
 *           → restart: runner's service_start → deployment_service_started → checks → done
 */
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/deploy/deployment_internal.h"

enum {
    SERVICE_DRAIN_MS = 250,  /* for requests that were with the service already */
    SERVICE_SETTLE_MS = 300, /* for services nobody checks: a typo in a script shows at once */
    ENVIRON_MAX = 2 << 20,
};

struct service_action {
    struct service_run *s; /* borrowed */
    bool is_restart;
    bool is_checking;
    size_t checks_left;
    char *domain;       /* owned or NULL: for the service's environment */
    char *service_bind; /* owned or NULL */
    struct buf environ; /* owned: what the process that is stopped was started with */
};

const char *service_action_status(const struct deployment *d)
{
    return !d->action->is_restart ? "stopping" : d->action->is_checking ? "checking" : "pending";
}

bool service_action_is_of(const struct deployment *d, const struct service_run *s)
{
    return d->action != NULL && d->action->s == s;
}

void service_action_free(struct deployment *d)
{
    if (d->action != NULL) {
        free(d->action->domain);
        free(d->action->service_bind);
        if (d->action->environ.ptr != NULL) {
            explicit_bzero(d->action->environ.ptr, d->action->environ.len);
        }
        buf_fini(&d->action->environ);
        free(d->action);
        d->action = NULL;
    }
}

/* message NULL: done. */
static void action_end(struct deployment *d, const char *message)
{
    if (d->is_down) {
        return; /* a down is about to end this action */
    }
    struct err err = {0};
    autofree char *copy = message == NULL ? NULL : xstrdup(message);
    event_step(d, d->action->is_checking ? "healthcheck" : "compose-up",
               message == NULL ? "done" : "failed", message);
    service_action_free(d);
    deployment_cancel_checks(d);
    deployment_withdraw_ended(d);
    loop_timer_clear(&d->timer);
    if (state_save(d, &err) < 0 && copy == NULL) {
        copy = xstrdup(err.msg);
    }
    deployment_monitor_start(d, false);
    d->ops.on_done(d->arg, copy == NULL ? DEPLOYMENT_SUCCEEDED : DEPLOYMENT_FAILED, ERR_FAILED,
                   copy);
}

/* --- start ---------------------------------------------------------------------------------- */

static void judge(struct deployment *d)
{
    const struct service_run *s = d->action->s;
    for (size_t i = 0; i < s->port_count; i++) {
        const struct port_run *p = &s->ports[i];
        if (p->check_enabled && !p->allow_failure && p->health != HEALTH_HEALTHY) {
            autofree char *text = xasprintf("health check of service %s port %u failed: %s",
                                            s->name, (unsigned)p->container_port,
                                            p->message == NULL ? "no answer" : p->message);
            action_end(d, text);
            return;
        }
    }
    action_end(d, NULL);
}

void service_action_checked(struct deployment *d)
{
    if (d->action != NULL && d->action->is_checking && --d->action->checks_left == 0) {
        judge(d);
    }
}

static void action_on_settled(void *arg)
{
    service_action_checked(arg);
}

void deployment_service_started(struct deployment *d, const struct err *err)
{
    struct service_action *action = d->action;
    if (d->is_down) {
        return; /* a down is about to end this action, or has */
    }
    if (err != NULL) {
        action_end(d, err->msg);
        return;
    }
    event_step(d, "compose-up", "done", NULL);
    event_step(d, "healthcheck", "running", NULL);
    action->is_checking = true;
    action->checks_left = 1; /* ours, so that none of theirs is the last while they begin */
    for (size_t i = 0; i < action->s->port_count; i++) {
        struct port_run *p = &action->s->ports[i];
        p->health = HEALTH_WAITING;
        if (!p->check_enabled) {
            port_set_route(p, ROUTE_LIVE);
            continue;
        }
        action->checks_left++;
        port_check_service(p);
    }
    deployment_continue(d, action_on_settled, action->checks_left > 1 ? 0 : SERVICE_SETTLE_MS);
}

/* The caller of the last up gave the services its environment, which is kept nowhere: the process
 * itself still has it. Only of one of ours, which the runner knows to live. */
static void environ_read(struct service_action *action)
{
    autofree char *path = xasprintf("/proc/%d/environ", (int)action->s->pid);
    if (action->s->process != NULL && action->s->state == SERVICE_RUNNING &&
        file_read(path, ENVIRON_MAX, &action->environ, NULL) == 0) {
        buf_add_char(&action->environ, '\0');
    }
}

/* NULL-terminated, borrowed strings; NULL when nothing was read. */
static const char **environ_list(const struct buf *text)
{
    const char **list = NULL;
    size_t count = 0;
    for (size_t at = 0; at < text->len && text->ptr[at] != '\0'; at += strlen(text->ptr + at) + 1) {
        list = xrealloc(list, (count + 2) * sizeof *list);
        list[count++] = text->ptr + at;
        list[count] = NULL;
    }
    return list;
}

/* A service's environment is made by the rules of an `up`, from what the last one left. */
static struct up *up_again(const struct deployment *d)
{
    const cJSON *arguments = json_get(json_get(d->state, "shell"), "runtimeArguments");
    size_t count = (size_t)cJSON_GetArraySize(arguments);
    autofree struct template_argument *list = xcalloc(count + 1, sizeof *list);
    autofree const char **env = environ_list(&d->action->environ);
    struct deployment_request request = {.arguments = list,
                                         .env = env,
                                         .domain = d->action->domain,
                                         .service_bind = d->action->service_bind};
    const cJSON *item;
    cJSON_ArrayForEach(item, arguments)
    {
        if (cJSON_IsString(item)) {
            list[request.argument_count++] =
                (struct template_argument){item->string, item->valuestring};
        }
    }
    return up_new(&request);
}

int deployment_service_prepare(struct deployment *d, const struct manifest_service **out_service,
                               struct err *err)
{
    struct service_run *s = d->action->s;
    autofree char *path = manifest_path(d->wt.source, d->wt.is_source);
    d->up = up_again(d);
    d->up->manifest = manifest_load(path);
    if (!manifest_ok(d->up->manifest)) {
        autofree char *text = manifest_errors_text(d->up->manifest);
        (void)err_set(err, ERR_CONFIG, "%s", text);
    } else if ((*out_service = manifest_find(d->up->manifest, s->name)) == NULL) {
        (void)err_set(err, ERR_CONFIG, "%s has no service %s any more", path, s->name);
    } else {
        return 0;
    }
    up_free(d);
    return -1;
}

/* --- stop ------------------------------------------------------------------------------------ */

void deployment_service_stopped(struct deployment *d, const struct err *err)
{
    CHECK(d->magic == DEPLOYMENT_MAGIC);
    if (d->is_down) {
        return; /* a down is about to end this action, or has */
    }
    CHECK(d->action != NULL);
    if (err != NULL || !d->action->is_restart) {
        action_end(d, err == NULL ? NULL : err->msg);
        return;
    }
    d->runner->service_start(d, d->action->s);
}

static void action_on_stopped(void *arg)
{
    deployment_service_stopped(arg, NULL);
}

void deployment_service_gone(struct deployment *d)
{
    strays_end(d, action_on_stopped);
}

bool deployment_service_exited(struct deployment *d, const struct service_run *s, bool was_asked)
{
    if (!service_action_is_of(d, s)) {
        return false;
    }
    if (d->is_down) {
        return true; /* which ends the action */
    }
    if (was_asked) {
        deployment_service_gone(d);
        return true;
    }
    if (!d->action->is_checking) {
        return true; /* it was to be stopped in a moment: what it left behind still is */
    }
    if (service_is_done(s)) {
        action_end(d, NULL);
        return true;
    }
    char status[64];
    const char *said = failure_note_service(d, s);
    autofree char *text = xasprintf("service %s ended (%s)%s%s", s->name,
                                    subprocess_status_text(s->status, status, sizeof status),
                                    said[0] == '\0' ? "; it printed nothing" : ":\n", said);
    action_end(d, text);
    return true;
}

static void action_on_drained(void *arg)
{
    struct deployment *d = arg;
    CHECK(d->magic == DEPLOYMENT_MAGIC && d->action != NULL);
    d->runner->service_stop(d, d->action->s);
}

static void action_on_begin(void *arg)
{
    struct deployment *d = arg;
    CHECK(d->magic == DEPLOYMENT_MAGIC && d->action != NULL);
    struct service_action *action = d->action;
    struct service_run *s = action->s;
    struct err err = {0};
    if (action->is_restart && d->runner->service_check(d, s, &err) < 0) {
        action_end(d, err.msg); /* it goes on as it is */
        return;
    }
    for (size_t i = 0; i < s->port_count; i++) {
        s->ports[i].health = HEALTH_WAITING;
        s->ports[i].observed = 0;
        port_set_route(&s->ports[i], action->is_restart ? ROUTE_STARTING : ROUTE_STOPPED);
    }
    bool is_seen = s->port_count > 0 && service_is_running(s);
    deployment_continue(d, action_on_drained, is_seen ? SERVICE_DRAIN_MS : 0);
}

bool deployment_has_service(const struct deployment *d, const char *service)
{
    return deployment_find(d, service) != NULL;
}

int deployment_service(struct deployment *d, const struct deployment_service_request *request,
                       struct err *err)
{
    CHECK(d->magic == DEPLOYMENT_MAGIC);
    struct service_run *s = deployment_find(d, request->service);
    if (deployment_is_busy(d)) {
        return err_set(err, ERR_BUSY, "session %s is busy", d->wt.session_name);
    }
    if (s == NULL) {
        return err_set(err, ERR_NOT_FOUND, "no service named %s was deployed", request->service);
    }
    if (d->runner->service_stop == NULL || d->runner->service_start == NULL) {
        return err_set(err, ERR_REFUSED, "in mode %s services are stopped together (wos down)",
                       manifest_mode_name(d->mode));
    }
    d->action = xcalloc(1, sizeof *d->action);
    d->action->s = s;
    d->action->is_restart = request->is_restart;
    d->action->domain = request->domain == NULL ? NULL : xstrdup(request->domain);
    d->action->service_bind = request->service_bind == NULL ? NULL : xstrdup(request->service_bind);
    environ_read(d->action);
    deployment_cancel_checks(d);
    event_step(d, "compose-up", "running", NULL);
    deployment_continue(d, action_on_begin, 0);
    return 0;
}
