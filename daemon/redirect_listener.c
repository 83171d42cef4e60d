/* redirect_listener: see redirect_listener.h. Owned by the supervisor. */
#include "daemon/redirect_listener.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "base/log.h"

enum { RETRY_MS = 5000 };

static bool is_wanted(const struct redirect_listener *r)
{
    return r->config->tunnel_enabled && r->config->redirect_port != 0;
}

static void set_error(struct redirect_listener *r, const char *error)
{
    if (error != NULL && (r->error == NULL || strcmp(r->error, error) != 0)) {
        log_error("gateway", "nothing redirects to https", LOG_STR("error", error));
    }
    char *copy = error == NULL ? NULL : xstrdup(error);
    free(r->error);
    r->error = copy;
}

static void on_retry(void *arg)
{
    struct redirect_listener *r = arg;
    redirect_listener_bind(r, r->workers);
    if (r->error == NULL) {
        log_info("gateway", "redirecting to https", LOG_INT("port", r->config->redirect_port));
        r->bound(r->bound_arg);
    }
}

void redirect_listener_init(struct redirect_listener *r, struct loop *loop,
                            const struct config *config, void (*bound)(void *), void *arg)
{
    *r = (struct redirect_listener){
        .config = config, .set = {.is_redirect = true}, .bound = bound, .bound_arg = arg};
    loop_timer_init(&r->retry, loop, on_retry, r);
}

void redirect_listener_fini(struct redirect_listener *r)
{
    loop_timer_fini(&r->retry);
    sockets_fini(&r->set);
    free(r->error);
    r->error = NULL;
}

void redirect_listener_bind(struct redirect_listener *r, size_t workers)
{
    struct err err = {.msg = ""};
    if (!is_wanted(r)) {
        return;
    }
    r->workers = workers;
    if (r->set.worker_count == 0) {
        sockets_init(&r->set, workers);
    } else if (r->set.worker_count != workers) {
        sockets_respread(&r->set, workers);
    }
    if (sockets_bind(&r->set, (uint16_t)r->config->redirect_port, &err) < 0) {
        set_error(r, err.msg);
        loop_timer_set(&r->retry, RETRY_MS);
        return;
    }
    set_error(r, NULL);
    loop_timer_clear(&r->retry);
}

bool redirect_listener_take(struct redirect_listener *r, struct socket_set *found)
{
    if (sockets_is_empty(found)) {
        return true; /* what is wanted can be added */
    }
    if (!is_wanted(r) || !sockets_have_port(found, (uint16_t)r->config->redirect_port)) {
        return false;
    }
    if (sockets_is_empty(&r->set)) {
        sockets_fini(&r->set);
        r->set = *found;
        *found = (struct socket_set){.is_redirect = true};
    }
    return true;
}

void redirect_listener_add_status(const struct redirect_listener *r, cJSON *tunnel)
{
    if (!is_wanted(r)) {
        return;
    }
    (void)json_add_int(tunnel, "redirectPort", r->config->redirect_port);
    if (r->error != NULL) {
        (void)json_add_str(tunnel, "redirectError", r->error);
    }
}
