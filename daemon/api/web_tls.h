/* web_tls: TLS for the local web listener (web.ssl), under evhttp.
 *
 * Connections are made on the newest pairs that web_tls_set was given; those that are open keep
 * theirs. Until there is one, a handshake fails: the listener never speaks in the clear instead.
 * One thread: the daemon's loop.
 */
#ifndef WOS_DAEMON_API_WEB_TLS_H
#define WOS_DAEMON_API_WEB_TLS_H

#include "base/err.h"
#include "routing/snapshot.h"

struct bufferevent;
struct event_base;
struct web_tls;

/* Outlives the evhttp whose connections it makes. NULL on error. */
struct web_tls *web_tls_new(struct err *err);
/* For evhttp_set_bevcb: what a connection is. */
struct bufferevent *web_tls_accept(struct web_tls *tls, struct event_base *base);
void web_tls_free(struct web_tls *tls);
/* Pairs with different kinds of key: a client gets the one it can verify. On error those of before
 * stay. */
int web_tls_set(struct web_tls *tls, const struct snapshot_cert *pairs, size_t count,
                struct err *err);

#endif
