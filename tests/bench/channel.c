/* channel: see channel.h. */
#include "tests/bench/channel.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"

enum { SETTINGS_CONNECT_PROTOCOL = 8, SETTING_BYTES = 6 };

void channel_die(const char *what)
{
    perror(what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

void channel_send(struct channel *ch, const void *data, size_t len)
{
    int n = ch->ssl != NULL ? SSL_write(ch->ssl, data, (int)len)
                            : (int)send(ch->fd, data, len, MSG_NOSIGNAL);
    if (n != (int)len) {
        channel_die("send");
    }
}

void channel_receive(struct channel *ch, size_t want)
{
    if (want > CHANNEL_BUFFER) {
        channel_die("answer larger than expected");
    }
    while (ch->have < want) {
        int room = (int)(CHANNEL_BUFFER - ch->have);
        int n = ch->ssl != NULL ? SSL_read(ch->ssl, ch->buf + ch->have, room)
                                : (int)recv(ch->fd, ch->buf + ch->have, (size_t)room, 0);
        if (n <= 0) {
            channel_die("connection closed before the answer");
        }
        ch->have += (size_t)n;
    }
}

void channel_consume(struct channel *ch, size_t len)
{
    ch->have -= len;
    memmove(ch->buf, ch->buf + len, ch->have);
}

static void request_h1(const struct target *t, struct channel *ch)
{
    channel_send(ch, t->request, t->request_len);
    const char *end;
    size_t want = 1;
    do {
        channel_receive(ch, want);
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
    channel_receive(ch, head + body);
    channel_consume(ch, head + body);
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

void channel_frame_head(char *at, size_t len, uint8_t type, uint8_t flags, uint32_t stream)
{
    store_be32(at, (uint32_t)len << 8 | type);
    at[4] = (char)flags;
    store_be32(at + 5, stream);
}

/* ":status: 200" of the static table, after updates of the dynamic table's size. */
static bool is_ok(const char *block, size_t len)
{
    size_t at = 0;
    while (at < len && (block[at] & 0xe0) == 0x20) {
        at++;
    }
    return at < len && (uint8_t)block[at] == 0x88;
}

static void read_settings(struct channel *ch, const struct frame *f)
{
    const char *payload = ch->buf + FRAME_HEAD;
    for (size_t at = 0; at + SETTING_BYTES <= f->len; at += SETTING_BYTES) {
        if (load_be(payload + at, 2) == SETTINGS_CONNECT_PROTOCOL) {
            ch->connect_protocol = load_be(payload + at + 2, 4) == 1;
        }
    }
    channel_send(ch, "\0\0\0\4\1\0\0\0\0", FRAME_HEAD);
}

struct frame channel_frame(struct channel *ch)
{
    channel_receive(ch, FRAME_HEAD);
    struct frame f = {.len = load_be(ch->buf, 3),
                      .type = (uint8_t)ch->buf[3],
                      .flags = (uint8_t)ch->buf[4],
                      .stream = load_be(ch->buf + 5, 4) & 0x7fffffff};
    channel_receive(ch, FRAME_HEAD + f.len);
    if (f.type == FRAME_RST || f.type == FRAME_GOAWAY) {
        (void)fprintf(stderr, "the server ended the stream or connection: frame %u\n", f.type);
        exit(1);
    }
    if (f.type == FRAME_SETTINGS && (f.flags & FLAG_ACK) == 0) {
        read_settings(ch, &f);
    }
    if (f.type == FRAME_HEADERS && !is_ok(ch->buf + FRAME_HEAD, f.len)) {
        (void)fprintf(stderr, "not the answer expected: no 200\n");
        exit(1);
    }
    return f;
}

static void request_h2(const struct target *t, struct channel *ch)
{
    char bytes[CHANNEL_REQUEST_MAX];
    ch->stream = ch->stream == 0 ? 1 : ch->stream + 2;
    memcpy(bytes, t->request, t->request_len);
    store_be32(bytes + 5, ch->stream);
    channel_send(ch, bytes, t->request_len);
    for (bool last = false; !last;) {
        struct frame f = channel_frame(ch);
        last = (f.type == FRAME_DATA || f.type == FRAME_HEADERS) && f.stream == ch->stream &&
               (f.flags & FLAG_END_STREAM) != 0;
        channel_consume(ch, FRAME_HEAD + f.len);
    }
}

void channel_request(const struct target *t, struct channel *ch)
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
    channel_frame_head(t->request, (size_t)n, FRAME_HEADERS, FLAG_END_HEADERS | FLAG_END_STREAM, 0);
    t->request_len = (size_t)n + FRAME_HEAD;
}

/* Preface, empty SETTINGS, a connection window no run can use up. */
static void start_h2(struct channel *ch)
{
    static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                "\0\0\0\4\0\0\0\0\0"
                                "\0\0\4\10\0\0\0\0\0\x7f\xff\0\0";
    channel_send(ch, hello, sizeof hello - 1);
}

static void handshake(const struct target *t, struct channel *ch)
{
    const unsigned char *alpn;
    unsigned alpn_len;
    ch->ssl = SSL_new(t->ctx);
    if (ch->ssl == NULL || SSL_set_fd(ch->ssl, ch->fd) != 1 ||
        SSL_set_tlsext_host_name(ch->ssl, t->host) != 1) {
        channel_die("SSL");
    }
    if (ch->session != NULL) {
        /* A copy: OpenSSL uses a ticket once, and not every server gives a new one each time. */
        SSL_SESSION *copy = SSL_SESSION_dup(ch->session);
        if (copy == NULL || SSL_set_session(ch->ssl, copy) != 1) {
            channel_die("SSL_set_session");
        }
        SSL_SESSION_free(copy);
    }
    SSL_set_app_data(ch->ssl, ch);
    if (SSL_connect(ch->ssl) != 1) {
        channel_die("handshake");
    }
    SSL_get0_alpn_selected(ch->ssl, &alpn, &alpn_len);
    if (t->h2 && (alpn_len != 2 || memcmp(alpn, "h2", 2) != 0)) {
        (void)fprintf(stderr, "the server does not speak HTTP/2\n");
        exit(1);
    }
}

void channel_open(const struct target *t, struct channel *ch)
{
    int on = t->delays ? 0 : 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(t->port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ch->ssl = NULL;
    ch->stream = 0;
    ch->have = 0;
    ch->connect_protocol = false;
    ch->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (ch->fd < 0 || setsockopt(ch->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        connect(ch->fd, (const struct sockaddr *)&at, sizeof at) != 0) {
        channel_die("connect");
    }
    if (t->tls) {
        handshake(t, ch);
    }
    if (t->h2) {
        start_h2(ch);
    }
}

void channel_close(struct channel *ch)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(ch->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    SSL_free(ch->ssl);
    ch->ssl = NULL;
    (void)close(ch->fd);
}

/* Keeps the newest ticket for the next connection of this channel: a copy, since an end without
 * close_notify spoils the connection's own. */
static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
    struct channel *ch = SSL_get_app_data(ssl);
    SSL_SESSION_free(ch->session);
    ch->session = SSL_SESSION_dup(session);
    return 0; /* the original stays OpenSSL's */
}

static void make_ctx(struct target *t)
{
    static const unsigned char h2[] = "\2h2";
    static const unsigned char h1[] = "\10http/1.1";
    t->ctx = SSL_CTX_new(TLS_client_method());
    /* No verification: the certificate was made for this run. SSL_CTX_set_alpn_protos
     * returns 0 for success. */
    if (t->ctx == NULL || SSL_CTX_set_alpn_protos(t->ctx, t->h2 ? h2 : h1,
                                                  t->h2 ? sizeof h2 - 1 : sizeof h1 - 1) != 0) {
        channel_die("SSL_CTX");
    }
    SSL_CTX_set_options(t->ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(t->ctx,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(t->ctx, on_ticket);
}

bool target_init(struct target *t, const char *proto, const char *host, const char *port)
{
    *t = (struct target){
        .tls = strcmp(proto, "plain") != 0, .h2 = strcmp(proto, "h2") == 0, .host = host};
    if (!str_to_u16(str_of(port), &t->port) || strlen(host) > 100 ||
        (t->tls && !t->h2 && strcmp(proto, "h1") != 0)) {
        return false;
    }
    if (t->tls) {
        make_ctx(t);
    }
    make_request(t);
    return true;
}

void target_fini(struct target *t)
{
    SSL_CTX_free(t->ctx);
    t->ctx = NULL;
}

double now_us(void)
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

double percentile(double *values, size_t count, double share)
{
    qsort(values, count, sizeof *values, compare);
    size_t at = (size_t)((double)count * share);
    return values[at < count ? at : count - 1];
}
