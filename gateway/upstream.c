/* upstream: see upstream.h. The worker's thread. */
#include "gateway/upstream.h"

#include <stdlib.h>

#include "base/auto.h"

enum { PORTS = 65536 };

struct pool {
    struct upstream_link *idle;
    uint32_t count;
};

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
    link->pool->count--;
}

struct upstream_link *upstream_take(struct worker *w, uint16_t port, bool tls)
{
    struct pool *pool = w->pools[port];
    struct upstream_link *link = pool == NULL ? NULL : pool->idle;
    while (link != NULL && link->tls != tls) {
        link = link->next;
    }
    if (link != NULL) {
        upstream_remove(link);
    }
    return link;
}

bool upstream_put(struct worker *w, struct upstream_link *link, uint16_t port, bool tls,
                  uint32_t max)
{
    struct pool *pool = w->pools[port];
    if (pool == NULL) {
        pool = xcalloc(1, sizeof *pool);
        w->pools[port] = pool;
    }
    if (pool->count >= max) {
        return false;
    }
    link->pool = pool;
    link->tls = tls;
    link->next = pool->idle;
    link->prev = &pool->idle;
    if (link->next != NULL) {
        link->next->prev = &link->next;
    }
    pool->idle = link;
    pool->count++;
    return true;
}

void upstream_free_all(struct worker *w, void (*drop)(void *owner))
{
    for (size_t port = 0; port < PORTS; port++) {
        struct pool *pool = w->pools[port];
        while (pool != NULL && pool->idle != NULL) {
            drop(pool->idle->owner);
        }
        free(pool);
        w->pools[port] = NULL;
    }
}
