/* digest: SHA-1 and SHA-256 by OpenSSL. Called by worktree and ports for names
 * that older installations already use; daemon thread. */
#include "daemon/deploy/digest.h"

#include <openssl/evp.h>

#include "base/auto.h"

static void digest_any(const EVP_MD *type, struct str bytes, uint8_t *out)
{
    /* Fails only when OpenSSL itself is broken: nothing sensible could follow. */
    CHECK(EVP_Digest(bytes.ptr == NULL ? "" : bytes.ptr, bytes.len, out, NULL, type, NULL) == 1);
}

void digest_sha1(struct str bytes, uint8_t out[DIGEST_SHA1_SIZE])
{
    digest_any(EVP_sha1(), bytes, out);
}

void digest_sha256(struct str bytes, uint8_t out[DIGEST_SHA256_SIZE])
{
    digest_any(EVP_sha256(), bytes, out);
}

char *digest_hex(const uint8_t *digest, size_t digits)
{
    static const char hex[] = "0123456789abcdef";
    char *text = xmalloc(digits + 1);
    for (size_t i = 0; i < digits; i++) {
        uint8_t byte = digest[i / 2];
        text[i] = hex[i % 2 == 0 ? byte >> 4 : byte & 15];
    }
    text[digits] = '\0';
    return text;
}
