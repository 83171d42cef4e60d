/* supervisor: see supervisor.h. Made by daemon.c; talks to gateways through gateway_link.c. */
#include "daemon/supervisor.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/build.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/gateway_spawn.h"
#include "daemon/supervisor_private.h"
#include "gateway/link_protocol.h"

enum {
    GREETING_MS = 10000, /* connected to ready */
    BACKOFF_FIRST_MS = 50,
    BACKOFF_MAX_MS = 5000,
    PORT_RETRY_MS = 5000,
    STABLE_MS = 30000, /* after this long the pauses start small again */
    SHUTDOWN_MS = 5000,
};

void supervisor_set_error(struct supervisor *s, const char *error)
{
    bool is_news = error != NULL && (s->error == NULL || strcmp(s->error, error) != 0);
    char *copy = error == NULL ? NULL : xstrdup(error);
    free(s->error);
    s->error = copy;
    publisher_set_fault(s->publisher, copy);
    if (is_news) {
        log_error("gateway", "the tunnel does not serve", LOG_STR("error", error));
    }
}

static void gateway_free(struct gateway *g)
{
    if (g == NULL) {
        return;
    }
    replaced_fini(g);
    gateway_link_free(g->link);
    if (g->process != NULL) {
        subprocess_release(g->process);
    }
    sockets_fini(&g->sockets);
    sockets_fini(&g->redirects);
    free(g->build);
    free(g->refusal);
    cJSON_Delete(g->sandbox);
    free(g);
}

static void retry_later(struct supervisor *s, uint64_t delay_ms)
{
    if (!s->is_ending) {
        loop_timer_set(&s->retry_timer, delay_ms);
    }
}

static void retry_with_backoff(struct supervisor *s)
{
    if (clock_now_ms() - s->started_ms > STABLE_MS) {
        s->backoff_ms = BACKOFF_FIRST_MS;
    }
    retry_later(s, s->backoff_ms);
    s->backoff_ms = s->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : s->backoff_ms * 2;
}

/* --- what gateways say -------------------------------------------------------- */

static void gateway_on_hello(void *arg, const struct gateway_hello *hello)
{
    struct gateway *g = arg;
    g->pid = hello->pid;
    g->protocol = hello->protocol;
    g->generation = hello->generation;
    free(g->build);
    g->build = xstrdup(hello->build);
    cJSON_Delete(g->sandbox);
    g->sandbox = hello->sandbox == NULL ? NULL : cJSON_Duplicate(hello->sandbox, true);
    if (hello->workers > 0 && g->sockets.worker_count == 0) {
        sockets_init(&g->sockets, hello->workers);
        sockets_init(&g->redirects, hello->workers);
    }
}

static void gateway_on_listener(void *arg, size_t worker, const char *address, int fd)
{
    struct gateway *g = arg;
    bool is_redirect = str_starts(str_of(address), STR(LINK_REDIRECT));
    struct socket_set *set = is_redirect ? &g->redirects : &g->sockets;
    if (worker >= set->worker_count || set->workers[worker].count >= SOCKETS_PER_WORKER_MAX) {
        (void)close(fd);
        return;
    }
    sockets_add(set, worker, address, fd);
}

/* The sockets a found gateway holds become ours, if we have none. True when they are the
 * wanted ones. */
static bool take_sockets(struct supervisor *s, struct gateway *g)
{
    if (!sockets_have_port(&g->sockets, (uint16_t)s->config->tunnel_port)) {
        return false;
    }
    bool is_wanted = g->sockets.worker_count == gateway_workers_wanted(s->config);
    if (sockets_is_empty(&s->sockets)) {
        sockets_fini(&s->sockets);
        s->sockets = g->sockets;
        g->sockets = (struct socket_set){.workers = NULL};
    }
    return redirect_listener_take(&s->redirect, &g->redirects) && is_wanted;
}

