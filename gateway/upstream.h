/* upstream: idle connections to services, by port, last in first out. */
#ifndef WOS_GATEWAY_UPSTREAM_H
#define WOS_GATEWAY_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/worker.h"

struct pool;

struct upstream_link {
    struct upstream_link *next;
    struct upstream_link **prev; /* NULL: not in a pool */
    struct pool *pool;
    void *owner; /* borrowed: the back */
    bool tls;
};

/* The one used last, out of the pool; NULL if there is none. */
struct upstream_link *upstream_take(struct worker *w, uint16_t port, bool tls);
/* Keeps it for the next request; false when `max` are kept already. */
bool upstream_put(struct worker *w, struct upstream_link *link, uint16_t port, bool tls,
                  uint32_t max);
void upstream_remove(struct upstream_link *link);
/* Calls drop(owner) for each idle one, and frees the pools. */
void upstream_free_all(struct worker *w, void (*drop)(void *owner));

#endif
