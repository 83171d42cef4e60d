/* deployment_up: the steps of `wos up`. Called by deployment.c; loop thread.
 *
 * Each step's `enter` begins its work and, when that is done, up_step_done is
 * called, at once or from a later callback; the next step is entered from the
 * loop. up_fail ends everything from anywhere. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/auto.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/deploy/deployment_internal.h"
#include "daemon/store/store.h"

enum {
    PUBLISH_TIMEOUT_MS = 60000, /* the core answers within 30 s */
};

struct up_step {
    const char *name;
    const char *event_id; /* NULL: not shown */
    void (*enter)(struct deployment *d);
};

static void enter_prepare(struct deployment *d);
static void enter_release(struct deployment *d);
static void enter_ports(struct deployment *d);
static void enter_publish(struct deployment *d);
static void enter_setup(struct deployment *d);
static void enter_init(struct deployment *d);
static void enter_save_caches(struct deployment *d);
static void enter_launch(struct deployment *d);
static void enter_status(struct deployment *d);
static void enter_health(struct deployment *d);
static void enter_live(struct deployment *d);

static const struct up_step up_steps[] = {
    {"prepare", "prepare", enter_prepare},
    {"release", "release-ports", enter_release},
    {"ports", NULL, enter_ports},
    {"publish", NULL, enter_publish},
    {"setup", "first-run-setup", enter_setup}, /* this and the next two: first run or --force */
    {"init", "init-script", enter_init},
    {"save", NULL, enter_save_caches},
    {"launch", "compose-up", enter_launch},
    {"status", "status", enter_status},
    {"health", "healthcheck", enter_health},
    {"live", NULL, enter_live},
};

static void free_strings(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        free(list[i]);
    }
    free(list);
}

void up_free(struct deployment *d)
{
    struct up *up = d->up;
    if (up == NULL) {
        return;
    }
    d->up = NULL;
    setup_free(up->setup);
    initrun_cancel(up->init);
    buf_fini(&up->init_tail);
    free(up->operation_id);
    free_strings(up->services);
    free(up->target);
    for (size_t i = 0; i < up->argument_count; i++) {
        free((char *)up->arguments[i].key);
        free((char *)up->arguments[i].value);
    }
    free(up->arguments);
    envlist_fini(&up->base_env);
    envlist_fini(&up->init_env);
    free(up->domain);
    free(up->service_bind);
    free(up->head);
    free(up->selected);
    manifest_free(up->manifest);
    free(up->fail_message);
    free(up);
}

static void step_show(struct deployment *d)
{
    d->up->step_open = true;
    event_step(d, up_steps[d->up->step].event_id, "running", NULL);
}

static void up_on_continue(void *arg)
{
    struct deployment *d = arg;
    CHECK(d->magic == DEPLOYMENT_MAGIC && d->up != NULL);
    autofree char *point = xasprintf("up.%s", up_steps[d->up->step].name);
    fault_point(point);
    up_steps[d->up->step].enter(d);
}

void up_begin(struct deployment *d)
{
    d->up->step = 0;
    d->up->started_ms = clock_now_ms();
    deployment_continue(d, up_on_continue, 0);
}

void up_step_done(struct deployment *d)
{
    struct up *up = d->up;
    if (d->is_down) {
        return; /* a down is about to end this up */
    }
    if (up->step_open) {
        up->step_open = false;
        event_step(d, up_steps[up->step].event_id, "done", NULL);
    }
    CHECK(up->step + 1 < COUNT_OF(up_steps));
    up->step++;
    deployment_continue(d, up_on_continue, 0);
}

/* Between two steps that are shown, the failure is the earlier one's. */
static const char *failed_step(const struct up *up)
{
    size_t i = up->step;
    bool is_shown = up->step_open;
    while (!is_shown && i > 0) {
        is_shown = up_steps[--i].event_id != NULL;
    }
    return is_shown ? up_steps[i].event_id : NULL;
}

/* Docker publishes on serviceBind itself. */
static void bind_services(struct deployment *d)
{
    if (d->mode == MANIFEST_SHELL) {
        forward_start(d);
    }
}

