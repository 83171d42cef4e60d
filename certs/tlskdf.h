/* tlskdf: the key schedule of TLS 1.3 (RFC 8446 section 7.1), for OpenSSL to use instead of its
 * own.
 *
 * OpenSSL derives some twenty keys in a handshake. Three quarters of the two microseconds that each
 * takes go into finding the same digest by its name and into copying what it was called with. This
 * is its "TLS13-KDF" without that, as a provider (provider-kdf(7)) that the contexts of
 * certs/tlsctx.c prefer; where it is not loaded they take OpenSSL's own, and all works as well.
 *
 * It does what TLS asks for and no more: SHA-256 and SHA-384, at most one digest of output, all
 * parameters with the call that derives (EVP_KDF_CTX_set_params has no effect). Anything else is
 * refused. Secrets are not kept, and copies on the stack are wiped.
 */
#ifndef WOS_CERTS_TLSKDF_H
#define WOS_CERTS_TLSKDF_H

/* The property query that prefers it. */
#define TLSKDF_QUERY "?provider=wos"

/* Loads it beside the default provider, once for the process. Any thread. */
void tlskdf_load(void);

#endif
