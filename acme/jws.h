/* jws: the signatures of ACME requests (RFC 7515, 7517, 7638; RFC 8555 section 6.2).
 *
 * An account key is ECDSA P-256 (ES256) where we make it; P-384 (ES384) and RSA (RS256) keys that
 * an older account file holds work as well. Nothing here keeps state; any thread. Texts are
 * appended to the buffer given, which stays unchanged on failure.
 */
#ifndef WOS_ACME_JWS_H
#define WOS_ACME_JWS_H

#include <openssl/evp.h>

#include "base/err.h"
#include "base/str.h"

/* base64url without padding (RFC 4648 section 5). */
void b64url_encode(struct str bytes, struct buf *out);
/* Refuses padding, white space and characters of other alphabets. */
int b64url_decode(struct str text, struct buf *out, struct err *err);

/* A fresh P-256 key; NULL on error. */
EVP_PKEY *jws_key_new(struct err *err);
/* The public key as a JWK, members in the order RFC 7638 hashes them. */
int jws_jwk(const EVP_PKEY *key, struct buf *out, struct err *err);
/* base64url(SHA-256(JWK)), RFC 7638. */
int jws_thumbprint(const EVP_PKEY *key, struct buf *out, struct err *err);

struct jws_head {
    const char *kid;   /* the account's URL; NULL: the public key stands in the head */
    const char *nonce; /* NULL: none (the inner JWS of a key binding) */
    const char *url;
};
/* A flattened JSON serialisation. `payload` with ptr NULL is the empty one of a POST-as-GET. */
int jws_sign(EVP_PKEY *key, const struct jws_head *head, struct str payload, struct buf *out,
             struct err *err);
/* The external account binding (RFC 8555 section 7.3.4): the JWK signed with HS256.
 * `hmac_key` is base64url, as CAs hand it out; secret, and never in an error. */
int jws_sign_eab(const EVP_PKEY *key, const char *kid, const char *hmac_key, const char *url,
                 struct buf *out, struct err *err);
/* What a TXT record for `token` has to say: base64url(SHA-256(token.thumbprint)), RFC 8555 8.4. */
int jws_dns01_value(const EVP_PKEY *key, const char *token, struct buf *out, struct err *err);

#endif