static void up_finish_failed(struct deployment *d, enum err_code code, const char *message)
{
    struct up *up = d->up;
    const char *step = failed_step(up);
    if (step != NULL) {
        event_step(d, step, "failed", message);
    }
    cJSON *event = cJSON_CreateObject();
    json_add_str(event, "type", "failure");
    json_add_str(event, "message", message);
    event_send(d, event);
    if (!d->initialised) {
        d->failed_before = true;
        /* Only the status after a restart depends on the file. */
        (void)store_save_failure(d->env.home, d->wt.session_name, message, up->operation_id, step,
                                 NULL);
    }
    bool drop = up->released && !up->services_started;
    if (up->services_started) {
        bind_services(d);
    }
    up_free(d);
    deployment_withdraw_ended(d);
    if (cJSON_GetArraySize(d->state) > 0) {
        (void)state_save(d,
                         NULL); /* how services ended meanwhile; the failure is the one to tell */
    }
    deployment_monitor_start(d, false);
    if (drop) {
        d->ops.on_drop(d->arg);
    }
    d->ops.on_done(d->arg, DEPLOYMENT_FAILED, code, message);
}

void up_fail(struct deployment *d, enum err_code code, const char *message)
{
    if (d->is_down) {
        return; /* a down is about to end this up */
    }
    autofree char *copy = xstrdup(message); /* it may lie in what is freed here */
    deployment_cancel_checks(d);
    loop_timer_clear(&d->timer);
    d->on_published = NULL;
    d->on_withdrawn = NULL;
    up_finish_failed(d, code, copy);
}

static void up_fail_err(struct deployment *d, const struct err *err)
{
    up_fail(d, err->code, err->msg);
}

static void enter_prepare(struct deployment *d)
{
    step_show(d);
    enum err_code code = ERR_FAILED;
    autofree char *message = NULL;
    if (up_prepare(d, &code, &message) < 0) {
        up_fail(d, code, message);
        return;
    }
    up_step_done(d);
}

static void on_released(struct deployment *d)
{
    fault_point("up.released");
    if (d->stop_error != NULL) {
        up_fail(d, ERR_FAILED, d->stop_error);
        return;
    }
    d->up->released = true;
    up_step_done(d);
}

static void release_on_withdrawn(struct deployment *d)
{
    deployment_stop_all(d, on_released);
}

static void enter_release(struct deployment *d)
{
    step_show(d);
    deployment_withdraw(d, ROUTE_STARTING, release_on_withdrawn);
}

void up_exclude_port(struct deployment *d, uint16_t port)
{
    d->up->excluded.bits[port / 8] |= (uint8_t)(1u << (port % 8));
}

void up_again_from_ports(struct deployment *d)
{
    struct up *up = d->up;
    up->step = 0;
    up->step_open = false; /* shown again when it is entered again */
    while (up_steps[up->step].enter != enter_ports) {
        up->step++;
    }
    deployment_continue(d, up_on_continue, 0);
}

static void enter_ports(struct deployment *d)
{
    struct err err = {0};
    d->mode = d->up->manifest->mode;
    if (d->runner != runner_of(d->mode)) {
        d->runner->release(d); /* what it ran is stopped */
        d->runner = runner_of(d->mode);
    }
    state_new_id(d);
    if (up_assign_ports(d, &err) < 0) {
        up_fail_err(d, &err);
        return;
    }
    up_step_done(d);
}

static void on_publish_timeout(void *arg)
{
    struct deployment *d = arg;
    CHECK(d->magic == DEPLOYMENT_MAGIC && d->up != NULL);
    d->on_published = NULL;
    event_log(d, "deployment", "stderr", STR("publishing the routes timed out; going on\n"));
    up_step_done(d);
}

static void enter_publish(struct deployment *d)
{
    size_t count = 0;
    for (size_t i = 0; i < d->service_count; i++) {
        count += d->services[i]->is_dep ? 0 : d->services[i]->port_count;
    }
    if (d->up->no_tunnel || count == 0) {
        d->ops.on_drop(d->arg);
        up_step_done(d);
        return;
    }
    deployment_publish(d, up_step_done, on_publish_timeout, PUBLISH_TIMEOUT_MS);
}

