/* relay: the least that a proxy with TLS has to do, for scripts/bench --relay.
 *
 *     relay PORT CERT KEY SERVICE
 *
 * Ends TLS 1.3 with OpenSSL as the gateway does (certs/tlskdf.h, one ticket) and passes the plain
 * bytes on to a connection to 127.0.0.1:SERVICE, and back. It reads no HTTP and knows no name, no
 * limit, no log and no deadline: what it takes is what the kernel and the library take from
 * whatever is built on them in this way. One thread on epoll, one read per event, one send per
 * turn of a connection; connections to the service are used again. Sends block, which is safe
 * only with the clients and the service of scripts/bench.
 *
 * Listens on 127.0.0.1; ends on SIGTERM. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
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
#include "certs/tlskdf.h"

enum { BATCH = 64 * 1024, RECORD = 16384, OUT_MAX = 2 * BATCH, TICKET_MAX = 1024, EVENTS = 256 };

/* A connection to the service; epoll's data, so that `kind` comes first. */
struct service {
    enum kind { LISTENER, CLIENT, SERVICE } kind;
    int fd;
    struct client *client; /* NULL: in the pool */
    struct service *next;  /* in the pool */
    bool upgraded;         /* not to be used again */
};

struct client {
    enum kind kind;
    int fd;
    SSL *ssl;
    struct service *service; /* from the first bytes on */
    size_t held_len;         /* of a ticket that leaves with the first answer */
    char held[TICKET_MAX];
};

static struct {
    int epoll;
    uint16_t port; /* of the service */
    SSL_CTX *tls;
    struct service *pool;
    char in[BATCH]; /* from a client, for OpenSSL */
    size_t in_at;
    size_t in_len;
    char plain[BATCH + RECORD]; /* of a batch, and of the record that began in the one before */
    char out[OUT_MAX];          /* from OpenSSL, for a client */
    size_t out_len;
} relay;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* --- what OpenSSL reads and writes --------------------------------------------- */

