/* deployment: one session's services: life cycle, `down`, look-ups. Called by
 * the daemon's core; loop thread. The steps of `up` are in deployment_up.c. */
#include "daemon/deploy/deployment.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fault.h"
#include "base/json.h"
#include "daemon/deploy/deployment_internal.h"
#include "daemon/store/store.h"

static void deployment_on_timer(void *arg)
{
    struct deployment *d = arg;
    CHECK(d->magic == DEPLOYMENT_MAGIC && d->next != NULL);
    loop_fn *next = d->next;
    d->next = NULL;
    next(d);
}

void deployment_continue(struct deployment *d, loop_fn *fn, uint64_t delay_ms)
{
    d->next = fn;
    loop_timer_set(&d->timer, delay_ms);
}

static void deployment_on_monitor(void *arg)
{
    struct deployment *d = arg;
    CHECK(d->magic == DEPLOYMENT_MAGIC);
    deployment_monitor(d);
}

/* Takes the state, or makes an empty one for NULL. */
static struct deployment *deployment_make(const struct deployment_env *env,
                                          const struct worktree *wt, cJSON *state,
                                          const struct health_settings *health,
                                          const struct deployment_ops *ops, void *arg)
{
    struct deployment *d = xcalloc(1, sizeof(*d));
    d->magic = DEPLOYMENT_MAGIC;
    d->env = *env;
    worktree_copy(&d->wt, wt);
    d->ops = *ops;
    d->arg = arg;
    d->state = state == NULL ? cJSON_CreateObject() : state;
    d->initialised = json_get_bool(d->state, "initialized", false);
    if (health != NULL) {
        d->health = *health;
    }
    loop_timer_init(&d->timer, env->loop, deployment_on_timer, d);
    loop_timer_init(&d->monitor, env->loop, deployment_on_monitor, d);
    loop_timer_init(&d->forward_again, env->loop, forward_on_again, d);
    cJSON *failure = store_load_failure(env->home, wt->session_name);
    d->failed_before = failure != NULL;
    cJSON_Delete(failure);
    state_restore_services(d);
    return d;
}

struct deployment *deployment_new(const struct deployment_env *env, const struct worktree *wt,
                                  const struct deployment_ops *ops, void *arg)
{
    cJSON *state = store_load_state(env->home, wt->session_name, NULL);
    const char *owner = json_get_str(state, "worktreeRoot", wt->root);
    if (state != NULL && strcmp(owner, wt->root) != 0) {
        cJSON_Delete(state); /* another worktree's; worktree_session_name avoids this */
        state = NULL;
    }
    return deployment_make(env, wt, state, NULL, ops, arg);
}

struct deployment *deployment_restore(const struct deployment_env *env, const char *session_name,
                                      const struct health_settings *health,
                                      const struct deployment_ops *ops, void *arg, struct err *err)
{
    cJSON *state = store_load_state(env->home, session_name, err);
    if (state == NULL) {
        return NULL;
    }
    const char *root = json_get_str(state, "worktreeRoot", NULL);
    const char *project = json_get_str(state, "projectName", NULL);
    if (root == NULL || project == NULL || root[0] != '/') {
        (void)err_set(err, ERR_CONFIG, "session %s: state.json names no worktree", session_name);
        cJSON_Delete(state);
        return NULL;
    }
    const char *slash = strrchr(root, '/');
    autofree char *dir = store_session_dir(env->home, session_name);
    const char *source = json_get_str(state, "sourcePath", root);
    const struct worktree wt = {.root = (char *)root,
                                .source = (char *)source,
                                .session_name = (char *)session_name,
                                .session_dir = dir,
                                .project_name = (char *)project,
                                .label = (char *)json_get_str(state, "label", slash + 1),
                                .is_source = strcmp(source, root) == 0};
    return deployment_make(env, &wt, state, health, ops, arg);
}

void deployment_free(struct deployment *d)
{
    if (d == NULL) {
        return;
    }
    CHECK(d->magic == DEPLOYMENT_MAGIC);
    up_free(d);
    service_action_free(d);
    d->runner->release(d);
    deployment_clear_services(d);
    subprocess_release(d->old_init);
    subprocess_release(d->forward);
    free(d->forward_id);
    loop_timer_fini(&d->timer);
    loop_timer_fini(&d->monitor);
    loop_timer_fini(&d->forward_again);
    cJSON_Delete(d->state);
    failure_clear(d);
    free(d->stop_error);
    worktree_fini(&d->wt);
    d->magic = 0;
    free(d);
}

