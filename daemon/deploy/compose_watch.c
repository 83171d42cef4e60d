/* compose_watch: what of a Docker deployment runs. Called by runner_compose.c; loop thread.
 *
 * One look is `docker ps` for the ids of the project and `docker inspect` of them: exact, and
 * the same with every version of Compose (v1 has no machine-readable `ps`). Between operations
 * `docker events` tells when to look again; nothing is polled. */
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/deploy/runner_compose.h"
#include "daemon/deploy/shell.h"

enum {
    LOOK_DELAY_MS = 100,  /* events come in bursts */
    LOOK_AGAIN_MS = 5000, /* the engine does not answer, or its events ended */
};

static void look_begin(struct compose_run *c);

static char *project_filter(const struct compose_run *c)
{
    return xasprintf("label=com.docker.compose.project=%s", c->d->wt.project_name);
}

static void service_note_gone(struct service_run *s)
{
    for (size_t i = 0; i < s->port_count; i++) {
        health_cancel(s->ports[i].check);
        s->ports[i].check = NULL;
        s->ports[i].health = HEALTH_WAITING;
        port_set_route(&s->ports[i], ROUTE_STOPPED);
    }
}

static void service_note_running(struct service_run *s)
{
    for (size_t i = 0; i < s->port_count; i++) {
        if (!s->ports[i].check_enabled) {
            port_set_route(&s->ports[i], ROUTE_LIVE);
        }
    }
    deployment_monitor_start(s->deployment, true);
}

static enum service_state state_of(const struct container *found, const struct service_run *s)
{
    static const struct {
        const char *name;
        enum service_state state;
    } states[] = {{"running", SERVICE_RUNNING},
                  {"created", SERVICE_CREATED},
                  {"restarting", SERVICE_RESTARTING},
                  {"paused", SERVICE_PAUSED},
                  {"removing", SERVICE_STOPPING}};
    if (found == NULL) {
        return SERVICE_STOPPED;
    }
    for (size_t i = 0; i < COUNT_OF(states); i++) {
        if (strcmp(found->state, states[i].name) == 0) {
            return states[i].state;
        }
    }
    bool was_asked = s->state == SERVICE_STOPPED || s->state == SERVICE_STOPPING;
    bool done_well = found->exit_code == 0 && s->port_count == 0;
    return was_asked || done_well ? SERVICE_STOPPED : SERVICE_EXITED;
}

static void service_apply(struct service_run *s, const struct container *found)
{
    struct deployment *d = s->deployment;
    enum service_state before = s->state;
    s->state = state_of(found, s);
    s->status = found == NULL || found->started_at == NULL ? -1 : (found->exit_code & 0xff) << 8;
    free(s->container);
    s->container = found == NULL ? NULL : xstrdup(found->id);
    s->restart_count = found == NULL ? 0 : found->restart_count;
    s->container_pid = found == NULL ? 0 : found->pid;
    if (found != NULL && found->started_at != NULL) {
        free(s->started_at);
        s->started_at = xstrdup(found->started_at);
    }
    bool is_operated = d->up != NULL || d->is_down || service_action_is_of(d, s);
    if (is_operated || before == s->state) {
        return; /* the operation says what it means */
    }
    if (s->state == SERVICE_RUNNING) {
        service_note_running(s);
        return;
    }
    service_note_gone(s);
    if (s->state == SERVICE_EXITED && before != SERVICE_UNKNOWN) {
        char text[64];
        d->ops.on_crash(d->arg, s->name, subprocess_status_text(s->status, text, sizeof(text)));
    }
}

/* Services of the user's file that are not exposed are seen here for the first time. */
static void add_unknown_services(struct compose_run *c)
{
    for (size_t i = 0; c->is_launched && i < c->found.count; i++) {
        const char *name = c->found.items[i].service;
        if (deployment_find(c->d, name) == NULL && strcmp(name, "wos-init") != 0) {
            struct service_run *s = service_run_new(c->d, name, 0);
            s->is_dep = true;
            s->status = -1;
        }
    }
}

static void set_unknown(struct compose_run *c)
{
    for (size_t i = 0; i < c->d->service_count; i++) {
        c->d->services[i]->state = SERVICE_UNKNOWN;
    }
    loop_timer_set(&c->look_timer, LOOK_AGAIN_MS);
}

static void look_finish(struct compose_run *c, const char *error)
{
    struct deployment *d = c->d;
    c->look_failed = error != NULL;
    free(c->look_error);
    c->look_error = error == NULL ? NULL : xstrdup(error);
    if (error == NULL) {
        add_unknown_services(c);
        for (size_t i = 0; i < d->service_count; i++) {
            service_apply(d->services[i], containers_find(&c->found, d->services[i]->name));
        }
    } else if (c->is_watching) {
        log_debug("deploy", "containers cannot be looked at", LOG_STR("error", error));
        set_unknown(c);
    }
    compose_fn *looked = c->looked;
    c->looked = NULL;
    if (looked != NULL) {
        looked(c);
    }
    if (error == NULL) {
        compose_launch_looked(c);
    }
    if (c->look_again && c->look == NULL) {
        c->look_again = false;
        look_begin(c);
    }
}

