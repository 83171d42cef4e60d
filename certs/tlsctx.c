/* tlsctx: see tlsctx.h. Made by the gateway's main thread; its callbacks run in
 * the workers, during handshakes.
 *
 * Tickets: OpenSSL asks the context an SSL was made from (its session_ctx) for
 * ticket keys, whatever SSL_set_SSL_CTX did since, so the callback sits on the
 * base alone; it finds its struct tlsctx in the ex data of the SSL's BIO, put there in
 * the ClientHello: connections share a BIO, and ex data of its own costs each SSL two blocks. What
 * a ticket may resume is bound to the certificate by the session id context, which SSL_set_SSL_CTX
 * does carry over (certset.c).
 */
#include "certs/tlsctx.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/auto.h"
#include "certs/sslerr.h"
#include "certs/tlskdf.h"
#include "certs/tlspeer.h"

enum {
    MAGIC = 0x746c7378,
    KEYS_MAX = 8,
    NAME_BYTES = 16,
    HMAC_BYTES = 32,
    SESSION_SECONDS = 12 * 3600, /* less than any key is kept */
};

/* ECDHE with AEAD only; 128-bit AES first: as safe, and faster. */
static const char suites_12[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                                "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                                "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const char suites_13[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
static const char groups[] = "X25519:P-256:P-384";
/* Where the library has it (OpenSSL 3.5): the hybrid that outlives a quantum computer. */
static const char groups_hybrid[] = "X25519MLKEM768:X25519:P-256:P-384";

struct key_slot {
    _Atomic uint32_t readers;
    uint32_t count;
    uint8_t keys[KEYS_MAX][TICKET_KEY_SIZE];
};

/* Two slots, one of them current. A reader announces itself in a slot, then
 * looks again whether it still is the current one, and backs off if not; a
 * writer fills the other slot once it has no readers, makes it current, waits
 * for the last reader of the old one (microseconds) and wipes it. */
struct tlsctx {
    uint32_t magic;
    SSL_CTX *server; /* owned */
    SSL_CTX *client; /* owned */
    tlsctx_find_fn *find;
    pthread_mutex_t writer; /* writers only: the daemon's publishes, never a handshake */
    _Atomic int min_version;
    _Atomic bool tickets;
    _Atomic uint32_t current;
    struct key_slot slots[2];
};

static pthread_once_t ex_once = PTHREAD_ONCE_INIT;
static int ex_index = -1; /* a constant after ex_once: OpenSSL hands it out at run time */

static void ex_index_make(void)
{
    ex_index = BIO_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

/* ---- ticket keys ---- */

static struct key_slot *slot_pin(struct tlsctx *ctx)
{
    for (;;) {
        uint32_t at = atomic_load(&ctx->current);
        atomic_fetch_add(&ctx->slots[at].readers, 1);
        if (atomic_load(&ctx->current) == at) {
            return &ctx->slots[at];
        }
        atomic_fetch_sub(&ctx->slots[at].readers, 1);
    }
}

static void slot_unpin(struct key_slot *slot)
{
    atomic_fetch_sub(&slot->readers, 1);
}

static void slot_wait_unread(struct key_slot *slot)
{
    while (atomic_load(&slot->readers) != 0) {
        (void)sched_yield(); /* never fails on Linux */
    }
}

void tlsctx_set_ticket_keys(struct tlsctx *ctx, const uint8_t (*keys)[TICKET_KEY_SIZE],
                            size_t count)
{
    CHECK(ctx->magic == MAGIC && count <= KEYS_MAX);
    uint8_t random[1][TICKET_KEY_SIZE];
    if (count == 0) { /* a ticket under a key nobody keeps is only a lost resumption */
        CHECK(RAND_priv_bytes(random[0], TICKET_KEY_SIZE) == 1);
        keys = (const uint8_t(*)[TICKET_KEY_SIZE])random;
        count = 1;
    }
    (void)pthread_mutex_lock(&ctx->writer); /* a plain mutex, correctly used, cannot fail */
    uint32_t old = atomic_load(&ctx->current);
    struct key_slot *next = &ctx->slots[1 - old];
    slot_wait_unread(next);
    memcpy(next->keys, keys, count * TICKET_KEY_SIZE);
    next->count = (uint32_t)count;
    atomic_store(&ctx->current, 1 - old);
    slot_wait_unread(&ctx->slots[old]);
    OPENSSL_cleanse(ctx->slots[old].keys, sizeof(ctx->slots[old].keys));
    (void)pthread_mutex_unlock(&ctx->writer);
    OPENSSL_cleanse(random, sizeof(random));
}

/* A ticket key is its name, the key of the HMAC, the key of the AES. */
static bool key_start(const uint8_t *key, const uint8_t *iv, EVP_CIPHER_CTX *cipher,
                      EVP_MAC_CTX *mac, bool encrypt)
{
    char digest[] = "SHA256";
    uint8_t hmac_key[HMAC_BYTES]; /* a copy: OSSL_PARAM wants it mutable */
    memcpy(hmac_key, key + NAME_BYTES, HMAC_BYTES);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, hmac_key, sizeof(hmac_key)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    bool done = EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key + NAME_BYTES + HMAC_BYTES,
                                  iv, encrypt) == 1 &&
                EVP_MAC_CTX_set_params(mac, params) == 1;
    OPENSSL_cleanse(hmac_key, sizeof(hmac_key));
    return done;
}

static int ticket_encrypt(const struct key_slot *slot, unsigned char *name, unsigned char *iv,
                          EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) {
        return -1;
    }
    memcpy(name, slot->keys[0], NAME_BYTES);
    return key_start(slot->keys[0], iv, cipher, mac, true) ? 1 : -1;
}

/* 0: not one of ours; 1: fine; 2: fine, and the client shall get a new one. */
static int ticket_decrypt(const struct key_slot *slot, SSL *ssl, const unsigned char *name,
                          const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    for (uint32_t i = 0; i < slot->count; i++) {
        if (memcmp(slot->keys[i], name, NAME_BYTES) != 0) {
            continue;
        }
        if (!key_start(slot->keys[i], iv, cipher, mac, false)) {
            return -1;
        }
        /* A TLS 1.3 client uses a ticket once: without a new one every second
         * connection would be a full handshake. */
        return i > 0 || SSL_version(ssl) >= TLS1_3_VERSION ? 2 : 1;
    }
    return 0;
}

/* A session has an id by which a cache would find it. There is none here, and no client sees it: it
 * lies in the encrypted ticket. So it need not be 32 random bytes. */
static int ticket_on_id(SSL *ssl, unsigned char *id, unsigned int *len)
{
    (void)ssl;
    id[0] = 1;
    *len = 1; /* 0 is not allowed */
    return 1;
}

static int ticket_on_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, int encrypt)
{
    struct tlsctx *ctx = BIO_get_ex_data(SSL_get_rbio(ssl), ex_index);
    CHECK(ctx != NULL && ctx->magic == MAGIC);
    struct key_slot *slot = slot_pin(ctx);
    int result = encrypt ? ticket_encrypt(slot, name, iv, cipher, mac)
                         : ticket_decrypt(slot, ssl, name, iv, cipher, mac);
    slot_unpin(slot);
    return result;
}

