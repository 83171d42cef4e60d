/* runner_compose: services as containers, through Docker Compose. Called through runner_ops by
 * the deployment; loop thread.
 *
 * What runs is found by the project's label, so a state file is needed for names and ports
 * only. A command that a killed daemon left at work is recorded there and ended first. */
#include "daemon/deploy/runner_compose.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/deploy/runid.h"
#include "daemon/deploy/shell.h"

enum { SETTLE_MS = 300 };

struct compose_run *compose_of(struct deployment *d)
{
    if (d->compose == NULL) {
        struct compose_run *c = xcalloc(1, sizeof(*c));
        c->magic = COMPOSE_RUN_MAGIC;
        c->d = d;
        envlist_add_all(&c->env, (const char *const *)environ);
        compose_watch_init(c);
        loop_timer_init(&c->wave_timer, d->env.loop, compose_wave_on_timer, c);
        d->compose = c;
    }
    CHECK(d->compose->magic == COMPOSE_RUN_MAGIC);
    return d->compose;
}

static void compose_release(struct deployment *d)
{
    struct compose_run *c = d->compose;
    if (c == NULL) {
        return;
    }
    d->compose = NULL;
    compose_watch_stop(c);
    loop_timer_fini(&c->look_timer);
    loop_timer_fini(&c->wave_timer);
    docker_search_cancel(c->search);
    docker_command_cancel(c->command);
    compose_caches_cancel(c);
    for (size_t i = 0; i < CACHE_KINDS; i++) {
        free(c->cache_paths[i]);
    }
    subprocess_release(c->orphan);
    subprocess_release(c->old_events);
    free(c->orphan_id);
    docker_tool_fini(&c->tool);
    containers_fini(&c->found);
    envlist_fini(&c->env);
    free(c->project_dir);
    free(c->other_files);
    for (size_t i = 0; i < COUNT_OF(c->files); i++) {
        free(c->files[i]);
    }
    free(c->ids);
    free(c->service);
    free(c->explained);
    free(c->look_error);
    c->magic = 0;
    free(c);
}

/* --- commands ------------------------------------------------------------------------ */

void compose_add_command(const struct compose_run *c, struct docker_args *args)
{
    docker_tool_add_compose(&c->tool, args);
    docker_args_add(args, "-p");
    docker_args_add(args, c->d->wt.project_name);
    if (c->project_dir != NULL) {
        docker_args_add(args, "--project-directory");
        docker_args_add(args, c->project_dir);
    }
    for (size_t i = 0; i < c->file_count; i++) {
        docker_args_add(args, "-f");
        docker_args_add(args, c->files[i]);
    }
}

static void command_on_output(void *arg, bool is_stderr, struct str chunk)
{
    struct compose_run *c = arg;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    event_log(c->d, "deployment", is_stderr ? "stderr" : "stdout", chunk);
}

/* Every command of an operation ends here. One that a stop ended only makes way for it. */
static void command_on_done(void *arg, const struct docker_result *result)
{
    struct compose_run *c = arg;
    CHECK(c->magic == COMPOSE_RUN_MAGIC && c->command != NULL);
    docker_done_fn *on_done = c->on_done;
    c->command = NULL;
    c->on_done = NULL;
    if (c->is_stopping) {
        c->is_stopping = false;
        c->d->runner->stop(c->d);
        return;
    }
    on_done(c, result);
}

/* Frees the arguments. */
static void command_start(struct compose_run *c, struct docker_args *args,
                          docker_output_fn *on_output, docker_done_fn *on_done)
{
    CHECK(c->command == NULL);
    struct envlist env = {0};
    autofree char *id = runid_new();
    envlist_add_all(&env, envlist_array(&c->env));
    envlist_set(&env, STR(RUNID_VARIABLE), str_of(id));
    /* A daemon that dies from now on is to find the command again; without a file nothing is
     * lost. */
    c->run_id = id;
    (void)state_save(c->d, NULL);
    c->run_id = NULL;
    const char *root = file_exists(c->d->wt.root) ? c->d->wt.root : "/"; /* to stop it from */
    c->command = docker_run(c->d->env.loop, docker_args_argv(args), envlist_array(&env),
                            c->project_dir != NULL ? root : NULL, on_output, command_on_done, c);
    c->on_done = on_done;
    fault_point("compose.spawned");
    docker_args_fini(args);
    envlist_fini(&env);
    (void)state_save(c->d, NULL);
}

