/* serve: a worker with a listener, TLS and one route; a client and a service in the same thread,
 * which are never failed. Whatever fails once, the worker serves the next client. See scenario.h.
 */
#include <errno.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "certs/certset.h"
#include "certs/issue.h"
#include "gateway/limit.h"
#include "gateway/tls.h"
#include "gateway/worker.h"
#include "tests/faults/inject.h"
#include "tests/faults/scenario.h"

enum { PATIENCE_MS = 4000, TIMEOUT_MS = 250 };

enum heard { HEARD_ANSWER, HEARD_END, HEARD_NOTHING };

struct serve {
    struct tlsctx *tlsctx;
    struct certset *certs;
    struct limit *limit;
    struct worker *worker;
    uint16_t port;
    int service;      /* listening */
    int service_conn; /* -1: none */
    SSL_CTX *client;
};

static struct buf chain;
static struct buf key;

/* Preface, SETTINGS, and GET https://a.d.test/ as HEADERS of stream 1. */
static const char h2_request[] =
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0\0\0\x0d\1\5\0\0\0\1\x82\x87\x84\x41\x08"
    "a.d.test";
static const char h1_request[] = "GET / HTTP/1.1\r\nHost: a.d.test\r\n\r\n";

void serve_prepare(void)
{
    struct err err = {0};
    CHECK(issue_self_signed("d.test", 1800000000, &chain, &key, &err) == 0);
}

static int listen_any(uint16_t *out_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (const struct sockaddr *)&at, len) == 0 && listen(fd, 16) == 0 &&
          getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    *out_port = ntohs(at.sin_port);
    return fd;
}

static struct snapshot *make_snapshot(uint16_t service_port, struct err *err)
{
    static const struct policy policy;
    const struct route route = {
        .host = STR("a.d.test"), .owner = STR("s"), .service = STR("web"), .port = service_port};
    const struct snapshot_cert cert = {buf_str(&chain), buf_str(&key)};
    struct snapshot_spec spec = {
        .generation = 1,
        .public_port = 443,
        .domain = {"d.test", 6},
        .tls = true,
        .tls_min = 2,
        .limits = limits_default,
        .policies = &policy,
        .policy_count = 1,
        .certs = &cert,
        .cert_count = 1,
        .routes = &route,
        .route_count = 1,
    };
    spec.limits.handshake_timeout_ms = TIMEOUT_MS;
    spec.limits.header_timeout_ms = TIMEOUT_MS;
    spec.limits.idle_timeout_ms = TIMEOUT_MS;
    spec.limits.response_timeout_ms = TIMEOUT_MS;
    spec.limits.connect_timeout_ms = TIMEOUT_MS;
    struct buf bytes = {0};
    snapshot_encode(&spec, &bytes);
    struct snapshot *snapshot = snapshot_decode(buf_str(&bytes), err);
    buf_fini(&bytes);
    return snapshot;
}

static void serve_fini(struct serve *s)
{
    worker_free(s->worker);
    certset_unref(s->certs);
    tlsctx_free(s->tlsctx);
    limit_free(s->limit);
    inject_pause();
    SSL_CTX_free(s->client);
    inject_resume();
}

static int serve_init(struct serve *s, struct err *err)
{
    uint16_t service_port;
    *s = (struct serve){.service_conn = -1};
    inject_pause();
    s->service = listen_any(&service_port);
    int fd = listen_any(&s->port);
    s->client = SSL_CTX_new(TLS_client_method());
    CHECK(s->client != NULL);
    inject_resume();
    const struct certset_pair pair = {buf_str(&chain), buf_str(&key)};
    struct snapshot *snapshot = make_snapshot(service_port, err);
    if (snapshot == NULL) {
        return -1;
    }
    s->certs = certset_new(&pair, 1, NULL, err);
    s->tlsctx = s->certs == NULL ? NULL : tlsctx_new(tls_find_context, err);
    if (s->tlsctx == NULL) {
        snapshot_unref(snapshot);
        return -1;
    }
    s->limit = limit_new(1024);
    s->worker = worker_new(0, s->tlsctx, s->limit, err);
    if (s->worker == NULL) {
        snapshot_unref(snapshot);
        return -1;
    }
    worker_set_view(s->worker, view_new(snapshot, certset_ref(s->certs), NULL, NULL));
    worker_add_listener(s->worker, fd, false);
    return 0;
}

