/* certset: see certset.h. Built by the gateway's main thread when a snapshot
 * arrives, read by the workers in every ClientHello, freed by whoever drops
 * the last reference. Nothing changes after certset_new.
 */
#include "certs/certset.h"

#include <openssl/err.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/map.h"
#include "certs/cert.h"
#include "certs/sslerr.h"
#include "certs/tlsctx.h"

enum { DIGEST_BYTES = 32, SNI_MAX = 255 };

struct certset_entry {
    SSL_CTX *ctx;                 /* owned: one reference, perhaps shared with an older set */
    uint8_t digest[DIGEST_BYTES]; /* of chain and key: equal means unchanged */
    char **names;                 /* owned: lower-case DNS names, wildcards, addresses */
    size_t name_count;
};

struct certset {
    _Atomic uint32_t refs;
    struct certset_entry *entries; /* owned: [0] is the default */
    size_t count;
    struct map index; /* owned: name → SSL_CTX, borrowed from entries */
};

static bool pair_digest(const struct certset_pair *pair, uint8_t *out)
{
    uint64_t chain_len = pair->chain_pem.len;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool done = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(md, &chain_len, sizeof(chain_len)) == 1 &&
                EVP_DigestUpdate(md, pair->chain_pem.ptr, pair->chain_pem.len) == 1 &&
                EVP_DigestUpdate(md, pair->key_pem.ptr, pair->key_pem.len) == 1 &&
                EVP_DigestFinal_ex(md, out, NULL) == 1;
    EVP_MD_CTX_free(md);
    return done;
}

static bool entry_reuse(struct certset_entry *entry, const struct certset *old)
{
    for (size_t i = 0; old != NULL && i < old->count; i++) {
        const struct certset_entry *had = &old->entries[i];
        if (memcmp(had->digest, entry->digest, DIGEST_BYTES) != 0) {
            continue;
        }
        CHECK(SSL_CTX_up_ref(had->ctx) == 1);
        entry->ctx = had->ctx;
        entry->names = xcalloc(had->name_count + 1, sizeof(*entry->names));
        for (size_t n = 0; n < had->name_count; n++) {
            entry->names[n] = xstrdup(had->names[n]);
        }
        entry->name_count = had->name_count;
        return true;
    }
    return false;
}

static int ctx_fill(SSL_CTX *ctx, const struct cert *cert, EVP_PKEY *key, struct err *err)
{
    tlsctx_prepare(ctx);
    /* A session belongs to one certificate: a ticket given out under one name
     * must not resume under a name that another certificate serves. */
    if (SSL_CTX_set_session_id_context(ctx, cert->fingerprint, sizeof(cert->fingerprint)) != 1 ||
        SSL_CTX_use_certificate(ctx, cert->leaf) != 1) {
        return sslerr_set(err, ERR_CONFIG, "the certificate cannot be used");
    }
    for (int i = 0; i < sk_X509_num(cert->chain); i++) {
        if (SSL_CTX_add1_chain_cert(ctx, sk_X509_value(cert->chain, i)) != 1) {
            return sslerr_set(err, ERR_CONFIG, "certificate %d of the chain cannot be used", i + 2);
        }
    }
    if (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
        return sslerr_set(err, ERR_CONFIG, "the private key cannot be used");
    }
    return 0;
}

/* Dates are not judged here: an expired certificate is the daemon's to
 * replace, and worse than none it is not. */
static int entry_load(struct certset_entry *entry, const struct certset_pair *pair, size_t at,
                      struct err *err)
{
    struct cert *cert = cert_parse(pair->chain_pem, err);
    if (cert == NULL) {
        return err_wrap(err, "certificate %zu", at + 1);
    }
    EVP_PKEY *key = cert_key_parse(pair->key_pem, err);
    int result = key == NULL ? -1 : cert_check_key(cert, key, err);
    if (result == 0) {
        entry->ctx = SSL_CTX_new(TLS_server_method());
        result = entry->ctx == NULL ? sslerr_set(err, ERR_FAILED, "TLS context")
                                    : ctx_fill(entry->ctx, cert, key, err);
    }
    if (result == 0) {
        entry->names = cert->names; /* taken over */
        entry->name_count = cert->name_count;
        cert->names = NULL;
        cert->name_count = 0;
    } else {
        (void)err_wrap(err, "certificate %zu (%s)", at + 1, cert->subject); /* -1 as it is */
    }
    EVP_PKEY_free(key);
    cert_free(cert);
    return result;
}

/* Where two cover one name the earlier pair has it. */
static void index_build(struct certset *set)
{
    for (size_t i = 0; i < set->count; i++) {
        for (size_t n = 0; n < set->entries[i].name_count; n++) {
            struct str name = str_of(set->entries[i].names[n]);
            if (map_get(&set->index, name) == NULL) {
                (void)map_set(&set->index, name, set->entries[i].ctx); /* there was none */
            }
        }
    }
}

struct certset *certset_new(const struct certset_pair *pairs, size_t count,
                            const struct certset *old, struct err *err)
{
    if (count == 0) {
        (void)err_set(err, ERR_CONFIG, "no certificate at all"); /* NULL tells the caller */
        return NULL;
    }
    struct certset *set = xcalloc(1, sizeof(*set));
    atomic_init(&set->refs, 1);
    set->entries = xcalloc(count, sizeof(*set->entries));
    for (; set->count < count; set->count++) {
        struct certset_entry *entry = &set->entries[set->count];
        if (!pair_digest(&pairs[set->count], entry->digest)) {
            (void)sslerr_set(err, ERR_FAILED, "SHA-256"); /* NULL tells the caller */
            goto fail_set;
        }
        if (!entry_reuse(entry, old) &&
            entry_load(entry, &pairs[set->count], set->count, err) < 0) {
            goto fail_set;
        }
    }
    index_build(set);
    return set;
fail_set:
    set->count++; /* the half-built entry too */
    certset_unref(set);
    return NULL;
}

struct certset *certset_ref(struct certset *set)
{
    uint32_t before = atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    CHECK(before > 0);
    return set;
}

void certset_unref(struct certset *set)
{
    if (set == NULL || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    map_fini(&set->index);
    for (size_t i = 0; i < set->count; i++) {
        SSL_CTX_free(set->entries[i].ctx); /* OpenSSL wipes keys */
        for (size_t n = 0; n < set->entries[i].name_count; n++) {
            free(set->entries[i].names[n]);
        }
        free(set->entries[i].names);
    }
    free(set->entries);
    free(set);
}

SSL_CTX *certset_find(const struct certset *set, struct str name)
{
    char lower[SNI_MAX + 1];
    SSL_CTX *fallback = set->entries[0].ctx;
    if (name.len > 1 && name.ptr[name.len - 1] == '.') {
        name.len--;
    }
    if (name.len == 0 || name.len > SNI_MAX || name.ptr[0] == '*') {
        return fallback;
    }
    for (size_t i = 0; i < name.len; i++) {
        lower[i] = ascii_lower(name.ptr[i]);
    }
    name.ptr = lower;
    SSL_CTX *found = map_get(&set->index, name);
    size_t dot = str_find(name, '.');
    if (found == NULL && dot > 0 && dot < name.len) {
        lower[dot - 1] = '*'; /* "a.b" is now "*.b" from there on */
        found = map_get(&set->index, (struct str){lower + dot - 1, name.len - dot + 1});
    }
    return found == NULL ? fallback : found;
}
