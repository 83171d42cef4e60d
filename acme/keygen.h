/* keygen: a new private key for a certificate, made in a thread.
 *
 * An RSA key takes from a tenth of a second to several; the loop goes on meanwhile. `done` is
 * called once, from the loop, never from inside keygen_start; a cancelled one calls nobody and
 * its thread ends by itself. The loop's thread; the loop outlives the thread only by
 * keygen_cancel, which waits for nothing.
 */
#ifndef WOS_ACME_KEYGEN_H
#define WOS_ACME_KEYGEN_H

#include <openssl/evp.h>
#include <stdbool.h>

#include "acme/settings.h"
#include "base/err.h"
#include "base/loop.h"

struct keygen;

/* `key`: the caller's, or NULL with the error. */
typedef void keygen_done_fn(void *arg, EVP_PKEY *key, const struct err *err);

/* NULL and an error when no thread can be had. */
struct keygen *keygen_start(struct loop *loop, enum acme_key_type type, keygen_done_fn *done,
                            void *arg, struct err *err);
void keygen_cancel(struct keygen *k);
/* The same at once, for whoever may wait. */
EVP_PKEY *keygen_now(enum acme_key_type type, struct err *err);
bool keygen_fits(const EVP_PKEY *key, enum acme_key_type type);

#endif
