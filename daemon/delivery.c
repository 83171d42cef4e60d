/* delivery: how snapshots get to gateways, and what is done with their answers. Part of the
 * supervisor (supervisor_private.h); called by supervisor.c and the links, on the daemon's loop. */
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/log.h"
#include "daemon/supervisor_private.h"

enum {
    RESEND_FIRST_MS = 1000, /* a refused snapshot; it may have been for want of memory */
    RESEND_MAX_MS = 60000,
};

void delivery_send(struct gateway *g)
{
    uint64_t generation;
    struct str bytes = publisher_snapshot(g->s->publisher, &generation);
    if (bytes.len == 0 || g->sent != 0 || g->refused == generation) {
        return; /* nothing to serve yet, or one under way: its answer calls again */
    }
    g->refused = 0;
    g->sent = generation;
    gateway_link_send_snapshot(g->link, bytes);
}

/* The same bytes are tried again only after a pause that grows; newer ones go at once. */
static void note_refusal(struct gateway *g, uint64_t generation, const char *error)
{
    struct supervisor *s = g->s;
    g->refused = generation;
    if (g->refusal == NULL || strcmp(g->refusal, error) != 0) {
        log_error("gateway", "refused a snapshot; the one before stays",
                  LOG_INT("generation", (int64_t)generation), LOG_STR("error", error));
        free(g->refusal);
        g->refusal = xstrdup(error);
    }
    loop_timer_set(&s->resend_timer, s->resend_ms);
    s->resend_ms = s->resend_ms * 2 > RESEND_MAX_MS ? RESEND_MAX_MS : s->resend_ms * 2;
    publisher_on_nack(s->publisher, generation, error);
}

static void delivery_on_resend(void *arg)
{
    struct supervisor *s = arg;
    CHECK(s->magic == SUPERVISOR_MAGIC);
    if (s->current != NULL && s->current->refused != 0) {
        s->current->refused = 0;
        delivery_send(s->current);
    }
}

void delivery_tell(struct supervisor *s)
{
    uint64_t served = s->current == NULL ? 0 : replaced_served(s, s->current->served);
    if (served > 0) {
        publisher_on_ack(s->publisher, served);
    }
}

void delivery_on_answer(void *arg, uint64_t generation, const char *error)
{
    struct gateway *g = arg;
    struct supervisor *s = g->s;
    CHECK(s->magic == SUPERVISOR_MAGIC);
    if (generation == 0) {
        generation = g->sent; /* it could not even read the number */
    }
    if (g->sent == 0 || generation != g->sent) {
        return; /* not ours: an earlier daemon's */
    }
    g->sent = 0;
    if (g != s->current) {
        replaced_on_answer(g, generation, error);
        delivery_tell(s);
        return;
    }
    if (error == NULL) {
        g->served = generation;
        free(g->refusal);
        g->refusal = NULL;
        s->resend_ms = RESEND_FIRST_MS;
        if (g->state == GATEWAY_LOADING) {
            g->state = GATEWAY_SERVING;
            log_info("gateway", "serving", LOG_INT("pid", g->pid),
                     LOG_INT("port", s->config->tunnel_port),
                     LOG_INT("workers", s->sockets.worker_count));
            supervisor_set_error(s, NULL);
            replaced_drain(s);
        }
        delivery_tell(s);
    } else {
        note_refusal(g, generation, error);
    }
    if (publisher_generation(s->publisher) > generation) {
        delivery_send(g);
    }
}

void delivery_init(struct supervisor *s)
{
    loop_timer_init(&s->resend_timer, s->loop, delivery_on_resend, s);
    s->resend_ms = RESEND_FIRST_MS;
}

void delivery_fini(struct supervisor *s)
{
    loop_timer_fini(&s->resend_timer);
}
