/* peer: whose is the program at the other end of a connection of the web listener.
 *
 * Loopback is open to every user of the machine, and to the gateway, which may be in hostile hands;
 * who has a connection is asked of the kernel, once per connection. One thread: the daemon's loop.
 */
#ifndef WOS_DAEMON_API_PEER_H
#define WOS_DAEMON_API_PEER_H

#include <stdbool.h>
#include <sys/types.h>

struct api_request;
struct peers;

enum peer {
    PEER_UNKNOWN,   /* closed, in another network namespace, or it cannot be told */
    PEER_UNDECIDED, /* ask again later: a gateway's descriptors are on their way to the daemon, or
                     * it is just closing */
    PEER_OTHER,     /* of another user of this machine */
    PEER_GATEWAY,   /* of the gateway, which speaks for strangers */
    PEER_OURS,
};

/* The rule for the socket and the web listener alike: the daemon's own user, and root, who can do
 * everything anyway. */
bool peer_uid_is_ours(uid_t uid);

/* What is known of connections, by the kernel's number for each: nothing has to be forgotten. */
struct peers *peers_new(void);
void peers_free(struct peers *peers);
/* PEER_OURS: of the own user, the gateway too. */
enum peer peers_find(struct peers *peers, const struct api_request *r);
/* The same for one that would be local: PEER_OURS is not the gateway. */
enum peer peers_find_local(struct peers *peers, const struct api_request *r);
/* Why who is not PEER_OURS is not local: a sentence for people. */
const char *peer_reason(enum peer who);

#endif
