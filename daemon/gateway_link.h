/* gateway_link: the daemon's end of the channel to one gateway
 * (gateway/link_protocol.h says what is spoken).
 *
 * The gateway greets: on_hello, on_listeners for each worker it has, on_ready.
 * Then the owner sends set-up and snapshots. on_close comes once, from the
 * loop; the owner frees the link, then or earlier. One thread.
 */
#ifndef WOS_DAEMON_GATEWAY_LINK_H
#define WOS_DAEMON_GATEWAY_LINK_H

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"
#include "daemon/sockets.h"

struct gateway_link;

/* Strings borrowed for the call. */
struct gateway_hello {
    int64_t protocol;
    const char *build;
    pid_t pid;
    uint64_t generation;  /* what it serves; 0: nothing yet */
    size_t workers;       /* 0: not set up */
    const cJSON *sandbox; /* what gateway/sandbox.h put on; may be NULL */
};

struct gateway_link_ops {
    void (*on_hello)(void *arg, const struct gateway_hello *hello);
    /* The descriptor becomes the callee's. */
    void (*on_listener)(void *arg, size_t worker, const char *address, int fd);
    void (*on_ready)(void *arg);
    /* error NULL: acknowledged. */
    void (*on_answer)(void *arg, uint64_t generation, const char *error);
    void (*on_stats)(void *arg, const cJSON *stats);
    /* Something people shall hear of; the kinds are in gateway/link_protocol.h. */
    void (*on_event)(void *arg, const cJSON *event);
    void (*on_close)(void *arg, const char *reason);
};

/* Connects to the socket at `path` (short enough for sun_path: relative to H). NULL with the
 * error when nobody listens. */
struct gateway_link *gateway_link_open(struct loop *loop, const char *path,
                                       const struct gateway_link_ops *ops, void *arg,
                                       struct err *err);
void gateway_link_free(struct gateway_link *link);

/* The number of workers and their sockets, once per gateway. */
void gateway_link_send_setup(struct gateway_link *link, const struct socket_set *set);
/* More sockets for the same workers. */
void gateway_link_send_listeners(struct gateway_link *link, const struct socket_set *set);
/* The one before has to be answered: a large snapshot is written over it, in one file. */
void gateway_link_send_snapshot(struct gateway_link *link, struct str snapshot);
void gateway_link_send_drain(struct gateway_link *link, uint32_t limit_ms);
void gateway_link_send_shutdown(struct gateway_link *link);
/* Asks for the counters, those of the routes too. */
void gateway_link_send_stats(struct gateway_link *link);
/* Where access lines go; -1: nowhere. */
void gateway_link_send_access_log(struct gateway_link *link, int fd);

#endif
