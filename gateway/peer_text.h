/* peer_text: addresses as text, remembered: inet_ntop costs more than all else in
 * a line of the access log. A small cache per worker, keyed by the address itself; nobody
 * has to say when an address changes. The worker's thread. */
#ifndef WOS_GATEWAY_PEER_TEXT_H
#define WOS_GATEWAY_PEER_TEXT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

enum { PEER_TEXT_SLOTS = 64, PEER_TEXT_MAX = 48 };

struct peer_text {
    sa_family_t family; /* 0: free */
    bool is_v6;         /* the text has colons */
    uint8_t bytes[16];
    char text[PEER_TEXT_MAX];
};

struct peer_texts {
    struct peer_text slots[PEER_TEXT_SLOTS];
};

/* As peer_format writes it. Borrowed until the next call. */
const struct peer_text *peer_text(struct peer_texts *cache, const struct sockaddr *peer);

#endif
