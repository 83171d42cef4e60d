/* csr: see csr.h. Called by the order before it is finalised. */
#include "acme/csr.h"

#include <openssl/x509v3.h>
#include <stdbool.h>
#include <string.h>

#include "base/auto.h"
#include "certs/sslerr.h"

enum { COMMON_NAME_MAX = 64 };

static bool push_name(GENERAL_NAMES *names, const char *text)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *value = ASN1_IA5STRING_new();
    if (name == NULL || value == NULL || ASN1_STRING_set(value, text, (int)strlen(text)) != 1) {
        GENERAL_NAME_free(name);
        ASN1_IA5STRING_free(value);
        return false;
    }
    GENERAL_NAME_set0_value(name, GEN_DNS, value);
    if (sk_GENERAL_NAME_push(names, name) <= 0) {
        GENERAL_NAME_free(name);
        return false;
    }
    return true;
}

static bool add_names(X509_REQ *request, const char *const *names, size_t count)
{
    GENERAL_NAMES *list = sk_GENERAL_NAME_new_null();
    STACK_OF(X509_EXTENSION) *extensions = NULL;
    bool done = list != NULL;
    for (size_t i = 0; done && i < count; i++) {
        done = push_name(list, names[i]);
    }
    done = done &&
           X509V3_add1_i2d(&extensions, NID_subject_alt_name, list, 0, X509V3_ADD_DEFAULT) == 1 &&
           X509_REQ_add_extensions(request, extensions) == 1;
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    GENERAL_NAMES_free(list);
    return done;
}

static bool set_subject(X509_REQ *request, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(names[i]);
        if (len <= COMMON_NAME_MAX) {
            return X509_NAME_add_entry_by_NID(X509_REQ_get_subject_name(request), NID_commonName,
                                              MBSTRING_UTF8, (const unsigned char *)names[i],
                                              (int)len, -1, 0) == 1;
        }
    }
    return true; /* RFC 8555: names may stand in subjectAltName alone */
}

int csr_make(EVP_PKEY *key, const char *const *names, size_t name_count, struct buf *out,
             struct err *err)
{
    X509_REQ *request = X509_REQ_new();
    uint8_t *der = NULL;
    int len = -1;
    if (request != NULL && X509_REQ_set_version(request, X509_REQ_VERSION_1) == 1 &&
        set_subject(request, names, name_count) && X509_REQ_set_pubkey(request, key) == 1 &&
        add_names(request, names, name_count) && X509_REQ_sign(request, key, EVP_sha256()) > 0) {
        len = i2d_X509_REQ(request, &der);
    }
    X509_REQ_free(request);
    if (len < 0) {
        return sslerr_set(err, ERR_FAILED, "making the certificate request");
    }
    buf_add(out, der, (size_t)len);
    OPENSSL_free(der);
    return 0;
}
