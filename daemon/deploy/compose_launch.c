/* compose_launch: the step of an up that starts the containers. Called by runner_compose.c through
 * runner_ops, by readiness (deployment_readiness.c) and after every look; loop thread.
 *
 * Compose cannot know when a service is ready: the health checks are made from the host. So
 * services start in waves, `up -d --no-deps` of all that may start now; each wave's containers
 * are looked at before others build on them. Where nobody depends on anybody there is one
 * wave, a plain `up -d`. */
#include <stdlib.h>

#include "base/auto.h"
#include "base/fault.h"
#include "base/json.h"
#include "daemon/deploy/compose_conflict.h"
#include "daemon/deploy/compose_published.h"
#include "daemon/deploy/runner_compose.h"

static void wave_fail(struct compose_run *c, const struct err *err)
{
    compose_launch_end(c);
    up_fail_launch(c->d, err);
}

void compose_launch_end(struct compose_run *c)
{
    struct deployment *d = c->d;
    loop_timer_clear(&c->wave_timer);
    c->wave_runs = false;
    deployment_cancel_checks(d);
    if (d->up != NULL) {
        d->up->start = NULL;
        d->up->checks_left = 0;
        loop_timer_clear(&d->timer);
    }
}

/* --- other ports ---------------------------------------------------------------------- */

/* The ports were given back: choose others. */
static void retry_on_stopped(struct deployment *d)
{
    if (d->stop_error != NULL) {
        up_fail(d, ERR_FAILED, d->stop_error);
        return;
    }
    up_again_from_ports(d);
}

static void retry_on_withdrawn(struct deployment *d)
{
    deployment_stop_all(d, retry_on_stopped);
}

static void launch_retry(struct compose_run *c, const char *reason)
{
    struct deployment *d = c->d;
    cJSON *event = cJSON_CreateObject();
    json_add_str(event, "type", "retry");
    json_add_int(event, "attempt", d->up->launch_attempts + 1);
    json_add_int(event, "maxAttempts", COMPOSE_ATTEMPTS_MAX);
    json_add_str(event, "reason", reason);
    event_send(d, event);
    compose_launch_end(c);
    deployment_withdraw(d, ROUTE_STARTING, retry_on_withdrawn);
}

/* Marks the ports that `text` names, or all of ours. */
static void exclude_ports(struct deployment *d, struct str text)
{
    bool any = false;
    for (int pass = 0; pass < 2 && !any; pass++) {
        for (size_t i = 0; i < d->service_count; i++) {
            const struct service_run *s = d->services[i];
            for (size_t j = 0; j < s->port_count; j++) {
                if (pass == 1 || conflict_names_port(text, s->ports[j].host_port)) {
                    up_exclude_port(d, s->ports[j].host_port);
                    any = true;
                }
            }
        }
    }
}

/* --- waves ------------------------------------------------------------------------------ */

/* Somebody waits to be started, or for those who were. */
static bool others_follow(const struct deployment *d)
{
    for (size_t i = 0; i < d->service_count; i++) {
        const struct service_run *s = d->services[i];
        if (!s->launched || (s->is_starting && !s->in_wave)) {
            return true;
        }
    }
    return false;
}

static void wave_finish(struct compose_run *c)
{
    struct deployment *d = c->d;
    c->wave_runs = false;
    for (size_t i = 0; i < d->service_count; i++) {
        struct service_run *s = d->services[i];
        if (s->in_wave) {
            s->in_wave = false;
            readiness_on_started(s);
        }
    }
    loop_timer_set(&c->wave_timer, 0); /* those who were asked for meanwhile */
}

static void wave_on_looked(struct compose_run *c)
{
    if (compose_up_is_over(c->d)) {
        return;
    }
    if (c->look_failed) {
        struct err err = {0};
        (void)err_set(&err, ERR_FAILED, "%s", c->look_error);
        wave_fail(c, &err);
        return;
    }
    compose_watch_start(c); /* one that ends while others wait for it */
    wave_finish(c);
}

static void wave_on_done(void *arg, const struct docker_result *result)
{
    struct compose_run *c = arg;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    if (compose_up_is_over(c->d)) {
        return;
    }
    struct deployment *d = c->d;
    fault_point("compose.started");
    if (result->status == 0 && others_follow(d)) {
        compose_look(c, wave_on_looked);
        return;
    }
    if (result->status == 0) {
        wave_finish(c);
        return;
    }
    struct err err = {0};
    (void)compose_error(&err, c->tool.compose != NULL ? "docker-compose up" : "docker compose up",
                        result);
    if (conflict_is(result->err_tail) && d->up->manifest->dynamic_ports &&
        d->up->launch_attempts < COMPOSE_ATTEMPTS_MAX) {
        exclude_ports(d, result->err_tail);
        launch_retry(c, err.msg);
        return;
    }
    wave_fail(c, &err);
}

