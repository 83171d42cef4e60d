/* web_clients: the connections of the web listener: how many, and for how long.
 *
 * Anybody may connect there, without a login; what they hold is bounded, so that descriptors are
 * left for the daemon's own work and for `wos` on its socket:
 * - At most web.connectionsMax connections, and a quarter of the descriptors. One more, and the
 *   connection goes that has waited longest; where every one has a request, the new one.
 * - A request has to be complete web.requestTimeout after the connection or its own first byte, and
 *   the answer has to be read within that, or go on being read. A kept connection goes 60 s after
 *   that: later than the gateway lets go of it (tunnel.limits.upstreamIdleTimeout), which so never
 *   writes a request to one that is being closed.
 * - While a request is under way nothing is bounded: streams may be silent for long.
 * - After what evhttp refuses by itself nothing is read as a request, and the connection goes 2 s
 *   later.
 *
 * A client is one connection: made when it is accepted, gone with evhttp's connection. request.c
 * says when a request begins and ends, and leaves evhttp's close callback to web_client_watch
 * otherwise. Life: web_clients_new before evhttp's first connection, web_clients_free after
 * evhttp_free. The daemon's loop.
 */
#ifndef WOS_DAEMON_API_WEB_CLIENTS_H
#define WOS_DAEMON_API_WEB_CLIENTS_H

#include <stddef.h>

struct config;
struct evhttp;
struct evhttp_connection;
struct loop;
struct web_client;
struct web_clients;
struct web_tls;

/* `config` for the call; `tls`: borrowed; NULL: plain HTTP. */
struct web_clients *web_clients_new(struct loop *loop, const struct config *config,
                                    struct evhttp *http, struct web_tls *tls);
void web_clients_free(struct web_clients *all);
/* The client whose connection it is, of the evhttp that was given to web_clients_new. */
struct web_client *web_clients_find(struct web_clients *all, struct evhttp_connection *conn);

/* A request of it begins; it has been answered, or never will be. NULL: of the other socket. */
void web_client_begin(struct web_client *client);
void web_client_end(struct web_client *client);
/* Sets evhttp's close callback to our own. */
void web_client_watch(struct web_client *client);
/* Whoever has the close callback meanwhile tells: the connection is going. */
void web_client_gone(struct web_client *client);

#endif
