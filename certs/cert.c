/* cert: see cert.h. Pure functions over memory; any thread. */
#include "certs/cert.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <time.h>

#include "base/auto.h"
#include "certs/sslerr.h"

static BIO *bio_over(struct str bytes)
{
    const char *ptr = bytes.len == 0 ? "" : bytes.ptr; /* OpenSSL refuses NULL */
    return bytes.len > INT_MAX ? NULL : BIO_new_mem_buf(ptr, (int)bytes.len);
}

static char *name_text(const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    NEED(bio != NULL);
    char *data = NULL;
    long len = 0;
    if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
        len = BIO_get_mem_data(bio, &data);
    }
    char *text = len > 0 ? xstrndup(data, (size_t)len) : xstrdup("(no name)");
    BIO_free(bio);
    return text;
}

static bool time_to_seconds(const ASN1_TIME *time, int64_t *out_seconds)
{
    struct tm tm;
    if (time == NULL || ASN1_TIME_to_tm(time, &tm) != 1) {
        return false;
    }
    *out_seconds = (int64_t)timegm(&tm);
    return true;
}

/* Malloc'ed text of a DNS or IP name, NULL for other kinds and for bytes that
 * cannot be one. */
static char *san_text(const GENERAL_NAME *name)
{
    if (name->type == GEN_DNS) {
        const char *data = (const char *)ASN1_STRING_get0_data(name->d.dNSName);
        size_t len = (size_t)ASN1_STRING_length(name->d.dNSName);
        if (len == 0 || len > 255 || memchr(data, '\0', len) != NULL) {
            return NULL;
        }
        char *text = xstrndup(data, len);
        for (size_t i = 0; i < len; i++) {
            text[i] = ascii_lower(text[i]);
        }
        return text;
    }
    if (name->type != GEN_IPADD) {
        return NULL;
    }
    int len = ASN1_STRING_length(name->d.iPAddress);
    char text[INET6_ADDRSTRLEN];
    if ((len != 4 && len != 16) ||
        inet_ntop(len == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(name->d.iPAddress), text,
                  sizeof(text)) == NULL) {
        return NULL;
    }
    return xstrdup(text);
}

static void names_read(struct cert *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert->leaf, NID_subject_alt_name, NULL, NULL);
    int count = names == NULL ? 0 : sk_GENERAL_NAME_num(names);
    count = count > CERT_NAMES_MAX ? CERT_NAMES_MAX : count;
    cert->names = xcalloc((size_t)count + 1, sizeof(*cert->names));
    /* Two rounds: DNS names first, they are what people look for. */
    for (int kind = 0; kind < 2; kind++) {
        for (int i = 0; i < count; i++) {
            const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
            char *text = (name->type == GEN_DNS) == (kind == 0) ? san_text(name) : NULL;
            if (text != NULL) {
                cert->names[cert->name_count++] = text;
            }
        }
    }
    GENERAL_NAMES_free(names);
}

static int chain_read(struct cert *cert, struct str chain_pem, struct err *err)
{
    BIO *bio = bio_over(chain_pem);
    if (bio == NULL) {
        return sslerr_set(err, ERR_CONFIG, "certificate");
    }
    cert->chain = sk_X509_new_null();
    NEED(cert->chain != NULL);
    int result = 0;
    for (int count = 0;; count++) {
        X509 *x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        if (x509 == NULL) {
            break;
        }
        if (count == CERT_CHAIN_MAX) {
            X509_free(x509);
            result = err_set(err, ERR_CONFIG, "certificate chain: more than %d certificates",
                             CERT_CHAIN_MAX);
            break;
        }
        if (count == 0) {
            cert->leaf = x509;
        } else {
            CHECK(sk_X509_push(cert->chain, x509) > 0);
        }
    }
    BIO_free(bio);
    /* The end of the blocks is itself an error in the queue; any other is damage. */
    unsigned long last = ERR_peek_last_error();
    bool at_end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
    if (result == 0 && !at_end && last != 0) {
        result = sslerr_set(err, ERR_CONFIG, "damaged certificate");
    }
    ERR_clear_error();
    if (result == 0 && cert->leaf == NULL) {
        result = err_set(err, ERR_CONFIG,
                         "no certificate in PEM form "
                         "(-----BEGIN CERTIFICATE-----) found");
    }
    return result;
}

/* A CA first and a non-CA after it is a chain put together the wrong way round. */
static int order_check(const struct cert *cert, struct err *err)
{
    for (int i = 0; cert->is_ca && i < sk_X509_num(cert->chain); i++) {
        if (X509_check_ca(sk_X509_value(cert->chain, i)) == 0) {
            return err_set(err, ERR_CONFIG,
                           "no leaf: the first certificate (%s) is a CA; the server's own "
                           "certificate must come first",
                           cert->subject);
        }
    }
    return 0;
}

struct cert *cert_parse(struct str chain_pem, struct err *err)
{
    struct cert *cert = xcalloc(1, sizeof(*cert));
    ERR_clear_error();
    if (chain_read(cert, chain_pem, err) < 0) {
        goto fail_cert;
    }
    cert->subject = name_text(X509_get_subject_name(cert->leaf));
    cert->issuer = name_text(X509_get_issuer_name(cert->leaf));
    cert->is_ca = X509_check_ca(cert->leaf) == 1;
    if (!time_to_seconds(X509_get0_notBefore(cert->leaf), &cert->not_before) ||
        !time_to_seconds(X509_get0_notAfter(cert->leaf), &cert->not_after) ||
        X509_digest(cert->leaf, EVP_sha256(), cert->fingerprint, NULL) != 1 ||
        X509_get0_pubkey(cert->leaf) == NULL) {
        (void)sslerr_set(err, ERR_CONFIG, "damaged certificate"); /* NULL tells the caller */
        goto fail_cert;
    }
    names_read(cert);
    if (order_check(cert, err) < 0) {
        goto fail_cert;
    }
    ERR_clear_error();
    return cert;
fail_cert:
    cert_free(cert);
    return NULL;
}

