/* websocket: see websocket.h. Frames are wslay's; the connection stays evhttp's, which gets it back
 * only to free it. */
#include "daemon/websocket.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

#include "base/auto.h"
#include "base/loop.h"
#include "daemon/api/caller.h"
#include "daemon/api/request.h"
#include "daemon/daemon.h"

enum { WS_MAGIC = 0x77736f63, KEY_TEXT = 24, CLOSE_WAIT_MS = 1000 };

/* RFC 6455, 1.3 */
static const char accept_guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

struct websocket {
    uint32_t magic;
    struct api_request *r;       /* owned */
    struct bufferevent *bev;     /* borrowed: evhttp's connection owns it */
    wslay_event_context_ptr ctx; /* owned */
    const struct websocket_ops *ops;
    void *arg; /* borrowed */
    struct loop_timer timer;
    uint64_t heard_ms;
    bool is_over;       /* on_close is due */
    bool is_closing;    /* the close frame was queued */
    unsigned fragments; /* frames of the message that is coming */
};

/* --- the handshake ------------------------------------------------------------------------ */

static char *accept_value(const char *key)
{
    uint8_t digest[SHA_DIGEST_LENGTH];
    unsigned len = 0;
    autofree char *text = xasprintf("%s%s", key, accept_guid);
    CHECK(EVP_Digest(text, strlen(text), digest, &len, EVP_sha1(), NULL) == 1);
    char *out = xcalloc(1, 64);
    (void)EVP_EncodeBlock((unsigned char *)out, digest, (int)len);
    return out;
}

/* 16 bytes in base64: 22 characters and "==". */
static bool key_is_good(const char *key)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return key != NULL && strlen(key) == KEY_TEXT && strspn(key, alphabet) == KEY_TEXT - 2 &&
           strcmp(key + KEY_TEXT - 2, "==") == 0;
}

/* False after having answered. */
static bool handshake_is_good(struct api_request *r)
{
    const char *upgrade = request_header(r, "Upgrade");
    const char *connection = request_header(r, "Connection");
    const char *version = request_header(r, "Sec-WebSocket-Version");
    if (upgrade == NULL || !str_list_has(str_of(upgrade), STR("websocket")) || connection == NULL ||
        !str_list_has(str_of(connection), STR("upgrade"))) {
        reply_header(r, "Upgrade", "websocket");
        reply_error(r, 426, "upgrade-required", "this is a WebSocket", NULL);
    } else if (version == NULL || strcmp(version, "13") != 0) {
        reply_header(r, "Sec-WebSocket-Version", "13");
        reply_error(r, 426, "upgrade-required", "the WebSocket version must be 13", NULL);
    } else if (!key_is_good(request_header(r, "Sec-WebSocket-Key")) || !request_is_http11(r)) {
        reply_error(r, 400, "validation", "this is no WebSocket handshake (RFC 6455, 4.2.1)", NULL);
    } else if (!caller_page_is_ours(r)) {
        reply_error(r, 403, "forbidden", "requests from pages of other origins are refused", NULL);
    } else {
        return true;
    }
    return false;
}

static void handshake_answer(struct websocket *ws)
{
    autofree char *value = accept_value(request_header(ws->r, "Sec-WebSocket-Key"));
    (void)evbuffer_add_printf(bufferevent_get_output(ws->bev),
                              "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                              value);
}

/* --- wslay's callbacks ------------------------------------------------------------------------ */

static ssize_t ws_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *arg)
{
    struct websocket *ws = arg;
    (void)flags;
    int got = evbuffer_remove(bufferevent_get_input(ws->bev), buf, len);
    if (got <= 0) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    return got;
}

static ssize_t ws_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags,
                       void *arg)
{
    struct websocket *ws = arg;
    (void)flags;
    if (evbuffer_add(bufferevent_get_output(ws->bev), data, len) < 0) {
        wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
    }
    return (ssize_t)len;
}

