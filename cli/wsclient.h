/* wsclient: the client's side of a WebSocket to the daemon, over its Unix socket.
 *
 * Text messages only. The command waits with poll: wsclient_fd, for reading always, for
 * writing while wsclient_wants_write; then wsclient_step. That the answer's Sec-WebSocket-Accept
 * fits is not checked: the socket is the user's own and the daemon has answered health.
 */
#ifndef WOS_CLI_WSCLIENT_H
#define WOS_CLI_WSCLIENT_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

struct wsclient;

/* A whole message, borrowed for the call. */
typedef void wsclient_text_fn(void *arg, struct str text);

/* Connects and does the handshake, blocking. `path` as on the socket ("/v1/…"). */
struct wsclient *wsclient_open(const char *socket_path, const char *path, wsclient_text_fn *on_text,
                               void *arg, struct err *err);
void wsclient_free(struct wsclient *ws);
int wsclient_fd(const struct wsclient *ws);
bool wsclient_wants_write(const struct wsclient *ws);
/* Queued; goes out in wsclient_step. */
void wsclient_send(struct wsclient *ws, struct str text);
/* Reads and writes what is possible now. False: the connection is over. */
bool wsclient_step(struct wsclient *ws);

#endif
