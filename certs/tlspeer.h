/* tlspeer: whom the gateway trusts as a client, of services that speak TLS on this machine.
 */
#ifndef WOS_CERTS_TLSPEER_H
#define WOS_CERTS_TLSPEER_H

#include <openssl/ssl.h>

#include "base/err.h"
#include "base/str.h"

/* Adds the CA certificates in `ca_pem` to those the context trusts. -1 when there is none, or
 * one that cannot be read. */
int tlspeer_trust(SSL_CTX *ssl_ctx, struct str ca_pem, struct err *err);
/* After a handshake with a service, or its failure: what is wrong with the certificate
 * ("certificate not trusted: self-signed certificate", "certificate is for a.example, not
 * localhost"), malloc'ed and printable; NULL when it is fine or was not asked to be checked.
 * It has to be for localhost, 127.0.0.1 or ::1. */
char *tlspeer_fault(SSL *ssl);

#endif
