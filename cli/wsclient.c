/* wsclient: see wsclient.h. Frames are wslay's. Called by cmd_exec. */
#include "cli/wsclient.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <wslay/wslay.h>

#include "base/auto.h"
#include "base/base64.h"
#include "base/file.h"
#include "base/json.h"

enum { HEAD_MAX = 16384 };

struct wsclient {
    int fd;                      /* owned */
    struct buf early;            /* what came with the answer's head */
    wslay_event_context_ptr ctx; /* owned */
    wsclient_text_fn *on_text;
    void *arg; /* borrowed */
    bool over;
};

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *arg)
{
    struct wsclient *ws = arg;
    (void)flags;
    if (ws->early.len > 0) {
        size_t n = ws->early.len < len ? ws->early.len : len;
        memcpy(buf, ws->early.ptr, n);
        buf_consume(&ws->early, n);
        return (ssize_t)n;
    }
    ssize_t got = recv(ws->fd, buf, len, 0);
    if (got > 0) {
        return got;
    }
    bool wait = got < 0 && (errno == EAGAIN || errno == EINTR);
    ws->over = ws->over || !wait;
    wslay_event_set_error(ctx, wait ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags,
                       void *arg)
{
    struct wsclient *ws = arg;
    (void)flags;
    ssize_t put = send(ws->fd, data, len, MSG_NOSIGNAL);
    if (put >= 0) {
        return put;
    }
    bool wait = errno == EAGAIN || errno == EINTR;
    ws->over = ws->over || !wait;
    wslay_event_set_error(ctx, wait ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static int on_mask(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, void *arg)
{
    (void)ctx;
    (void)arg;
    return getrandom(buf, len, 0) == (ssize_t)len ? 0 : -1;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *msg,
                       void *arg)
{
    (void)ctx;
    struct wsclient *ws = arg;
    if (msg->opcode == WSLAY_TEXT_FRAME) {
        ws->on_text(ws->arg, (struct str){(const char *)msg->msg, msg->msg_length});
    }
}

static int connect_to(const char *path, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        return err_set(err, ERR_FAILED, "%s is too long for a socket", path);
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        (void)err_set_sys(err, "cannot connect to %s", path);
        if (fd >= 0) {
            (void)close(fd);
        }
        return -1;
    }
    return fd;
}

static int send_request(int fd, const char *path, struct err *err)
{
    uint8_t key[16];
    struct buf text = {0};
    struct buf coded = {0};
    CHECK(getrandom(key, sizeof(key), 0) == (ssize_t)sizeof(key));
    base64_encode((struct str){(const char *)key, sizeof(key)}, &coded);
    buf_printf(&text,
               "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
               "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n",
               path, buf_cstr(&coded));
    ssize_t put = send(fd, text.ptr, text.len, MSG_NOSIGNAL);
    bool ok = put == (ssize_t)text.len; /* a new socket takes that much at once */
    buf_fini(&text);
    buf_fini(&coded);
    return ok ? 0 : err_set_sys(err, "cannot write to the daemon");
}

/* The head of the answer; what follows it stays in *rest. */
static int read_answer(int fd, struct buf *rest, struct err *err)
{
    static const char good[] = "HTTP/1.1 101 ";
    for (;;) {
        char piece[2048];
        const char *end = rest->len == 0 ? NULL : memmem(rest->ptr, rest->len, "\r\n\r\n", 4);
        if (end != NULL && str_starts(buf_str(rest), str_of(good))) {
            buf_consume(rest, (size_t)(end - rest->ptr) + 4);
            return 0;
        }
        ssize_t got = end != NULL || rest->len > HEAD_MAX ? 0 : recv(fd, piece, sizeof(piece), 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            size_t line = str_find(buf_str(rest), '\r');
            return err_set(err, ERR_FAILED, "the daemon does not attach: %.*s",
                           line == 0 ? 9 : (int)(line > 200 ? 200 : line),
                           line == 0 ? "no answer" : rest->ptr);
        }
        buf_add(rest, piece, (size_t)got);
    }
}

struct wsclient *wsclient_open(const char *socket_path, const char *path, wsclient_text_fn *on_text,
                               void *arg, struct err *err)
{
    static const struct wslay_event_callbacks callbacks = {.recv_callback = on_recv,
                                                           .send_callback = on_send,
                                                           .genmask_callback = on_mask,
                                                           .on_msg_recv_callback = on_message};
    int fd = connect_to(socket_path, err);
    if (fd < 0) {
        return NULL;
    }
    struct wsclient *ws = xcalloc(1, sizeof(*ws));
    *ws = (struct wsclient){.fd = fd, .on_text = on_text, .arg = arg};
    if (send_request(fd, path, err) < 0 || read_answer(fd, &ws->early, err) < 0 ||
        fd_set_nonblock(fd, err) < 0) {
        wsclient_free(ws);
        return NULL;
    }
    CHECK(wslay_event_context_client_init(&ws->ctx, &callbacks, ws) == 0);
    return ws;
}

void wsclient_free(struct wsclient *ws)
{
    if (ws == NULL) {
        return;
    }
    if (ws->ctx != NULL) {
        wslay_event_context_free(ws->ctx);
    }
    (void)close(ws->fd);
    buf_fini(&ws->early);
    free(ws);
}

int wsclient_fd(const struct wsclient *ws)
{
    return ws->fd;
}

bool wsclient_wants_write(const struct wsclient *ws)
{
    return wslay_event_want_write(ws->ctx) != 0;
}

void wsclient_send(struct wsclient *ws, struct str text)
{
    const struct wslay_event_msg message = {
        .opcode = WSLAY_TEXT_FRAME, .msg = (const uint8_t *)text.ptr, .msg_length = text.len};
    (void)wslay_event_queue_msg(ws->ctx, &message); /* refused only once closing */
}

bool wsclient_step(struct wsclient *ws)
{
    do {
        if (wslay_event_recv(ws->ctx) != 0) {
            return false;
        }
    } while (ws->early.len > 0);
    if (wslay_event_send(ws->ctx) != 0) {
        return false;
    }
    return !ws->over && (wslay_event_want_read(ws->ctx) != 0 || wsclient_wants_write(ws));
}
