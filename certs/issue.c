/* issue: see issue.h. Called by localca.c and by the daemon when no better
 * certificate can be had.
 */
#include "certs/issue.h"

#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "base/auto.h"
#include "certs/sslerr.h"

enum { COMMON_NAME_MAX = 64, SERIAL_BITS = 127, SELF_SIGNED_SECONDS = 7 * 86400, SKEW = 3600 };

const char *const issue_local_ips[2] = {"127.0.0.1", "::1"};

EVP_PKEY *issue_key(struct err *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    if (key == NULL) {
        (void)sslerr_set(err, ERR_FAILED, "making a private key"); /* NULL tells the caller */
    }
    return key;
}

static bool set_serial(X509 *cert)
{
    BIGNUM *number = BN_new();
    bool done = number != NULL &&
                BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
                BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return done;
}

static bool set_dates(X509 *cert, const struct issue_request *request)
{
    return ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)request->not_before) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)request->not_after) != NULL;
}

static bool set_subject(X509 *cert, const char *common_name)
{
    size_t len = strlen(common_name);
    len = len > COMMON_NAME_MAX ? COMMON_NAME_MAX : len;
    return X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), NID_commonName, MBSTRING_UTF8,
                                      (const unsigned char *)common_name, (int)len, -1, 0) == 1;
}

/* `value` is a constant of ours: OpenSSL's little language must never see a name. */
static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool done = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return done;
}

static bool push_name(GENERAL_NAMES *names, int type, const void *data, int len)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *text = type == GEN_DNS ? ASN1_IA5STRING_new() : ASN1_OCTET_STRING_new();
    if (name == NULL || text == NULL || ASN1_STRING_set(text, data, len) != 1) {
        GENERAL_NAME_free(name);
        ASN1_STRING_free(text);
        return false;
    }
    GENERAL_NAME_set0_value(name, type, text);
    if (sk_GENERAL_NAME_push(names, name) <= 0) {
        GENERAL_NAME_free(name);
        return false;
    }
    return true;
}

static bool add_names(X509 *cert, const struct issue_request *request)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    bool done = names != NULL;
    for (size_t i = 0; done && i < request->dns_count; i++) {
        done = push_name(names, GEN_DNS, request->dns_names[i], (int)strlen(request->dns_names[i]));
    }
    for (size_t i = 0; done && i < request->ip_count; i++) {
        uint8_t address[16];
        bool v4 = strchr(request->ip_names[i], ':') == NULL;
        done = inet_pton(v4 ? AF_INET : AF_INET6, request->ip_names[i], address) == 1 &&
               push_name(names, GEN_IPADD, address, v4 ? 4 : 16);
    }
    done = done && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(names);
    return done;
}