void compose_command(struct compose_run *c, struct docker_args *args, bool is_shown,
                     docker_done_fn *on_done)
{
    command_start(c, args, is_shown ? command_on_output : NULL, on_done);
}

static void compose_start(struct compose_run *c, const char *const *words,
                          docker_output_fn *on_output, docker_done_fn *on_done)
{
    struct docker_args args = {0};
    compose_add_command(c, &args);
    docker_args_add_all(&args, words);
    command_start(c, &args, on_output, on_done);
}

/* From the first line that says "error", else all: v1 mixes its progress with them. */
static struct str error_part(struct str text)
{
    for (size_t at = 0; at < text.len;) {
        struct str rest = {text.ptr + at, text.len - at};
        struct str line = {rest.ptr, str_find(rest, '\n')};
        if (line.len > 6 && str_eq_nocase((struct str){line.ptr, 5}, STR("error"))) {
            return rest;
        }
        at += line.len + 1;
    }
    return text;
}

int compose_error(struct err *err, const char *what, const struct docker_result *result)
{
    char status[64];
    autofree char *said = shell_text_tail(error_part(result->err_tail), 6);
    return err_set(err, ERR_FAILED, "%s: %s%s%s", what,
                   result->status == -1
                       ? "cannot be run"
                       : subprocess_status_text(result->status, status, sizeof(status)),
                   said[0] == '\0' ? "" : ":\n", said);
}

static void stop_finish(struct compose_run *c, const struct err *err)
{
    struct deployment *d = c->d;
    c->is_launched = err != NULL;
    free(d->stop_error);
    d->stop_error = err == NULL ? NULL : xstrdup(err->msg);
    if (err == NULL) {
        for (size_t i = 0; i < d->service_count; i++) {
            d->services[i]->state = SERVICE_STOPPED;
        }
    } else if (c->tool.is_known) {
        compose_watch_start(c); /* what could not be stopped goes on */
    }
    if (d->on_stopped != NULL) {
        deployment_continue(d, deployment_on_stopped, 0);
    }
}

/* Who forgot `mode: shell` is told where the wish for an engine comes from. */
static void up_fail_tool(struct deployment *d, const struct err *err)
{
    const struct manifest *m = d->up->manifest;
    autofree char *text = m->mode != MANIFEST_GENERATED
                              ? xstrdup(err->msg)
                              : xasprintf("%s. mode is generated%s; without Docker: mode: shell",
                                          err->msg, m->has_mode ? "" : ", the default");
    up_fail(d, err->code, text);
}

static void tool_on_found(void *arg, const struct err *err)
{
    struct compose_run *c = arg;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    struct deployment *d = c->d;
    c->search = NULL;
    compose_fn *then = c->then;
    c->then = NULL;
    if (err == NULL) {
        then(c);
    } else if (d->on_stopped != NULL) {
        stop_finish(c, err);
    } else if (d->up != NULL) {
        up_fail_tool(d, err);
    } else if (c->service_done != NULL) {
        compose_service_fn *done = c->service_done;
        c->service_done = NULL;
        done(d, err);
    } else {
        compose_watch_failed(c, err->msg);
    }
}

void compose_with_tool(struct compose_run *c, compose_fn *fn)
{
    if (c->tool.is_known) {
        fn(c);
        return;
    }
    docker_search_cancel(c->search);
    c->then = fn;
    c->search = docker_find(c->d->env.loop, envlist_array(&c->env), &c->tool, tool_on_found, c);
}

void compose_take_environment(struct compose_run *c)
{
    CHECK(c->search == NULL && c->command == NULL);
    docker_tool_fini(&c->tool);
    envlist_fini(&c->env);
    envlist_add_all(&c->env, envlist_array(&c->d->up->base_env));
    c->knows_caller = true;
}

bool compose_up_is_over(const struct deployment *d)
{
    return d->up == NULL || d->is_down;
}

/* --- init ---------------------------------------------------------------------------- */

static void init_on_done(void *arg, const struct docker_result *result)
{
    struct compose_run *c = arg;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    if (compose_up_is_over(c->d)) {
        return;
    }
    up_on_init_done(c->d, result->status);
}

