/* limit: how many client connections there are, in all and by address, over
 * all workers. Shared by them; atomics only, nobody waits for anybody.
 *
 * Addresses live in a table of fixed size: a keyed hash chooses one of
 * LIMIT_BUCKETS buckets of LIMIT_WAYS cells, and 40 further bits of it name the
 * address within. Only addresses with a connection take a cell, so a flood of
 * addresses takes no more of them than there are connections. Where a
 * bucket is full the connection is let in without a count for its address; the
 * total holds in any case.
 *
 * IPv6 is counted by /64, the least a customer gets; ::ffff:a.b.c.d as IPv4.
 */
#ifndef WOS_GATEWAY_LIMIT_H
#define WOS_GATEWAY_LIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { LIMIT_BUCKETS = 1 << 16, LIMIT_WAYS = 8 };

/* One address: 40 bits of its hash, 24 of its connections. 0: free. */
struct limit_cell {
    _Atomic uint64_t value;
};

struct limit;

/* `descriptors`: how many the process may have (RLIMIT_NOFILE). */
struct limit *limit_new(uint64_t descriptors);
void limit_free(struct limit *l);

/* The most connections that these descriptors serve: one in five is left for services. */
uint64_t limit_connections_cap(const struct limit *l);
/* Takes one of max places; false: none is left. */
bool limit_enter(struct limit *l, uint64_t max);
void limit_leave(struct limit *l);
uint64_t limit_connections(const struct limit *l);
/* The most there were at once since the last call, about. */
uint64_t limit_take_peak(struct limit *l);

/* Counts one more connection of the peer's address; false: it has max. *out_cell is
 * for limit_address_leave, and NULL where the address could not be counted. */
bool limit_address_enter(struct limit *l, const struct sockaddr *peer, uint32_t max,
                         struct limit_cell **out_cell);
/* A cell the address has; NULL if it has none. */
const struct limit_cell *limit_address_find(struct limit *l, const struct sockaddr *peer);
/* Accepts NULL. */
void limit_address_leave(struct limit_cell *cell);

/* A worker has no idle connection of its own to close, and a client waits: others look. */
void limit_want_room(struct limit *l);
/* True once for each want. */
bool limit_take_want(struct limit *l);

#endif
