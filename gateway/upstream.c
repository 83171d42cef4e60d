/* upstream: see upstream.h. The worker's thread. */
#include "gateway/upstream.h"

#include <stdlib.h>

#include "base/auto.h"

enum { PORTS = 65536 };

struct pool {
    struct upstream_link *idle;
    struct upstream_link *shared;
    uint32_t count; /* idle ones */
};

/* NULL when out of memory. */
static struct pool *pool_of(struct worker *w, uint16_t port)
{
    if (w->pools[port] == NULL) {
        w->pools[port] = try_zalloc(sizeof(struct pool));
    }
    return w->pools[port];
}

static void list_add(struct upstream_link **list, struct pool *pool, struct upstream_link *link)
{
    link->pool = pool;
    link->next = *list;
    link->prev = list;
    if (link->next != NULL) {
        link->next->prev = &link->next;
    }
    *list = link;
}

void upstream_remove(struct upstream_link *link)
{
    if (link->prev == NULL) {
        return;
    }
    *link->prev = link->next;
    if (link->next != NULL) {
        link->next->prev = link->prev;
    }
    link->prev = NULL;
    link->next = NULL;
    link->pool->count -= link->backend == BACKEND_H2C ? 0 : 1;
}

struct upstream_link *upstream_take(struct worker *w, uint16_t port, enum route_backend backend)
{
    struct pool *pool = w->pools[port];
    struct upstream_link *link = pool == NULL ? NULL : pool->idle;
    while (link != NULL && link->backend != backend) {
        link = link->next;
    }
    if (link != NULL) {
        upstream_remove(link);
    }
    return link;
}

bool upstream_put(struct worker *w, struct upstream_link *link, uint16_t port, uint32_t max)
{
    struct pool *pool = pool_of(w, port);
    CHECK(link->backend != BACKEND_H2C && link->prev == NULL);
    if (pool == NULL || pool->count >= max) {
        return false;
    }
    list_add(&pool->idle, pool, link);
    pool->count++;
    return true;
}

bool upstream_share(struct worker *w, struct upstream_link *link, uint16_t port)
{
    struct pool *pool = pool_of(w, port);
    CHECK(link->backend == BACKEND_H2C && link->prev == NULL);
    if (pool == NULL) {
        return false;
    }
    list_add(&pool->shared, pool, link);
    return true;
}

struct upstream_link *upstream_shared(const struct worker *w, uint16_t port)
{
    return w->pools[port] == NULL ? NULL : w->pools[port]->shared;
}

void upstream_free_all(struct worker *w)
{
    for (size_t port = 0; port < PORTS; port++) {
        struct pool *pool = w->pools[port];
        while (pool != NULL && pool->idle != NULL) {
            pool->idle->drop(pool->idle->owner);
        }
        while (pool != NULL && pool->shared != NULL) {
            pool->shared->drop(pool->shared->owner);
        }
        free(pool);
        w->pools[port] = NULL;
    }
}