static void init_on_output(void *arg, bool is_stderr, struct str chunk)
{
    struct compose_run *c = arg;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    if (c->d->up != NULL && !c->is_stopping) {
        up_on_init_output(c->d, is_stderr, chunk);
    }
}

static void init_begin(struct compose_run *c)
{
    if (compose_up_is_over(c->d)) {
        return;
    }
    struct err err = {0};
    if (compose_plan_write(c, &err) < 0) {
        up_fail(c->d, err.code, err.msg);
        return;
    }
    autofree char *script = up_init_script(c->d);
    const char *const words[] = {"run", "--rm", "-T", "--entrypoint", "sh", "wos-init",
                                 "-lc", script, NULL};
    compose_start(c, words, init_on_output, init_on_done);
}

static void init_ask(struct compose_run *c)
{
    if (!compose_up_is_over(c->d)) {
        compose_caches_find(c, init_begin);
    }
}

static void compose_init(struct deployment *d, const char *script)
{
    (void)script; /* made again when the tools are known */
    struct compose_run *c = compose_of(d);
    compose_take_environment(c);
    compose_with_tool(c, init_ask);
}

/* --- status -------------------------------------------------------------------------- */

static void explain_on_done(void *arg, const struct docker_result *result)
{
    struct compose_run *c = arg;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    if (compose_up_is_over(c->d)) {
        return;
    }
    struct deployment *d = c->d;
    struct buf both = {0};
    buf_add_str(&both, result->out);
    buf_add_str(&both, result->err_tail);
    failure_note_output(d, buf_str(&both));
    buf_fini(&both);
    char status[64];
    autofree char *text =
        xasprintf("service %s ended during up (%s)%s%s", c->explained,
                  subprocess_status_text(c->explained_status, status, sizeof(status)),
                  d->failure_tail[0] == '\0' ? "; it printed nothing" : ":\n", d->failure_tail);
    compose_watch_start(c);
    readiness_fail(d, text);
}

void compose_explain(struct compose_run *c, const struct service_run *s)
{
    struct docker_args args = {0};
    free(c->explained); /* as it is now: until the answer the engine may have started it again */
    c->explained = xstrdup(s->name);
    c->explained_status = s->status;
    const char *const words[] = {c->tool.docker, "logs", "--tail", "10", s->container, NULL};
    docker_args_add_all(&args, words);
    command_start(c, &args, NULL, explain_on_done);
}

static void status_on_looked(struct compose_run *c)
{
    if (compose_up_is_over(c->d)) {
        return;
    }
    struct deployment *d = c->d;
    if (c->look_failed) {
        up_fail(d, ERR_FAILED, c->look_error);
        return;
    }
    for (size_t i = 0; i < d->service_count; i++) {
        const struct service_run *s = d->services[i];
        /* In the user's own file a helper may end as it likes. */
        bool is_ours = d->mode == MANIFEST_GENERATED || s->port_count > 0;
        if (s->state == SERVICE_EXITED && is_ours && s->container != NULL) {
            compose_explain(c, s);
            return;
        }
    }
    compose_watch_start(c);
    up_step_done(d);
}

static void status_on_settled(void *arg)
{
    struct deployment *d = arg;
    CHECK(d->magic == DEPLOYMENT_MAGIC && d->up != NULL);
    compose_look(compose_of(d), status_on_looked);
}

static void compose_status(struct deployment *d)
{
    deployment_continue(d, status_on_settled, SETTLE_MS);
}

/* --- stop ---------------------------------------------------------------------------- */

static void remove_networks_on_done(void *arg, const struct docker_result *result)
{
    struct compose_run *c = arg;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    (void)result; /* a network that stays is reused by the next up */
    stop_finish(c, NULL);
}

static void remove_on_done(void *arg, const struct docker_result *result)
{
    struct compose_run *c = arg;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    if (result->status != 0) {
        struct err err = {0};
        (void)compose_error(&err, "docker rm", result);
        stop_finish(c, &err);
        return;
    }
    struct docker_args args = {0};
    autofree char *filter = xasprintf("label=com.docker.compose.project=%s", c->d->wt.project_name);
    const char *const words[] = {c->tool.docker, "network", "prune", "--force",
                                 "--filter",     filter,    NULL};
    docker_args_add_all(&args, words);
    command_start(c, &args, NULL, remove_networks_on_done);
}

