/* serve: a worker with a listener, TLS and routes; a client and services in the same thread, which
 * are never failed. Whatever fails, the client hears an answer or an end, and the worker serves the
 * next one. See scenario.h. */
#include <openssl/hmac.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "certs/certset.h"
#include "certs/issue.h"
#include "gateway/access_log.h"
#include "gateway/cookie.h"
#include "gateway/gateway.h"
#include "gateway/limit.h"
#include "gateway/route_stats.h"
#include "gateway/seen.h"
#include "gateway/stats.h"
#include "gateway/throttle.h"
#include "gateway/tls.h"
#include "gateway/worker.h"
#include "tests/faults/client.h"
#include "tests/faults/inject.h"
#include "tests/faults/scenario.h"
#include "tests/faults/service.h"

enum { PATIENCE_MS = 4000, TIMEOUT_MS = 250, EAGER_STEPS = 50 };

#define TEN(x) x x x x x x x x x x
#define MANY_FIELDS TEN(TEN("x-filler: 0123456789012345678901234567890123456789\r\n"))
#define UPGRADE                                                                                    \
    "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"                   \
    "sec-websocket-key: MDEyMzQ1Njc4OTAxMjM0NQ==\r\n"
#define COOKIES "cookie: a=b; __Host-wos-access=x; c=d\r\n"
#define SECRET "a secret of the test"
#define OWN_ORIGIN "origin: https://s.d.test\r\n"
#define FORM "content-type: application/x-www-form-urlencoded\r\norigin: https://s.d.test\r\n"
#define PROXIED                                                                                    \
    "forwarded: for=\"[2001:db8::1]\";proto=https, for=\"127.0.0.9:4711\";host=\"a.d.test\"\r\n"

static char with_login[160]; /* OWN_ORIGIN and a cookie that counts */
static char websocket_with_login[400];

static const struct request requests[SERVE_KINDS] = {
    {"h1", false, false, 200, "GET", "a.d.test", "/", "", NULL, NULL},
    {"h2", true, false, 200, "GET", "a.d.test", "/", "", NULL, NULL},
    {"h1, absolute, proxied", false, true, 200, "GET", "a.d.test", "https://a.d.test?q", PROXIED,
     NULL, NULL},
    {"h1, body", false, true, 200, "POST", "a.d.test", "/", "", "body", NULL},
    {"h2, body", true, true, 200, "POST", "a.d.test", "/", "", "body", NULL},
    {"h1 to h2c", false, true, 200, "POST", "c.d.test", "/", COOKIES, "body", "\r\n0\r\nt: v\r\n"},
    {"h2 to h2c", true, true, 200, "POST", "c.d.test", "/", PROXIED, "body", NULL},
    {"h1, large answer", false, true, 200, "GET", "a.d.test", "/big", "", NULL,
     "\r\n0\r\nx-end: yes\r\n"},
    {"h2, large answer", true, true, 200, "GET", "a.d.test", "/big", "", NULL, NULL},
    {"h1, login page", false, true, 401, "GET", "s.d.test", "/", "accept: text/html\r\n", NULL,
     "</html>"},
    {"h2, login form", true, true, 400, "POST", "s.d.test", "/.wos/login", FORM, "next=%2Fa", NULL},
    {"h1, no route", false, true, 404, "GET", "x.d.test", "/", "accept: application/json\r\n", NULL,
     NULL},
    {"h1, websocket", false, true, 101, "GET", "a.d.test", "/", UPGRADE, NULL, NULL},
    {"h2, many fields", true, true, 200, "GET", "a.d.test", "/", MANY_FIELDS COOKIES, NULL, NULL},
    {"h2, websocket", true, true, 200, "CONNECT", "a.d.test", "/", "", "early", NULL},
    {"h2, websocket to h2c", true, true, 200, "CONNECT", "w.d.test", "/", "", "early", NULL},
    {"h1, secret", false, true, 200, "GET", "s.d.test", "/", "x-wos-secret: " SECRET "\r\n", NULL,
     NULL},
    {"h1, login", false, true, 303, "POST", "s.d.test", "/.wos/login", FORM,
     "secret=a+secret+of+the+test", NULL},
    {"h1, login cookie", false, true, 200, "GET", "s.d.test", "/", with_login, NULL, NULL},
    {"h2, login cookie", true, true, 200, "GET", "s.d.test", "/", with_login, NULL, NULL},
    {"h1, websocket, login cookie", false, true, 101, "GET", "s.d.test", "/", websocket_with_login,
     NULL, NULL},
};

