/* peer: see peer.h. Called by api.c for requests that claim to be of this machine. */
#include "daemon/api/peer.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/sockdiag.h"
#include "daemon/api/caller.h"
#include "daemon/gateways.h"

/* A connection by its descriptor here. Descriptors are used again, cookies are not. */
struct known {
    uint64_t cookie; /* 0: nothing known */
    enum peer who;
    enum peer local; /* the same, once the gateway's descriptors were looked at */
};

struct peers {
    struct known *known; /* owned: by descriptor */
    size_t count;
};

bool peer_uid_is_ours(uid_t uid)
{
    return uid == geteuid() || uid == 0;
}

struct peers *peers_new(void)
{
    return xcalloc(1, sizeof(struct peers));
}

void peers_free(struct peers *peers)
{
    if (peers != NULL) {
        free(peers->known);
        free(peers);
    }
}

static struct known *known_at(struct peers *peers, size_t fd)
{
    if (fd >= peers->count) {
        size_t count = fd + 64;
        peers->known = xrealloc(peers->known, count * sizeof *peers->known);
        for (size_t i = peers->count; i < count; i++) {
            peers->known[i] = (struct known){.cookie = 0};
        }
        peers->count = count;
    }
    return &peers->known[fd];
}

static bool peer_ask(const struct api_request *r, struct sockdiag *out_found)
{
    struct sockaddr_storage there;
    struct sockaddr_storage here;
    return caller_ends(r, &there, &here) &&
           sockdiag_find((const struct sockaddr *)&there, (const struct sockaddr *)&here,
                         out_found);
}

static enum peer peer_look(const struct api_request *r)
{
    struct sockdiag found;
    if (!peer_ask(r, &found)) {
        return PEER_UNKNOWN;
    }
    return peer_uid_is_ours(found.uid) ? PEER_OURS : PEER_OTHER;
}

/* The gateway's sandbox lets it hide no descriptor of a socket that is open (gateway/sandbox.c),
 * so the socket has to be open when its table has been read. */
static enum peer peer_search(const struct api_request *r)
{
    struct sockdiag found;
    struct sockdiag still;
    if (!peer_ask(r, &found)) {
        return PEER_UNKNOWN;
    }
    if (found.uid != geteuid()) {
        return PEER_OURS; /* root's; the gateway has our uid */
    }
    switch (gateways_ask(found.inode)) {
    case GATEWAYS_MAY_HAVE:
        return PEER_UNDECIDED;
    case GATEWAYS_HAVE:
        return PEER_GATEWAY;
    case GATEWAYS_HAVE_NOT:
        break;
    }
    int on = 1; /* the acknowledgement of its FIN goes out at once */
    (void)setsockopt(caller_descriptor(r), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
    if (!peer_ask(r, &still) || still.inode != found.inode) {
        return PEER_UNKNOWN;
    }
    /* Its FIN, or our acknowledgement, may still be on its way: then it is only half closed. */
    return still.is_closing ? PEER_UNDECIDED : PEER_OURS;
}

/* NULL when the connection is gone. */
static struct known *peer_known(struct peers *peers, const struct api_request *r)
{
    uint64_t cookie;
    socklen_t len = sizeof cookie;
    int fd = caller_descriptor(r);
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0) {
        return NULL;
    }
    struct known *known = known_at(peers, (size_t)fd);
    if (known->cookie != cookie) {
        *known = (struct known){.cookie = cookie, .who = peer_look(r)};
    }
    return known;
}

enum peer peers_find(struct peers *peers, const struct api_request *r)
{
    const struct known *known = peer_known(peers, r);
    return known == NULL ? PEER_UNKNOWN : known->who;
}

enum peer peers_find_local(struct peers *peers, const struct api_request *r)
{
    struct known *known = peer_known(peers, r);
    if (known == NULL || known->who != PEER_OURS) {
        return known == NULL ? PEER_UNKNOWN : known->who;
    }
    if (known->local == PEER_UNKNOWN || known->local == PEER_UNDECIDED) {
        known->local = peer_search(r); /* in vain: again with the next request */
    }
    return known->local;
}

const char *peer_reason(enum peer who)
{
    switch (who) {
    case PEER_OTHER:
        return "this connection is another user's than the daemon's";
    case PEER_GATEWAY:
        return "this connection is the gateway's";
    case PEER_UNKNOWN:
    case PEER_UNDECIDED:
    case PEER_OURS:
        break;
    }
    return "it cannot be told whose this connection is (is it from another network namespace, or "
           "closed?)";
}