void cert_free(struct cert *cert)
{
    if (cert == NULL) {
        return;
    }
    X509_free(cert->leaf);
    sk_X509_pop_free(cert->chain, X509_free);
    for (size_t i = 0; i < cert->name_count; i++) {
        free(cert->names[i]);
    }
    free(cert->names);
    free(cert->subject);
    free(cert->issuer);
    free(cert);
}

/* OpenSSL asks for a passphrase: note it and give none. */
static int key_on_passphrase(char *out, int size, int writing, void *arg)
{
    (void)out;
    (void)size;
    (void)writing;
    *(bool *)arg = true;
    return -1;
}

EVP_PKEY *cert_key_parse(struct str key_pem, struct err *err)
{
    ERR_clear_error();
    bool encrypted = false;
    BIO *bio = bio_over(key_pem);
    EVP_PKEY *key =
        bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, key_on_passphrase, &encrypted);
    BIO_free(bio);
    ERR_clear_error(); /* a decoder that tries and passes on leaves errors behind too */
    if (key != NULL) {
        return key;
    }
    if (encrypted) {
        (void)err_set(err, ERR_CONFIG,
                      "the private key is encrypted; remove its passphrase (openssl pkey -in KEY "
                      "-out NEW)");
    } else {
        (void)err_set(err, ERR_CONFIG,
                      "no usable private key in PEM form (-----BEGIN PRIVATE KEY-----) found");
    }
    return NULL;
}

int cert_check_key(const struct cert *cert, const EVP_PKEY *key, struct err *err)
{
    if (EVP_PKEY_eq(X509_get0_pubkey(cert->leaf), key) == 1) {
        return 0;
    }
    for (int i = 0; i < sk_X509_num(cert->chain); i++) {
        if (EVP_PKEY_eq(X509_get0_pubkey(sk_X509_value(cert->chain, i)), key) == 1) {
            ERR_clear_error();
            return err_set(err, ERR_CONFIG,
                           "the private key belongs to certificate %d of the chain; the server's "
                           "own certificate must come first",
                           i + 2);
        }
    }
    ERR_clear_error();
    return err_set(err, ERR_CONFIG, "the private key does not belong to the certificate (%s)",
                   cert->subject);
}

void cert_time_format(int64_t seconds, char *out, size_t size)
{
    time_t when = (time_t)seconds;
    struct tm tm;
    CHECK(size > 0);
    out[0] = '\0';
    if (gmtime_r(&when, &tm) == NULL || strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        out[0] = '\0';
    }
}

int cert_check_dates(const struct cert *cert, int64_t now, struct err *err)
{
    char when[32];
    if (now > cert->not_after) {
        cert_time_format(cert->not_after, when, sizeof(when));
        return err_set(err, ERR_CONFIG, "the certificate (%s) expired on %s", cert->subject, when);
    }
    if (now < cert->not_before) {
        cert_time_format(cert->not_before, when, sizeof(when));
        return err_set(err, ERR_CONFIG, "the certificate (%s) is not valid before %s",
                       cert->subject, when);
    }
    return 0;
}

struct cert *cert_check_pair(struct str chain_pem, struct str key_pem, int64_t now, struct err *err)
{
    struct cert *cert = cert_parse(chain_pem, err);
    if (cert == NULL) {
        return NULL;
    }
    EVP_PKEY *key = cert_key_parse(key_pem, err);
    bool good =
        key != NULL && cert_check_key(cert, key, err) == 0 && cert_check_dates(cert, now, err) == 0;
    EVP_PKEY_free(key);
    if (!good) {
        cert_free(cert);
        return NULL;
    }
    return cert;
}

/* The same address may be written many ways; names hold inet_ntop's. */
static bool ip_canonical(struct str name, char *out, socklen_t size)
{
    char copy[INET6_ADDRSTRLEN];
    uint8_t address[16];
    if (name.len == 0 || name.len >= sizeof(copy) || memchr(name.ptr, '\0', name.len) != NULL) {
        return false;
    }
    memcpy(copy, name.ptr, name.len);
    copy[name.len] = '\0';
    int family = strchr(copy, ':') == NULL ? AF_INET : AF_INET6;
    return inet_pton(family, copy, address) == 1 && inet_ntop(family, address, out, size) != NULL;
}

bool cert_covers(const struct cert *cert, struct str name)
{
    char ip[INET6_ADDRSTRLEN];
    bool is_ip = ip_canonical(name, ip, sizeof(ip));
    if (is_ip) {
        name = str_of(ip);
    }
    size_t dot = str_find(name, '.');
    struct str parent = {name.ptr + dot, name.len - dot};
    for (size_t i = 0; i < cert->name_count; i++) {
        struct str have = str_of(cert->names[i]);
        if (str_eq_nocase(have, name)) {
            return true;
        }
        if (!is_ip && dot > 0 && parent.len > 1 && str_starts(have, STR("*.")) &&
            str_eq_nocase((struct str){have.ptr + 1, have.len - 1}, parent)) {
            return true;
        }
    }
    return false;
}
