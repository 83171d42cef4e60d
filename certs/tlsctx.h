/* tlsctx: the base TLS server context (see certset.h) and the client context
 * for services that speak TLS.
 *
 * Whoever accepts a connection makes its SSL from the base context and sets
 * app data; during the ClientHello the base asks `find` for the SSL_CTX with
 * the right certificate. ALPN: "h2" is chosen when offered, else "http/1.1";
 * a client that offers only unknown protocols is refused (RFC 7301 3.2,
 * no_application_protocol); a client without ALPN gets http/1.1.
 */
#ifndef WOS_CERTS_TLSCTX_H
#define WOS_CERTS_TLSCTX_H

#include <openssl/ssl.h>

#include "base/err.h"
#include "base/str.h"

enum { TICKET_KEY_SIZE = 80 };

/* Called in the thread that runs the handshake; `sni` is STR_NONE without one.
 * Returns a borrowed context (certset_find), or NULL to abort the handshake. */
typedef SSL_CTX *tlsctx_find_fn(SSL *ssl, struct str sni);

struct tlsctx;

struct tlsctx *tlsctx_new(tlsctx_find_fn *find, struct err *err);
void tlsctx_free(struct tlsctx *ctx);
/* For SSL_new; borrowed. Mode: release buffers, partial write, moving write
 * buffer; one session ticket; no session cache. */
SSL_CTX *tlsctx_server(struct tlsctx *ctx);
/* Replaces the ticket keys: the first encrypts, all decrypt (a ticket under
 * an old key is renewed). Any thread; readers are never blocked. At most 8. */
void tlsctx_set_ticket_keys(struct tlsctx *ctx, const uint8_t (*keys)[TICKET_KEY_SIZE],
                            size_t count);
/* TLS1_2_VERSION (at first) or TLS1_3_VERSION: the oldest spoken from the next handshake on. Any
 * thread. */
void tlsctx_set_min_version(struct tlsctx *ctx, int version);
/* Whether clients get a session ticket and may come back with one (at first they do), from the next
 * handshake on. Any thread. Without one, in TLS 1.3, the server's next packet is its first answer:
 * see tls_acknowledge in gateway/tls.h. */
void tlsctx_set_tickets(struct tlsctx *ctx, bool on);
/* Puts the ALPN callback, modes and cipher suites on a certificate's context
 * (certset_new calls it): these follow SSL_set_SSL_CTX, the rest of the policy does not. */
void tlsctx_prepare(SSL_CTX *ssl_ctx);
/* After a handshake that succeeded: frees what OpenSSL keeps of it as long as the connection and
 * nobody asks for again. That is half a kilobyte, most of it the keys of the exchange; who got hold
 * of ours could read everything said on the connection. SSL_get_negotiated_group still answers. */
void tlsctx_forget_handshake(SSL *ssl);
/* A client context without verification, for loopback services only. Borrowed. */
SSL_CTX *tlsctx_client_insecure(struct tlsctx *ctx);
/* A client context that trusts the CA certificates in `ca_pem` and nothing else; the caller's, to
 * be freed with SSL_CTX_free. NULL on error. It checks the chain; tlspeer_fault checks the name. */
SSL_CTX *tlsctx_client_new(struct str ca_pem, struct err *err);

#endif