static char *dup_or_null(const char *text)
{
    return text == NULL ? NULL : xstrdup(text);
}

static char **dup_strings(const char *const *list)
{
    size_t count = 0;
    while (list[count] != NULL) {
        count++;
    }
    char **copy = xcalloc(count + 1, sizeof(*copy));
    for (size_t i = 0; i < count; i++) {
        copy[i] = xstrdup(list[i]);
    }
    return copy;
}

struct up *up_new(const struct deployment_request *request)
{
    struct up *up = xcalloc(1, sizeof(*up));
    up->operation_id = dup_or_null(request->operation_id);
    up->force = request->force;
    up->no_tunnel = request->no_tunnel;
    up->services = request->services == NULL ? NULL : dup_strings(request->services);
    up->target = dup_or_null(request->target);
    up->arguments = xcalloc(request->argument_count + 1, sizeof(up->arguments[0]));
    up->argument_count = request->argument_count;
    for (size_t i = 0; i < request->argument_count; i++) {
        const char *value = request->arguments[i].value;
        up->arguments[i].key = xstrdup(request->arguments[i].key);
        up->arguments[i].value = xstrdup(value == NULL ? "" : value);
    }
    envlist_add_all(&up->base_env,
                    request->env != NULL ? request->env : (const char *const *)environ);
    up->domain = dup_or_null(request->domain);
    up->service_bind = dup_or_null(request->service_bind);
    up->head = dup_or_null(request->head);
    return up;
}

int deployment_up(struct deployment *d, const struct deployment_request *request, struct err *err)
{
    CHECK(d->magic == DEPLOYMENT_MAGIC);
    if (deployment_is_busy(d)) {
        return err_set(err, ERR_BUSY, "session %s is busy", d->wt.session_name);
    }
    d->up = up_new(request);
    failure_clear(d);
    d->health = request->health;
    deployment_cancel_checks(d); /* the monitor's */
    up_begin(d);
    return 0;
}

void deployment_on_stopped(void *arg)
{
    struct deployment *d = arg;
    CHECK(d->magic == DEPLOYMENT_MAGIC && d->on_stopped != NULL);
    void (*on_stopped)(struct deployment * d) = d->on_stopped;
    d->on_stopped = NULL;
    on_stopped(d);
}

static void stop_on_forward_stopped(void *arg)
{
    struct deployment *d = arg;
    d->runner->stop(d);
}

void deployment_stop_all(struct deployment *d, void (*on_stopped)(struct deployment *d))
{
    deployment_cancel_checks(d);
    d->on_stopped = on_stopped;
    free(d->stop_error);
    d->stop_error = NULL;
    forward_stop(d, stop_on_forward_stopped);
}

const struct runner_ops *runner_of(enum manifest_mode mode)
{
    return mode == MANIFEST_SHELL ? &runner_shell : &runner_compose;
}

/* In state.json while a down is under way: the next daemon goes on with it. */
static const char down_mark[] = "stopping";

bool deployment_was_stopping(const struct deployment *d)
{
    return json_get_bool(d->state, down_mark, false);
}

/* What could not be stopped keeps its routes; the monitor finds out what they lead to. */
static void down_fail(struct deployment *d)
{
    autofree char *why = xstrdup(d->stop_error);
    d->is_down = false;
    cJSON_DeleteItemFromObjectCaseSensitive(d->state, down_mark);
    (void)state_save(d, NULL); /* the first error is the one to tell */
    deployment_monitor_start(d, true);
    d->ops.on_done(d->arg, DEPLOYMENT_FAILED, ERR_FAILED, why);
}

static void down_on_stopped(struct deployment *d)
{
    if (d->stop_error != NULL) {
        down_fail(d);
        return;
    }
    struct err err = {0};
    fault_point("down.stopped");
    int rc = 0;
    deployment_clear_services(d);
    cJSON_DeleteItemFromObjectCaseSensitive(d->state, down_mark);
    if (cJSON_GetArraySize(d->state) > 0) {
        rc = state_save(d, &err);
    }
    fault_point("down.saved");
    d->is_down = false;
    loop_timer_clear(&d->monitor);
    d->ops.on_drop(d->arg);
    d->ops.on_done(d->arg, rc < 0 ? DEPLOYMENT_FAILED : DEPLOYMENT_SUCCEEDED, err.code,
                   rc < 0 ? err.msg : NULL);
}

