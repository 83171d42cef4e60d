/* backend: a small HTTP/1.1 service that costs little itself, for scripts/bench.
 *
 *     backend PORT
 *
 * One thread on epoll, keep-alive, 127.0.0.1 only:
 *     GET /small         128 bytes
 *     GET /big?size=N    N bytes
 *     POST /sink         discards a body with a Content-Length
 *     GET /ws            WebSocket: sends each binary message back (short ones, in one frame)
 * Prints "ready PID" once it listens; ends on SIGTERM. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"

enum { WS_BINARY = 0x82, WS_MASKED = 0x80, WS_LEN_16 = 126, WS_MASK_BYTES = 4 };
enum { HEAD_MAX = 16384, BULK = 256 * 1024, EVENTS = 256, SMALL = 128 };

struct client {
    int fd;
    bool failed;          /* answered with an error: close after it */
    bool want_write;      /* EPOLLOUT is on */
    bool is_ws;           /* upgraded: head holds frames */
    size_t have;          /* bytes in head */
    uint64_t body_left;   /* of the request: discard */
    bool answer_after;    /* … and answer then */
    uint64_t answer_left; /* bytes of filler still to send */
    size_t out_at;        /* of out */
    size_t out_len;
    char out[HEAD_MAX];
    char head[HEAD_MAX];
};

static char filler[BULK]; /* sent; and where discarded bytes go, in sink */
static char sink[BULK];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void answer(struct client *c, const char *status, uint64_t length)
{
    int n = snprintf(c->out, sizeof c->out,
                     "HTTP/1.1 %s\r\nServer: bench\r\nContent-Type: application/octet-stream\r\n"
                     "Content-Length: %llu\r\n\r\n",
                     status, (unsigned long long)length);
    c->out_at = 0;
    c->out_len = (size_t)n;
    c->answer_left = length;
    if (length <= SMALL) { /* head and body in one send */
        memset(c->out + n, 'x', (size_t)length);
        c->out_len += (size_t)length;
        c->answer_left = 0;
    }
}

