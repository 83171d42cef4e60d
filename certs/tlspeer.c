/* tlspeer: see tlspeer.h. Contexts are made by the gateway's main thread, certificates are
 * looked at by the workers at the end of a handshake.
 */
#include "certs/tlspeer.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "certs/sslerr.h"

enum { NAME_SHOWN = 64 };

int tlspeer_trust(SSL_CTX *ssl_ctx, struct str ca_pem, struct err *err)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ssl_ctx);
    BIO *bio = ca_pem.len > INT32_MAX ? NULL : BIO_new_mem_buf(ca_pem.ptr, (int)ca_pem.len);
    size_t count = 0;
    if (bio == NULL) {
        return sslerr_set(err, ERR_FAILED, "certificate authorities");
    }
    for (X509 *ca = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL); ca != NULL;
         ca = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)) {
        count += X509_STORE_add_cert(store, ca) == 1 ? 1 : 0;
        X509_free(ca);
    }
    BIO_free(bio);
    /* The loop ends with "no start line", or at a block that cannot be read. */
    bool cut = ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE;
    ERR_clear_error();
    if (count == 0 || cut) {
        return err_set(err, ERR_CONFIG, "certificate authorities: %s",
                       cut ? "one of the certificates cannot be read" : "no certificate");
    }
    return 0;
}

/* The name people would look for: the first DNS name, else the common name. */
static void peer_name(X509 *cert, char *out, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    struct str name = STR_NONE;
    for (int i = 0; name.len == 0 && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *at = sk_GENERAL_NAME_value(names, i);
        if (at->type == GEN_DNS) {
            name = (struct str){(const char *)ASN1_STRING_get0_data(at->d.dNSName),
                                (size_t)ASN1_STRING_length(at->d.dNSName)};
        }
    }
    char common[NAME_SHOWN] = "";
    if (name.len == 0 && X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName,
                                                   common, sizeof common) > 0) {
        name = str_of(common);
    }
    size_t len = name.len < size - 1 ? name.len : size - 1;
    for (size_t i = 0; i < len; i++) {
        bool shown = ascii_is_digit(name.ptr[i]) || strchr(".-_*: ", name.ptr[i]) != NULL ||
                     (ascii_lower(name.ptr[i]) >= 'a' && ascii_lower(name.ptr[i]) <= 'z');
        out[i] = shown && name.ptr[i] != '\0' ? name.ptr[i] : '?';
    }
    out[len] = '\0';
    GENERAL_NAMES_free(names);
}

char *tlspeer_fault(SSL *ssl)
{
    if (SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE) {
        return NULL;
    }
    char text[256];
    long result = SSL_get_verify_result(ssl);
    if (result != X509_V_OK) {
        (void)snprintf(text, sizeof text, "certificate not trusted: %s",
                       X509_verify_cert_error_string(result));
        return xstrdup(text);
    }
    X509 *cert = SSL_get0_peer_certificate(ssl);
    if (cert == NULL) {
        return NULL; /* the handshake did not get that far */
    }
    if (X509_check_host(cert, "localhost", 0, 0, NULL) == 1 ||
        X509_check_ip_asc(cert, "127.0.0.1", 0) == 1 || X509_check_ip_asc(cert, "::1", 0) == 1) {
        ERR_clear_error();
        return NULL;
    }
    char name[NAME_SHOWN];
    peer_name(cert, name, sizeof name);
    ERR_clear_error();
    (void)snprintf(text, sizeof text, "certificate is for %s, not localhost",
                   name[0] != '\0' ? name : "nobody");
    return xstrdup(text);
}
