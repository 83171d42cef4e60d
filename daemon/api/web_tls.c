/* web_tls: see web_tls.h. Made by api.c when web.ssl is on. */
#include "daemon/api/web_tls.h"

#include <event2/bufferevent_ssl.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "base/auto.h"
#include "certs/cert.h"
#include "certs/sslerr.h"

struct web_tls {
    SSL_CTX *ctx; /* owned; without a certificate until web_tls_set */
};

static SSL_CTX *context_new(struct err *err)
{
    static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(ctx, ciphers) != 1) {
        (void)sslerr_set(err, ERR_FAILED, "TLS for the web listener"); /* NULL tells the caller */
        SSL_CTX_free(ctx);
        return NULL;
    }
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    return ctx;
}

struct web_tls *web_tls_new(struct err *err)
{
    SSL_CTX *ctx = context_new(err);
    if (ctx == NULL) {
        return NULL;
    }
    struct web_tls *tls = xcalloc(1, sizeof *tls);
    tls->ctx = ctx;
    return tls;
}

struct bufferevent *web_tls_accept(struct web_tls *tls, struct event_base *base)
{
    SSL *ssl = SSL_new(tls->ctx);
    CHECK(ssl != NULL); /* NULL here would mean a connection in the clear */
    struct bufferevent *bev = bufferevent_openssl_socket_new(
        base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    CHECK(bev != NULL);
    bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    return bev;
}

void web_tls_free(struct web_tls *tls)
{
    if (tls != NULL) {
        SSL_CTX_free(tls->ctx);
        free(tls);
    }
}

/* A context keeps one certificate of each kind of key, with its own chain. */
static int context_add(SSL_CTX *ctx, const struct snapshot_cert *pair, struct err *err)
{
    int rc = -1;
    struct cert *cert = cert_parse(pair->chain_pem, err);
    EVP_PKEY *key = cert == NULL ? NULL : cert_key_parse(pair->key_pem, err);
    if (key == NULL) {
        cert_free(cert);
        return -1;
    }
    if (SSL_CTX_use_certificate(ctx, cert->leaf) == 1 &&
        SSL_CTX_set1_chain(ctx, cert->chain) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1) {
        rc = 0;
    } else {
        (void)sslerr_set(err, ERR_CONFIG, "the web listener's certificate cannot be used");
    }
    EVP_PKEY_free(key);
    cert_free(cert);
    return rc;
}

int web_tls_set(struct web_tls *tls, const struct snapshot_cert *pairs, size_t count,
                struct err *err)
{
    SSL_CTX *ctx = context_new(err);
    int rc = ctx == NULL ? -1 : 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = context_add(ctx, &pairs[i], err);
    }
    if (rc < 0) {
        SSL_CTX_free(ctx);
        return -1;
    }
    SSL_CTX_free(tls->ctx);
    tls->ctx = ctx;
    return 0;
}
