/* compose_exec: see compose_exec.h. Called by the core and the API. */
#include "daemon/deploy/compose_exec.h"

#include <stdio.h>

#include "base/auto.h"
#include "daemon/deploy/runid.h"
#include "daemon/deploy/runner_compose.h"

bool compose_exec_applies(const struct deployment *d)
{
    return d->runner == &runner_compose;
}

static const struct service_run *find_container(const struct deployment *d, const char *service,
                                                struct err *err)
{
    const struct service_run *s = deployment_find(d, service);
    if (s == NULL) {
        (void)err_set(err, ERR_NOT_FOUND, "no service named %s is deployed here", service);
        return NULL;
    }
    if (d->compose == NULL || !d->compose->tool.is_known || s->container == NULL) {
        (void)err_set(err, ERR_REFUSED, "service %s has no container", service);
        return NULL;
    }
    return s;
}

static void add_environment(const struct deployment *d, struct docker_args *out_env)
{
    const char *const *env = envlist_array(&d->compose->env);
    docker_args_add_all(out_env, env);
}

/* $0 is the mark; sh itself does not carry it. */
static const char HANGUP[] =
    "mark=$0; tell() { for p in /proc/[0-9]*; do"
    " grep -q \"$mark\" \"$p/environ\" && kill \"-$1\" \"${p#/proc/}\"; done; };"
    " tell HUP; sleep 2; tell KILL";

/* What leads to the engine; it may be written down, as nothing else of the environment may. */
static const char *const engine_variables[] = {"PATH",
                                               "HOME",
                                               "DOCKER_HOST",
                                               "DOCKER_CONTEXT",
                                               "DOCKER_CONFIG",
                                               "DOCKER_CERT_PATH",
                                               "DOCKER_TLS_VERIFY"};

/* Complete in itself: the next daemon may have to run it. */
static char **hangup_plan(const struct deployment *d, const char *container, const char *mark)
{
    struct docker_args args = {0};
    const char *const words[] = {
        d->compose->tool.docker, "exec", container, "sh", "-c", HANGUP, mark, NULL};
    docker_args_add(&args, "env");
    for (size_t i = 0; i < COUNT_OF(engine_variables); i++) {
        const char *value = envlist_get(&d->compose->env, engine_variables[i]);
        if (value != NULL) {
            autofree char *item = xasprintf("%s=%s", engine_variables[i], value);
            docker_args_add(&args, item);
        }
    }
    docker_args_add_all(&args, words);
    (void)docker_args_argv(&args); /* NULL at the end */
    return args.items;
}

int compose_exec_plan(const struct deployment *d, const char *service, const char *const *command,
                      bool is_terminal, struct exec_plan *out, struct err *err)
{
    const struct service_run *s = find_container(d, service, err);
    if (s == NULL) {
        return -1;
    }
    if (s->state != SERVICE_RUNNING) {
        return err_set(err, ERR_REFUSED, "service %s does not run", service);
    }
    const char *docker = d->compose->tool.docker;
    autofree char *id = runid_new();
    autofree char *mark = xasprintf("WOS_EXEC_ID=%s", id);
    struct docker_args argv = {0};
    struct docker_args env = {0};
    const char *const words[] = {docker,       "exec", "-e", mark, is_terminal ? "-it" : "-i",
                                 s->container, NULL};
    docker_args_add_all(&argv, words);
    docker_args_add_all(&argv, command);
    add_environment(d, &env);
    (void)docker_args_argv(&argv); /* NULL at the end */
    (void)docker_args_argv(&env);
    *out = (struct exec_plan){.argv = argv.items,
                              .env = env.items,
                              .cwd = xstrdup(d->wt.root),
                              .hangup = hangup_plan(d, s->container, mark)};
    return 0;
}

int compose_logs_plan(const struct deployment *d, const char *service, unsigned tail, bool follow,
                      bool since_run, struct docker_args *out_argv, struct docker_args *out_env,
                      char **out_run, struct err *err)
{
    const struct service_run *s = find_container(d, service, err);
    if (s == NULL) {
        return -1;
    }
    docker_args_add(out_argv, d->compose->tool.docker);
    docker_args_add(out_argv, "logs");
    if (tail > 0) {
        char number[16];
        (void)snprintf(number, sizeof(number), "%u", tail);
        docker_args_add(out_argv, "--tail");
        docker_args_add(out_argv, number);
    }
    if (follow) {
        docker_args_add(out_argv, "--follow");
    }
    if (since_run && s->started_at != NULL) {
        docker_args_add(out_argv, "--since");
        docker_args_add(out_argv, s->started_at);
    }
    docker_args_add(out_argv, s->container);
    add_environment(d, out_env);
    *out_run = xasprintf("%s %s", s->container, s->started_at == NULL ? "" : s->started_at);
    return 0;
}
