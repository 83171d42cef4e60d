/* deployment_exec: see deployment_exec.h. Called by the API; loop thread. */
#include "daemon/deploy/deployment_exec.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/process.h"
#include "daemon/deploy/deployment_internal.h"

static void free_list(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        free(list[i]);
    }
    free(list);
}

void exec_plan_fini(struct exec_plan *plan)
{
    free_list(plan->argv);
    free_list(plan->env);
    free(plan->cwd);
    free_list(plan->hangup);
    *plan = (struct exec_plan){0};
}

/* The environment the service was started with; `before` and `after` make sure it is its. */
static int read_environ(const struct service_run *s, struct envlist *out, struct err *err)
{
    struct buf text = {0};
    autofree char *path = xasprintf("/proc/%d/environ", (int)s->pid);
    bool before = process_start_ticks(s->pid) == s->start_ticks;
    int rc = file_read(path, EXEC_ENVIRON_MAX, &text, err);
    bool after = process_start_ticks(s->pid) == s->start_ticks;
    struct str rest = buf_str(&text);
    struct str item;
    while (rc == 0 && rest.len > 0 && str_next(&rest, '\0', &item)) {
        size_t at = str_find(item, '=');
        if (at > 0 && at < item.len) {
            envlist_set(out, (struct str){item.ptr, at},
                        (struct str){item.ptr + at + 1, item.len - at - 1});
        }
    }
    buf_fini(&text);
    if (rc < 0) {
        return err_wrap(err, "environment of service %s", s->name);
    }
    if (!before || !after) {
        return err_set(err, ERR_REFUSED, "service %s has just ended", s->name);
    }
    return 0;
}

static char **copy_words(const char *const *words)
{
    size_t count = 0;
    while (words[count] != NULL) {
        count++;
    }
    char **copy = xcalloc(count + 1, sizeof(*copy));
    for (size_t i = 0; i < count; i++) {
        copy[i] = xstrdup(words[i]);
    }
    return copy;
}

static int unknown_service(const struct deployment *d, const char *service, struct err *err)
{
    struct buf names = {0};
    for (size_t i = 0; i < d->service_count; i++) {
        buf_printf(&names, "%s%s", i == 0 ? "" : ", ", d->services[i]->name);
    }
    (void)err_set(err, ERR_NOT_FOUND, "no service named %s runs here%s%s", service,
                  names.len == 0 ? "; start it with wos up" : "; services: ",
                  names.len == 0 ? "" : buf_cstr(&names));
    buf_fini(&names);
    return -1;
}

int deployment_exec_plan(const struct deployment *d, const char *service,
                         const char *const *command, bool is_terminal, struct exec_plan *out_plan,
                         struct err *err)
{
    CHECK(command[0] != NULL);
    const struct service_run *s = deployment_find(d, service);
    if (s == NULL) {
        return unknown_service(d, service, err);
    }
    if (s->process == NULL || s->state != SERVICE_RUNNING || s->pid <= 0) {
        return err_set(err, ERR_REFUSED, "service %s does not run; start it with wos up", service);
    }
    struct envlist env = {0};
    if (read_environ(s, &env, err) < 0) {
        envlist_fini(&env);
        return -1;
    }
    if (is_terminal && envlist_get(&env, "TERM") == NULL) {
        envlist_set(&env, STR("TERM"), STR("xterm-256color"));
    }
    *out_plan = (struct exec_plan){.argv = copy_words(command),
                                   .env = copy_words(envlist_array(&env)),
                                   .cwd = xstrdup(s->cwd == NULL ? d->wt.root : s->cwd)};
    envlist_fini(&env);
    return 0;
}
