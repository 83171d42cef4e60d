/* tlskdf: see tlskdf.h. Called by OpenSSL, in any thread: nothing here has state. */
/* SHA256_Init and its kin: what replaces them looks the digest up by name and allocates. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "certs/tlskdf.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/auto.h"
#include "base/str.h"

enum {
    BLOCK_MAX = SHA512_CBLOCK,
    DIGEST_MAX = SHA384_DIGEST_LENGTH,
    BYTE_MAX = 255,
    INFO_MAX = 2 + 1 + BYTE_MAX + 1 + BYTE_MAX + 1, /* HkdfLabel, and HKDF's counter */
};

struct digest {
    size_t size;
    size_t block;
};

static const struct digest sha256 = {SHA256_DIGEST_LENGTH, SHA256_CBLOCK};
static const struct digest sha384 = {SHA384_DIGEST_LENGTH, SHA512_CBLOCK};

/* The parameters of one call; borrowed from it. A string that did not come has no pointer. */
struct request {
    const struct digest *digest;
    int mode;
    struct str key;
    struct str salt;
    struct str prefix;
    struct str label;
    struct str data;
};

/* ---- HMAC (RFC 2104) ---- */

/* Of the block, if there is one, and the text; `out` may be part of the text. */
static void hash(const struct digest *d, const uint8_t *block, struct str text, uint8_t *out)
{
    union {
        SHA256_CTX sha256;
        SHA512_CTX sha384;
    } h;
    size_t block_len = block == NULL ? 0 : d->block;
    /* None of these fails. */
    if (d == &sha256) {
        (void)SHA256_Init(&h.sha256);
        (void)SHA256_Update(&h.sha256, block, block_len);
        (void)SHA256_Update(&h.sha256, text.ptr, text.len);
        (void)SHA256_Final(out, &h.sha256);
    } else {
        (void)SHA384_Init(&h.sha384);
        (void)SHA384_Update(&h.sha384, block, block_len);
        (void)SHA384_Update(&h.sha384, text.ptr, text.len);
        (void)SHA384_Final(out, &h.sha384);
    }
    OPENSSL_cleanse(&h, sizeof h);
}

/* A key of at most one block. */
static void hmac(const struct digest *d, struct str key, struct str text, uint8_t *out)
{
    uint8_t inner[BLOCK_MAX];
    uint8_t outer[BLOCK_MAX];
    memset(inner, 0x36, d->block);
    memset(outer, 0x5c, d->block);
    for (size_t i = 0; i < key.len; i++) {
        inner[i] ^= (uint8_t)key.ptr[i];
        outer[i] ^= (uint8_t)key.ptr[i];
    }
    hash(d, inner, text, out);
    hash(d, outer, (struct str){(const char *)out, d->size}, out);
    OPENSSL_cleanse(inner, sizeof inner);
    OPENSSL_cleanse(outer, sizeof outer);
}

/* ---- HKDF (RFC 5869, RFC 8446 section 7.1) ---- */

/* HKDF-Expand-Label of at most one digest. */
static bool expand_label(const struct request *r, struct str secret, struct str context,
                         uint8_t *out, size_t out_len)
{
    uint8_t info[INFO_MAX];
    uint8_t okm[DIGEST_MAX];
    size_t name = r->prefix.len + r->label.len;
    if (secret.len > r->digest->block || out_len > r->digest->size || r->prefix.len > BYTE_MAX ||
        name > BYTE_MAX || context.len > BYTE_MAX) {
        return false;
    }
    size_t at = 0;
    info[at++] = (uint8_t)(out_len >> 8);
    info[at++] = (uint8_t)out_len;
    info[at++] = (uint8_t)name;
    memcpy(info + at, r->prefix.ptr, r->prefix.len);
    at += r->prefix.len;
    memcpy(info + at, r->label.ptr, r->label.len);
    at += r->label.len;
    info[at++] = (uint8_t)context.len;
    if (context.len > 0) {
        memcpy(info + at, context.ptr, context.len);
        at += context.len;
    }
    info[at++] = 1;
    hmac(r->digest, secret, (struct str){(const char *)info, at}, okm);
    memcpy(out, okm, out_len);
    OPENSSL_cleanse(okm, sizeof okm);
    return true;
}

/* Derive-Secret(salt, label, "") and HKDF-Extract with it: the next of the three secrets. */
static bool next_secret(const struct request *r, uint8_t *out, size_t out_len)
{
    static const char zeros[DIGEST_MAX];
    const struct digest *d = r->digest;
    uint8_t derived[DIGEST_MAX] = {0};
    struct str salt = {(const char *)derived, 0};
    struct str key = r->key.ptr == NULL ? (struct str){zeros, d->size} : r->key;
    if (out_len != d->size) {
        return false;
    }
    if (r->salt.ptr != NULL) {
        uint8_t nothing[DIGEST_MAX];
        hash(d, NULL, STR_NONE, nothing);
        if (!expand_label(r, r->salt, (struct str){(const char *)nothing, d->size}, derived,
                          d->size)) {
            return false;
        }
        salt.len = d->size;
    }
    hmac(d, salt, key, out);
    OPENSSL_cleanse(derived, sizeof derived);
    return true;
}