static const struct request plain = {"next",     false, false, 200,  "GET",
                                     "a.d.test", "/",   "",    NULL, NULL};

const char *serve_name(unsigned which)
{
    return requests[which].name;
}

struct serve {
    struct limit *limit;
    struct access_log *log;
    struct worker *worker;
    uint16_t port;
    int listener;
    struct service h1;
    struct service h2c;
    struct service websocket;
    struct gateway gateway; /* the mailbox for what people shall hear of; read at the end */
};

static struct buf chain;
static struct buf key;
static struct snapshot_access opened_by;
static struct certset *certs;
static struct tlsctx *tlsctx;
static SSL_CTX *client_ctx;

static void prepare_access(void)
{
    struct cookie cookie = {.id = 4711, .issued_s = (uint64_t)time(NULL)};
    char value[COOKIE_TEXT + 1];
    unsigned len;
    cookie.expires_s = cookie.issued_s + COOKIE_SECONDS;
    opened_by.has_secret = true;
    CHECK(HMAC(EVP_sha256(), opened_by.key, sizeof opened_by.key, (const uint8_t *)SECRET,
               sizeof SECRET - 1, opened_by.digest, &len) != NULL);
    CHECK(cookie_make(&opened_by, STR("s.d.test"), &cookie, value));
    (void)snprintf(with_login, sizeof with_login, OWN_ORIGIN "cookie: __Host-wos-access=%s\r\n",
                   value);
    (void)snprintf(websocket_with_login, sizeof websocket_with_login, UPGRADE "%s", with_login);
}

void serve_prepare(void)
{
    struct err err = {0};
    prepare_access();
    CHECK(issue_self_signed("d.test", 1800000000, &chain, &key, &err) == 0);
    const struct certset_pair pair = {buf_str(&chain), buf_str(&key)};
    certs = certset_new(&pair, 1, NULL, &err);
    tlsctx = tlsctx_new(tls_find_context, &err);
    client_ctx = SSL_CTX_new(TLS_client_method());
    CHECK(certs != NULL && tlsctx != NULL && client_ctx != NULL);
}

/* With `limited` routes that are rated. */
static void encode_snapshot(const struct serve *s, uint64_t generation, bool limited,
                            struct buf *out)
{
    static const struct ip_prefix loopback = {.bytes = {127}, .family = 4, .bits = 8};
    const uint32_t rate = limited ? 1000 : 0;
    const struct policy policies[] = {
        {.access = POLICY_PUBLIC, .rate_per_second = rate, .rate_burst = rate},
        {.access = POLICY_SECRET}};
    const struct route routes[] = {
        {.host = STR("a.d.test"), .owner = STR("s"), .service = STR("web"), .port = s->h1.port},
        {.host = STR("c.d.test"),
         .owner = STR("s"),
         .service = STR("rpc"),
         .port = s->h2c.port,
         .backend = BACKEND_H2C},
        {.host = STR("s.d.test"),
         .owner = STR("s"),
         .service = STR("sec"),
         .port = s->h1.port,
         .policy = 1},
        {.host = STR("w.d.test"),
         .owner = STR("s"),
         .service = STR("ws"),
         .port = s->websocket.port,
         .backend = BACKEND_H2C},
    };
    const struct snapshot_cert cert = {buf_str(&chain), buf_str(&key)};
    struct snapshot_spec spec = {
        .generation = generation,
        .public_port = 443,
        .domain = {"d.test", 6},
        .tls = true,
        .tls_min = 2,
        .hsts_seconds = 1,
        .limits = limits_default,
        .access = opened_by,
        .trusted_proxies = {&loopback, 1},
        .policies = policies,
        .policy_count = COUNT_OF(policies),
        .certs = &cert,
        .cert_count = 1,
        .routes = routes,
        .route_count = COUNT_OF(routes),
    };
    spec.limits.handshake_timeout_ms = TIMEOUT_MS;
    spec.limits.header_timeout_ms = TIMEOUT_MS;
    spec.limits.body_timeout_ms = TIMEOUT_MS;
    spec.limits.idle_timeout_ms = TIMEOUT_MS;
    spec.limits.response_timeout_ms = TIMEOUT_MS;
    spec.limits.connect_timeout_ms = TIMEOUT_MS;
    spec.limits.tunnel_idle_timeout_ms = TIMEOUT_MS;
    spec.limits.write_timeout_ms = TIMEOUT_MS;
    snapshot_encode(&spec, out);
}

