/* websocket: the server's side of a WebSocket (RFC 6455) on a request of the daemon's API.
 *
 *     ws = websocket_accept(r, &ops, arg)    // NULL: refused, and answered
 *     on_text… → websocket_send / websocket_close → on_close (once, last)
 *
 * The handshake is strict: GET over HTTP/1.1, version 13, a key of 16 bytes; by the web listener
 * an Origin must be the listener's own, and Sec-Fetch-Site not another site's. No extensions, no
 * subprotocols. Messages of at most WEBSOCKET_MESSAGE_MAX bytes in at most WEBSOCKET_FRAGMENTS_MAX
 * frames are taken; a larger one, wrong UTF-8 or a broken frame ends the connection with the code
 * of RFC 6455, 7.4.1. While more than WEBSOCKET_STOP_BYTES wait for the peer, nothing is read of
 * it: pings that it does not read the answers of cost no memory. A peer that is silent for
 * WEBSOCKET_SILENCE_MS, pings notwithstanding, is gone. One thread: the daemon's loop.
 */
#ifndef WOS_DAEMON_WEBSOCKET_H
#define WOS_DAEMON_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct api_request;
struct websocket;

enum {
    WEBSOCKET_MESSAGE_MAX = 1 << 20,
    WEBSOCKET_FRAGMENTS_MAX = 1024,
    WEBSOCKET_STOP_BYTES = 4 << 20,
    WEBSOCKET_BACKLOG_MAX = 16 << 20, /* bytes the peer does not take: it is let go */
    WEBSOCKET_PING_MS = 20000,
    WEBSOCKET_SILENCE_MS = 60000,
};

enum websocket_code {
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_POLICY = 1008,
    WEBSOCKET_TRY_LATER = 1013,
};

struct websocket_ops {
    /* A whole text message, valid UTF-8; borrowed. */
    void (*on_text)(void *arg, struct str text);
    /* A whole binary message; borrowed. NULL: they are ignored. */
    void (*on_binary)(void *arg, struct str data);
    /* All that was sent has gone to the kernel; may be NULL. */
    void (*on_drain)(void *arg);
    /* Over, for whatever reason: ws is gone after it. Also after websocket_close. */
    void (*on_close)(void *arg);
};

/* Uses the request up. Callbacks come from the loop, never from inside a call. */
struct websocket *websocket_accept(struct api_request *r, const struct websocket_ops *ops,
                                   void *arg);
/* One text message; `text` must be valid UTF-8. */
void websocket_send(struct websocket *ws, struct str text);
/* One binary message of two parts. */
void websocket_send_binary(struct websocket *ws, struct str head, struct str data);
/* Bytes not yet taken by the kernel. */
size_t websocket_backlog(const struct websocket *ws);
/* Sends what waits, then the close frame; on_close comes when that is done or after a second. */
void websocket_close(struct websocket *ws, enum websocket_code code, const char *reason);

#endif
