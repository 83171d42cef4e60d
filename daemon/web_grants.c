/* web_grants: see web_grants.h. Called by api/login.c. */
#include "daemon/web_grants.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"

enum { GRANT_BYTES = 20 };

char *web_grants_make(struct web_grants *g, uint64_t ttl_ms, uint64_t now_ms)
{
    uint8_t random[GRANT_BYTES];
    if (RAND_bytes(random, sizeof random) != 1) {
        return NULL;
    }
    char *text = xcalloc(1, GRANT_BYTES * 2 + 1);
    for (size_t i = 0; i < GRANT_BYTES; i++) {
        (void)snprintf(text + i * 2, 3, "%02x", random[i]);
    }
    OPENSSL_cleanse(random, sizeof random);
    struct web_grant *oldest = &g->items[0];
    for (size_t i = 1; i < WEB_GRANTS_MAX; i++) {
        if (g->items[i].until_ms < oldest->until_ms) {
            oldest = &g->items[i];
        }
    }
    (void)SHA256((const uint8_t *)text, strlen(text), oldest->digest);
    oldest->until_ms = now_ms + ttl_ms;
    return text;
}

bool web_grants_take(struct web_grants *g, const char *grant, uint64_t now_ms)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    (void)SHA256((const uint8_t *)grant, strlen(grant), digest);
    for (size_t i = 0; i < WEB_GRANTS_MAX; i++) {
        struct web_grant *item = &g->items[i];
        if (item->until_ms > now_ms && CRYPTO_memcmp(item->digest, digest, sizeof digest) == 0) {
            *item = (struct web_grant){.until_ms = 0};
            return true;
        }
    }
    return false;
}
