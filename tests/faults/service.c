/* service: see service.h. */
#include "tests/faults/service.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "gateway/wskey.h"

enum {
    WSKEY_TEXT = 24,
    PREFACE = 24,
    FRAME_HEAD = 9,
    DATA = 0,
    HEADERS = 1,
    SETTINGS = 4,
    END_STREAM = 1,
    ACK = 1
};

int service_listen(uint16_t *out_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (const struct sockaddr *)&at, len) == 0 && listen(fd, 16) == 0 &&
          getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    *out_port = ntohs(at.sin_port);
    return fd;
}

void service_init(struct service *s, enum service_kind kind)
{
    *s = (struct service){.kind = kind, .conn = -1};
    s->listener = service_listen(&s->port);
}

static void hang_up(struct service *s)
{
    if (s->conn >= 0) {
        (void)close(s->conn);
    }
    s->conn = -1;
    s->len = 0;
    s->greeted = false;
    s->out_len = 0;
}

void service_fini(struct service *s)
{
    hang_up(s);
    (void)close(s->listener);
}

static void say(struct service *s, const char *bytes, size_t len)
{
    (void)send(s->conn, bytes, len, MSG_NOSIGNAL); /* small: the socket takes it */
}

static void say_big(struct service *s)
{
    static char text[SERVICE_BIG + 256];
    static const char end[] = "\r\n0\r\nx-end: yes\r\n\r\n";
    int head = snprintf(text, 200,
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-end\r\n\r\n"
                        "%x\r\n",
                        SERVICE_BIG);
    memset(text + head, 'b', SERVICE_BIG);
    memcpy(text + head + SERVICE_BIG, end, sizeof end - 1);
    s->out = text;
    s->out_len = (size_t)head + SERVICE_BIG + sizeof end - 1;
}

static bool has(const struct service *s, const char *text)
{
    return memmem(s->in, s->len, text, strlen(text)) != NULL;
}

static void upgrade(struct service *s)
{
    static const char name[] = "\r\nSec-WebSocket-Key: ";
    char accept[WSKEY_ACCEPT_SIZE];
    char text[256];
    const char *key = memmem(s->in, s->len, name, sizeof name - 1);
    struct str value = {key + sizeof name - 1, WSKEY_TEXT};
    value = key == NULL ? STR_NONE : wskey_accept(value, accept);
    int len = snprintf(text, sizeof text,
                       "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                       "Upgrade: websocket\r\nSec-WebSocket-Accept: %.*s\r\n\r\n",
                       STR_ARG(value));
    s->greeted = true;
    say(s, text, (size_t)len);
}

static void answer_h1(struct service *s)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    if (s->greeted) {
        s->len = 0; /* of the tunnel */
        return;
    }
    if (!has(s, "\r\n\r\n") || (has(s, "Transfer-Encoding: chunked") && !has(s, "\r\n0\r\n"))) {
        return;
    }
    if (has(s, "Upgrade: websocket")) {
        upgrade(s);
    } else if (has(s, " /big ")) {
        say_big(s);
    } else {
        say(s, ok, sizeof ok - 1);
    }
    s->len = 0;
}

static void answer_stream(struct service *s, const char *id)
{
    /* :status 200; "ok"; a trailer */
    char frames[] = "\0\0\1\1\4\0\0\0\0\x88\0\0\2\0\0\0\0\0\0ok\0\0\5\1\5\0\0\0\0\0\1t\1v";
    memcpy(frames + 5, id, 4);
    memcpy(frames + 15, id, 4);
    memcpy(frames + 26, id, 4);
    say(s, frames, sizeof frames - 1);
}

/* As answer_stream, but :status 200 at once, and the rest at the client's end. */
static void answer_websocket(struct service *s, const unsigned char *f)
{
    char open[] = "\0\0\1\1\4\0\0\0\0\x88";
    char rest[] = "\0\0\2\0\1\0\0\0\0ok";
    memcpy(open + 5, f + 5, 4);
    memcpy(rest + 5, f + 5, 4);
    if (f[3] == HEADERS) {
        say(s, open, sizeof open - 1);
    }
    if ((f[4] & END_STREAM) != 0) {
        say(s, rest, sizeof rest - 1);
    }
}

static void say_settings(struct service *s)
{
    static const char plain[] = "\0\0\0\4\0\0\0\0\0";
    /* RFC 8441 3; windows of 1 MiB, of streams and of the connection */
    static const char websocket[] = "\0\0\xc\4\0\0\0\0\0\0\x8\0\0\0\1\0\4\0\x10\0\0"
                                    "\0\0\4\x8\0\0\0\0\0\0\x10\0\0";
    if (s->kind == SERVICE_H2C_WEBSOCKET) {
        say(s, websocket, sizeof websocket - 1);
    } else {
        say(s, plain, sizeof plain - 1);
    }
}

static void answer_h2(struct service *s)
{
    size_t at = 0;
    if (!s->greeted && s->len >= PREFACE) {
        s->greeted = true;
        at = PREFACE;
        say_settings(s);
    }
    while (s->greeted && s->len - at >= FRAME_HEAD) {
        const unsigned char *f = (const unsigned char *)s->in + at;
        size_t len = (size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2];
        if (s->len - at < FRAME_HEAD + len) {
            break;
        }
        if (f[3] == SETTINGS && (f[4] & ACK) == 0) {
            static const char ack[] = "\0\0\0\4\1\0\0\0\0";
            say(s, ack, sizeof ack - 1);
        } else if (s->kind == SERVICE_H2C_WEBSOCKET && (f[3] == HEADERS || f[3] == DATA)) {
            answer_websocket(s, f);
        } else if ((f[3] == HEADERS || f[3] == DATA) && (f[4] & END_STREAM) != 0) {
            answer_stream(s, s->in + at + 5);
        }
        at += FRAME_HEAD + len;
    }
    memmove(s->in, s->in + at, s->len - at);
    s->len -= at;
}

void service_step(struct service *s)
{
    int fd = (int)syscall(SYS_accept4, s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        hang_up(s);
        s->conn = fd;
    }
    if (s->conn < 0) {
        return;
    }
    if (s->out_len > 0) {
        ssize_t sent = send(s->conn, s->out, s->out_len, MSG_NOSIGNAL);
        s->out += sent > 0 ? sent : 0;
        s->out_len -= sent > 0 ? (size_t)sent : 0;
    }
    ssize_t n = recv(s->conn, s->in + s->len, sizeof s->in - s->len, 0);
    if (n == 0) {
        hang_up(s);
    } else if (n > 0) {
        s->len += (size_t)n;
        if (s->kind == SERVICE_H1) {
            answer_h1(s);
        } else {
            answer_h2(s);
        }
    }
}
