/* match: finding the route of a host name in a snapshot, and a peer in its lists. Worker
 * threads, once per request: no lock, no allocation, linear probing over a half-empty index.
 */
#include "routing/host.h"
#include "routing/snapshot.h"

const struct route *route_match(const struct snapshot *s, struct str name)
{
    if (s->index == NULL) {
        return NULL;
    }
    uint32_t at = (uint32_t)host_hash(name) & s->index_mask;
    /* Ends: at least a third of the index is free. */
    while (s->index[at] != 0) {
        const struct route *route = &s->spec.routes[s->index[at] - 1];
        if (str_eq(route->host, name)) {
            return route;
        }
        at = (at + 1) & s->index_mask;
    }
    return NULL;
}

bool peer_list_has(const struct peer_list *list, const struct sockaddr *peer)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (ip_prefix_has(&list->items[i], peer)) {
            return true;
        }
    }
    return false;
}
