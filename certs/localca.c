/* localca: see localca.h. Called by the daemon at start and by its daily check,
 * on its one thread.
 *
 * Keys are written before certificates, and a certificate that does not match
 * its key counts as none: a crash between the two files costs a remake.
 */
#include "certs/localca.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "certs/cert.h"
#include "certs/issue.h"
#include "certs/sslerr.h"

enum {
    SKEW_SECONDS = 3600, /* a clock that is a little behind shall not refuse what is new */
    CA_LEFT_MIN_SECONDS = 30 * 86400,
};

struct ca {
    X509 *cert;     /* owned */
    EVP_PKEY *key;  /* owned */
    struct buf pem; /* owned: the certificate */
};

static void ca_fini(struct ca *ca)
{
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
    buf_fini(&ca->pem);
    *ca = (struct ca){.cert = NULL};
}

/* 1 read, 0 not there, -1 error. */
static int read_if_there(const char *path, struct buf *out, struct err *err)
{
    struct err local;
    if (file_read(path, CERT_PEM_LIMIT, out, &local) == 0) {
        return 1;
    }
    if (local.code == ERR_NOT_FOUND) {
        return 0;
    }
    if (err != NULL) {
        *err = local;
    }
    return -1;
}

/* Both files of a pair; 1 read, 0 one is missing, -1 error. */
static int pair_read(const char *cert_path, const char *key_path, struct buf *out_cert,
                     struct buf *out_key, struct err *err)
{
    int got = read_if_there(cert_path, out_cert, err);
    return got <= 0 ? got : read_if_there(key_path, out_key, err);
}

static int pair_write(const char *cert_path, const char *key_path, struct str cert_pem,
                      struct str key_pem, struct err *err)
{
    if (file_write_atomic(key_path, key_pem, 0600, err) < 0) {
        return -1;
    }
    return file_write_atomic(cert_path, cert_pem, 0600, err);
}

/* True when the pair can sign leaves at `now`; *ca is filled then. */
static bool ca_use(struct ca *ca, struct str cert_pem, struct str key_pem, int64_t now)
{
    struct cert *cert = cert_parse(cert_pem, NULL);
    EVP_PKEY *key = cert == NULL ? NULL : cert_key_parse(key_pem, NULL);
    bool good = key != NULL && cert->is_ca && cert_check_key(cert, key, NULL) == 0 &&
                cert->not_after - now > CA_LEFT_MIN_SECONDS &&
                issue_cert_pem(cert->leaf, &ca->pem, NULL) == 0;
    if (good) {
        CHECK(X509_up_ref(cert->leaf) == 1);
        ca->cert = cert->leaf;
        ca->key = key;
    } else {
        EVP_PKEY_free(key);
    }
    cert_free(cert);
    return good;
}

static int ca_make(struct ca *ca, const char *cert_path, const char *key_path, int64_t now,
                   struct err *err)
{
    char hostname[256] = "";
    if (gethostname(hostname, sizeof(hostname) - 1) < 0 || hostname[0] == '\0') {
        (void)memcpy(hostname, "localhost", sizeof("localhost"));
    }
    autofree char *name = xasprintf("wos local CA %s", hostname);
    struct issue_request request = {.common_name = name,
                                    .not_before = now - SKEW_SECONDS,
                                    .not_after = now + LOCALCA_CA_SECONDS};
    ca->key = issue_key(err);
    ca->cert = ca->key == NULL ? NULL : issue_ca(&request, ca->key, err);
    if (ca->cert == NULL || issue_cert_pem(ca->cert, &ca->pem, err) < 0) {
        return -1;
    }
    struct buf key_pem = {0};
    int result = issue_key_pem(ca->key, &key_pem, err);
    if (result == 0) {
        result = pair_write(cert_path, key_path, buf_str(&ca->pem), buf_str(&key_pem), err);
    }
    issue_buf_wipe(&key_pem);
    return result;
}

static int ca_ensure(struct ca *ca, const char *certs_dir, int64_t now, bool *out_made,
                     struct err *err)
{
    autofree char *cert_path = localca_ca_path(certs_dir);
    autofree char *key_path = path_join(certs_dir, "ca.key");
    struct buf cert_pem = {0};
    struct buf key_pem = {0};
    int got = pair_read(cert_path, key_path, &cert_pem, &key_pem, err);
    bool usable = got == 1 && ca_use(ca, buf_str(&cert_pem), buf_str(&key_pem), now);
    buf_fini(&cert_pem);
    issue_buf_wipe(&key_pem);
    *out_made = false;
    if (got < 0 || usable) {
        return got < 0 ? -1 : 0;
    }
    ca_fini(ca);
    if (ca_make(ca, cert_path, key_path, now, err) < 0) {
        return -1;
    }
    *out_made = true;
    return 0;
}

static bool issued_by(const struct cert *cert, const struct ca *ca)
{
    bool by = X509_check_issued(ca->cert, cert->leaf) == X509_V_OK &&
              X509_verify(cert->leaf, ca->key) == 1 && sk_X509_num(cert->chain) == 1 &&
              X509_cmp(sk_X509_value(cert->chain, 0), ca->cert) == 0;
    ERR_clear_error();
    return by;
}

static bool covers_all(const struct cert *cert, const char *domain, const char *address)
{
    char wildcard[300];
    const char *names[3];
    size_t count = issue_local_names(domain, wildcard, sizeof(wildcard), names);
    for (size_t i = 0; i < count; i++) {
        bool found = false;
        for (size_t n = 0; !found && n < cert->name_count; n++) {
            found = str_eq_nocase(str_of(names[i]), str_of(cert->names[n]));
        }
        if (!found) {
            return false;
        }
    }
    return cert_covers(cert, STR("127.0.0.1")) && cert_covers(cert, STR("::1")) &&
           (address == NULL || cert_covers(cert, str_of(address)));
}

