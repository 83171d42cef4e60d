/* compose_service: one container stopped, or made anew, while the others go on. Called for the
 * operations of single services; loop thread. */
#include <stdlib.h>

#include "base/auto.h"
#include "base/file.h"
#include "daemon/deploy/compose_base.h"
#include "daemon/deploy/runner_compose.h"
#include "daemon/deploy/shell.h"

static void service_end(struct compose_run *c, const struct err *err)
{
    compose_service_fn *done = c->service_done;
    c->service_done = NULL;
    done(c->d, err);
}

static void service_fail(struct compose_run *c, const char *what,
                         const struct docker_result *result)
{
    struct err err = {0};
    (void)compose_error(&err, what, result);
    service_end(c, &err);
}

static void service_on_looked(struct compose_run *c)
{
    struct err err = {0};
    if (c->look_failed) {
        (void)err_set(&err, ERR_FAILED, "%s", c->look_error);
    }
    compose_watch_start(c);
    service_end(c, c->look_failed ? &err : NULL);
}

static void stop_on_done(void *arg, const struct docker_result *result)
{
    struct compose_run *c = arg;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    if (result->status != 0) {
        service_fail(c, "docker stop", result);
        return;
    }
    compose_look(c, service_on_looked);
}

static void stop_begin(struct compose_run *c)
{
    struct service_run *s = deployment_find(c->d, c->service);
    if (s == NULL || s->container == NULL || s->state != SERVICE_RUNNING) {
        compose_look(c, service_on_looked); /* there is nothing to stop */
        return;
    }
    s->state = SERVICE_STOPPING;
    struct docker_args args = {0};
    const char *const words[] = {c->tool.docker, "stop", s->container, NULL};
    docker_args_add_all(&args, words);
    compose_command(c, &args, false, stop_on_done);
}

static void up_on_done(void *arg, const struct docker_result *result)
{
    struct compose_run *c = arg;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    if (result->status != 0) {
        service_fail(c, "docker compose up", result);
        return;
    }
    compose_look(c, service_on_looked);
}

static void remove_on_done(void *arg, const struct docker_result *result)
{
    struct compose_run *c = arg;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    if (result->status != 0) {
        service_fail(c, "docker compose rm", result);
        return;
    }
    struct docker_args args = {0};
    const char *const words[] = {"up", "-d", "--no-deps", c->service, NULL};
    compose_add_command(c, &args);
    docker_args_add_all(&args, words);
    compose_command(c, &args, true, up_on_done);
}

static void again_on_done(void *arg, const struct docker_result *result)
{
    struct compose_run *c = arg;
    CHECK(c->magic == COMPOSE_RUN_MAGIC);
    if (result->status != 0) {
        service_fail(c, "docker start", result);
        return;
    }
    compose_look(c, service_on_looked);
}

/* Compose would interpolate the files anew. What the caller of the last up had in its environment
 * is kept nowhere, only in the container: after a restart of the daemon that one is started. */
static void start_again(struct compose_run *c, const struct service_run *s)
{
    if (s == NULL || s->container == NULL) {
        struct err err = {0};
        (void)err_set(&err, ERR_FAILED,
                      "the container of service %s is gone, and since the daemon was restarted the "
                      "variables it was made with are not known: run wos up",
                      c->service);
        service_end(c, &err);
        return;
    }
    struct docker_args args = {0};
    const char *const words[] = {c->tool.docker, "start", s->container, NULL};
    docker_args_add_all(&args, words);
    compose_command(c, &args, false, again_on_done);
}

static void start_begin(struct compose_run *c)
{
    if (!c->knows_caller) {
        start_again(c, deployment_find(c->d, c->service));
        return;
    }
    struct docker_args args = {0};
    const char *const words[] = {"rm", "-f", "-s", c->service, NULL};
    compose_add_command(c, &args);
    docker_args_add_all(&args, words);
    compose_command(c, &args, true, remove_on_done);
}

static void service_begin(struct deployment *d, const struct service_run *s,
                          compose_service_fn *done, compose_fn *begin)
{
    struct compose_run *c = compose_of(d);
    if (c->command != NULL) { /* an up that failed at one service left others starting */
        struct err err = {0};
        (void)err_set(&err, ERR_BUSY, "other services of the session are just being started");
        done(d, &err);
        return;
    }
    free(c->service);
    c->service = xstrdup(s->name);
    c->service_done = done;
    compose_with_tool(c, begin);
}

/* Compose looks for env files when the container is gone already. In mode compose they are the
 * user's own affair, as in an up; any other mistake in the file is Compose's to tell, and so is a
 * path with a '$' in it, which is written in another way there. */
int compose_service_check(struct deployment *d, const struct service_run *s, struct err *err)
{
    const struct compose_run *c = compose_of(d);
    struct buf text = {0};
    struct compose_base base = {0};
    int rc = 0;
    bool is_read = c->knows_caller && d->mode == MANIFEST_GENERATED && c->file_count > 0 &&
                   file_read(c->files[0], COMPOSE_TEXT_MAX, &text, NULL) == 0 &&
                   compose_base_make(buf_str(&text), c->files[0], d->wt.root, &base, NULL) == 0;
    for (size_t i = 0; is_read && rc == 0 && i < base.setting_count; i++) {
        const struct compose_setting *setting = &base.settings[i];
        bool is_ours = setting->is_file && strchr(setting->text, '$') == NULL &&
                       strcmp(base.services[setting->service], s->name) == 0;
        if (is_ours && !file_exists(setting->text)) {
            rc = err_set(err, ERR_CONFIG, "service %s: env_file %s does not exist", s->name,
                         setting->text);
        }
    }
    compose_base_fini(&base);
    buf_fini(&text);
    return rc;
}

void compose_service_stop(struct deployment *d, struct service_run *s, compose_service_fn *done)
{
    service_begin(d, s, done, stop_begin);
}

void compose_service_start(struct deployment *d, struct service_run *s, compose_service_fn *done)
{
    service_begin(d, s, done, start_begin);
}
