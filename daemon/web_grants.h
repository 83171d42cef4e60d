/* web_grants: one-time links into the web UI (`wos connect`).
 *
 * A grant signs in one device, once, until its time is over. Only digests are kept, in
 * memory: a new daemon knows none. When WEB_GRANTS_MAX are open, a new one takes the oldest one's
 * place. One thread: the daemon's loop.
 */
#ifndef WOS_DAEMON_WEB_GRANTS_H
#define WOS_DAEMON_WEB_GRANTS_H

#include <openssl/sha.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    WEB_GRANTS_MAX = 16,
    WEB_GRANT_TTL_MIN_MS = 1000,
    WEB_GRANT_TTL_MAX_MS = 3600 * 1000,
    WEB_GRANT_TTL_MS = 600 * 1000,
};

struct web_grant {
    uint8_t digest[SHA256_DIGEST_LENGTH];
    uint64_t until_ms; /* monotonic; 0: free */
};

struct web_grants {
    struct web_grant items[WEB_GRANTS_MAX];
};

/* A new grant, letters and digits; malloc'ed, secret; NULL: no random bytes. */
char *web_grants_make(struct web_grants *g, uint64_t ttl_ms, uint64_t now_ms);
/* True once for each grant that is not over. */
bool web_grants_take(struct web_grants *g, const char *grant, uint64_t now_ms);

#endif
