/* owner: who has routes in the publisher (a session, "publish", "daemon"), and those routes.
 *
 * A route's host is its identity: replacing the routes keeps what the publisher noted of those
 * that stay, in time linear in their number. One thread: the daemon's loop.
 */
#ifndef WOS_DAEMON_OWNER_H
#define WOS_DAEMON_OWNER_H

#include <stddef.h>

#include "base/map.h"
#include "daemon/publisher.h"
#include "daemon/route_policy.h"

struct entry {
    char *host; /* owned, like the other strings */
    char *worktree;
    char *service;
    uint16_t service_port;
    uint16_t port;
    enum route_state state;
    struct publish_options options; /* a copy of its own */
    struct route_access noted;      /* what the log was told of */
    uint64_t since_ms;              /* wall clock: when the state began */
};

struct owner {
    char *name;                   /* owned */
    enum route_class route_class; /* of all its routes; the name says it */
    char *phase;                  /* owned: what its starting routes are doing; NULL: not said */
    struct entry *entries;        /* owned; in the order they were given */
    size_t count;
    size_t cap;
    struct map
        places; /* host → its place among them, from 1; made when a single one is asked for */
    bool has_places;
};

/* The class of all routes of the owner of that name. */
enum route_class owner_class_of(const char *name);
/* Without routes. */
struct owner *owner_new(const char *name);
void owner_free(struct owner *owner);

/* Replaces the routes; everything is copied. One that had the same host before keeps `noted`, and
 * since_ms where its state is the same too; else since_ms is `now_ms`. */
void owner_set(struct owner *owner, const struct publish_route *routes, size_t count,
               uint64_t now_ms);
/* The same for one route, in a time that the number of the others does not matter for. The entry
 * is borrowed until the next call. */
struct entry *owner_put(struct owner *owner, const struct publish_route *route, uint64_t now_ms);
/* As fast; NULL: none of that host. */
struct entry *owner_find(struct owner *owner, const char *host);

#endif