/* Everything the two kinds have in common, up to the extensions. */
static X509 *cert_begin(const struct issue_request *request, EVP_PKEY *key, X509 *ca)
{
    X509 *cert = X509_new();
    if (cert == NULL) {
        return NULL;
    }
    if (X509_set_version(cert, X509_VERSION_3) != 1 || !set_serial(cert) ||
        !set_dates(cert, request) || !set_subject(cert, request->common_name) ||
        X509_set_issuer_name(cert, X509_get_subject_name(ca == NULL ? cert : ca)) != 1 ||
        X509_set_pubkey(cert, key) != 1) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

X509 *issue_ca(const struct issue_request *request, EVP_PKEY *key, struct err *err)
{
    X509 *cert = cert_begin(request, key, NULL);
    if (cert == NULL ||
        !add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
        !add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") ||
        !add_extension(cert, cert, NID_subject_key_identifier, "hash") ||
        !add_extension(cert, cert, NID_authority_key_identifier, "keyid:always") ||
        X509_sign(cert, key, EVP_sha256()) == 0) {
        X509_free(cert);
        (void)sslerr_set(err, ERR_FAILED, "making the CA certificate"); /* NULL tells */
        return NULL;
    }
    return cert;
}

X509 *issue_leaf(const struct issue_request *request, EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key,
                 struct err *err)
{
    X509 *cert = cert_begin(request, key, ca);
    X509 *issuer = ca == NULL ? cert : ca;
    if (cert == NULL || !add_extension(cert, issuer, NID_basic_constraints, "critical,CA:FALSE") ||
        !add_extension(cert, issuer, NID_key_usage, "critical,digitalSignature") ||
        !add_extension(cert, issuer, NID_ext_key_usage, "serverAuth") ||
        !add_extension(cert, issuer, NID_subject_key_identifier, "hash") ||
        !add_extension(cert, issuer, NID_authority_key_identifier, "keyid:always") ||
        !add_names(cert, request) ||
        X509_sign(cert, ca == NULL ? key : ca_key, EVP_sha256()) == 0) {
        X509_free(cert);
        (void)sslerr_set(err, ERR_FAILED, "making a certificate for %s",
                         request->common_name); /* NULL tells the caller */
        return NULL;
    }
    return cert;
}

static int bio_to_buf(BIO *bio, bool written, struct buf *out, struct err *err)
{
    char *data = NULL;
    long len = written ? BIO_get_mem_data(bio, &data) : 0;
    if (len > 0) {
        buf_reserve(out, (size_t)len + 1);
        buf_add(out, data, (size_t)len);
    }
    BIO_free(bio);
    return len > 0 ? 0 : sslerr_set(err, ERR_FAILED, "writing PEM");
}

int issue_cert_pem(X509 *cert, struct buf *out, struct err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    return bio_to_buf(bio, bio != NULL && PEM_write_bio_X509(bio, cert) == 1, out, err);
}

int issue_key_pem(EVP_PKEY *key, struct buf *out, struct err *err)
{
    BIO *bio = BIO_new(BIO_s_secmem()); /* wiped when freed */
    bool written =
        bio != NULL && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    return bio_to_buf(bio, written, out, err);
}

void issue_buf_wipe(struct buf *secret)
{
    if (secret->ptr != NULL) {
        OPENSSL_cleanse(secret->ptr, secret->cap);
    }
    buf_fini(secret);
}

size_t issue_local_names(const char *domain, char *wildcard, size_t wildcard_size,
                         const char *out_names[3])
{
    size_t count = 0;
    if (domain[0] != '\0') {
        (void)snprintf(wildcard, wildcard_size, "*.%s", domain); /* sized by the caller */
        out_names[count++] = domain;
        out_names[count++] = wildcard;
    }
    if (strcmp(domain, "localhost") != 0) {
        out_names[count++] = "localhost";
    }
    return count;
}

int issue_self_signed(const char *domain, int64_t now, struct buf *out_chain_pem,
                      struct buf *out_key_pem, struct err *err)
{
    char wildcard[300];
    const char *names[3];
    struct issue_request request = {.common_name = domain[0] == '\0' ? "localhost" : domain,
                                    .not_before = now - SKEW,
                                    .not_after = now + SELF_SIGNED_SECONDS,
                                    .dns_names = names,
                                    .ip_names = issue_local_ips,
                                    .ip_count = COUNT_OF(issue_local_ips)};
    request.dns_count = issue_local_names(domain, wildcard, sizeof(wildcard), names);
    EVP_PKEY *key = issue_key(err);
    X509 *cert = key == NULL ? NULL : issue_leaf(&request, key, NULL, NULL, err);
    struct buf chain_pem = {0};
    struct buf key_pem = {0};
    int result = cert != NULL && issue_cert_pem(cert, &chain_pem, err) == 0 &&
                         issue_key_pem(key, &key_pem, err) == 0
                     ? 0
                     : -1;
    X509_free(cert);
    EVP_PKEY_free(key);
    if (result < 0) {
        buf_fini(&chain_pem);
        issue_buf_wipe(&key_pem);
        return -1;
    }
    *out_chain_pem = chain_pem;
    *out_key_pem = key_pem;
    return 0;
}
