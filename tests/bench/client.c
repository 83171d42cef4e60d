/* client: the measurements of scripts/bench that h2load and curl cannot make.
 *
 *     client latency    PROTO HOST PORT COUNT   one connection, one request after the other;
 *                                               prints the 50th, 90th and 99th percentile in µs
 *     client handshakes PROTO HOST PORT COUNT   full handshakes on a few threads, then closes;
 *                                               prints them per second
 *     client idle       PROTO HOST PORT COUNT   COUNT connections with one request each, prints
 *                                               "idle COUNT", holds them until standard input ends
 *
 * PROTO is plain (HTTP/1.1 without TLS), h1 or h2 (TLS, whatever version is best). It always
 * asks for /small at 127.0.0.1:PORT with HOST as the name. Anything but a 200: exit 1. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"

enum {
    BUFFER = 32768,
    REQUEST_MAX = 1024,
    THREADS = 4,
    FRAME_HEAD = 9,
    FRAME_DATA = 0,
    FRAME_HEADERS = 1,
    FRAME_RST = 3,
    FRAME_SETTINGS = 4,
    FRAME_GOAWAY = 7,
    FLAG_ACK = 1,
    FLAG_END_STREAM = 1,
    FLAG_END_HEADERS = 4,
};

struct target {
    bool tls;
    bool h2;
    const char *host;
    uint16_t port;
    SSL_CTX *ctx;
    char request[REQUEST_MAX]; /* h1: all of it; h2: the HEADERS frame */
    size_t request_len;
};

/* A connection; buf is shared by those that keep nothing in it between requests. */
struct channel {
    int fd;
    SSL *ssl;
    uint32_t stream;
    char *buf;
    size_t have;
};