static struct snapshot *make_snapshot(const struct serve *s)
{
    struct err err = {0};
    struct buf bytes = {0};
    encode_snapshot(s, 1, false, &bytes);
    struct snapshot *snapshot = snapshot_decode(buf_str(&bytes), &err);
    CHECK(snapshot != NULL);
    buf_fini(&bytes);
    return snapshot;
}

static void on_log(void *arg)
{
    (void)arg;
}

static void serve_init(struct serve *s)
{
    struct err err = {0};
    service_init(&s->h1, SERVICE_H1);
    service_init(&s->h2c, SERVICE_H2C);
    service_init(&s->websocket, SERVICE_H2C_WEBSOCKET);
    s->gateway = (struct gateway){.magic = GATEWAY_MAGIC, .loop = loop_new(&err)};
    s->gateway.mail = mail_new(s->gateway.loop, &err);
    s->limit = limit_new(1024);
    s->log = access_log_new(on_log, NULL);
    access_log_enable(s->log, true);
    s->worker = worker_new(0, tlsctx, s->limit, &err);
    CHECK(s->worker != NULL);
    s->worker->access = s->log;
    s->worker->gateway = &s->gateway;
    s->worker->throttle = throttle_new();
    s->gateway.snapshot = make_snapshot(s);
    worker_set_view(s->worker, view_new(s->gateway.snapshot, certs, NULL, NULL));
    s->listener = service_listen(&s->port);
    worker_add_listener(s->worker, s->listener, false);
}

static void serve_fini(struct serve *s)
{
    throttle_free(s->worker->throttle);
    worker_free(s->worker);
    snapshot_unref(s->gateway.snapshot);
    mail_free(s->gateway.mail);
    seen_free(s->gateway.seen);
    loop_free(s->gateway.loop);
    (void)close(s->listener);
    access_log_free(s->log);
    limit_free(s->limit);
    service_fini(&s->h1);
    service_fini(&s->h2c);
    service_fini(&s->websocket);
}

/* Paused; failures happen in the worker's turns alone. */
static enum heard ask(struct serve *s, const struct request *request)
{
    struct client client;
    enum heard heard = HEARD_NOTHING;
    unsigned steps = 0;
    client_init(&client, client_ctx, s->port, request);
    uint64_t end = clock_now_ms() + PATIENCE_MS;
    while (heard == HEARD_NOTHING && clock_now_ms() < end) {
        bool counts = !request->late || client_is_shaken(&client);
        if (counts) {
            inject_resume();
        }
        loop_turn(s->worker->loop, false);
        if (counts) {
            inject_pause();
        }
        service_step(&s->h1);
        service_step(&s->h2c);
        service_step(&s->websocket);
        heard = client_step(&client);
        if (heard == HEARD_NOTHING && ++steps > EAGER_STEPS) {
            struct pollfd wait = {.fd = client.fd, .events = POLLIN};
            (void)poll(&wait, 1, 1);
        }
    }
    client_fini(&client);
    return heard;
}

enum scenario_end run_serve(unsigned which)
{
    static struct serve s;
    enum scenario_end end = SCENARIO_DONE;
    inject_pause();
    serve_init(&s);
    enum heard heard = ask(&s, &requests[which]);
    if (heard == HEARD_NOTHING) {
        (void)fprintf(stderr, "the client heard nothing\n");
        end = SCENARIO_WRONG;
    } else if (heard == HEARD_END) {
        end = inject_happened() ? SCENARIO_REFUSED : SCENARIO_WRONG;
    }
    inject_relent();
    if (ask(&s, &plain) != HEARD_ANSWER) {
        (void)fprintf(stderr, "the next client got no answer\n");
        end = SCENARIO_WRONG;
    }
    serve_fini(&s);
    inject_resume();
    return end;
}

/* --- the main thread ------------------------------------------------------------- */

/* The daemon's end of the link: the last it heard. */
static struct daemon_end {
    struct loop *loop; /* its own, as nothing fails there */
    struct frame_channel *channel;
    uint32_t type;
    char text[65536];
} heard_there;

