/* attach: a terminal on a WebSocket, terminal protocol 1 (docs/API.md).
 *
 * The client says hello, types and resizes; the server sends what the program writes, and its end.
 * A client that does not read stops the program, not the daemon; or, if it said that it may skip,
 * loses output. A public client's socket ends when terminals are not for it any more. Handlers for
 * api_endpoint tables.
 */
#ifndef WOS_DAEMON_API_ATTACH_H
#define WOS_DAEMON_API_ATTACH_H

struct api_request;

/* GET /terminals/:id/attach */
void attach_handle(struct api_request *r);

#endif