/* Why the leaf that is there cannot be served on, or NULL. */
static const char *leaf_fault(struct str chain_pem, struct str key_pem, const char *domain,
                              const char *address, const struct ca *ca, int64_t now,
                              int64_t *out_not_after)
{
    struct cert *cert = cert_parse(chain_pem, NULL);
    EVP_PKEY *key = cert == NULL ? NULL : cert_key_parse(key_pem, NULL);
    const char *fault = NULL;
    if (key == NULL || cert_check_key(cert, key, NULL) < 0) {
        fault = "the stored pair is damaged";
    } else if (!issued_by(cert, ca)) {
        fault = "it was not issued by the present local CA";
    } else if (!covers_all(cert, domain, address)) {
        fault = "the domain changed";
    } else if (now < cert->not_before) {
        fault = "it is not valid yet";
    } else if (cert->not_after - now < (cert->not_after - cert->not_before) / 3) {
        fault = "it nears its end";
    } else {
        *out_not_after = cert->not_after;
    }
    EVP_PKEY_free(key);
    cert_free(cert);
    return fault;
}

static int leaf_make(const struct ca *ca, const char *domain, const char *address, int64_t now,
                     struct localca_leaf *leaf, struct err *err)
{
    char wildcard[300];
    const char *names[3];
    const char *const addresses[] = {issue_local_ips[0], issue_local_ips[1], address};
    struct issue_request request = {.common_name = domain[0] == '\0' ? "localhost" : domain,
                                    .not_before = now - SKEW_SECONDS,
                                    .not_after = now - SKEW_SECONDS + LOCALCA_LEAF_SECONDS - 1,
                                    .dns_names = names,
                                    .ip_names = addresses,
                                    .ip_count = address == NULL ? 2 : 3};
    request.dns_count = issue_local_names(domain, wildcard, sizeof(wildcard), names);
    struct tm tm;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(ca->cert), &tm) == 1 &&
        request.not_after > (int64_t)timegm(&tm)) {
        request.not_after = (int64_t)timegm(&tm); /* a leaf does not outlive its CA */
    }
    EVP_PKEY *key = issue_key(err);
    X509 *cert = key == NULL ? NULL : issue_leaf(&request, key, ca->cert, ca->key, err);
    int result = -1;
    if (cert != NULL && issue_cert_pem(cert, &leaf->chain_pem, err) == 0) {
        buf_add_str(&leaf->chain_pem, buf_str(&ca->pem));
        result = issue_key_pem(key, &leaf->key_pem, err);
    }
    leaf->not_after = request.not_after;
    X509_free(cert);
    EVP_PKEY_free(key);
    return result;
}

static int leaf_ensure(const struct ca *ca, const char *certs_dir, const char *kind,
                       const char *domain, const char *address, int64_t now,
                       struct localca_leaf *leaf, struct err *err)
{
    autofree char *cert_name = xasprintf("%s-self-signed.crt", kind);
    autofree char *key_name = xasprintf("%s-self-signed.key", kind);
    autofree char *cert_path = path_join(certs_dir, cert_name);
    autofree char *key_path = path_join(certs_dir, key_name);
    int got = pair_read(cert_path, key_path, &leaf->chain_pem, &leaf->key_pem, err);
    if (got < 0) {
        return -1;
    }
    leaf->reissue_reason = "there was none";
    if (got == 1) {
        leaf->reissue_reason = leaf_fault(buf_str(&leaf->chain_pem), buf_str(&leaf->key_pem),
                                          domain, address, ca, now, &leaf->not_after);
    }
    if (leaf->reissue_reason == NULL) {
        return 0;
    }
    buf_fini(&leaf->chain_pem);
    issue_buf_wipe(&leaf->key_pem);
    leaf->reissued = true;
    if (leaf_make(ca, domain, address, now, leaf, err) < 0) {
        return -1;
    }
    return pair_write(cert_path, key_path, buf_str(&leaf->chain_pem), buf_str(&leaf->key_pem), err);
}

int localca_ensure_at(const char *certs_dir, const char *kind, const char *domain,
                      const char *address, int64_t now, struct localca_leaf *out, struct err *err)
{
    struct localca_leaf leaf = {.reissued = false};
    struct ca ca = {.cert = NULL};
    int result = -1;
    if (strlen(domain) > 253) { /* two labels more must fit into a name */
        return err_set(err, ERR_CONFIG, "the domain is longer than 253 bytes");
    }
    if (dir_make(certs_dir, 0700, err) == 0 &&
        ca_ensure(&ca, certs_dir, now, &leaf.ca_made, err) == 0 &&
        leaf_ensure(&ca, certs_dir, kind, domain, address, now, &leaf, err) == 0) {
        result = 0;
    }
    ca_fini(&ca);
    if (result < 0) {
        localca_leaf_fini(&leaf);
        return err_wrap(err, "local CA");
    }
    *out = leaf;
    return 0;
}

int localca_ensure(const char *certs_dir, const char *kind, const char *domain, int64_t now,
                   struct localca_leaf *out, struct err *err)
{
    return localca_ensure_at(certs_dir, kind, domain, NULL, now, out, err);
}

void localca_leaf_fini(struct localca_leaf *leaf)
{
    buf_fini(&leaf->chain_pem);
    issue_buf_wipe(&leaf->key_pem);
}

char *localca_ca_path(const char *certs_dir)
{
    return path_join(certs_dir, "ca.crt");
}
