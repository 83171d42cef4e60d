/* replaced: gateways that have a successor, or are about to. Part of the supervisor
 * (supervisor_private.h), on the daemon's loop.
 *
 * They go on with the connections they have, so what is revoked has to reach them: they get each
 * snapshot as the current one does, and who waits for it waits for them too. One of another build
 * may not understand ours: then nobody knows whether it lets in more, for what it serves is of a
 * daemon before this one, and it ends. So does one that does not answer. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "daemon/gateway_spawn.h"
#include "daemon/supervisor_private.h"
#include "gateway/link_protocol.h"

#define ASIDE_PREFIX "gateway-"
#define ASIDE_SUFFIX ".sock"

enum { SILENT_MS = 20000 }; /* less than who waits for a snapshot waits (publisher.c) */

static void end(struct gateway *g, const char *why)
{
    if (g->state == GATEWAY_ENDING || g->link == NULL) {
        return;
    }
    log_warn("gateway", "ending a replaced gateway with its connections", LOG_INT("pid", g->pid),
             LOG_STR("reason", why));
    g->state = GATEWAY_ENDING;
    g->served = 0; /* until its link is closed it may let in what it did */
    gateway_link_send_shutdown(g->link);
    loop_timer_set(&g->answer_timer, SILENT_MS);
}

static void replaced_on_silent(void *arg)
{
    struct gateway *g = arg;
    struct supervisor *s = g->s;
    CHECK(s->magic == SUPERVISOR_MAGIC);
    bool is_given_up = g->state == GATEWAY_ENDING || g->state == GATEWAY_GREETING;
    end(g, "it does not answer");
    if (is_given_up) {
        log_error("gateway", "a replaced gateway does not end; giving it up",
                  LOG_INT("pid", g->pid));
        supervisor_retire(s, g);
        delivery_tell(s);
    }
}

static void send_newest(struct gateway *g)
{
    uint64_t generation;
    struct str bytes = publisher_snapshot(g->s->publisher, &generation);
    bool is_here = g->state == GATEWAY_REPLACED || g->state == GATEWAY_DRAINING;
    if (!is_here || g->link == NULL || bytes.len == 0 || g->sent != 0 || g->served == generation) {
        return;
    }
    g->sent = generation;
    gateway_link_send_snapshot(g->link, bytes);
    loop_timer_set(&g->answer_timer, SILENT_MS);
}

static void adopt(struct gateway *g)
{
    g->state = GATEWAY_REPLACED;
    if (!g->s->config->tunnel_enabled) {
        end(g, "the tunnel is disabled");
    } else if (g->protocol != LINK_PROTOCOL) {
        end(g, "it understands no snapshot of this build");
    } else {
        send_newest(g);
    }
}

static void push(struct supervisor *s, struct gateway *g)
{
    loop_timer_init(&g->answer_timer, s->loop, replaced_on_silent, g);
    g->has_timer = true;
    g->next = s->old;
    s->old = g;
}

void replaced_add(struct supervisor *s, struct gateway *g)
{
    push(s, g);
    adopt(g);
}

void replaced_set_aside(struct supervisor *s)
{
    for (struct gateway *g = s->old; g != NULL; g = g->next) {
        if (g->link == NULL || g->is_ours || g->path != NULL) {
            continue;
        }
        char *path =
            xasprintf(ASIDE_PREFIX "%llu" ASIDE_SUFFIX, (unsigned long long)clock_wall_ms());
        if (rename(GATEWAY_SOCKET, path) < 0) {
            struct err err;
            (void)err_set_sys(&err, "cannot rename %s", GATEWAY_SOCKET);
            log_warn("gateway", "a replaced gateway cannot be found again",
                     LOG_STR("error", err.msg));
            free(path);
            continue;
        }
        g->path = path;
    }
}

static bool is_known(const struct supervisor *s, const char *path)
{
    for (const struct gateway *g = s->old; g != NULL; g = g->next) {
        if (g->path != NULL && strcmp(g->path, path) == 0) {
            return true;
        }
    }
    return false;
}

bool replaced_find(struct supervisor *s)
{
    DIR *home = opendir(".");
    bool is_complete = home != NULL;
    const struct dirent *entry;
    while (home != NULL && (entry = readdir(home)) != NULL) {
        struct str name = str_of(entry->d_name);
        struct err err;
        if (!str_starts(name, STR(ASIDE_PREFIX)) || !str_ends(name, STR(ASIDE_SUFFIX)) ||
            is_known(s, entry->d_name)) {
            continue;
        }
        struct gateway *g = supervisor_connect(s, entry->d_name, &err);
        if (g == NULL && err.sys == ECONNREFUSED) {
            (void)unlink(entry->d_name); /* it has ended */
            continue;
        }
        if (g == NULL) { /* out of descriptors, or too many ask it: it may live */
            log_warn("gateway", "a replaced gateway cannot be asked now; trying again",
                     LOG_STR("error", err.msg));
            is_complete = false;
            continue;
        }
        g->path = xstrdup(entry->d_name);
        push(s, g);
        loop_timer_set(&g->answer_timer, SILENT_MS);
    }
    if (home != NULL) {
        (void)closedir(home);
    }
    return is_complete;
}

void replaced_on_ready(struct gateway *g)
{
    struct supervisor *s = g->s;
    log_info("gateway", "found a replaced gateway", LOG_INT("pid", g->pid));
    loop_timer_clear(&g->answer_timer);
    sockets_fini(&g->sockets);
    sockets_fini(&g->redirects);
    publisher_raise_generation(s->publisher, g->generation);
    adopt(g);
    if (s->current != NULL && s->current->state == GATEWAY_SERVING) {
        replaced_drain(s);
    }
}

void replaced_drain(struct supervisor *s)
{
    for (struct gateway *g = s->old; g != NULL; g = g->next) {
        if (g->state == GATEWAY_REPLACED && g->link != NULL) {
            g->state = GATEWAY_DRAINING;
            gateway_link_send_drain(g->link, s->config->tunnel_drain_seconds * 1000);
        }
    }
}

void replaced_publish(struct supervisor *s)
{
    for (struct gateway *g = s->old; g != NULL; g = g->next) {
        send_newest(g);
    }
}

void replaced_on_answer(struct gateway *g, uint64_t generation, const char *error)
{
    if (g->state == GATEWAY_ENDING) {
        return;
    }
    loop_timer_clear(&g->answer_timer);
    if (error == NULL) {
        g->served = generation;
    } else {
        end(g, error);
    }
    send_newest(g);
}

uint64_t replaced_served(const struct supervisor *s, uint64_t generation)
{
    for (const struct gateway *g = s->old; g != NULL; g = g->next) {
        if (g->link != NULL && g->served < generation) {
            generation = g->served;
        }
    }
    return generation;
}

void replaced_on_close(struct gateway *g)
{
    if (g->path != NULL && g->s->is_ending) {
        (void)unlink(g->path);
    }
}

void replaced_fini(struct gateway *g)
{
    if (g->has_timer) {
        loop_timer_fini(&g->answer_timer);
    }
    free(g->path);
}