static void daemon_on_frame(void *arg, uint32_t type, struct str payload, const int *fds,
                            size_t fd_count)
{
    (void)arg;
    (void)fds;
    CHECK(fd_count == 0 && payload.len < sizeof heard_there.text);
    heard_there.type = type;
    *str_put(heard_there.text, payload) = '\0';
}

static void on_link_closed(void *arg, const char *reason)
{
    (void)arg;
    (void)reason;
}

static void link_up(struct serve *s)
{
    static const struct frame_handler handler = {daemon_on_frame, on_link_closed};
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    struct gateway *g = &s->gateway;
    g->link = frame_open(g->loop, ends[0], LINK_FRAME_MAX, &handler, NULL);
    heard_there.loop = loop_new(NULL);
    heard_there.channel = frame_open(heard_there.loop, ends[1], LINK_FRAME_MAX, &handler, NULL);
    g->workers[0] = s->worker;
    g->worker_count = 1;
    g->access_logs[0] = s->log;
    g->limit = s->limit;
    g->tlsctx = tlsctx;
    g->certs = certset_ref(certs);
}

/* What is told by mail there and back, and then to the daemon. */
static void turn_both(struct serve *s)
{
    for (int i = 0; i < 3; i++) {
        loop_turn(s->worker->loop, false);
        loop_turn(s->gateway.loop, false);
    }
    inject_pause();
    loop_turn(heard_there.loop, false);
    inject_resume();
}

static void link_down(struct serve *s)
{
    frame_free(s->gateway.link);
    frame_free(heard_there.channel);
    loop_free(heard_there.loop);
    certset_unref(s->gateway.certs);
    quota_set_unref(s->gateway.quotas);
    route_stats_free(s->gateway.routes);
}

/* The daemon asks what was counted: an answer, or none and the next one has it all. */
static enum scenario_end ask_stats(struct serve *s)
{
    enum scenario_end end = SCENARIO_DONE;
    heard_there.type = 0;
    inject_resume();
    stats_collect(&s->gateway, true);
    turn_both(s);
    inject_pause();
    inject_relent();
    if (heard_there.type != LINK_STATS) {
        end = inject_happened() ? SCENARIO_REFUSED : SCENARIO_WRONG;
    }
    CHECK(ask(s, &plain) == HEARD_ANSWER);
    stats_collect(&s->gateway, true);
    turn_both(s);
    if (heard_there.type != LINK_STATS ||
        strstr(heard_there.text, "\"host\":\"a.d.test\",\"worktree\":\"\",\"service\":\"web\","
                                 "\"requests\":2,") == NULL) {
        (void)fprintf(stderr, "counts were lost: %s\n", heard_there.text);
        end = SCENARIO_WRONG;
    }
    return end;
}

/* The daemon publishes: ACK or NACK, and after that one the same again. */
static enum scenario_end publish(struct serve *s)
{
    enum scenario_end end = SCENARIO_DONE;
    struct buf bytes = {0};
    encode_snapshot(s, 2, true, &bytes);
    heard_there.type = 0;
    inject_resume();
    gateway_publish(&s->gateway, buf_str(&bytes));
    turn_both(s);
    inject_pause();
    inject_relent();
    if (heard_there.type != LINK_ACK) {
        end =
            heard_there.type == LINK_NACK && inject_happened() ? SCENARIO_REFUSED : SCENARIO_WRONG;
        CHECK(ask(s, &plain) == HEARD_ANSWER); /* the old one is served */
        gateway_publish(&s->gateway, buf_str(&bytes));
        turn_both(s);
    }
    if (heard_there.type != LINK_ACK || s->worker->view->snapshot->spec.generation != 2) {
        (void)fprintf(stderr, "not published: %s\n", heard_there.text);
        end = SCENARIO_WRONG;
    }
    buf_fini(&bytes);
    return end;
}

enum scenario_end run_tend(unsigned which)
{
    static struct serve s;
    inject_pause();
    serve_init(&s);
    link_up(&s);
    inject_pause(); /* nothing fails for this one */
    CHECK(ask(&s, &plain) == HEARD_ANSWER);
    inject_resume();
    enum scenario_end end = which == 0 ? ask_stats(&s) : publish(&s);
    if (ask(&s, &plain) != HEARD_ANSWER) {
        (void)fprintf(stderr, "the next client got no answer\n");
        end = SCENARIO_WRONG;
    }
    link_down(&s);
    serve_fini(&s);
    inject_resume();
    return end;
}
