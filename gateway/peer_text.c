/* peer_text: see peer_text.h. Called by back_h1.c and account.c. */
#include "gateway/peer_text.h"

#include <string.h>

#include "routing/policy.h"

const struct peer_text *peer_text(struct peer_texts *cache, const struct sockaddr *peer)
{
    uint8_t bytes[16] = {0};
    if (peer->sa_family == AF_INET) {
        memcpy(bytes, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, 4);
    } else if (peer->sa_family == AF_INET6) {
        memcpy(bytes, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr, 16);
    }
    uint64_t high;
    uint64_t low;
    memcpy(&high, bytes, 8);
    memcpy(&low, bytes + 8, 8);
    uint64_t hash = (high ^ low * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xff51afd7ed558ccd);
    struct peer_text *slot = &cache->slots[hash >> 58];
    if (slot->family != peer->sa_family || memcmp(slot->bytes, bytes, sizeof bytes) != 0 ||
        slot->family == 0) {
        slot->family = peer->sa_family;
        memcpy(slot->bytes, bytes, sizeof bytes);
        peer_format(peer, slot->text, sizeof slot->text);
        slot->is_v6 = strchr(slot->text, ':') != NULL;
    }
    return slot;
}