/* Each frame of a message costs memory, whatever it carries. */
static void ws_on_frame(wslay_event_context_ptr ctx,
                        const struct wslay_event_on_frame_recv_start_arg *f, void *arg)
{
    struct websocket *ws = arg;
    if (wslay_is_ctrl_frame(f->opcode)) {
        return;
    }
    ws->fragments = f->opcode == WSLAY_CONTINUATION_FRAME ? ws->fragments + 1 : 1;
    if (ws->fragments > WEBSOCKET_FRAGMENTS_MAX) {
        static const char reason[] = "a message in too many frames";
        (void)wslay_event_queue_close(ctx, WEBSOCKET_POLICY, (const uint8_t *)reason,
                                      sizeof reason - 1);
        wslay_event_shutdown_read(ctx);
    }
}

static void ws_on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *m,
                          void *arg)
{
    struct websocket *ws = arg;
    (void)ctx;
    if (m->opcode == WSLAY_TEXT_FRAME && !ws->is_closing) {
        ws->ops->on_text(ws->arg, (struct str){(const char *)m->msg, m->msg_length});
    } else if (m->opcode == WSLAY_BINARY_FRAME && !ws->is_closing && ws->ops->on_binary != NULL) {
        ws->ops->on_binary(ws->arg, (struct str){(const char *)m->msg, m->msg_length});
    }
}

static const struct wslay_event_callbacks ws_callbacks = {
    .recv_callback = ws_recv,
    .send_callback = ws_send,
    .on_frame_recv_start_callback = ws_on_frame,
    .on_msg_recv_callback = ws_on_message,
};

/* --- the connection ------------------------------------------------------------------------- */

/* The end, from the loop: nothing of ours or evhttp's is on the stack. */
static void ws_over(struct websocket *ws)
{
    ws->is_over = true;
    loop_timer_set(&ws->timer, 0);
}

static void ws_free(struct websocket *ws)
{
    bufferevent_setcb(ws->bev, NULL, NULL, NULL, NULL);
    wslay_event_context_free(ws->ctx);
    loop_timer_fini(&ws->timer);
    ws->magic = 0;
    free(ws);
}

/* Lets wslay write; ends the connection when both sides are done with it. */
static void ws_flush(struct websocket *ws)
{
    if (ws->is_over) {
        return;
    }
    bool is_broken =
        wslay_event_send(ws->ctx) != 0 || websocket_backlog(ws) > WEBSOCKET_BACKLOG_MAX;
    bool is_done = wslay_event_get_close_sent(ws->ctx) && websocket_backlog(ws) == 0 &&
                   (wslay_event_get_close_received(ws->ctx) || !wslay_event_want_read(ws->ctx));
    if (is_broken || is_done) {
        ws_over(ws);
    } else if (wslay_event_get_close_sent(ws->ctx) && !ws->is_closing) {
        ws->is_closing = true;
        loop_timer_set(&ws->timer, CLOSE_WAIT_MS);
    }
    if (!ws->is_over && websocket_backlog(ws) > WEBSOCKET_STOP_BYTES) {
        (void)bufferevent_disable(ws->bev, EV_READ);
    }
}

static void ws_on_read(struct bufferevent *bev, void *arg)
{
    struct websocket *ws = arg;
    (void)bev;
    CHECK(ws->magic == WS_MAGIC);
    ws->heard_ms = clock_now_ms();
    if (!ws->is_over && wslay_event_recv(ws->ctx) != 0) {
        ws_over(ws);
        return;
    }
    ws_flush(ws);
}

static void ws_on_write(struct bufferevent *bev, void *arg)
{
    struct websocket *ws = arg;
    (void)bev;
    CHECK(ws->magic == WS_MAGIC);
    (void)bufferevent_enable(ws->bev, EV_READ);
    ws_flush(ws);
    if (!ws->is_over && !ws->is_closing && ws->ops->on_drain != NULL) {
        ws->ops->on_drain(ws->arg);
    }
}

static void ws_on_event(struct bufferevent *bev, short what, void *arg)
{
    struct websocket *ws = arg;
    (void)bev;
    (void)what; /* an end, an error or a timeout: all the same */
    CHECK(ws->magic == WS_MAGIC);
    ws_over(ws);
}