static void die(const char *what)
{
    perror(what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static void send_all(struct channel *ch, const void *data, size_t len)
{
    int n = ch->ssl != NULL ? SSL_write(ch->ssl, data, (int)len)
                            : (int)send(ch->fd, data, len, MSG_NOSIGNAL);
    if (n != (int)len) {
        die("send");
    }
}

/* Until at least `want` bytes are in the buffer. */
static void receive(struct channel *ch, size_t want)
{
    if (want > BUFFER) {
        die("answer larger than expected");
    }
    while (ch->have < want) {
        int room = (int)(BUFFER - ch->have);
        int n = ch->ssl != NULL ? SSL_read(ch->ssl, ch->buf + ch->have, room)
                                : (int)recv(ch->fd, ch->buf + ch->have, (size_t)room, 0);
        if (n <= 0) {
            die("connection closed before the answer");
        }
        ch->have += (size_t)n;
    }
}

static void consume(struct channel *ch, size_t len)
{
    ch->have -= len;
    memmove(ch->buf, ch->buf + len, ch->have);
}

static void request_h1(const struct target *t, struct channel *ch)
{
    send_all(ch, t->request, t->request_len);
    const char *end;
    size_t want = 1;
    do {
        receive(ch, want);
        end = memmem(ch->buf, ch->have, "\r\n\r\n", 4);
        want = ch->have + 1;
    } while (end == NULL);
    size_t head = (size_t)(end - ch->buf) + 4;
    ch->buf[head - 1] = '\0';
    const char *field = strcasestr(ch->buf, "\r\ncontent-length:");
    if (strncmp(ch->buf, "HTTP/1.1 200", 12) != 0 || field == NULL) {
        (void)fprintf(stderr, "not the answer expected: %.60s\n", ch->buf);
        exit(1);
    }
    size_t body = strtoul(field + 17, NULL, 10);
    receive(ch, head + body);
    consume(ch, head + body);
}

static uint32_t load_be(const char *at, size_t bytes)
{
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        value = value << 8 | (uint8_t)at[i];
    }
    return value;
}

static void store_be32(char *at, uint32_t value)
{
    uint32_t big = htonl(value);
    memcpy(at, &big, sizeof big);
}

/* True when the frame ends our stream. */
static bool read_frame(struct channel *ch)
{
    receive(ch, FRAME_HEAD);
    size_t len = load_be(ch->buf, 3);
    uint8_t type = (uint8_t)ch->buf[3];
    uint8_t flags = (uint8_t)ch->buf[4];
    uint32_t stream = load_be(ch->buf + 5, 4);
    receive(ch, FRAME_HEAD + len);
    const char *payload = ch->buf + FRAME_HEAD;
    if (type == FRAME_RST || type == FRAME_GOAWAY) {
        (void)fprintf(stderr, "the server ended the stream or connection: frame %u\n", type);
        exit(1);
    }
    if (type == FRAME_SETTINGS && (flags & FLAG_ACK) == 0) {
        send_all(ch, "\0\0\0\4\1\0\0\0\0", FRAME_HEAD);
    }
    if (type == FRAME_HEADERS) {
        size_t at = 0;
        while (at < len && (payload[at] & 0xe0) == 0x20) {
            at++; /* a dynamic table size update */
        }
        if (at == len || (uint8_t)payload[at] != 0x88) { /* ":status: 200" of the static table */
            (void)fprintf(stderr, "not the answer expected: no 200\n");
            exit(1);
        }
    }
    bool last = (type == FRAME_DATA || type == FRAME_HEADERS) && stream == ch->stream &&
                (flags & FLAG_END_STREAM) != 0;
    consume(ch, FRAME_HEAD + len);
    return last;
}

static void request_h2(const struct target *t, struct channel *ch)
{
    char frame[REQUEST_MAX];
    ch->stream = ch->stream == 0 ? 1 : ch->stream + 2;
    memcpy(frame, t->request, t->request_len);
    store_be32(frame + 5, ch->stream);
    send_all(ch, frame, t->request_len);
    while (!read_frame(ch)) {
    }
}

static void request(const struct target *t, struct channel *ch)
{
    if (t->h2) {
        request_h2(t, ch);
    } else {
        request_h1(t, ch);
    }
}

static void make_request(struct target *t)
{
    if (!t->h2) {
        int n = snprintf(t->request, sizeof t->request, "GET /small HTTP/1.1\r\nHost: %s\r\n\r\n",
                         t->host);
        t->request_len = (size_t)n;
        return;
    }
    /* HPACK without state: GET, https, literal :path and :authority. */
    int n = snprintf(t->request + FRAME_HEAD, sizeof t->request - FRAME_HEAD,
                     "\x82\x87\x04%c/small\x01%c%s", 6, (int)strlen(t->host), t->host);
    t->request[0] = 0;
    t->request[1] = 0;
    t->request[2] = (char)n;
    t->request[3] = FRAME_HEADERS;
    t->request[4] = FLAG_END_HEADERS | FLAG_END_STREAM;
    t->request_len = (size_t)n + FRAME_HEAD;
}

static void channel_open(const struct target *t, struct channel *ch)
{
    int on = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(t->port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ch->ssl = NULL;
    ch->stream = 0;
    ch->have = 0;
    ch->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (ch->fd < 0 || setsockopt(ch->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        connect(ch->fd, (const struct sockaddr *)&at, sizeof at) != 0) {
        die("connect");
    }
    if (!t->tls) {
        return;
    }
    ch->ssl = SSL_new(t->ctx);
    if (ch->ssl == NULL || SSL_set_fd(ch->ssl, ch->fd) != 1 ||
        SSL_set_tlsext_host_name(ch->ssl, t->host) != 1 || SSL_connect(ch->ssl) != 1) {
        die("handshake");
    }
    const unsigned char *alpn;
    unsigned alpn_len;
    SSL_get0_alpn_selected(ch->ssl, &alpn, &alpn_len);
    if (t->h2 && (alpn_len != 2 || memcmp(alpn, "h2", 2) != 0)) {
        (void)fprintf(stderr, "the server does not speak HTTP/2\n");
        exit(1);
    }
}

/* Preface, empty SETTINGS, a connection window no run can use up. */
static void start_h2(struct channel *ch)
{
    static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                "\0\0\0\4\0\0\0\0\0"
                                "\0\0\4\10\0\0\0\0\0\x7f\xff\0\0";
    send_all(ch, hello, sizeof hello - 1);
}

/* With a reset, so that no port waits in TIME_WAIT. */
static void channel_close(struct channel *ch)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(ch->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    SSL_free(ch->ssl);
    (void)close(ch->fd);
}

static double now_us(void)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec * 1e6 + (double)at.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void run_latency(const struct target *t, size_t count)
{
    static char buf[BUFFER];
    struct channel ch = {.buf = buf};
    double *took = calloc(count, sizeof *took);
    if (took == NULL) {
        die("calloc");
    }
    channel_open(t, &ch);
    if (t->h2) {
        start_h2(&ch);
    }
    for (size_t i = 0; i < count / 10 + 50; i++) {
        request(t, &ch); /* caches, pools and tickets first */
    }
    for (size_t i = 0; i < count; i++) {
        double start = now_us();
        request(t, &ch);
        took[i] = now_us() - start;
    }
    channel_close(&ch);
    qsort(took, count, sizeof *took, compare);
    (void)printf("%.1f %.1f %.1f\n", took[count / 2], took[count * 9 / 10], took[count * 99 / 100]);
    free(took);
}

struct handshaker {
    const struct target *t;
    size_t count;
};

static void *handshake_thread(void *arg)
{
    const struct handshaker *h = arg;
    char rest[1024];
    for (size_t i = 0; i < h->count; i++) {
        struct channel ch = {0};
        channel_open(h->t, &ch);
        (void)SSL_shutdown(ch.ssl);
        while (SSL_read(ch.ssl, rest, sizeof rest) > 0) {
            /* until the server has finished its side too */
        }
        channel_close(&ch);
    }
    return NULL;
}

static void run_handshakes(const struct target *t, size_t count)
{
    pthread_t threads[THREADS];
    struct handshaker h = {t, count / THREADS};
    double start = now_us();
    for (size_t i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, handshake_thread, &h) != 0) {
            die("pthread_create");
        }
    }
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    double took = (now_us() - start) / 1e6;
    (void)printf("%.1f %zu\n", (double)(h.count * THREADS) / took, h.count * THREADS);
}

static void run_idle(const struct target *t, size_t count)
{
    static char buf[BUFFER];
    struct channel *channels = calloc(count, sizeof *channels);
    if (channels == NULL) {
        die("calloc");
    }
    for (size_t i = 0; i < count; i++) {
        channels[i].buf = buf;
        channel_open(t, &channels[i]);
        if (t->h2) {
            start_h2(&channels[i]);
        }
        request(t, &channels[i]);
    }
    (void)printf("idle %zu\n", count);
    (void)fflush(stdout);
    while (read(STDIN_FILENO, buf, sizeof buf) > 0) {
    }
    size_t gone = 0;
    for (size_t i = 0; i < count; i++) {
        ssize_t n = recv(channels[i].fd, buf, sizeof buf, MSG_PEEK | MSG_DONTWAIT);
        gone += n == 0 ? 1 : 0;
        channel_close(&channels[i]);
    }
    free(channels);
    if (gone > 0) {
        (void)fprintf(stderr, "%zu connections were closed by the server meanwhile\n", gone);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    uint16_t port;
    if (argc != 6 || !str_to_u16(str_of(argv[4]), &port) || strlen(argv[3]) > 100) {
        (void)fprintf(stderr,
                      "usage: client latency|handshakes|idle plain|h1|h2 HOST PORT COUNT\n");
        return 2;
    }
    struct target t = {.tls = strcmp(argv[2], "plain") != 0,
                       .h2 = strcmp(argv[2], "h2") == 0,
                       .host = argv[3],
                       .port = port};
    size_t count = strtoul(argv[5], NULL, 10);
    (void)signal(SIGPIPE, SIG_IGN);
    if (t.tls) {
        static const unsigned char h2[] = "\2h2";
        static const unsigned char h1[] = "\10http/1.1";
        t.ctx = SSL_CTX_new(TLS_client_method());
        /* No verification: the certificate was made for this run. No session is kept, so
         * every handshake is a full one. SSL_CTX_set_alpn_protos returns 0 for success. */
        if (t.ctx == NULL || SSL_CTX_set_alpn_protos(t.ctx, t.h2 ? h2 : h1,
                                                     t.h2 ? sizeof h2 - 1 : sizeof h1 - 1) != 0) {
            die("SSL_CTX");
        }
        SSL_CTX_set_options(t.ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    }
    make_request(&t);
    if (strcmp(argv[1], "latency") == 0 && count > 0) {
        run_latency(&t, count);
    } else if (strcmp(argv[1], "handshakes") == 0 && t.tls) {
        run_handshakes(&t, count);
    } else if (strcmp(argv[1], "idle") == 0) {
        run_idle(&t, count);
    } else {
        return 2;
    }
    SSL_CTX_free(t.ctx);
    return 0;
}
