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
#include "certs/tlskdf.h"

enum { DIGEST_BYTES = 32, SNI_MAX = 255 };

struct certset_entry {
    SSL_CTX *ctx;                     /* owned: one reference, perhaps shared */
    uint8_t digest[DIGEST_BYTES];     /* of chain and key: equal means unchanged */
    uint8_t ctx_digest[DIGEST_BYTES]; /* of all pairs in ctx */
    char **names;                     /* owned: lower-case DNS names, wildcards, addresses */
    size_t name_count;
    int key_type; /* EVP_PKEY_EC, EVP_PKEY_RSA, … */
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

/* --- what is in a pair ---------------------------------------------------- */

static bool names_reuse(struct certset_entry *entry, const struct certset *old)
{
    for (size_t i = 0; old != NULL && i < old->count; i++) {
        const struct certset_entry *had = &old->entries[i];
        if (memcmp(had->digest, entry->digest, DIGEST_BYTES) != 0) {
            continue;
        }
        entry->names = xcalloc(had->name_count + 1, sizeof(*entry->names));
        for (size_t n = 0; n < had->name_count; n++) {
            entry->names[n] = xstrdup(had->names[n]);
        }
        entry->name_count = had->name_count;
        entry->key_type = had->key_type;
        return true;
    }
    return false;
}

/* Dates are not judged here: an expired certificate is the daemon's to
 * replace, and worse than none it is not. */
static struct cert *pair_parse(const struct certset_pair *pair, size_t at, EVP_PKEY **out_key,
                               struct err *err)
{
    struct cert *cert = cert_parse(pair->chain_pem, err);
    if (cert == NULL) {
        (void)err_wrap(err, "certificate %zu", at + 1); /* NULL tells the caller */
        return NULL;
    }
    EVP_PKEY *key = cert_key_parse(pair->key_pem, err);
    if (key == NULL || cert_check_key(cert, key, err) < 0) {
        (void)err_wrap(err, "certificate %zu (%s)", at + 1, cert->subject); /* as above */
        EVP_PKEY_free(key);
        cert_free(cert);
        return NULL;
    }
    *out_key = key;
    return cert;
}

static int entry_read(struct certset_entry *entry, const struct certset_pair *pair, size_t at,
                      struct err *err)
{
    EVP_PKEY *key = NULL;
    struct cert *cert = pair_parse(pair, at, &key, err);
    if (cert == NULL) {
        return -1;
    }
    entry->key_type = EVP_PKEY_get_base_id(key);
    entry->names = cert->names; /* taken over */
    entry->name_count = cert->name_count;
    cert->names = NULL;
    cert->name_count = 0;
    EVP_PKEY_free(key);
    cert_free(cert);
    return 0;
}

static bool entry_has_name(const struct certset_entry *entry, const char *name)
{
    for (size_t i = 0; i < entry->name_count; i++) {
        if (strcmp(entry->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool names_equal(const struct certset_entry *a, const struct certset_entry *b)
{
    if (a->name_count != b->name_count) {
        return false;
    }
    for (size_t i = 0; i < a->name_count; i++) {
        if (!entry_has_name(b, a->names[i])) {
            return false;
        }
    }
    return true;
}

/* --- contexts -------------------------------------------------------------- */

/* Adds the pair: a context holds one of each kind of key. */
static int ctx_add(SSL_CTX *ctx, const struct certset_pair *pair, size_t at, struct err *err)
{
    EVP_PKEY *key = NULL;
    struct cert *cert = pair_parse(pair, at, &key, err);
    if (cert == NULL) {
        return -1;
    }
    int result = 0;
    if (SSL_CTX_use_certificate(ctx, cert->leaf) != 1) {
        result = sslerr_set(err, ERR_CONFIG, "the certificate cannot be used");
    }
    for (int i = 0; result == 0 && i < sk_X509_num(cert->chain); i++) {
        if (SSL_CTX_add1_chain_cert(ctx, sk_X509_value(cert->chain, i)) != 1) {
            result =
                sslerr_set(err, ERR_CONFIG, "certificate %d of the chain cannot be used", i + 2);
        }
    }
    if (result == 0 &&
        (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1)) {
        result = sslerr_set(err, ERR_CONFIG, "the private key cannot be used");
    }
    if (result < 0) {
        (void)err_wrap(err, "certificate %zu (%s)", at + 1, cert->subject); /* -1 as it is */
    }
    EVP_PKEY_free(key);
    cert_free(cert);
    return result;
}

static bool ctx_reuse(struct certset_entry *entry, const struct certset *old)
{
    for (size_t i = 0; old != NULL && i < old->count; i++) {
        if (memcmp(old->entries[i].ctx_digest, entry->ctx_digest, DIGEST_BYTES) == 0) {
            CHECK(SSL_CTX_up_ref(old->entries[i].ctx) == 1);
            entry->ctx = old->entries[i].ctx;
            return true;
        }
    }
    return false;
}

/* The next pair for exactly the same names with another kind of key; count if none. */
static size_t partner_of(const struct certset *set, size_t at)
{
    for (size_t i = at + 1; i < set->count; i++) {
        const struct certset_entry *entry = &set->entries[i];
        if (entry->ctx == NULL && entry->key_type != set->entries[at].key_type &&
            names_equal(entry, &set->entries[at])) {
            return i;
        }
    }
    return set->count;
}

static int entry_make_ctx(struct certset *set, size_t at, const struct certset_pair *pairs,
                          const struct certset *old, struct err *err)
{
    struct certset_entry *entry = &set->entries[at];
    size_t second = partner_of(set, at);
    uint8_t both[2][DIGEST_BYTES] = {{0}};
    memcpy(both[0], entry->digest, DIGEST_BYTES);
    if (second < set->count) {
        memcpy(both[1], set->entries[second].digest, DIGEST_BYTES);
    }
    if (EVP_Digest(both, sizeof both, entry->ctx_digest, NULL, EVP_sha256(), NULL) != 1) {
        return sslerr_set(err, ERR_FAILED, "SHA-256");
    }
    if (!ctx_reuse(entry, old)) {
        entry->ctx = SSL_CTX_new_ex(NULL, TLSKDF_QUERY, TLS_server_method());
        if (entry->ctx == NULL) {
            return sslerr_set(err, ERR_FAILED, "TLS context");
        }
        tlsctx_prepare(entry->ctx);
        /* A session belongs to its certificates: a ticket given out under one name
         * must not resume under a name that others serve. */
        if (SSL_CTX_set_session_id_context(entry->ctx, entry->ctx_digest, DIGEST_BYTES) != 1) {
            return sslerr_set(err, ERR_FAILED, "TLS context");
        }
        if (ctx_add(entry->ctx, &pairs[at], at, err) < 0 ||
            (second < set->count && ctx_add(entry->ctx, &pairs[second], second, err) < 0)) {
            return -1;
        }
    }
    if (second < set->count) {
        CHECK(SSL_CTX_up_ref(entry->ctx) == 1);
        set->entries[second].ctx = entry->ctx;
        memcpy(set->entries[second].ctx_digest, entry->ctx_digest, DIGEST_BYTES);
    }
    return 0;
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

struct certset *certset_ref(struct certset *set)
{
    uint32_t before = atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    CHECK(before > 0);
    return set;
}

/* The same pairs in the same order. */
static bool is_same(const struct certset *set, const struct certset_pair *pairs, size_t count)
{
    uint8_t digest[DIGEST_BYTES];
    bool same = set != NULL && set->count == count;
    for (size_t i = 0; same && i < count; i++) {
        same = pair_digest(&pairs[i], digest) &&
               memcmp(digest, set->entries[i].digest, DIGEST_BYTES) == 0;
    }
    return same;
}

struct certset *certset_new(const struct certset_pair *pairs, size_t count, struct certset *old,
                            struct err *err)
{
    if (count == 0) {
        (void)err_set(err, ERR_CONFIG, "no certificate at all"); /* NULL tells the caller */
        return NULL;
    }
    if (is_same(old, pairs, count)) {
        return certset_ref(old);
    }
    struct certset *set = try_zalloc(sizeof(*set));
    if (set == NULL) {
        (void)err_set(err, ERR_FAILED, "out of memory"); /* NULL tells the caller */
        return NULL;
    }
    atomic_init(&set->refs, 1);
    set->entries = try_zalloc(count * sizeof(*set->entries));
    if (set->entries == NULL) {
        (void)err_set(err, ERR_FAILED, "out of memory"); /* NULL tells the caller */
        goto fail_set;
    }
    for (; set->count < count; set->count++) {
        struct certset_entry *entry = &set->entries[set->count];
        if (!pair_digest(&pairs[set->count], entry->digest)) {
            (void)sslerr_set(err, ERR_FAILED, "SHA-256"); /* NULL tells the caller */
            goto fail_set;
        }
        if (!names_reuse(entry, old) &&
            entry_read(entry, &pairs[set->count], set->count, err) < 0) {
            goto fail_set;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (set->entries[i].ctx == NULL && entry_make_ctx(set, i, pairs, old, err) < 0) {
            goto fail_set;
        }
    }
    index_build(set);
    return set;
fail_set:
    certset_unref(set);
    return NULL;
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

/* The context that covers the name, or NULL. */
static SSL_CTX *find_exactly(const struct certset *set, struct str name)
{
    char lower[SNI_MAX + 1];
    if (name.len > 1 && name.ptr[name.len - 1] == '.') {
        name.len--;
    }
    if (name.len == 0 || name.len > SNI_MAX || name.ptr[0] == '*') {
        return NULL;
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
    return found;
}

SSL_CTX *certset_find(const struct certset *set, struct str name)
{
    SSL_CTX *found = find_exactly(set, name);
    return found == NULL ? set->entries[0].ctx : found;
}

bool certset_covers(const struct certset *set, const SSL_CTX *ctx, struct str name)
{
    return find_exactly(set, name) == ctx;
}