/* One command for all that were asked for since the last. */
void compose_wave_on_timer(void *arg)
{
    struct compose_run *c = arg;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    struct deployment *d = c->d;
    if (compose_up_is_over(d) || d->up->start == NULL || c->wave_runs || c->command != NULL) {
        return;
    }
    static const char *const words[] = {"up", "-d", "--force-recreate", NULL};
    struct docker_args args = {0};
    compose_add_command(c, &args);
    docker_args_add_all(&args, words);
    size_t count = 0;
    for (size_t i = 0; i < d->service_count; i++) {
        d->services[i]->in_wave = d->services[i]->is_starting;
        count += d->services[i]->in_wave ? 1 : 0;
    }
    if (count == 0 && d->service_count > 0) {
        docker_args_fini(&args);
        return;
    }
    if (count < d->service_count) { /* else the whole project, also what we have no name for */
        docker_args_add(&args, "--no-deps");
        for (size_t i = 0; i < d->service_count; i++) {
            if (d->services[i]->in_wave) {
                docker_args_add(&args, d->services[i]->name);
            }
        }
    }
    c->wave_runs = true;
    compose_command(c, &args, true, wave_on_done);
    fault_point("compose.starting");
}

static int wave_add(struct deployment *d, const struct manifest_service *ms, struct service_run *s,
                    struct err *err)
{
    (void)ms;
    (void)s;
    (void)err;
    loop_timer_set(&compose_of(d)->wave_timer, 0);
    return 1;
}

void compose_launch_looked(struct compose_run *c)
{
    struct deployment *d = c->d;
    if (compose_up_is_over(d) || d->up->start == NULL || c->command != NULL) {
        return;
    }
    for (size_t i = 0; i < d->service_count; i++) {
        struct service_run *s = d->services[i];
        if (!s->launched || s->is_starting || s->container == NULL) {
            continue;
        }
        if (s->state == SERVICE_EXITED) {
            compose_launch_end(c);
            compose_explain(c, s);
            return;
        }
        if (service_is_done(s) && !s->ready) {
            readiness_on_ended(s);
        }
    }
}

static void published_fail(struct compose_run *c, const struct err *why)
{
    struct err err = {0};
    const char *config = c->d->up->manifest->compose.config;
    if (why->code != ERR_CONFIG || c->other_files == NULL || c->other_files[0] == '\0') {
        (void)err_set(&err, why->code, "%s: %s", config, why->msg);
    } else {
        (void)err_set(&err, ERR_CONFIG,
                      "%s: %s: ports come from %s, which it names by include or extends, and are "
                      "not taken out there. Take them out, or bind them to 127.0.0.1; "
                      "compose.expose publishes what is needed outside",
                      config, why->msg, c->other_files);
    }
    up_fail_launch(c->d, &err);
}

/* Mode compose: what the files mean together, before anything of it starts. */
static void config_on_done(void *arg, const struct docker_result *result)
{
    struct compose_run *c = arg;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    struct deployment *d = c->d;
    if (compose_up_is_over(d)) {
        return;
    }
    struct err err = {0};
    if (result->status != 0) {
        (void)compose_error(
            &err, c->tool.compose != NULL ? "docker-compose config" : "docker compose config",
            result);
        up_fail_launch(d, &err);
        return;
    }
    if (compose_published_check(result->out, d->up->service_bind, &err) < 0) {
        published_fail(c, &err);
        return;
    }
    readiness_begin(d, wave_add);
}

static void launch_begin(struct compose_run *c)
{
    struct deployment *d = c->d;
    if (compose_up_is_over(d)) {
        return;
    }
    struct err err = {0};
    if (compose_plan_write(c, &err) < 0) {
        up_fail_launch(d, &err);
        return;
    }
    c->is_launched = true;
    c->wave_runs = false;
    d->up->launch_attempts++;
    if (d->mode != MANIFEST_COMPOSE) {
        readiness_begin(d, wave_add);
        return;
    }
    static const char *const words[] = {"config", NULL};
    struct docker_args args = {0};
    compose_add_command(c, &args);
    docker_args_add_all(&args, words);
    compose_command(c, &args, false, config_on_done);
}

void compose_launch(struct deployment *d)
{
    struct compose_run *c = compose_of(d);
    compose_take_environment(c);
    compose_with_tool(c, launch_begin);
}