/* ---- the ClientHello ---- */

/* Host names are ASCII on the wire (RFC 6066): no other byte comes from a real client. */
static bool is_printable(const unsigned char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (name[i] <= ' ' || name[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

/* RFC 6066 section 3: one list with one host_name, and nothing else anywhere. */
static bool sni_parse(const unsigned char *ext, size_t len, struct str *out_name)
{
    enum { HEAD = 2 + 1 + 2, NAME_LIMIT = 255 };
    if (len <= HEAD || len > HEAD + NAME_LIMIT) {
        return false;
    }
    size_t list_len = (size_t)ext[0] << 8 | ext[1];
    size_t name_len = (size_t)ext[3] << 8 | ext[4];
    if (list_len != len - 2 || ext[2] != TLSEXT_NAMETYPE_host_name || name_len != len - HEAD ||
        !is_printable(ext + HEAD, name_len)) {
        return false;
    }
    *out_name = (struct str){(const char *)ext + HEAD, name_len};
    return true;
}

static int hello_on_client(SSL *ssl, int *alert, void *arg)
{
    struct tlsctx *ctx = arg;
    CHECK(ctx->magic == MAGIC);
    BIO *bio = SSL_get_rbio(ssl);
    if (BIO_get_ex_data(bio, ex_index) != ctx && BIO_set_ex_data(bio, ex_index, ctx) != 1) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    struct str name = STR_NONE;
    const unsigned char *ext;
    size_t len;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &len) == 1 &&
        !sni_parse(ext, len, &name)) {
        *alert = SSL_AD_DECODE_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    /* Versions are chosen, and tickets looked at, after this callback. */
    if (!atomic_load(&ctx->tickets)) {
        (void)SSL_set_options(ssl, SSL_OP_NO_TICKET); /* a bit mask back; in TLS 1.3 … */
        (void)SSL_set_num_tickets(ssl, 0); /* … it only changes their kind; never fails */
    }
    if (SSL_set_min_proto_version(ssl, atomic_load(&ctx->min_version)) != 1) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    SSL_CTX *chosen = ctx->find(ssl, name);
    if (chosen == NULL) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_CLIENT_HELLO_ERROR;
    }
    if (SSL_set_SSL_CTX(ssl, chosen) == NULL) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

static int alpn_on_select(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                          const unsigned char *in, unsigned int in_len, void *arg)
{
    (void)ssl;
    (void)arg;
    const unsigned char *h1 = NULL;
    for (unsigned int at = 0; at < in_len; at += 1u + in[at]) {
        struct str name = {(const char *)in + at + 1, in[at]};
        if (name.len >= in_len - at) {
            return SSL_TLSEXT_ERR_ALERT_FATAL; /* OpenSSL checked the list; never trust a length */
        }
        if (str_eq(name, STR("h2"))) {
            *out = in + at + 1;
            *out_len = in[at];
            return SSL_TLSEXT_ERR_OK;
        }
        if (str_eq(name, STR("http/1.1"))) {
            h1 = in + at;
        }
    }
    if (h1 == NULL) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = h1 + 1;
    *out_len = h1[0];
    return SSL_TLSEXT_ERR_OK;
}

/* ---- contexts ---- */

static void modes_set(SSL_CTX *ssl_ctx)
{
    /* NO_AUTO_CHAIN: what is sent is what was configured. A leaf alone would be looked up, in a
     * store that is empty, in every handshake. */
    (void)SSL_CTX_set_mode(ssl_ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                        SSL_MODE_NO_AUTO_CHAIN);       /* a bit mask back */
    (void)SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_OFF); /* the old mode */
    (void)SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                           SSL_OP_CIPHER_SERVER_PREFERENCE |
                                           SSL_OP_PRIORITIZE_CHACHA); /* a bit mask back */
}

