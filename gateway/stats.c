/* stats: see stats.h. Called by link.c. */
#include "gateway/stats.h"

#include <stdlib.h>

#include "base/auto.h"
#include "gateway/access_log.h"
#include "gateway/link_protocol.h"
#include "gateway/route_stats.h"
#include "gateway/stats_text.h"

/* To one worker and back. */
struct stats_letter {
    struct mail_letter mail;
    struct collect *collect;
    struct worker *worker;
    struct worker_stats stats;
    struct route_stats *routes; /* owned: empty on the way there, full on the way back; NULL: not
                                   asked for, or no memory */
};

/* One request on its way through the workers. */
struct collect {
    struct gateway *gateway; /* borrowed */
    unsigned waiting;
    bool with_routes;
    struct worker_stats sum;
    struct stats_letter letters[]; /* one per worker */
};

_Static_assert(sizeof(struct worker_stats) % sizeof(uint64_t) == 0, "summed as numbers");

static void sum_add(struct worker_stats *sum, const struct worker_stats *stats)
{
    uint64_t *to = (uint64_t *)(void *)sum;
    const uint64_t *from = (const uint64_t *)(const void *)stats;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++) {
        to[i] += from[i];
    }
}

static struct stats_gateway gateway_facts(const struct gateway *g)
{
    uint64_t dropped = g->access.lost;
    for (unsigned i = 0; i < g->worker_count; i++) {
        dropped += __atomic_load_n(&g->access_logs[i]->dropped, __ATOMIC_RELAXED);
    }
    return (struct stats_gateway){
        .workers = g->worker_count,
        .generation = g->snapshot == NULL ? 0 : g->snapshot->spec.generation,
        .started_ms = (uint64_t)g->started_ms,
        .published_ms = (uint64_t)g->published_ms,
        .access_log_dropped = dropped,
    };
}

static void collect_send(struct collect *collect)
{
    struct gateway *g = collect->gateway;
    CHECK(g->magic == GATEWAY_MAGIC);
    const struct stats_gateway facts = gateway_facts(g);
    const struct route_stats *routes = collect->with_routes ? g->routes : NULL;
    struct buf text = {.may_fail = true};
    stats_text(&text, &facts, &collect->sum, routes);
    if (link_send(g, LINK_STATS, &text) && routes != NULL && g->snapshot != NULL) {
        route_stats_drop_gone(g->routes, g->snapshot, NULL);
    }
    free(collect);
}

static void on_copied(void *arg)
{
    struct stats_letter *letter = arg;
    struct collect *collect = letter->collect;
    sum_add(&collect->sum, &letter->stats);
    if (letter->routes != NULL) {
        route_stats_merge(collect->gateway->routes, letter->routes);
        route_stats_free(letter->routes);
    }
    if (--collect->waiting == 0) {
        collect_send(collect);
    }
}

/* In the worker's thread. */
static void worker_on_copy(void *arg)
{
    struct stats_letter *letter = arg;
    letter->stats = letter->worker->stats;
    if (letter->routes != NULL) {
        letter->routes = worker_take_routes(letter->worker, letter->routes);
    }
    mail_post(letter->collect->gateway->mail, &letter->mail, on_copied, letter);
}

/* False: out of memory. */
static bool fit_table(struct gateway *g)
{
    uint32_t max = g->snapshot == NULL ? 0 : g->snapshot->spec.limits.metric_routes_max;
    if (g->routes == NULL) {
        g->routes = route_stats_new(max);
        return g->routes != NULL;
    }
    g->routes = route_stats_resize(g->routes, max);
    return true;
}

void stats_collect(struct gateway *g, bool with_routes)
{
    struct collect *collect =
        try_zalloc(sizeof *collect + g->worker_count * sizeof collect->letters[0]);
    if (collect == NULL) {
        return;
    }
    collect->gateway = g;
    collect->waiting = g->worker_count;
    collect->with_routes = with_routes && fit_table(g);
    for (unsigned i = 0; i < g->worker_count; i++) {
        struct stats_letter *letter = &collect->letters[i];
        letter->collect = collect;
        letter->worker = g->workers[i];
        letter->routes = collect->with_routes ? route_stats_new(g->routes->max) : NULL;
        if (letter->routes != NULL && g->snapshot != NULL) {
            route_stats_seed(letter->routes, g->routes, g->snapshot);
        }
        mail_post(g->workers[i]->mail, &letter->mail, worker_on_copy, letter);
    }
    if (g->worker_count == 0) {
        collect_send(collect);
    }
}