static void ws_on_timer(void *arg)
{
    struct websocket *ws = arg;
    CHECK(ws->magic == WS_MAGIC);
    uint64_t silence = clock_now_ms() - ws->heard_ms;
    if (ws->is_over || ws->is_closing || silence >= WEBSOCKET_SILENCE_MS) {
        struct api_request *r = ws->r;
        ws->ops->on_close(ws->arg);
        ws_free(ws);
        request_hang_up(r);
        return;
    }
    if (silence >= WEBSOCKET_PING_MS) {
        const struct wslay_event_msg ping = {.opcode = WSLAY_PING};
        (void)wslay_event_queue_msg(ws->ctx, &ping);
        ws_flush(ws);
    }
    loop_timer_set(&ws->timer, ws->is_over ? 0 : WEBSOCKET_PING_MS);
    if (evbuffer_get_length(bufferevent_get_input(ws->bev)) > 0) {
        ws_on_read(ws->bev, ws); /* frames that came with the handshake */
    }
}

/* The API ends. */
static void ws_on_cancel(struct api_request *r)
{
    struct websocket *ws = r->work;
    ws->ops->on_close(ws->arg);
    ws_free(ws);
}

struct websocket *websocket_accept(struct api_request *r, const struct websocket_ops *ops,
                                   void *arg)
{
    if (!handshake_is_good(r)) {
        return NULL;
    }
    struct websocket *ws = xcalloc(1, sizeof *ws);
    *ws = (struct websocket){.magic = WS_MAGIC, .r = r, .ops = ops, .arg = arg};
    ws->bev = request_take_over(r);
    ws->heard_ms = clock_now_ms();
    CHECK(wslay_event_context_server_init(&ws->ctx, &ws_callbacks, ws) == 0);
    wslay_event_config_set_max_recv_msg_length(ws->ctx, WEBSOCKET_MESSAGE_MAX);
    r->cancel = ws_on_cancel;
    r->work = ws;
    handshake_answer(ws);
    bufferevent_setcb(ws->bev, ws_on_read, ws_on_write, ws_on_event, ws);
    (void)bufferevent_enable(ws->bev, EV_READ | EV_WRITE);
    loop_timer_init(&ws->timer, r->d->loop, ws_on_timer, ws);
    loop_timer_set(&ws->timer, 0);
    return ws;
}

void websocket_send(struct websocket *ws, struct str text)
{
    CHECK(ws->magic == WS_MAGIC);
    if (ws->is_over || ws->is_closing) {
        return;
    }
    const struct wslay_event_msg message = {
        .opcode = WSLAY_TEXT_FRAME, .msg = (const uint8_t *)text.ptr, .msg_length = text.len};
    (void)wslay_event_queue_msg(ws->ctx, &message);
    ws_flush(ws);
}

void websocket_send_binary(struct websocket *ws, struct str head, struct str data)
{
    CHECK(ws->magic == WS_MAGIC);
    if (ws->is_over || ws->is_closing) {
        return;
    }
    struct buf both = {0};
    buf_add_str(&both, head);
    buf_add_str(&both, data);
    const struct wslay_event_msg message = {
        .opcode = WSLAY_BINARY_FRAME, .msg = (const uint8_t *)both.ptr, .msg_length = both.len};
    (void)wslay_event_queue_msg(ws->ctx, &message);
    buf_fini(&both);
    ws_flush(ws);
}

size_t websocket_backlog(const struct websocket *ws)
{
    return evbuffer_get_length(bufferevent_get_output(ws->bev));
}

void websocket_close(struct websocket *ws, enum websocket_code code, const char *reason)
{
    CHECK(ws->magic == WS_MAGIC);
    if (ws->is_over || ws->is_closing) {
        return;
    }
    (void)wslay_event_queue_close(ws->ctx, (uint16_t)code, (const uint8_t *)reason, strlen(reason));
    ws_flush(ws);
}