/* Accepts the upgrade; the key is what RFC 6455, 4.2.2 asks to be hashed. */
static void start_ws(struct client *c)
{
    static const char field[] = "\r\nsec-websocket-key:";
    const char *key = strcasestr(c->head, field);
    char text[128];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned char accept[64];
    size_t len = 0;
    if (key != NULL) {
        key += sizeof field - 1;
        key += strspn(key, " ");
        len = strcspn(key, " \r\n");
    }
    if (len != 24) {
        c->failed = true;
        answer(c, "400 Bad Request", 0);
        return;
    }
    int n = snprintf(text, sizeof text, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", (int)len, key);
    if (EVP_Digest(text, (size_t)n, digest, NULL, EVP_sha1(), NULL) != 1) {
        die("SHA-1");
    }
    (void)EVP_EncodeBlock(accept, digest, 20);
    n = snprintf(c->out, sizeof c->out,
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Accept: %s\r\n\r\n",
                 accept);
    c->out_at = 0;
    c->out_len = (size_t)n;
    c->is_ws = true;
}

/* Sends back one whole message of c->head, if there is one; false: not what we speak. */
static bool echo_message(struct client *c, bool *out_progress)
{
    const uint8_t *in = (const uint8_t *)c->head;
    *out_progress = false;
    if (c->have < 2) {
        return true;
    }
    bool is_long = (in[1] & 0x7f) == WS_LEN_16;
    size_t at = is_long ? 4 : 2;
    if (in[0] != WS_BINARY || (in[1] & WS_MASKED) == 0 || (in[1] & 0x7f) > WS_LEN_16) {
        return false;
    }
    if (c->have < at + WS_MASK_BYTES) {
        return true;
    }
    size_t len = is_long ? (size_t)in[2] << 8 | in[3] : in[1] & 0x7f;
    size_t whole = at + WS_MASK_BYTES + len;
    if (whole > HEAD_MAX) {
        return false;
    }
    if (c->have < whole || c->out_len + at + len > sizeof c->out) {
        return true;
    }
    memcpy(c->out + c->out_len, c->head, at);
    c->out[c->out_len + 1] &= 0x7f;
    for (size_t i = 0; i < len; i++) {
        c->out[c->out_len + at + i] = (char)(in[at + WS_MASK_BYTES + i] ^ in[at + (i & 3)]);
    }
    c->out_len += at + len;
    c->have -= whole;
    memmove(c->head, c->head + whole, c->have);
    *out_progress = true;
    return true;
}

/* The request head is complete in c->head[0..len). */
static void start_answer(struct client *c, size_t len)
{
    struct str head = {c->head, len};
    static const char field[] = "\r\ncontent-length:";
    c->head[len - 1] = '\0';
    const char *length = strcasestr(c->head, field);
    c->body_left = length == NULL ? 0 : strtoull(length + sizeof field - 1, NULL, 10);
    c->answer_after = false;
    if (str_starts(head, STR("GET /small"))) {
        answer(c, "200 OK", SMALL);
    } else if (str_starts(head, STR("GET /big?size="))) {
        answer(c, "200 OK", strtoull(c->head + 14, NULL, 10));
    } else if (str_starts(head, STR("GET /ws"))) {
        start_ws(c);
    } else if (str_starts(head, STR("POST /sink")) && length != NULL) {
        c->answer_after = true;
    } else {
        c->failed = true;
        answer(c, "400 Bad Request", 0);
    }
}

/* False: the connection is over. */
static bool send_answer(struct client *c)
{
    while (c->out_at < c->out_len || c->answer_left > 0) {
        bool is_filler = c->out_at == c->out_len;
        const char *from = is_filler ? filler : c->out + c->out_at;
        size_t len = !is_filler              ? c->out_len - c->out_at
                     : c->answer_left < BULK ? (size_t)c->answer_left
                                             : (size_t)BULK;
        ssize_t n = send(c->fd, from, len, MSG_NOSIGNAL);
        if (n < 0) {
            return errno == EAGAIN;
        }
        if (is_filler) {
            c->answer_left -= (uint64_t)n;
        } else {
            c->out_at += (size_t)n;
        }
    }
    return !c->failed;
}

static bool is_sending(const struct client *c)
{
    return c->out_at < c->out_len || c->answer_left > 0;
}

/* Sends back what messages are in c->head; false: the connection is over. */
static bool read_messages(struct client *c)
{
    bool progress = true;
    while (progress && !is_sending(c)) {
        c->out_at = 0;
        c->out_len = 0;
        while (progress) {
            if (!echo_message(c, &progress)) {
                return false;
            }
        }
        progress = c->out_len > 0;
        if (!send_answer(c)) {
            return false;
        }
    }
    return true;
}

/* Uses what is in c->head; false: the connection is over. */
static bool read_heads(struct client *c)
{
    if (c->is_ws) {
        return read_messages(c);
    }
    while (c->have > 0 && !is_sending(c) && c->body_left == 0) {
        const char *end = memmem(c->head, c->have, "\r\n\r\n", 4);
        if (end == NULL) {
            return c->have < HEAD_MAX;
        }
        size_t len = (size_t)(end - c->head) + 4;
        start_answer(c, len);
        size_t rest = c->have - len;
        size_t body = rest < c->body_left ? rest : (size_t)c->body_left;
        c->body_left -= body;
        c->have = rest - body;
        memmove(c->head, c->head + len + body, c->have);
        if (c->answer_after && c->body_left == 0) {
            c->answer_after = false;
            answer(c, "200 OK", 2);
        }
        if (!send_answer(c)) {
            return false;
        }
        if (c->is_ws) {
            return read_messages(c);
        }
    }
    return true;
}

static bool read_client(struct client *c)
{
    while (!is_sending(c)) {
        bool in_body = c->body_left > 0;
        size_t room = !in_body              ? HEAD_MAX - c->have
                      : c->body_left < BULK ? (size_t)c->body_left
                                            : (size_t)BULK;
        ssize_t n = recv(c->fd, in_body ? sink : c->head + c->have, room, 0);
        if (n <= 0) {
            return n < 0 && errno == EAGAIN;
        }
        if (!in_body) {
            c->have += (size_t)n;
            if (!read_heads(c)) {
                return false;
            }
        } else {
            c->body_left -= (uint64_t)n;
            if (c->body_left == 0 && c->answer_after) {
                c->answer_after = false;
                answer(c, "200 OK", 2);
                if (!send_answer(c)) {
                    return false;
                }
            }
        }
        if ((size_t)n < room) {
            return true; /* emptied; level-triggered, so nothing is lost */
        }
    }
    return true;
}

static void serve_client(int epoll, struct client *c, uint32_t events)
{
    bool alive = (events & EPOLLERR) == 0;
    if (alive && is_sending(c)) {
        alive = send_answer(c);
        alive = alive && (is_sending(c) || read_heads(c));
    }
    if (alive && !is_sending(c) && (events & (EPOLLIN | EPOLLHUP)) != 0) {
        alive = read_client(c);
    }
    if (!alive) {
        (void)close(c->fd);
        free(c);
        return;
    }
    if (is_sending(c) != c->want_write) {
        c->want_write = is_sending(c);
        struct epoll_event event = {.events = c->want_write ? EPOLLOUT : EPOLLIN, .data.ptr = c};
        if (epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event) != 0) {
            die("epoll_ctl");
        }
    }
}

static void accept_clients(int epoll, int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        int on = 1;
        struct client *c = calloc(1, sizeof *c);
        if (c == NULL || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
            die("accept");
        }
        c->fd = fd;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
            die("epoll_ctl");
        }
    }
}

static int listen_on(uint16_t port)
{
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (const struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 4096) != 0) {
        die("listen");
    }
    return fd;
}

int main(int argc, char **argv)
{
    uint16_t port;
    if (argc != 2 || !str_to_u16(str_of(argv[1]), &port)) {
        (void)fprintf(stderr, "usage: backend PORT\n");
        return 2;
    }
    memset(filler, 'x', sizeof filler);
    int listener = listen_on(port);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0) {
        die("epoll");
    }
    (void)printf("ready %d\n", (int)getpid());
    (void)fflush(stdout);
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll, events, EVENTS, -1);
        if (count < 0 && errno != EINTR) {
            die("epoll_wait");
        }
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL) {
                accept_clients(epoll, listener);
            } else {
                serve_client(epoll, events[i].data.ptr, events[i].events);
            }
        }
    }
}