/* The service: answers each request that is there, as far as it is there. */
static void service_step(struct serve *s)
{
    char text[4096];
    int fd = (int)syscall(SYS_accept4, s->service, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        if (s->service_conn >= 0) {
            (void)close(s->service_conn);
        }
        s->service_conn = fd;
    }
    ssize_t n = s->service_conn < 0 ? -1 : recv(s->service_conn, text, sizeof text, 0);
    if (n == 0) {
        (void)close(s->service_conn);
        s->service_conn = -1;
    } else if (n > 0) {
        static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        (void)send(s->service_conn, answer, sizeof answer - 1, MSG_NOSIGNAL);
    }
}

static bool is_answer(const char *bytes, size_t len, bool h2)
{
    return h2 ? memchr(bytes, 0x88, len) != NULL && memmem(bytes, len, "ok", 2) != NULL
              : memmem(bytes, len, "200 OK", 6) != NULL;
}

/* One step of the client. HEARD_NOTHING: not yet. */
static enum heard client_step(SSL *ssl, bool h2, bool *sent)
{
    char text[16384];
    if (!*sent) {
        const char *request = h2 ? h2_request : h1_request;
        int len = (int)(h2 ? sizeof h2_request - 1 : sizeof h1_request - 1);
        int result = SSL_write(ssl, request, len);
        if (result <= 0) {
            int error = SSL_get_error(ssl, result);
            bool wait = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
            return wait ? HEARD_NOTHING : HEARD_END;
        }
        *sent = true;
    }
    int n = SSL_read(ssl, text, sizeof text);
    if (n > 0) {
        return is_answer(text, (size_t)n, h2)                             ? HEARD_ANSWER
               : !h2 && memmem(text, (size_t)n, "HTTP/1.1 5", 10) != NULL ? HEARD_END
                                                                          : HEARD_NOTHING;
    }
    return SSL_get_error(ssl, n) == SSL_ERROR_WANT_READ ? HEARD_NOTHING : HEARD_END;
}

static SSL *client_new(const struct serve *s, bool h2, int *out_fd)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    at.sin_port = htons(s->port);
    *out_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(*out_fd >= 0 && connect(*out_fd, (const struct sockaddr *)&at, sizeof at) == 0);
    CHECK(fcntl(*out_fd, F_SETFL, O_NONBLOCK) == 0);
    SSL *ssl = SSL_new(s->client);
    CHECK(ssl != NULL && SSL_set_fd(ssl, *out_fd) == 1);
    CHECK(SSL_set_tlsext_host_name(ssl, "a.d.test") == 1);
    const unsigned char *protocols = (const unsigned char *)(h2 ? "\2h2" : "\10http/1.1");
    CHECK(SSL_set_alpn_protos(ssl, protocols, h2 ? 3 : 9) == 0);
    SSL_set_connect_state(ssl);
    return ssl;
}

static enum heard ask(struct serve *s, bool h2)
{
    int fd;
    bool sent = false;
    enum heard heard = HEARD_NOTHING;
    inject_pause();
    SSL *ssl = client_new(s, h2, &fd);
    uint64_t end = clock_now_ms() + PATIENCE_MS;
    while (heard == HEARD_NOTHING && clock_now_ms() < end) {
        inject_resume();
        loop_turn(s->worker->loop, false);
        inject_pause();
        service_step(s);
        heard = client_step(ssl, h2, &sent);
        if (heard == HEARD_NOTHING) {
            struct pollfd wait = {.fd = fd, .events = POLLIN};
            (void)poll(&wait, 1, 1);
        }
    }
    SSL_free(ssl);
    (void)close(fd);
    inject_resume();
    return heard;
}

enum scenario_end run_serve(void)
{
    struct err err = {0};
    struct serve s;
    enum scenario_end end = SCENARIO_DONE;
    inject_pause(); /* what starts a gateway may end it; the parsers' scenarios have what can fail
                       of it */
    int rc = serve_init(&s, &err);
    inject_resume();
    if (rc < 0) {
        (void)fprintf(stderr, "%s\n", err.msg);
        return SCENARIO_WRONG;
    }
    for (int round = 0; round < 4; round++) {
        bool h2 = round % 2 == 1;
        bool before = inject_happened();
        enum heard heard = ask(&s, h2);
        if (heard == HEARD_NOTHING) {
            (void)fprintf(stderr, "a client heard nothing (%s)\n", h2 ? "h2" : "h1");
            end = SCENARIO_WRONG;
        } else if (heard == HEARD_END && (before || !inject_happened())) {
            (void)fprintf(stderr, "nothing failed, and a client was refused\n");
            end = SCENARIO_WRONG;
        } else if (heard == HEARD_END && end == SCENARIO_DONE) {
            end = SCENARIO_REFUSED;
        }
    }
    inject_pause();
    serve_fini(&s);
    inject_resume();
    return end;
}