/* ---- the provider ---- */

static bool read_digest(const OSSL_PARAM *p, struct request *r)
{
    const char *name = p->data_type == OSSL_PARAM_UTF8_STRING ? p->data : "";
    if (strcasecmp(name, "SHA2-256") == 0 || strcasecmp(name, "SHA256") == 0) {
        r->digest = &sha256;
    } else if (strcasecmp(name, "SHA2-384") == 0 || strcasecmp(name, "SHA384") == 0) {
        r->digest = &sha384;
    }
    return r->digest != NULL;
}

static bool read_bytes(const OSSL_PARAM *p, struct str *out)
{
    *out = (struct str){p->data, p->data_size};
    return p->data_type == OSSL_PARAM_OCTET_STRING && p->data != NULL;
}

static bool read_request(const OSSL_PARAM *p, struct request *r)
{
    bool good = p != NULL;
    for (; good && p->key != NULL; p++) {
        if (strcmp(p->key, OSSL_KDF_PARAM_KEY) == 0) {
            good = read_bytes(p, &r->key);
        } else if (strcmp(p->key, OSSL_KDF_PARAM_PREFIX) == 0) {
            good = read_bytes(p, &r->prefix);
        } else if (strcmp(p->key, OSSL_KDF_PARAM_LABEL) == 0) {
            good = read_bytes(p, &r->label);
        } else if (strcmp(p->key, OSSL_KDF_PARAM_DATA) == 0) {
            good = read_bytes(p, &r->data);
        } else if (strcmp(p->key, OSSL_KDF_PARAM_SALT) == 0) {
            good = read_bytes(p, &r->salt);
        } else if (strcmp(p->key, OSSL_KDF_PARAM_DIGEST) == 0) {
            good = read_digest(p, r);
        } else if (strcmp(p->key, OSSL_KDF_PARAM_MODE) == 0) {
            good = OSSL_PARAM_get_int(p, &r->mode) == 1;
        }
    }
    return good && r->digest != NULL && r->prefix.ptr != NULL && r->label.ptr != NULL;
}

static int on_derive(void *ctx, unsigned char *out, size_t out_len, const OSSL_PARAM params[])
{
    (void)ctx;
    struct request r = {.mode = -1};
    if (!read_request(params, &r)) {
        return 0;
    }
    switch (r.mode) {
    case EVP_KDF_HKDF_MODE_EXPAND_ONLY:
        return r.key.ptr != NULL && expand_label(&r, r.key, r.data, out, out_len);
    case EVP_KDF_HKDF_MODE_EXTRACT_ONLY:
        return next_secret(&r, out, out_len);
    default:
        return 0;
    }
}

/* There is nothing to keep between the calls: any pointer will do. */
static void *on_newctx(void *provctx)
{
    return provctx;
}

static void on_freectx(void *ctx)
{
    (void)ctx;
}

static const OSSL_ALGORITHM *on_query(void *provctx, int operation, int *no_cache)
{
    static const OSSL_DISPATCH functions[] = {
        {OSSL_FUNC_KDF_NEWCTX, (void (*)(void))on_newctx},
        {OSSL_FUNC_KDF_FREECTX, (void (*)(void))on_freectx},
        {OSSL_FUNC_KDF_DERIVE, (void (*)(void))on_derive},
        {0, NULL},
    };
    static const OSSL_ALGORITHM kdfs[] = {
        {OSSL_KDF_NAME_TLS1_3_KDF, "provider=wos", functions, NULL},
        {NULL, NULL, NULL, NULL},
    };
    (void)provctx;
    *no_cache = 0;
    return operation == OSSL_OP_KDF ? kdfs : NULL;
}

static int on_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                   const OSSL_DISPATCH **out, void **provctx)
{
    static const OSSL_DISPATCH functions[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))on_query},
        {0, NULL},
    };
    static char context;
    (void)handle;
    (void)in;
    *out = functions;
    *provctx = &context;
    return 1;
}

static OSSL_PROVIDER *provider; /* a constant after the first load, kept for good */

static void load(void)
{
    const int keep_default = 1; /* else it would not be loaded by itself any more */
    if (OSSL_PROVIDER_add_builtin(NULL, "wos", on_init) == 1) {
        provider = OSSL_PROVIDER_try_load(NULL, "wos", keep_default); /* NULL: without it, then */
    }
    ERR_clear_error();
}

void tlskdf_load(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    CHECK(pthread_once(&once, load) == 0);
}
