/* wskey: see wskey.h. Worker threads; no state. */
#include "gateway/wskey.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/auto.h"
#include "gateway/random.h"

void wskey_make(char out[WSKEY_SIZE])
{
    unsigned char raw[16];
    random_fill(raw, sizeof raw);
    CHECK(EVP_EncodeBlock((unsigned char *)out, raw, sizeof raw) == 24);
}

struct str wskey_accept(struct str key, char out[WSKEY_ACCEPT_SIZE])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char hash[SHA_DIGEST_LENGTH];
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool done = md != NULL && EVP_DigestInit_ex(md, EVP_sha1(), NULL) == 1 &&
                EVP_DigestUpdate(md, key.ptr, key.len) == 1 &&
                EVP_DigestUpdate(md, guid, sizeof guid - 1) == 1 &&
                EVP_DigestFinal_ex(md, hash, NULL) == 1;
    EVP_MD_CTX_free(md);
    if (!done) {
        ERR_clear_error();
        return STR_NONE;
    }
    int n = EVP_EncodeBlock((unsigned char *)out, hash, sizeof hash);
    return (struct str){out, (size_t)n};
}