void tlsctx_prepare(SSL_CTX *ssl_ctx)
{
    modes_set(ssl_ctx);
    SSL_CTX_set_alpn_select_cb(ssl_ctx, alpn_on_select, NULL);
    /* Unlike versions and groups, the suites are looked up in the context that
     * is current when the choice is made: after SSL_set_SSL_CTX, this one. */
    NEED(SSL_CTX_set_cipher_list(ssl_ctx, suites_12) == 1 &&
         SSL_CTX_set_ciphersuites(ssl_ctx, suites_13) == 1);
}

static SSL_CTX *server_make(struct tlsctx *ctx)
{
    SSL_CTX *ssl_ctx = SSL_CTX_new_ex(NULL, TLSKDF_QUERY, TLS_server_method());
    if (ssl_ctx == NULL) {
        return NULL;
    }
    tlsctx_prepare(ssl_ctx);
    (void)SSL_CTX_set_timeout(ssl_ctx, SESSION_SECONDS); /* the old one */
    SSL_CTX_set_client_hello_cb(ssl_ctx, hello_on_client, ctx);
    bool done = SSL_CTX_set_min_proto_version(ssl_ctx, TLS1_2_VERSION) == 1 &&
                SSL_CTX_set_max_proto_version(ssl_ctx, 0) == 1 &&
                SSL_CTX_set_num_tickets(ssl_ctx, 1) == 1 &&
                SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl_ctx, ticket_on_key) == 1 &&
                SSL_CTX_set_generate_session_id(ssl_ctx, ticket_on_id) == 1 &&
                (SSL_CTX_set1_groups_list(ssl_ctx, groups_hybrid) == 1 ||
                 SSL_CTX_set1_groups_list(ssl_ctx, groups) == 1);
    if (!done) {
        SSL_CTX_free(ssl_ctx);
        return NULL;
    }
    ERR_clear_error(); /* of the groups that are not there */
    return ssl_ctx;
}

