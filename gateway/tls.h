/* tls: the BIO between OpenSSL and a conn, and the calls that drive an SSL.
 *
 * One BIO per worker serves all its connections: worker->bio_conn says whose
 * call is running. Reading takes what the conn has left over, then the bytes
 * of this turn's recv, in calls that read alone: SSL_write, too, would read on behind half a
 * message, and take what waits there of another connection. Writing appends to the conn's out
 * buffer and so never blocks. All records of a turn leave in one send.
 */
#ifndef WOS_GATEWAY_TLS_H
#define WOS_GATEWAY_TLS_H

#include <openssl/ssl.h>

#include "gateway/conn.h"
#include "routing/host.h"

enum tls_result { TLS_OK, TLS_AGAIN, TLS_EOF, TLS_ERROR };

/* The worker's BIO; NULL when out of memory. */
BIO *tls_bio_new(struct worker *w);
/* Gives the connection its SSL; false when out of memory. */
bool tls_attach(struct conn *c, SSL_CTX *ctx, bool server);
enum tls_result tls_handshake(struct conn *c);
/* After a handshake that succeeded: its session ticket is in c->out (TLS 1.3). */
bool tls_has_ticket_queued(const struct conn *c);
/* … where the client spoke last and nothing of ours follows (no ticket, or TLS 1.2 resumed): has
 * the kernel acknowledge what came at once. A client without TCP_NODELAY keeps its request back
 * until then, and delayed acknowledgements take 40 ms (RFC 1122 4.2.3.2). */
void tls_acknowledge(const struct conn *c);
/* Up to `cap` plain bytes. TLS_ERROR also for a flood of messages of TLS itself (c->tls_flood).
 * TLS_AGAIN with c->can_read: other connections come first, then more of this one. */
enum tls_result tls_read(struct conn *c, char *data, size_t cap, size_t *out_len);
/* Encrypts all of it into c->out. */
enum tls_result tls_write(struct conn *c, const char *data, size_t len);
/* After a failed handshake: true when the client had begun with plain HTTP. c is without TLS then.
 */
bool tls_dropped_for_http(struct conn *c);
/* False when the client asked for another name and the certificate it was shown does not cover
 * this one either: such a request is misdirected (RFC 9110 15.5.20). */
bool tls_is_for(const struct conn *c, const struct host *host);
void tls_send_close_notify(struct conn *c);
/* The peer's close_notify has come: what it sends behind that is nobody's (RFC 8446 6.1). */
bool tls_peer_has_ended(const struct conn *c);
/* Keeps what this turn received and was not decrypted. */
void tls_save_rest(struct conn *c);
/* For tlsctx_new: finds the certificate in the view of the conn's worker. */
SSL_CTX *tls_find_context(SSL *ssl, struct str sni);

#endif