static void look_fail(struct compose_run *c, const char *what, const struct docker_result *result)
{
    char status[64];
    autofree char *said = shell_text_tail(result->err_tail, 3);
    autofree char *text = xasprintf(
        "docker %s: %s%s%s", what,
        result->status == -1 ? "cannot be run"
                             : subprocess_status_text(result->status, status, sizeof(status)),
        said[0] == '\0' ? "" : ": ", said);
    look_finish(c, text);
}

static void inspect_on_done(void *arg, const struct docker_result *result)
{
    struct compose_run *c = arg;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    c->look = NULL;
    struct err err = {0};
    containers_fini(&c->found);
    /* Exit 1 with a list: one of them has just been removed. */
    if (containers_parse(result->out, &c->found, &err) < 0) {
        look_fail(c, "inspect", result);
        return;
    }
    /* Another home may have brought up the same worktree since: its ports are not ours. */
    containers_keep(&c->found, json_get_str(c->d->state, "deploymentId", ""));
    look_finish(c, NULL);
}

static void ps_on_done(void *arg, const struct docker_result *result)
{
    struct compose_run *c = arg;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    c->look = NULL;
    if (result->status != 0) {
        look_fail(c, "ps", result);
        return;
    }
    struct docker_args args = {0};
    static const char *const inspect[] = {"inspect", "--type", "container", NULL};
    docker_args_add(&args, c->tool.docker);
    docker_args_add_all(&args, inspect);
    struct str rest = result->out;
    struct str id;
    size_t count = 0;
    while (rest.len > 0 && str_next(&rest, '\n', &id)) {
        autofree char *text = str_dup(str_trim(id));
        if (text[0] != '\0') {
            docker_args_add(&args, text);
            count++;
        }
    }
    if (count == 0) {
        containers_fini(&c->found);
        look_finish(c, NULL);
    } else {
        c->look = docker_ask(c->d->env.loop, docker_args_argv(&args), envlist_array(&c->env), NULL,
                             NULL, inspect_on_done, c);
    }
    docker_args_fini(&args);
}

static void look_begin(struct compose_run *c)
{
    autofree char *filter = project_filter(c);
    const char *const argv[] = {c->tool.docker, "ps",       "--all", "--quiet",
                                "--no-trunc",   "--filter", filter,  NULL};
    loop_timer_clear(&c->look_timer);
    c->look = docker_ask(c->d->env.loop, argv, envlist_array(&c->env), NULL, NULL, ps_on_done, c);
}

void compose_look(struct compose_run *c, compose_fn *looked)
{
    CHECK(c->tool.is_known);
    c->looked = looked;
    docker_command_cancel(c->look); /* what it saw may be older than what the caller did */
    c->look = NULL;
    c->look_again = false;
    look_begin(c);
}

void compose_watch_failed(struct compose_run *c, const char *why)
{
    log_warn("deploy", "containers cannot be watched", LOG_STR("session", c->d->wt.session_name),
             LOG_STR("error", why));
    set_unknown(c);
}

static void look_on_timer(void *arg)
{
    struct compose_run *c = arg;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    if (!c->tool.is_known) {
        compose_with_tool(c, compose_watch_start);
        return;
    }
    if (c->look != NULL) {
        c->look_again = true;
    } else {
        look_begin(c);
    }
}

static void watch_on_change(void *arg)
{
    struct compose_run *c = arg;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    loop_timer_set(&c->look_timer, LOOK_DELAY_MS);
}

void compose_watch_start(struct compose_run *c)
{
    if (!c->is_watching) {
        c->is_watching = true;
        c->watch = docker_watch_new(c->d->env.docker_events, c->tool.docker, envlist_array(&c->env),
                                    c->d->wt.project_name, watch_on_change, c);
        loop_timer_set(&c->look_timer, LOOK_DELAY_MS); /* what happened before events come */
    }
}

void compose_watch_stop(struct compose_run *c)
{
    c->is_watching = false;
    c->look_again = false;
    loop_timer_clear(&c->look_timer);
    docker_watch_free(c->watch);
    docker_command_cancel(c->look);
    c->watch = NULL;
    c->look = NULL;
    c->looked = NULL;
}

void compose_watch_init(struct compose_run *c)
{
    loop_timer_init(&c->look_timer, c->d->env.loop, look_on_timer, c);
}
