/* client: see client.h. */
#include "tests/faults/client.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"

enum { FRAME_HEAD = 9, HEADERS = 1, RST_STREAM = 3, GOAWAY = 7, END_STREAM = 1, END_HEADERS = 4 };

static void add(struct buf *to, const char *bytes, size_t len)
{
    buf_add(to, bytes, len);
}

static void add_frame(struct buf *to, int type, int flags, struct str payload)
{
    const char head[FRAME_HEAD] = {(char)(payload.len >> 16),
                                   (char)(payload.len >> 8),
                                   (char)payload.len,
                                   (char)type,
                                   (char)flags,
                                   0,
                                   0,
                                   0,
                                   1};
    add(to, head, sizeof head);
    add(to, payload.ptr, payload.len);
}

/* A literal that is not indexed, nor coded; both shorter than 127 bytes. */
static void add_literal(struct buf *to, struct str name, struct str value)
{
    const char name_len[2] = {0, (char)name.len};
    const char value_len[1] = {(char)value.len};
    CHECK(name.len < 127 && value.len < 127);
    add(to, name_len, 2);
    add(to, name.ptr, name.len);
    add(to, value_len, 1);
    add(to, value.ptr, value.len);
}

/* RFC 8441; it says more than a buffer holds before the answer, and ends. */
static bool is_websocket(const struct request *r)
{
    return strcmp(r->method, "CONNECT") == 0;
}

enum { EARLY_FRAMES = 6 };
static const char early[16384];

static void write_h2(struct buf *to, const struct request *r)
{
    /* Preface; SETTINGS with a window of 1 MiB; ACK; WINDOW_UPDATE of the connection. */
    static const char start[] =
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\6\4\0\0\0\0\0\0\4\0\x10\0\0\0\0\0\4\1\0\0\0\0"
        "\0\0\4\x8\0\0\0\0\0\0\x10\0\0";
    struct buf block = {0};
    struct str rest = str_of(r->fields);
    struct str line;
    add(to, start, sizeof start - 1);
    add_literal(&block, STR(":method"), str_of(r->method));
    add_literal(&block, STR(":scheme"), STR("https"));
    add_literal(&block, STR(":authority"), str_of(r->host));
    add_literal(&block, STR(":path"), str_of(r->path));
    if (is_websocket(r)) {
        add_literal(&block, STR(":protocol"), STR("websocket"));
    }
    while (str_next(&rest, '\n', &line) && line.len > 1) {
        size_t colon = str_find(line, ':');
        add_literal(&block, (struct str){line.ptr, colon},
                    (struct str){line.ptr + colon + 2, line.len - colon - 3});
    }
    add_frame(to, HEADERS, END_HEADERS | (r->body == NULL ? END_STREAM : 0), buf_str(&block));
    if (is_websocket(r)) {
        for (unsigned i = 0; i < EARLY_FRAMES; i++) {
            add_frame(to, 0, 0, (struct str){early, sizeof early});
        }
        add_frame(to, 0, END_STREAM, str_of(r->body));
    } else if (r->body != NULL) {
        add_frame(to, 0, 0, str_of(r->body));
        block.len = 0;
        add_literal(&block, STR("x-sum"), STR("1"));
        add_frame(to, HEADERS, END_HEADERS | END_STREAM, buf_str(&block));
    }
    buf_fini(&block);
}

static void write_h1(struct buf *to, const struct request *r)
{
    buf_printf(to, "%s %s HTTP/1.1\r\nHost: %s\r\n%s%s\r\n", r->method, r->path, r->host, r->fields,
               r->body == NULL ? "" : "Transfer-Encoding: chunked\r\n");
    if (r->body != NULL) {
        buf_printf(to, "%zx\r\n%s\r\n0\r\nx-sum: 1\r\n\r\n", strlen(r->body), r->body);
    }
}

void client_init(struct client *c, SSL_CTX *ctx, uint16_t port, const struct request *request)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const unsigned char *protocols = (const unsigned char *)(request->h2 ? "\2h2" : "\10http/1.1");
    *c = (struct client){.request = request};
    at.sin_port = htons(port);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(c->fd >= 0 && connect(c->fd, (const struct sockaddr *)&at, sizeof at) == 0);
    CHECK(fcntl(c->fd, F_SETFL, O_NONBLOCK) == 0);
    c->ssl = SSL_new(ctx);
    CHECK(c->ssl != NULL && SSL_set_fd(c->ssl, c->fd) == 1);
    CHECK(SSL_set_tlsext_host_name(c->ssl, request->host) == 1);
    CHECK(SSL_set_alpn_protos(c->ssl, protocols, request->h2 ? 3 : 9) == 0);
    SSL_set_connect_state(c->ssl);
    if (request->h2) {
        write_h2(&c->bytes, request);
    } else {
        write_h1(&c->bytes, request);
    }
}

void client_fini(struct client *c)
{
    const struct linger now = {.l_onoff = 1}; /* many come: none shall wait in TIME_WAIT */
    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    SSL_free(c->ssl);
    (void)close(c->fd);
    buf_fini(&c->bytes);
    buf_fini(&c->got);
}

bool client_is_shaken(const struct client *c)
{
    return SSL_is_init_finished(c->ssl) == 1;
}

static enum heard judge_h1(const struct client *c)
{
    char line[20];
    struct str got = buf_str(&c->got);
    (void)snprintf(line, sizeof line, "HTTP/1.1 %u ", c->request->status);
    if (got.len >= 13 && memcmp(got.ptr, line, strlen(line)) != 0) {
        return HEARD_END;
    }
    const char *ends = c->request->ends == NULL ? "\r\n\r\n" : c->request->ends;
    return got.len > 0 && memmem(got.ptr, got.len, ends, strlen(ends)) != NULL ? HEARD_ANSWER
                                                                               : HEARD_NOTHING;
}

static enum heard judge_h2(const struct client *c)
{
    const unsigned char *at = (const unsigned char *)c->got.ptr;
    size_t left = c->got.len;
    bool good = false;
    while (left >= FRAME_HEAD) {
        size_t len = (size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2];
        if (left < FRAME_HEAD + len) {
            break;
        }
        if (at[3] == RST_STREAM || at[3] == GOAWAY) {
            return HEARD_END;
        }
        /* The static table has both states. */
        good = good || (at[3] == HEADERS && len > 0 &&
                        at[FRAME_HEAD] == (c->request->status == 200 ? 0x88 : 0x8c));
        if (at[3] <= HEADERS && (at[4] & END_STREAM) != 0) {
            return good ? HEARD_ANSWER : HEARD_END;
        }
        at += FRAME_HEAD + len;
        left -= FRAME_HEAD + len;
    }
    return HEARD_NOTHING;
}

enum heard client_step(struct client *c)
{
    char text[16384];
    ERR_clear_error();
    if (c->sent < c->bytes.len) {
        int result = SSL_write(c->ssl, c->bytes.ptr + c->sent, (int)(c->bytes.len - c->sent));
        if (result <= 0) {
            int error = SSL_get_error(c->ssl, result);
            bool wait = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
            return wait ? HEARD_NOTHING : HEARD_END;
        }
        c->sent += (size_t)result;
    }
    int n;
    while ((n = SSL_read(c->ssl, text, sizeof text)) > 0) {
        buf_add(&c->got, text, (size_t)n);
    }
    enum heard heard = c->request->h2 ? judge_h2(c) : judge_h1(c);
    if (heard != HEARD_NOTHING) {
        return heard;
    }
    return SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ ? HEARD_NOTHING : HEARD_END;
}