/* A gateway of an earlier daemon, with its greeting complete. */
static void found_gateway(struct supervisor *s, struct gateway *g)
{
    bool is_wanted = s->config->tunnel_enabled && take_sockets(s, g);
    sockets_fini(&g->sockets);
    if (is_wanted && g->protocol == LINK_PROTOCOL && strcmp(g->build, build_id()) == 0) {
        log_info("gateway", "kept the gateway that was running", LOG_INT("pid", g->pid));
        publisher_raise_generation(s->publisher, g->generation);
        g->state = GATEWAY_LOADING;
        if (sockets_is_empty(&s->redirect.set)) {
            redirect_listener_bind(&s->redirect, s->sockets.worker_count);
            gateway_link_send_listeners(g->link, &s->redirect.set);
        }
        delivery_send(g);
        return;
    }
    log_info("gateway",
             s->config->tunnel_enabled ? "replacing the gateway that was running"
                                       : "ending the gateway: the tunnel is disabled now",
             LOG_INT("pid", g->pid), LOG_STR("build", g->build));
    publisher_raise_generation(s->publisher, g->generation);
    s->current = NULL;
    replaced_add(s, g);
    if (s->config->tunnel_enabled) {
        retry_later(s, 0);
    }
}

static void gateway_on_ready(void *arg)
{
    struct gateway *g = arg;
    struct supervisor *s = g->s;
    CHECK(s->magic == SUPERVISOR_MAGIC);
    if (g->state != GATEWAY_GREETING) {
        return;
    }
    if (g != s->current) {
        gateway_link_send_access_log(g->link, s->access_fd);
        replaced_on_ready(g);
        return;
    }
    loop_timer_clear(&s->greeting_timer);
    gateway_link_send_access_log(g->link, s->access_fd);
    if (!g->is_ours) {
        found_gateway(s, g);
        return;
    }
    sockets_fini(&g->sockets);
    g->state = GATEWAY_LOADING;
    gateway_link_send_setup(g->link, &s->sockets);
    gateway_link_send_listeners(g->link, &s->redirect.set);
    delivery_send(g);
}

static void gateway_on_stats(void *arg, const cJSON *stats)
{
    struct gateway *g = arg;
    if (g == g->s->current) {
        gateway_stats_answer(&g->s->stats, stats);
    }
}

static void old_remove(struct supervisor *s, struct gateway *g)
{
    for (struct gateway **at = &s->old; *at != NULL; at = &(*at)->next) {
        if (*at == g) {
            *at = g->next;
            break;
        }
    }
    gateway_free(g);
}

void supervisor_retire(struct supervisor *s, struct gateway *g)
{
    gateway_link_free(g->link);
    g->link = NULL;
    if (g == s->current) {
        loop_timer_clear(&s->greeting_timer);
        s->current = NULL;
        g->next = s->old;
        s->old = g;
    }
    if (g->process == NULL) {
        old_remove(s, g);
    }
}

/* The link is gone: the gateway ended, or took another daemon for its own. */
static void gateway_on_close(void *arg, const char *reason)
{
    struct gateway *g = arg;
    struct supervisor *s = g->s;
    CHECK(s->magic == SUPERVISOR_MAGIC);
    bool was_current = g == s->current;
    if (!was_current || s->is_ending) {
        log_info("gateway", "a gateway has ended", LOG_INT("pid", g->pid));
    } else {
        log_warn("gateway", "lost the gateway", LOG_INT("pid", g->pid), LOG_STR("reason", reason));
    }
    bool was_aside = g->path != NULL;
    replaced_on_close(g);
    supervisor_retire(s, g);
    if (was_current || was_aside) {
        retry_with_backoff(s); /* it may live, and have lost no more than its link */
    }
    delivery_tell(s);
}

static void gateway_on_exit(void *arg, int status)
{
    struct gateway *g = arg;
    struct supervisor *s = g->s;
    CHECK(s->magic == SUPERVISOR_MAGIC);
    char text[64];
    (void)subprocess_status_text(status, text, sizeof text);
    if (status != 0 && !s->is_ending) {
        log_error("gateway", "the gateway ended; see gateway.log", LOG_INT("pid", g->pid),
                  LOG_STR("status", text));
    }
    subprocess_release(g->process);
    g->process = NULL;
    if (g->link == NULL) {
        old_remove(s, g);
    } /* else the link's end, which follows, does it */
}

static void supervisor_on_greeting(void *arg)
{
    struct supervisor *s = arg;
    CHECK(s->magic == SUPERVISOR_MAGIC);
    struct gateway *g = s->current;
    if (g == NULL || g->state != GATEWAY_GREETING) {
        return;
    }
    log_error("gateway", "a gateway does not answer; giving it up", LOG_INT("pid", g->pid));
    gateway_link_send_shutdown(g->link); /* should it wake up: nobody could tell it anything */
    if (g->process != NULL) {
        (void)subprocess_signal(g->process, SIGKILL, NULL);
    }
    supervisor_retire(s, g);
    (void)unlink(GATEWAY_SOCKET); /* the next try starts one of its own */
    retry_with_backoff(s);
}

