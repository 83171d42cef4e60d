/* compose_exec: see compose_exec.h. Called by the core and the API. */
#include "daemon/deploy/compose_exec.h"

#include <stdio.h>

#include "base/auto.h"
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

int compose_exec_plan(const struct deployment *d, const char *service, const char *const *command,
                      bool is_terminal, struct docker_args *out_argv, struct docker_args *out_env,
                      struct err *err)
{
    const struct service_run *s = find_container(d, service, err);
    if (s == NULL) {
        return -1;
    }
    if (s->state != SERVICE_RUNNING) {
        return err_set(err, ERR_REFUSED, "service %s does not run", service);
    }
    docker_args_add(out_argv, d->compose->tool.docker);
    docker_args_add(out_argv, "exec");
    docker_args_add(out_argv, "-i");
    if (is_terminal) {
        docker_args_add(out_argv, "-t");
    }
    docker_args_add(out_argv, s->container);
    docker_args_add_all(out_argv, command);
    add_environment(d, out_env);
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