static SSL_CTX *client_make(int verify)
{
    static const unsigned char alpn[] = "\x08http/1.1";
    SSL_CTX *ssl_ctx = SSL_CTX_new_ex(NULL, TLSKDF_QUERY, TLS_client_method());
    if (ssl_ctx == NULL) {
        return NULL;
    }
    modes_set(ssl_ctx);
    SSL_CTX_set_verify(ssl_ctx, verify, NULL);
    if (SSL_CTX_set_min_proto_version(ssl_ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_alpn_protos(ssl_ctx, alpn, sizeof(alpn) - 1) != 0) { /* 0 is success here */
        SSL_CTX_free(ssl_ctx);
        return NULL;
    }
    return ssl_ctx;
}

/* OpenSSL makes the list of a kind's algorithms when the first one is asked for. Where memory runs
 * out in the middle of that, it never asks again and no handshake succeeds any more: so one of each
 * kind is asked for before there are clients. */
static bool load_algorithms(void)
{
    EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", TLSKDF_QUERY);
    EVP_RAND *rand = EVP_RAND_fetch(NULL, "CTR-DRBG", NULL);
    EVP_KEYMGMT *keys = EVP_KEYMGMT_fetch(NULL, "X25519", NULL);
    EVP_KEYEXCH *exchange = EVP_KEYEXCH_fetch(NULL, "X25519", NULL);
    EVP_SIGNATURE *signature = EVP_SIGNATURE_fetch(NULL, "ECDSA", NULL);
    bool all = md != NULL && cipher != NULL && mac != NULL && kdf != NULL && rand != NULL &&
               keys != NULL && exchange != NULL && signature != NULL;
    EVP_MD_free(md);
    EVP_CIPHER_free(cipher);
    EVP_MAC_free(mac);
    EVP_KDF_free(kdf);
    EVP_RAND_free(rand);
    EVP_KEYMGMT_free(keys);
    EVP_KEYEXCH_free(exchange);
    EVP_SIGNATURE_free(signature);
    return all;
}

struct tlsctx *tlsctx_new(tlsctx_find_fn *find, struct err *err)
{
    CHECK(pthread_once(&ex_once, ex_index_make) == 0);
    ERR_clear_error();
    struct tlsctx *ctx = xcalloc(1, sizeof(*ctx));
    ctx->magic = MAGIC;
    ctx->find = find;
    atomic_init(&ctx->min_version, TLS1_2_VERSION);
    atomic_init(&ctx->tickets, true);
    CHECK(pthread_mutex_init(&ctx->writer, NULL) == 0);
    tlsctx_set_ticket_keys(ctx, NULL, 0);
    tlskdf_load();
    ctx->server = server_make(ctx);
    ctx->client = client_make(SSL_VERIFY_NONE);
    if (ctx->server == NULL || ctx->client == NULL || ex_index < 0 || !load_algorithms()) {
        (void)sslerr_set(err, ERR_FAILED, "TLS context"); /* NULL tells the caller */
        tlsctx_free(ctx);
        return NULL;
    }
    return ctx;
}

void tlsctx_free(struct tlsctx *ctx)
{
    if (ctx == NULL) {
        return;
    }
    CHECK(ctx->magic == MAGIC);
    SSL_CTX_free(ctx->server);
    SSL_CTX_free(ctx->client);
    (void)pthread_mutex_destroy(&ctx->writer); /* nobody holds it: workers are gone */
    OPENSSL_cleanse(ctx, sizeof(*ctx));
    free(ctx);
}

void tlsctx_set_min_version(struct tlsctx *ctx, int version)
{
    CHECK(version == TLS1_2_VERSION || version == TLS1_3_VERSION);
    atomic_store(&ctx->min_version, version);
}

void tlsctx_set_tickets(struct tlsctx *ctx, bool on)
{
    atomic_store(&ctx->tickets, on);
}

SSL_CTX *tlsctx_server(struct tlsctx *ctx)
{
    return ctx->server;
}

SSL_CTX *tlsctx_client_insecure(struct tlsctx *ctx)
{
    return ctx->client;
}

SSL_CTX *tlsctx_client_new(struct str ca_pem, struct err *err)
{
    ERR_clear_error();
    SSL_CTX *ssl_ctx = client_make(SSL_VERIFY_PEER);
    if (ssl_ctx == NULL) {
        (void)sslerr_set(err, ERR_FAILED, "TLS context"); /* NULL tells the caller */
    } else if (tlspeer_trust(ssl_ctx, ca_pem, err) < 0) {
        SSL_CTX_free(ssl_ctx);
        ssl_ctx = NULL;
    }
    return ssl_ctx;
}

/* Its memory goes, and is wiped; what is left is a key of some type without a value. */
static void key_empty(EVP_PKEY *key)
{
    if (EVP_PKEY_set_type(key, EVP_PKEY_X25519) != 1) {
        ERR_clear_error(); /* gone all the same */
    }
    EVP_PKEY_free(key);
}

void tlsctx_forget_handshake(SSL *ssl)
{
    EVP_PKEY *key = NULL;
    if (SSL_get_tmp_key(ssl, &key) == 1) {
        key_empty(key);
    }
    if (SSL_get_peer_tmp_key(ssl, &key) == 1) {
        key_empty(key);
    }
    /* Can only free. */
    (void)SSL_set_tlsext_host_name(ssl, NULL);
    (void)SSL_SESSION_set1_alpn_selected(SSL_get_session(ssl), NULL, 0);
}
