/* cert: one certificate chain, read from PEM and understood.
 *
 * Everything that accepts a certificate (files, local CA, ACME, the gateway's
 * snapshot) reads it here, so that all refuse the same things in the same
 * words. Errors carry no file name: the caller knows it and wraps. Any thread;
 * a struct cert is not changed after cert_parse.
 */
#ifndef WOS_CERTS_CERT_H
#define WOS_CERTS_CERT_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { CERT_CHAIN_MAX = 16, CERT_NAMES_MAX = 1000, CERT_PEM_LIMIT = 1 << 20 };

struct cert {
    X509 *leaf;             /* owned: the first in the chain */
    STACK_OF(X509) * chain; /* owned: the others, in order; may be empty */
    char **names;           /* owned: SAN DNS names in lower case, then IP addresses as text */
    size_t name_count;
    char *subject;           /* owned: "CN = example.com", RFC 2253 order reversed, for people */
    char *issuer;            /* owned */
    int64_t not_before;      /* wall seconds */
    int64_t not_after;       /* wall seconds */
    uint8_t fingerprint[32]; /* SHA-256 of the leaf's DER */
    bool is_ca;              /* basicConstraints CA:TRUE, as `openssl req -x509` makes them */
};

/* One to CERT_CHAIN_MAX certificates, leaf first; text around the blocks is
 * allowed, a private key in it too (it is not read). NULL on: no certificate, a damaged one, a
 * CA in front of the leaf. Dates are not judged: cert_check_dates. */
struct cert *cert_parse(struct str chain_pem, struct err *err);
void cert_free(struct cert *cert);

/* A private key in PEM (PKCS #8 or traditional). One that needs a passphrase is refused. */
EVP_PKEY *cert_key_parse(struct str key_pem, struct err *err);
/* The key belongs to the leaf; the error says when it belongs to another certificate of the chain.
 */
int cert_check_key(const struct cert *cert, const EVP_PKEY *key, struct err *err);
/* Neither expired nor not yet valid at `now` (wall seconds). */
int cert_check_dates(const struct cert *cert, int64_t now, struct err *err);
/* All of the above for a pair in PEM; the certificate, or NULL. */
struct cert *cert_check_pair(struct str chain_pem, struct str key_pem, int64_t now,
                             struct err *err);

/* True if a client that asks for `name` would accept the certificate: an exact
 * DNS name, a wildcard for exactly one label, or an IP address (no brackets).
 * Case is ignored. Names come from subjectAltName only, as in browsers. */
bool cert_covers(const struct cert *cert, struct str name);
/* "2026-11-20T12:00:00Z"; needs 21 bytes, larger years are cut. */
void cert_time_format(int64_t seconds, char *out, size_t size);

#endif
