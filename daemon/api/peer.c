/* peer: see peer.h. Called by api.c for requests that claim to be of this machine. */
#include "daemon/api/peer.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/sockdiag.h"
#include "daemon/api/caller.h"

/* A connection by its descriptor here. Descriptors are used again, cookies are not. */
struct known {
    uint64_t cookie; /* 0: nothing known */
    enum peer who;
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

static enum peer peer_look(const struct api_request *r)
{
    struct sockaddr_storage there;
    struct sockaddr_storage here;
    struct sockdiag found;
    if (!caller_ends(r, &there, &here) ||
        !sockdiag_find((const struct sockaddr *)&there, (const struct sockaddr *)&here, &found)) {
        return PEER_UNKNOWN;
    }
    return peer_uid_is_ours(found.uid) ? PEER_OURS : PEER_OTHER;
}

enum peer peers_find(struct peers *peers, const struct api_request *r)
{
    uint64_t cookie;
    socklen_t len = sizeof cookie;
    int fd = caller_descriptor(r);
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0) {
        return PEER_UNKNOWN;
    }
    struct known *known = known_at(peers, (size_t)fd);
    if (known->cookie != cookie) {
        *known = (struct known){.cookie = cookie, .who = peer_look(r)};
    }
    return known->who;
}

const char *peer_reason(enum peer who)
{
    return who == PEER_OTHER ? "this connection is another user's than the daemon's"
                             : "the kernel does not say whose this connection is (is it from "
                               "another network namespace, or closed?)";
}