/* --- starting one ----------------------------------------------------------------- */

static void gateway_on_event(void *arg, const cJSON *event)
{
    struct gateway *g = arg;
    CHECK(g->s->magic == SUPERVISOR_MAGIC);
    if (g->s->on_event != NULL) {
        g->s->on_event(g->s->on_event_arg, event);
    }
}

static const struct gateway_link_ops link_ops = {
    gateway_on_hello, gateway_on_listener, gateway_on_ready, delivery_on_answer,
    gateway_on_stats, gateway_on_event,    gateway_on_close,
};

struct gateway *supervisor_connect(struct supervisor *s, const char *path, struct err *err)
{
    struct gateway_link *link = NULL;
    struct gateway *g = xcalloc(1, sizeof *g);
    link = gateway_link_open(s->loop, path, &link_ops, g, err);
    if (link == NULL) {
        free(g);
        return NULL;
    }
    g->s = s;
    g->build = xstrdup("");
    g->link = link;
    return g;
}

static bool gateway_connect(struct supervisor *s, struct err *err)
{
    struct gateway *g = supervisor_connect(s, GATEWAY_SOCKET, err);
    if (g == NULL) {
        return false;
    }
    s->current = g;
    loop_timer_set(&s->greeting_timer, GREETING_MS);
    return true;
}

static int gateway_start(struct supervisor *s, struct err *err)
{
    replaced_set_aside(s);
    autoclose int listener = gateway_listen(err);
    /* Connected first: the queue of the listening socket waits for the process. */
    if (listener < 0 || !gateway_connect(s, err)) {
        return -1;
    }
    struct gateway *g = s->current;
    g->is_ours = true;
    g->process = gateway_spawn(s->loop, listener, gateway_on_exit, g, err);
    if (g->process == NULL) {
        s->current = NULL;
        loop_timer_clear(&s->greeting_timer);
        gateway_free(g);
        (void)unlink(GATEWAY_SOCKET);
        return -1;
    }
    g->pid = subprocess_pid(g->process);
    s->started_ms = clock_now_ms();
    return 0;
}

static bool supervisor_bind(struct supervisor *s)
{
    struct err err = {.msg = ""};
    size_t workers = gateway_workers_wanted(s->config);
    if (s->sockets.worker_count == 0) {
        sockets_init(&s->sockets, workers);
    } else if (s->sockets.worker_count != workers) {
        sockets_respread(&s->sockets, workers);
    }
    if (sockets_bind(&s->sockets, (uint16_t)s->config->tunnel_port, &err) < 0) {
        supervisor_set_error(s, err.msg);
        retry_later(s, PORT_RETRY_MS);
        return false;
    }
    redirect_listener_bind(&s->redirect, workers);
    return true;
}

/* The redirect port could be had at last. */
static void supervisor_on_redirect(void *arg)
{
    struct supervisor *s = arg;
    CHECK(s->magic == SUPERVISOR_MAGIC);
    struct gateway *g = s->current;
    if (g != NULL && (g->state == GATEWAY_LOADING || g->state == GATEWAY_SERVING)) {
        gateway_link_send_listeners(g->link, &s->redirect.set);
    }
}

/* True while the socket's name may lead to a gateway that was found and shall be replaced. */
static bool has_replaced(const struct supervisor *s)
{
    const struct gateway *g = s->old;
    while (g != NULL && (g->is_ours || g->link == NULL || g->path != NULL)) {
        g = g->next;
    }
    return g != NULL;
}

/* One attempt to have a current gateway: the one that is there, or a new one. */
static void supervisor_try(void *arg)
{
    struct supervisor *s = arg;
    CHECK(s->magic == SUPERVISOR_MAGIC);
    if (!s->is_ending && !replaced_find(s)) {
        retry_with_backoff(s);
    }
    if (s->current != NULL || s->is_ending) {
        return;
    }
    struct err err = {.msg = ""};
    if (!has_replaced(s) && gateway_connect(s, &err)) {
        return;
    }
    if (!s->config->tunnel_enabled || !supervisor_bind(s)) {
        return;
    }
    if (gateway_start(s, &err) < 0) {
        supervisor_set_error(s, err.msg);
        retry_with_backoff(s);
    }
}

/* --- for the daemon ------------------------------------------------------------------ */

