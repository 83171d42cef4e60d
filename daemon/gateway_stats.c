/* gateway_stats: see gateway_stats.h. Called by supervisor.c. */
#include "daemon/gateway_stats.h"

#include <stdlib.h>

#include "base/auto.h"

enum { ANSWER_MS = 1000 };

struct stats_waiter {
    struct stats_waiter *next;
    gateway_stats_fn *fn;
    void *arg; /* borrowed */
};

static void on_timer(void *arg)
{
    gateway_stats_answer(arg, NULL);
}

void gateway_stats_init(struct gateway_stats *gs, struct loop *loop)
{
    gs->first = NULL;
    loop_timer_init(&gs->timer, loop, on_timer, gs);
}

void gateway_stats_fini(struct gateway_stats *gs)
{
    while (gs->first != NULL) {
        struct stats_waiter *w = gs->first;
        gs->first = w->next;
        free(w);
    }
    loop_timer_fini(&gs->timer);
}

void gateway_stats_wait(struct gateway_stats *gs, bool is_asked, gateway_stats_fn *fn, void *arg)
{
    struct stats_waiter *w = xcalloc(1, sizeof *w);
    *w = (struct stats_waiter){gs->first, fn, arg};
    gs->first = w;
    if (!is_asked || !loop_timer_is_set(&gs->timer)) {
        loop_timer_set(&gs->timer, is_asked ? ANSWER_MS : 0);
    }
}

void gateway_stats_cancel(struct gateway_stats *gs, const void *arg)
{
    struct stats_waiter **at = &gs->first;
    while (*at != NULL) {
        struct stats_waiter *w = *at;
        if (w->arg == arg) {
            *at = w->next;
            free(w);
        } else {
            at = &w->next;
        }
    }
}

void gateway_stats_answer(struct gateway_stats *gs, const cJSON *stats)
{
    loop_timer_clear(&gs->timer);
    while (gs->first != NULL) { /* a waiter may cancel another */
        struct stats_waiter *w = gs->first;
        gs->first = w->next;
        w->fn(w->arg, stats);
        free(w);
    }
}