/* Without Compose: its files are gone or of no use. */
static void remove_begin(struct compose_run *c)
{
    struct docker_args args = {0};
    static const char *const words[] = {"rm", "--force", NULL};
    docker_args_add(&args, c->tool.docker);
    docker_args_add_all(&args, words);
    struct str rest = str_of(c->ids);
    struct str id;
    while (rest.len > 0 && str_next(&rest, '\n', &id)) {
        autofree char *text = str_dup(str_trim(id));
        if (text[0] != '\0') {
            docker_args_add(&args, text);
        }
    }
    command_start(c, &args, NULL, remove_on_done);
}

static void down_on_done(void *arg, const struct docker_result *result)
{
    struct compose_run *c = arg;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    if (result->status == 0) {
        stop_finish(c, NULL);
    } else if (c->ids[0] != '\0') {
        event_log(c->d, "deployment", "stderr",
                  STR("compose down failed; removing the containers one by one\n"));
        remove_begin(c);
    } else {
        struct err err = {0};
        (void)compose_error(&err, "docker compose down", result);
        stop_finish(c, &err);
    }
}

static bool files_exist(const struct compose_run *c)
{
    bool all = c->file_count > 0;
    for (size_t i = 0; i < c->file_count; i++) {
        all = all && file_exists(c->files[i]);
    }
    return all;
}

/* Which containers there are is asked first: an up that finds none needs no Compose. */
static void ids_on_done(void *arg, const struct docker_result *result)
{
    struct compose_run *c = arg;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    if (result->status != 0) {
        struct err err = {0};
        (void)compose_error(&err, "docker ps", result);
        stop_finish(c, &err);
        return;
    }
    free(c->ids);
    c->ids = str_dup(str_trim(result->out));
    bool is_empty = c->ids[0] == '\0';
    if (files_exist(c) && (!is_empty || c->d->is_down)) {
        static const char *const words[] = {"down", "--remove-orphans", NULL};
        compose_start(c, words, command_on_output, down_on_done);
    } else if (!is_empty) {
        remove_begin(c);
    } else {
        stop_finish(c, NULL);
    }
}

void compose_stop_begin(struct compose_run *c)
{
    struct docker_args args = {0};
    autofree char *filter = xasprintf("label=com.docker.compose.project=%s", c->d->wt.project_name);
    const char *const words[] = {c->tool.docker, "ps",       "--all", "--quiet",
                                 "--no-trunc",   "--filter", filter,  NULL};
    docker_args_add_all(&args, words);
    command_start(c, &args, NULL, ids_on_done);
}

static void compose_stop(struct deployment *d)
{
    struct compose_run *c = compose_of(d);
    compose_watch_stop(c);
    loop_timer_clear(&c->wave_timer);
    c->wave_runs = false;
    docker_search_cancel(c->search);
    c->search = NULL;
    compose_caches_cancel(c);
    c->service_done = NULL;
    if (c->orphan != NULL) {
        return; /* orphan_on_exit goes on */
    }
    if (c->command != NULL) {
        c->is_stopping = true;
        docker_command_stop(c->command);
        return;
    }
    if (c->file_count == 0 && !c->is_launched) {
        /* Every container is of a compose file that is in state.json before. Without one there is
         * nothing to ask an engine that may not even be there. */
        stop_finish(c, NULL);
        return;
    }
    compose_with_tool(c, compose_stop_begin);
}

static void compose_one_stop(struct deployment *d, struct service_run *s)
{
    compose_service_stop(d, s, deployment_service_stopped);
}

static void compose_one_start(struct deployment *d, struct service_run *s)
{
    compose_service_start(d, s, deployment_service_started);
}

const struct runner_ops runner_compose = {
    .backend = "docker",
    .init = compose_init,
    .launch = compose_launch,
    .status = compose_status,
    .stop = compose_stop,
    .service_check = compose_service_check,
    .service_stop = compose_one_stop,
    .service_start = compose_one_start,
    .save = compose_save,
    .restore = compose_restore,
    .release = compose_release,
};