static void down_on_withdrawn(struct deployment *d)
{
    fault_point("down.withdrawn");
    deployment_stop_all(d, down_on_stopped);
    fault_point("down.stopping");
}

static void down_begin(void *arg)
{
    struct deployment *d = arg;
    CHECK(d->magic == DEPLOYMENT_MAGIC && d->is_down);
    fault_point("down.begin");
    deployment_cancel_checks(d);
    if (d->up != NULL || d->action != NULL) {
        up_free(d);
        service_action_free(d);
        d->ops.on_done(d->arg, DEPLOYMENT_CANCELLED, ERR_NONE, NULL);
    }
    if (cJSON_GetArraySize(d->state) > 0) {
        state_set(d->state, down_mark, cJSON_CreateTrue());
        (void)state_save(d, NULL); /* where that fails it is not continued after a crash */
    }
    fault_point("down.noted");
    deployment_withdraw(d, ROUTE_STOPPED, down_on_withdrawn);
}

int deployment_down(struct deployment *d, struct err *err)
{
    CHECK(d->magic == DEPLOYMENT_MAGIC);
    if (d->is_down) {
        return err_set(err, ERR_BUSY, "session %s is busy", d->wt.session_name);
    }
    d->is_down = true;
    d->on_stopped = NULL; /* of what ends here; so are the others */
    d->forward_stopped = NULL;
    d->on_published = NULL;
    d->on_withdrawn = NULL;
    /* From the loop: this may be called from inside a callback of what ends. */
    deployment_continue(d, down_begin, 0);
    return 0;
}

static void replace_text(char **slot, const char *text)
{
    free(*slot);
    *slot = dup_or_null(text);
}

void deployment_published(struct deployment *d, const struct deployment_port *ports, size_t count)
{
    CHECK(d->magic == DEPLOYMENT_MAGIC);
    for (size_t i = 0; i < count; i++) {
        struct service_run *s = deployment_find(d, ports[i].service);
        struct port_run *p = s == NULL ? NULL : service_find_port(s, ports[i].container_port);
        if (p == NULL) {
            continue;
        }
        replace_text(&p->hostname, ports[i].hostname);
        replace_text(&p->url, ports[i].url);
        replace_text(&p->error, ports[i].error);
        if (p->hostname != NULL) {
            state_set_hostname(d, s->name, p->container_port, p->hostname);
        }
    }
    void (*on_published)(struct deployment * d) = d->on_published;
    d->on_published = NULL;
    if (on_published != NULL) {
        on_published(d);
    }
}

const struct worktree *deployment_worktree(const struct deployment *d)
{
    return &d->wt;
}

bool deployment_is_busy(const struct deployment *d)
{
    return d->up != NULL || d->is_down || d->action != NULL;
}

bool deployment_is_active(const struct deployment *d)
{
    bool is_active = deployment_is_busy(d);
    for (size_t i = 0; i < d->service_count; i++) {
        const struct service_run *s = d->services[i];
        bool is_over = s->state == SERVICE_CREATED || s->state == SERVICE_STOPPED ||
                       s->state == SERVICE_EXITED;
        is_active = is_active || service_is_running(s) || !is_over;
    }
    return is_active;
}

bool deployment_is_initialised(const struct deployment *d)
{
    return d->initialised;
}

size_t deployment_ports(const struct deployment *d, struct deployment_port **out_ports)
{
    size_t count = 0;
    for (size_t i = 0; i < d->service_count; i++) {
        count += d->services[i]->port_count;
    }
    struct deployment_port *ports = xcalloc(count + 1, sizeof(*ports));
    count = 0;
    for (size_t i = 0; i < d->service_count; i++) {
        const struct service_run *s = d->services[i];
        for (size_t j = 0; j < s->port_count && !s->is_dep; j++) {
            const struct port_run *p = &s->ports[j];
            ports[count++] = (struct deployment_port){.service = s->name,
                                                      .container_port = p->container_port,
                                                      .host_port = p->host_port,
                                                      .options = p->options,
                                                      .state = p->route,
                                                      .hostname = p->hostname,
                                                      .url = p->url,
                                                      .error = p->error};
        }
    }
    *out_ports = ports;
    return count;
}

bool deployment_wants_routes(const struct deployment *d)
{
    return !json_get_bool(d->state, "noTunnel", false);
}

char *deployment_log_path(const struct deployment *d, const char *service, const char *stream)
{
    return store_log_path(d->env.home, d->wt.session_name, service, stream);
}
