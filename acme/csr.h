/* csr: certificate signing requests (PKCS #10) as ACME wants them (RFC 8555 section 7.4).
 * Any thread. */
#ifndef WOS_ACME_CSR_H
#define WOS_ACME_CSR_H

#include <openssl/evp.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

/* Appends the DER of a request for all names: subjectAltName with every name, common name the
 * first that fits into 64 bytes (none otherwise). */
int csr_make(EVP_PKEY *key, const char *const *names, size_t name_count, struct buf *out,
             struct err *err);

#endif