static bool is_first_run(const struct deployment *d)
{
    return !d->initialised || d->up->force;
}

static bool has_setup(const struct deployment *d)
{
    const struct manifest *m = d->up->manifest;
    return m->kept_count > 0 || (m->clone_count > 0 && !d->wt.is_source);
}

bool up_will_make_files(const struct deployment *d)
{
    autofree char *script = up_init_script(d);
    return is_first_run(d) && (has_setup(d) || script[0] != '\0');
}

static void enter_setup(struct deployment *d)
{
    if (!is_first_run(d) || d->up->setup_done || !has_setup(d)) {
        up_step_done(d);
        return;
    }
    d->up->setup_done = true;
    step_show(d);
    setup_begin(d);
}

static void enter_save_caches(struct deployment *d)
{
    if (!is_first_run(d) || d->up->caches_saved || d->up->manifest->kept_count == 0) {
        up_step_done(d);
        return;
    }
    d->up->caches_saved = true;
    setup_save_begin(d);
}

static void enter_init(struct deployment *d)
{
    autofree char *script = up_init_script(d);
    if (!is_first_run(d) || d->up->init_done || script[0] == '\0') {
        up_step_done(d);
        return;
    }
    step_show(d);
    d->runner->init(d, script);
}

static void on_stopped_after_failed_launch(struct deployment *d)
{
    enum err_code code = d->up->fail_code;
    autofree char *message = xstrdup(d->up->fail_message);
    (void)state_save(d, NULL); /* the first error is the one to tell */
    up_fail(d, code, message);
}

void up_fail_launch(struct deployment *d, const struct err *err)
{
    d->up->fail_code = err->code;
    d->up->fail_message = xstrdup(err->msg);
    deployment_stop_all(d, on_stopped_after_failed_launch);
}

static void send_services_discovered(struct deployment *d)
{
    cJSON *event = cJSON_CreateObject();
    json_add_str(event, "type", "services-discovered");
    cJSON *services = cJSON_AddArrayToObject(event, "services");
    for (size_t i = 0; i < d->service_count; i++) {
        cJSON_AddItemToArray(services, cJSON_CreateString(d->services[i]->name));
    }
    cJSON *context = cJSON_AddObjectToObject(event, "composeContext");
    json_add_str(context, "projectName", d->wt.project_name);
    json_add_str(context, "composeFile", json_get_str(d->state, "composeFile", ""));
    const cJSON *files = json_get(d->state, "composeFiles");
    if (files != NULL) {
        cJSON_AddItemToObject(context, "composeFiles", cJSON_Duplicate(files, true));
    }
    event_send(d, event);
}

int up_keep_services(struct deployment *d)
{
    struct err err = {0};
    d->initialised = true;
    d->failed_before = false;
    d->up->services_started = true;
    store_clear_failure(d->env.home, d->wt.session_name);
    if (state_save(d, &err) < 0) {
        d->up->services_started = false;
        up_fail_launch(d, &err);
        return -1;
    }
    return 0;
}

void up_launched(struct deployment *d)
{
    if (up_keep_services(d) < 0) {
        return;
    }
    send_services_discovered(d);
    up_step_done(d);
}

static void enter_launch(struct deployment *d)
{
    step_show(d);
    d->runner->launch(d);
}

static void enter_status(struct deployment *d)
{
    step_show(d);
    d->runner->status(d);
}

static void enter_health(struct deployment *d)
{
    step_show(d);
    up_check_health(d);
}

static void enter_live(struct deployment *d)
{
    bind_services(d);
    deployment_withdraw_ended(d);
    autofree char *now = store_timestamp();
    state_note_up(d, now, (int64_t)(clock_now_ms() - d->up->started_ms));
    struct err err = {0};
    if (state_save(d, &err) < 0) {
        up_fail_err(d, &err);
        return;
    }
    fault_point("up.end");
    cJSON *event = cJSON_CreateObject();
    json_add_str(event, "type", "complete");
    json_add_str(event, "lastUp", now);
    event_send(d, event);
    up_free(d);
    deployment_monitor_start(d, false);
    d->ops.on_done(d->arg, DEPLOYMENT_SUCCEEDED, ERR_NONE, NULL);
}
