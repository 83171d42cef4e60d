/* issue: making keys and certificates: the local CA, its leaves, and the
 * self-signed certificate of last resort. ECDSA P-256 and SHA-256 throughout.
 * Control plane; any thread.
 */
#ifndef WOS_CERTS_ISSUE_H
#define WOS_CERTS_ISSUE_H

#include <openssl/x509.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct issue_request {
    const char *common_name; /* cut to the 64 characters a name may have */
    int64_t not_before;      /* wall seconds */
    int64_t not_after;
    const char *const *dns_names; /* leaf only */
    size_t dns_count;
    const char *const *ip_names; /* leaf only */
    size_t ip_count;
};

/* A fresh key; NULL on error. */
EVP_PKEY *issue_key(struct err *err);
/* A CA that signs leaves only (pathlen 0), signed by itself. */
X509 *issue_ca(const struct issue_request *request, EVP_PKEY *key, struct err *err);
/* A server certificate for `key`, signed by the CA; with `ca` NULL by itself. */
X509 *issue_leaf(const struct issue_request *request, EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key,
                 struct err *err);
/* Appends PEM. The key's is secret: wipe the buffer. */
int issue_cert_pem(X509 *cert, struct buf *out, struct err *err);
int issue_key_pem(EVP_PKEY *key, struct buf *out, struct err *err);
/* Wipes and frees a buffer that holds a key. */
void issue_buf_wipe(struct buf *secret);

/* A certificate of last resort, made in memory and signed by itself: `domain`,
 * `*.domain`, localhost and the loopback addresses for seven days. For when nothing
 * better can be had; nobody trusts it, but nothing travels in the clear. */
int issue_self_signed(const char *domain, int64_t now, struct buf *out_chain_pem,
                      struct buf *out_key_pem, struct err *err);

/* The names every local certificate has: domain (may be ""), "*.domain", localhost.
 * Fills at most 3; `wildcard` is the caller's memory for the second. */
size_t issue_local_names(const char *domain, char *wildcard, size_t wildcard_size,
                         const char *out_names[3]);
extern const char *const issue_local_ips[2]; /* 127.0.0.1 and ::1 */

#endif
