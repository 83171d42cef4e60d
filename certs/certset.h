/* certset: the certificates of one snapshot, indexed by the names they cover,
 * and the TLS server contexts that carry them.
 *
 * One tlsctx (the base) exists per gateway process and owns the policy: TLS
 * 1.2 and 1.3 only, AEAD suites, X25519 then P-256, ticket keys, ALPN h2 and
 * http/1.1, no renegotiation, no compression. A certset holds one SSL_CTX per
 * certificate; SSL_set_SSL_CTX switches certificate and ALPN callback during
 * the ClientHello (policy stays that of the base). Immutable once built,
 * reference-counted, shared by all workers: OpenSSL contexts are thread-safe
 * to use. A certset built from an older one reuses contexts whose chains and keys are unchanged.
 * Two pairs for exactly the same names with different kinds of key (ECDSA and RSA) share one
 * context: each client gets the one it can verify, ECDSA where it can both.
 */
#ifndef WOS_CERTS_CERTSET_H
#define WOS_CERTS_CERTSET_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct certset;

struct certset_pair {
    struct str chain_pem; /* leaf first */
    struct str key_pem;
};

/* pairs[0] is the default. `old` may be NULL; where it has the same pairs, it is the result. NULL
 * on error, naming the pair by its index and the leaf's subject. */
struct certset *certset_new(const struct certset_pair *pairs, size_t count, struct certset *old,
                            struct err *err);
struct certset *certset_ref(struct certset *set);
void certset_unref(struct certset *set);
/* Exact name before one-label wildcard; the default where none covers the
 * name or it is empty. `name` need not be lower-case. Never NULL. Borrowed. */
SSL_CTX *certset_find(const struct certset *set, struct str name);
/* True when certset_find gives this context for the name because it covers it, not by default. */
bool certset_covers(const struct certset *set, const SSL_CTX *ctx, struct str name);

#endif