static int bio_read(BIO *bio, char *data, int cap)
{
    size_t n = relay.in_len - relay.in_at;
    n = n < (size_t)cap ? n : (size_t)cap;
    BIO_clear_retry_flags(bio);
    if (n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(data, relay.in + relay.in_at, n);
    relay.in_at += n;
    return (int)n;
}

static int bio_write(BIO *bio, const char *data, int len)
{
    BIO_clear_retry_flags(bio);
    if (relay.out_len + (size_t)len > sizeof relay.out) {
        return -1;
    }
    memcpy(relay.out + relay.out_len, data, (size_t)len);
    relay.out_len += (size_t)len;
    return len;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void)bio;
    (void)num;
    (void)ptr;
    return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO *bio_make(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "relay");
    BIO *bio = NULL;
    if (method == NULL || BIO_meth_set_read(method, bio_read) != 1 ||
        BIO_meth_set_write(method, bio_write) != 1 || BIO_meth_set_ctrl(method, bio_ctrl) != 1 ||
        (bio = BIO_new(method)) == NULL) {
        die("BIO");
    }
    BIO_set_init(bio, 1);
    return bio;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    (void)ssl;
    (void)arg;
    return SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, ours, sizeof ours - 1,
                                 in, in_len) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void start_tls(const char *cert, const char *key)
{
    tlskdf_load();
    relay.tls = SSL_CTX_new_ex(NULL, TLSKDF_QUERY, TLS_server_method());
    if (relay.tls == NULL || SSL_CTX_use_certificate_chain_file(relay.tls, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(relay.tls, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_set_ciphersuites(relay.tls, "TLS_AES_128_GCM_SHA256") != 1 ||
        SSL_CTX_set1_groups_list(relay.tls, "X25519:P-256") != 1 ||
        SSL_CTX_set_num_tickets(relay.tls, 1) != 1) {
        die("TLS");
    }
    (void)SSL_CTX_set_mode(relay.tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    (void)SSL_CTX_set_session_cache_mode(relay.tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(relay.tls, on_alpn, NULL);
}

/* --- connections ------------------------------------------------------------------ */

static void watch(int fd, void *what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    if (epoll_ctl(relay.epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        die("epoll_ctl");
    }
}

/* False: the other side is gone. */
static bool send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return false;
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static void service_take(struct client *c)
{
    struct service *s = relay.pool;
    if (s != NULL) {
        relay.pool = s->next;
    } else {
        const int on = 1;
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(relay.port)};
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        s = calloc(1, sizeof *s);
        if (s == NULL || (s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0 ||
            setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
            setsockopt(s->fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4) != 0 ||
            connect(s->fd, (const struct sockaddr *)&to, sizeof to) != 0) {
            die("connect");
        }
        s->kind = SERVICE;
        watch(s->fd, s);
    }
    s->client = c;
    c->service = s;
}

/* Between two requests, as far as this program can know. */
static void service_give_back(struct service *s)
{
    s->client = NULL;
    if (s->upgraded) {
        (void)shutdown(s->fd, SHUT_RDWR); /* its own event closes it */
        return;
    }
    s->next = relay.pool;
    relay.pool = s;
}

static void client_close(struct client *c)
{
    if (c->service != NULL) {
        service_give_back(c->service);
    }
    SSL_free(c->ssl);
    (void)close(c->fd);
    free(c);
}

/* What OpenSSL wrote; `waits`: an answer follows, which a ticket can leave with. */
static bool client_flush(struct client *c, bool waits)
{
    size_t len = relay.out_len;
    relay.out_len = 0;
    if (waits && len <= sizeof c->held) {
        memcpy(c->held, relay.out, len);
        c->held_len = len;
        return true;
    }
    return len == 0 || send_all(c->fd, relay.out, len);
}

static void accept_client(int listening)
{
    int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    static BIO *bio;
    bio = bio == NULL ? bio_make() : bio;
    struct client *c = calloc(1, sizeof *c);
    if (c == NULL || (c->ssl = SSL_new(relay.tls)) == NULL || BIO_up_ref(bio) != 1) {
        die("memory");
    }
    c->kind = CLIENT;
    c->fd = fd;
    SSL_set_bio(c->ssl, bio, bio);
    SSL_set_accept_state(c->ssl);
    watch(fd, c);
    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): epoll has it
}

/* Decrypts all that came. 0 or more plain bytes; -1: the client has ended. */
static ssize_t decrypt(struct client *c)
{
    size_t got = 0;
    while (got < sizeof relay.plain) {
        int n = SSL_read(c->ssl, relay.plain + got, (int)(sizeof relay.plain - got));
        if (n <= 0) {
            return got == 0 && SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ ? -1 : (ssize_t)got;
        }
        got += (size_t)n;
        if (relay.in_at == relay.in_len && SSL_has_pending(c->ssl) == 0) {
            break;
        }
    }
    return (ssize_t)got;
}

static void client_ready(struct client *c)
{
    ssize_t n = recv(c->fd, relay.in, sizeof relay.in, MSG_DONTWAIT);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            client_close(c);
        }
        return;
    }
    relay.in_at = 0;
    relay.in_len = (size_t)n;
    relay.out_len = 0;
    if (!SSL_is_init_finished(c->ssl)) {
        int done = SSL_do_handshake(c->ssl);
        bool goes_on = done == 1 || SSL_get_error(c->ssl, done) == SSL_ERROR_WANT_READ;
        if (done != 1 && (!client_flush(c, false) || !goes_on)) {
            client_close(c);
            return;
        }
        if (done != 1) {
            return;
        }
    }
    ssize_t plain = decrypt(c);
    if (plain < 0) {
        (void)SSL_shutdown(c->ssl);
        (void)client_flush(c, false);
        client_close(c);
        return;
    }
    if (plain > 0 && c->service == NULL) {
        service_take(c);
    }
    if (!client_flush(c, plain > 0) ||
        (plain > 0 && !send_all(c->service->fd, relay.plain, (size_t)plain))) {
        client_close(c);
    }
}

static void service_ready(struct service *s)
{
    ssize_t n = recv(s->fd, relay.plain, BATCH, MSG_DONTWAIT);
    struct client *c = s->client;
    if (n <= 0 && s->upgraded && c == NULL) {
        (void)close(s->fd);
        free(s);
        return;
    }
    if (n <= 0) {
        die("the service");
    }
    if (c == NULL) {
        return; /* the client did not wait for it */
    }
    s->upgraded = s->upgraded || (n > 12 && memcmp(relay.plain, "HTTP/1.1 101", 12) == 0);
    memcpy(relay.out, c->held, c->held_len);
    relay.out_len = c->held_len;
    c->held_len = 0;
    for (size_t at = 0; at < (size_t)n; at += RECORD) {
        size_t len = (size_t)n - at < RECORD ? (size_t)n - at : RECORD;
        if (SSL_write(c->ssl, relay.plain + at, (int)len) <= 0) {
            die("SSL_write");
        }
    }
    (void)client_flush(c, false); /* where it is gone its own event says so */
}

static int listen_on(uint16_t port)
{
    const int on = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 || /* accepted ones have it */
        bind(fd, (const struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 4096) != 0) {
        die("listen");
    }
    return fd;
}

int main(int argc, char **argv)
{
    uint64_t port;
    uint64_t service;
    if (argc != 5 || !str_to_u64(str_of(argv[1]), &port) || port > UINT16_MAX ||
        !str_to_u64(str_of(argv[4]), &service) || service > UINT16_MAX) {
        (void)fprintf(stderr, "usage: relay PORT CERT KEY SERVICE\n");
        return 2;
    }
    struct service listener = {.kind = LISTENER, .fd = listen_on((uint16_t)port)};
    start_tls(argv[2], argv[3]);
    relay.port = (uint16_t)service;
    relay.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (relay.epoll < 0) {
        die("epoll_create1");
    }
    watch(listener.fd, &listener);
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(relay.epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            const enum kind *kind = events[i].data.ptr;
            if (*kind == LISTENER) {
                accept_client(listener.fd);
            } else if (*kind == CLIENT) {
                client_ready(events[i].data.ptr);
            } else {
                service_ready(events[i].data.ptr);
            }
        }
    }
}
