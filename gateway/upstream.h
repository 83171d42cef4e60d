/* upstream: connections to services that can take a request, by port.
 *
 * Idle HTTP/1 connections leave the pool while an exchange has them, last in
 * first out. HTTP/2 connections stay in it as long as they take new streams.
 */
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
    void *owner;                /* borrowed: the back */
    void (*drop)(void *owner);  /* closes the connection and leaves the pool */
    enum route_backend backend; /* what the connection speaks */
};

/* The idle one used last, out of the pool; NULL if there is none. */
struct upstream_link *upstream_take(struct worker *w, uint16_t port, enum route_backend backend);
/* Keeps it for the next request; false when `max` are kept already. */
bool upstream_put(struct worker *w, struct upstream_link *link, uint16_t port, uint32_t max);
/* Adds one that several exchanges use at once. False: out of memory. */
bool upstream_share(struct worker *w, struct upstream_link *link, uint16_t port);
/* The newest shared one; the others follow by `next`. */
struct upstream_link *upstream_shared(const struct worker *w, uint16_t port);
void upstream_remove(struct upstream_link *link);
/* Drops all, and frees the pools. */
void upstream_free_all(struct worker *w);

#endif
