/* accesskey: the machine's random key behind routes of access secret, H/access/key.
 *
 * The gateway signs its cookies with it and knows the secret only as the digest
 * below. A new key ends every login. Blocks on one small file; any thread.
 */
#ifndef WOS_DAEMON_ACCESSKEY_H
#define WOS_DAEMON_ACCESSKEY_H

#include <stdint.h>

#include "base/err.h"
#include "routing/snapshot.h"

/* Reads the key of the directory, or makes directory (0700) and key (0600, 32 random bytes, whole
 * or not at all) where there is none. A key of another size or one that others can read is
 * replaced: everyone has to log in again. */
int accesskey_load(const char *dir, uint8_t out_key[SNAPSHOT_ACCESS_KEY], struct err *err);
/* A new key in place of the old one; untouched on failure. */
int accesskey_renew(const char *dir, uint8_t out_key[SNAPSHOT_ACCESS_KEY], struct err *err);
/* HMAC-SHA256(key, secret): what the gateway compares with. */
void accesskey_digest(const uint8_t key[SNAPSHOT_ACCESS_KEY], const char *secret,
                      uint8_t out_digest[SNAPSHOT_ACCESS_KEY]);

#endif
