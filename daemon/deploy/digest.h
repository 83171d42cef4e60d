/* digest: SHA-1 and SHA-256 for names and offsets (not for security). */
#ifndef WOS_DAEMON_DEPLOY_DIGEST_H
#define WOS_DAEMON_DEPLOY_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum { DIGEST_SHA1_SIZE = 20, DIGEST_SHA256_SIZE = 32 };

void digest_sha1(struct str bytes, uint8_t out[DIGEST_SHA1_SIZE]);
void digest_sha256(struct str bytes, uint8_t out[DIGEST_SHA256_SIZE]);
/* The first `digits` lower-case hex digits of a digest. malloc'ed. */
char *digest_hex(const uint8_t *digest, size_t digits);

#endif