struct supervisor *supervisor_new(struct loop *loop, const struct config *config,
                                  struct publisher *publisher)
{
    struct supervisor *s = xcalloc(1, sizeof *s);
    s->magic = SUPERVISOR_MAGIC;
    s->loop = loop;
    s->config = config;
    s->publisher = publisher;
    s->backoff_ms = BACKOFF_FIRST_MS;
    loop_timer_init(&s->retry_timer, loop, supervisor_try, s);
    loop_timer_init(&s->greeting_timer, loop, supervisor_on_greeting, s);
    delivery_init(s);
    gateway_stats_init(&s->stats, loop);
    s->access_fd = -1;
    redirect_listener_init(&s->redirect, loop, config, supervisor_on_redirect, s);
    loop_timer_set(&s->retry_timer, 0);
    return s;
}

void supervisor_on_event(struct supervisor *s, supervisor_event_fn *fn, void *arg)
{
    s->on_event = fn;
    s->on_event_arg = arg;
}

void supervisor_free(struct supervisor *s)
{
    if (s == NULL) {
        return;
    }
    CHECK(s->magic == SUPERVISOR_MAGIC);
    loop_timer_fini(&s->retry_timer);
    loop_timer_fini(&s->greeting_timer);
    delivery_fini(s);
    gateway_stats_fini(&s->stats);
    gateway_free(s->current);
    while (s->old != NULL) {
        struct gateway *next = s->old->next;
        gateway_free(s->old);
        s->old = next;
    }
    sockets_fini(&s->sockets);
    redirect_listener_fini(&s->redirect);
    free(s->error);
    s->magic = 0;
    free(s);
}

void supervisor_publish(struct supervisor *s)
{
    struct gateway *g = s->current;
    if (g != NULL && (g->state == GATEWAY_LOADING || g->state == GATEWAY_SERVING)) {
        delivery_send(g);
    }
    replaced_publish(s);
}

void supervisor_set_access_log(struct supervisor *s, int fd)
{
    s->access_fd = fd;
    if (s->current != NULL && s->current->state != GATEWAY_GREETING) {
        gateway_link_send_access_log(s->current->link, fd);
    }
    for (struct gateway *g = s->old; g != NULL; g = g->next) {
        if (g->link != NULL) {
            gateway_link_send_access_log(g->link, fd);
        }
    }
}

void supervisor_ask_stats(struct supervisor *s, gateway_stats_fn *fn, void *arg)
{
    bool is_serving = s->current != NULL && s->current->state == GATEWAY_SERVING;
    if (is_serving) {
        gateway_link_send_stats(s->current->link);
    }
    gateway_stats_wait(&s->stats, is_serving, fn, arg);
}

void supervisor_forget_stats(struct supervisor *s, const void *arg)
{
    gateway_stats_cancel(&s->stats, arg);
}

void supervisor_shutdown(struct supervisor *s)
{
    s->is_ending = true;
    s->end_deadline_ms = clock_now_ms() + SHUTDOWN_MS;
    loop_timer_set(&s->retry_timer, SHUTDOWN_MS + 1); /* the loop turns at the deadline */
    if (s->current != NULL) {
        gateway_link_send_shutdown(s->current->link);
    }
    for (struct gateway *g = s->old; g != NULL; g = g->next) {
        if (g->link != NULL) {
            gateway_link_send_shutdown(g->link);
        }
    }
}

bool supervisor_is_down(const struct supervisor *s)
{
    return (s->current == NULL && s->old == NULL) || clock_now_ms() >= s->end_deadline_ms;
}

void supervisor_add_status(const struct supervisor *s, cJSON *tunnel)
{
    const struct gateway *g = s->current;
    bool is_serving = g != NULL && g->state == GATEWAY_SERVING;
    const char *state = is_serving ? "serving" : s->error != NULL ? "failed" : "starting";
    (void)json_add_str(tunnel, "state", state);
    if (!is_serving && s->error != NULL) {
        (void)json_add_str(tunnel, "error", s->error);
    }
    redirect_listener_add_status(&s->redirect, tunnel);
    (void)json_add_int(tunnel, "workers", (int64_t)s->sockets.worker_count);
    if (g != NULL && g->pid > 0) {
        (void)json_add_int(tunnel, "gatewayPid", g->pid);
    }
    if (g != NULL && g->sandbox != NULL) {
        (void)cJSON_AddItemToObject(tunnel, "sandbox", cJSON_Duplicate(g->sandbox, true));
    }
}
