/* edge: runs the gateway alone, with routes from the command line, for
 * measurements, experiments and tests that need no daemon.
 *
 *     edge PORT WORKERS CERT KEY host=[kind:]port[,word…] …     (CERT "-": cleartext)
 *
 * Words: "secret" (opened by the secret in $WOS_EDGE_SECRET), "starting",
 * "failing", "stopped" (the route's state), "nobody" (a whitelist nobody is in).
 * Kinds: http, https (trusts the PEM file $WOS_EDGE_CA), https-insecure, h2c.
 * Waits: $WOS_EDGE_CONNECT_TIMEOUT_MS and others of struct limits, see set_limits.
 * Limits of wrong secrets: $WOS_EDGE_FREE, $WOS_EDGE_DELAY_MAX, $WOS_EDGE_PER_MINUTE.
 *
 * With $WOS_EDGE_ACCESS_LOG=FILE the access log goes there. With $WOS_EDGE_ROUTES=N
 * there are N routes: names "r<number>.wos.localhost" follow those given.
 *
 * Prints "ready <gateway pid>" whenever every worker serves the newest routes,
 * and "event <JSON>" for what the gateway reports. A logout is revoked at once,
 * as the daemon does. Lines on standard input: "secret TEXT" changes the
 * secret ("secret" alone: there is none), "key" the signing key. Ends the
 * gateway on SIGTERM or SIGINT. */
#include <errno.h>
#include <arpa/inet.h>
#include <event2/event.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/frame.h"
#include "base/json.h"
#include "gateway/link_protocol.h"
#include "routing/snapshot.h"

enum { ROUTES_MAX = 100000, REVOKED_MAX = 64, HOST_BYTES = 32 };

struct edge {
    struct loop *loop;
    struct frame_channel *link;
    pid_t gateway;
    uint64_t generation;
    uint16_t port;
    char **argv; /* CERT KEY host=port… */
    uint8_t key[SNAPSHOT_ACCESS_KEY];
    struct buf secret;
    struct buf typed; /* of a command that has not all come */
    struct event *input;
    uint64_t revoked[REVOKED_MAX];
    uint32_t revoked_count;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int listen_tcp(uint16_t port)
{
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on) != 0 ||
        bind(fd, (const struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 1024) != 0) {
        die("listen");
    }
    return fd;
}

static pid_t start_gateway(struct sockaddr_un *at)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    *at = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(at->sun_path, sizeof at->sun_path, "/tmp/wos-edge-%d.sock", (int)getpid());
    (void)unlink(at->sun_path); /* of an earlier one with this number that was killed */
    if (fd < 0 || bind(fd, (const struct sockaddr *)at, sizeof *at) != 0 || listen(fd, 4) != 0) {
        die("bind");
    }
    pid_t pid = fork();
    if (pid < 0) {
        die("fork");
    }
    if (pid == 0) {
        if (fd != LINK_FD && dup2(fd, LINK_FD) < 0) {
            die("dup2");
        }
        exit(gateway_main());
    }
    (void)close(fd);
    return pid;
}

static void on_close(void *arg, const char *reason)
{
    struct edge *e = arg;
    (void)fprintf(stderr, "gateway: %s\n", reason);
    loop_stop(e->loop);
}

static void on_signal(int signo, void *arg)
{
    struct edge *e = arg;
    (void)signo;
    loop_stop(e->loop);
}

static void send_setup(struct edge *e, uint16_t port, unsigned workers)
{
    char text[128];
    (void)snprintf(text, sizeof text, "{\"workers\":%u}", workers);
    frame_send(e->link, LINK_SETUP, str_of(text), NULL, 0);
    for (unsigned i = 0; i < workers; i++) {
        int fd = listen_tcp(port);
        (void)snprintf(text, sizeof text, "{\"worker\":%u,\"addresses\":[\"127.0.0.1:%u\"]}", i,
                       port);
        frame_send(e->link, LINK_LISTENERS, str_of(text), &fd, 1);
        (void)close(fd);
    }
}

static void send_access_log(struct edge *e)
{
    const char *path = getenv("WOS_EDGE_ACCESS_LOG");
    if (path == NULL) {
        return;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) {
        die(path);
    }
    frame_send(e->link, LINK_ACCESS_LOG, STR("{}"), &fd, 1);
    (void)close(fd);
}

static bool has_word(struct str words, struct str word)
{
    return str_list_has(words, word);
}

/* "port" or "kind:port" */
static bool set_backend(struct route *route, struct str text)
{
    size_t colon = str_find(text, ':');
    if (colon < text.len) {
        struct str kind = {text.ptr, colon};
        while (!str_eq(kind, str_of(route_backend_name((enum route_backend)route->backend)))) {
            if (route->backend++ == BACKEND_H2C) {
                return false;
            }
        }
        text = (struct str){text.ptr + colon + 1, text.len - colon - 1};
    }
    return str_to_u16(text, &route->port);
}

/* "host=[kind:]port[,word…]" */
static struct route make_route(const char *arg)
{
    struct str text = str_of(arg);
    size_t eq = str_find(text, '=');
    struct str words =
        eq == text.len ? STR_NONE : (struct str){text.ptr + eq + 1, text.len - eq - 1};
    struct str number;
    struct route route = {.host = {text.ptr, eq},
                          .owner = STR("edge"),
                          .service = STR("edge"),
                          .route_class = ROUTE_PUBLISHED};
    if (words.ptr == NULL || !str_next(&words, ',', &number) || !set_backend(&route, number)) {
        (void)fprintf(stderr, "not host=[kind:]port: %s\n", arg);
        exit(1);
    }
    if (words.ptr == NULL) {
        return route;
    }
    route.policy = has_word(words, STR("nobody")) ? 2 : has_word(words, STR("secret")) ? 1 : 0;
    route.state = has_word(words, STR("starting"))  ? ROUTE_STARTING
                  : has_word(words, STR("failing")) ? ROUTE_FAILING
                  : has_word(words, STR("stopped")) ? ROUTE_STOPPED
                                                    : ROUTE_LIVE;
    route.phase = route.state == ROUTE_STARTING ? STR("health <checks>") : STR_NONE;
    route.since_ms = (uint64_t)clock_wall_ms() - 75000;
    return route;
}

static void limit_from_env(const char *name, uint32_t *limit)
{
    const char *text = getenv(name);
    uint64_t value;
    if (text != NULL && str_to_u64(str_of(text), &value)) {
        *limit = (uint32_t)value;
    }
}

static void set_limits(struct limits *limits)
{
    limit_from_env("WOS_EDGE_CONNECT_TIMEOUT_MS", &limits->connect_timeout_ms);
    limit_from_env("WOS_EDGE_RESPONSE_TIMEOUT_MS", &limits->response_timeout_ms);
    limit_from_env("WOS_EDGE_TUNNEL_IDLE_TIMEOUT_MS", &limits->tunnel_idle_timeout_ms);
    limit_from_env("WOS_EDGE_UPSTREAM_IDLE_TIMEOUT_MS", &limits->upstream_idle_timeout_ms);
    limit_from_env("WOS_EDGE_UPSTREAM_IDLE_MAX", &limits->upstream_idle_max);
    limit_from_env("WOS_EDGE_WRITE_TIMEOUT_MS", &limits->write_timeout_ms);
    limit_from_env("WOS_EDGE_BODY_TIMEOUT_MS", &limits->body_timeout_ms);
    limit_from_env("WOS_EDGE_HEADER_BYTES_MAX", &limits->header_bytes_max);
    limit_from_env("WOS_EDGE_CONNECTIONS_MAX", &limits->connections_max);
    limit_from_env("WOS_EDGE_RESETS_MAX", &limits->resets_max);
    limit_from_env("WOS_EDGE_UPSTREAM_STREAMS_MAX", &limits->upstream_streams_max);
    limit_from_env("WOS_EDGE_INTERIMS_MAX", &limits->interims_max);
    limit_from_env("WOS_EDGE_CLOSE_TIMEOUT_MS", &limits->close_timeout_ms);
    limit_from_env("WOS_EDGE_STREAM_WINDOW", &limits->stream_window);
    limit_from_env("WOS_EDGE_CONNECTION_WINDOW", &limits->connection_window);
    limit_from_env("WOS_EDGE_LOGIN_BYTES_MAX", &limits->login_bytes_max);
}

static void fill_access(struct edge *e, struct snapshot_spec *spec)
{
    struct snapshot_access *access = &spec->access;
    memcpy(access->key, e->key, sizeof access->key);
    access->revoked = e->revoked;
    access->revoked_count = e->revoked_count;
    access->has_secret = e->secret.len > 0;
    if (access->has_secret &&
        HMAC(EVP_sha256(), e->key, sizeof e->key, (const uint8_t *)e->secret.ptr, e->secret.len,
             access->digest, NULL) == NULL) {
        exit(1);
    }
    limit_from_env("WOS_EDGE_FREE", &spec->limits.failed_secrets_free);
    limit_from_env("WOS_EDGE_DELAY_MAX", &spec->limits.failed_secrets_delay_max_ms);
    limit_from_env("WOS_EDGE_PER_MINUTE", &spec->limits.failed_secrets_per_minute);
}

/* Names nobody asks for, up to $WOS_EDGE_ROUTES. */
static uint32_t add_fillers(struct route *routes, uint32_t count)
{
    static char hosts[ROUTES_MAX][HOST_BYTES];
    uint32_t wanted = 0;
    limit_from_env("WOS_EDGE_ROUTES", &wanted);
    for (; count < wanted && count < ROUTES_MAX; count++) {
        (void)snprintf(hosts[count], HOST_BYTES, "r%u.wos.localhost", count);
        routes[count] = (struct route){.host = str_of(hosts[count]),
                                       .owner = STR("edge"),
                                       .service = STR("edge"),
                                       .route_class = ROUTE_PUBLISHED,
                                       .port = 9};
    }
    return count;
}

static void send_snapshot(struct edge *e)
{
    static struct route routes[ROUTES_MAX];
    static const struct ip_prefix nobody = {.bytes = {192, 0, 2, 1}, .family = 4, .bits = 32};
    static const struct policy policies[] = {
        {.allow_count = 0},
        {.access = POLICY_SECRET},
        {.access = POLICY_SECRET, .allow = &nobody, .allow_count = 1},
    };
    struct snapshot_spec spec = {.generation = ++e->generation,
                                 .tls_min = 2,
                                 .public_port = e->port,
                                 .domain = STR("wos.localhost"),
                                 .limits = limits_default,
                                 .routes = routes,
                                 .policies = policies,
                                 .policy_count = COUNT_OF(policies)};
    struct snapshot_cert cert;
    struct buf chain = {0};
    struct buf key = {0};
    struct buf ca = {0};
    struct buf bytes = {0};
    struct err err = {0};
    const char *ca_path = getenv("WOS_EDGE_CA");
    if (ca_path != NULL && file_read(ca_path, SNAPSHOT_PEM_MAX, &ca, &err) < 0) {
        (void)fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    spec.ca_pem = buf_str(&ca);
    set_limits(&spec.limits);
    if (strcmp(e->argv[0], "-") != 0) {
        if (file_read(e->argv[0], SNAPSHOT_PEM_MAX, &chain, &err) < 0 ||
            file_read(e->argv[1], SNAPSHOT_PEM_MAX, &key, &err) < 0) {
            (void)fprintf(stderr, "%s\n", err.msg);
            exit(1);
        }
        cert = (struct snapshot_cert){buf_str(&chain), buf_str(&key)};
        spec.tls = true;
        spec.certs = &cert;
        spec.cert_count = 1;
    }
    for (char **at = e->argv + 2; *at != NULL && spec.route_count < ROUTES_MAX; at++) {
        routes[spec.route_count++] = make_route(*at);
    }
    spec.route_count = add_fillers(routes, spec.route_count);
    fill_access(e, &spec);
    snapshot_encode(&spec, &bytes);
    frame_send(e->link, LINK_SNAPSHOT, buf_str(&bytes), NULL, 0);
    buf_fini(&bytes);
    buf_fini(&chain);
    buf_fini(&key);
    buf_fini(&ca);
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void on_gateway_event(struct edge *e, struct str payload)
{
    autojson cJSON *event = json_parse(payload, "event", NULL);
    (void)printf("event %.*s\n", STR_ARG(payload));
    if (strcmp(json_get_str(event, "event", ""), "logout") == 0 && e->revoked_count < REVOKED_MAX) {
        e->revoked[e->revoked_count++] = strtoull(json_get_str(event, "id", "0"), NULL, 16);
        qsort(e->revoked, e->revoked_count, sizeof *e->revoked, compare_ids);
        send_snapshot(e);
    }
}

static void on_frame(void *arg, uint32_t type, struct str payload, const int *fds, size_t count)
{
    struct edge *e = arg;
    (void)fds;
    (void)count;
    if (type == LINK_ACK) {
        (void)printf("ready %d\n", (int)e->gateway);
        (void)fflush(stdout);
    } else if (type == LINK_EVENT) {
        on_gateway_event(e, payload);
        (void)fflush(stdout);
    } else if (type == LINK_NACK) {
        (void)fprintf(stderr, "%.*s\n", STR_ARG(payload));
        loop_stop(e->loop);
    }
}

static void take_command(struct edge *e, struct str line)
{
    if (str_starts(line, STR("secret"))) {
        line = str_trim((struct str){line.ptr + 6, line.len - 6});
        buf_consume(&e->secret, e->secret.len);
        buf_add_str(&e->secret, line);
    } else if (str_eq(line, STR("key"))) {
        e->key[0] ^= 1;
    }
    send_snapshot(e);
}

static void on_input(evutil_socket_t fd, short what, void *arg)
{
    struct edge *e = arg;
    char text[1024];
    (void)what;
    ssize_t len = read(fd, text, sizeof text);
    if (len < 0 && (errno == EINTR || errno == EAGAIN)) {
        return;
    }
    if (len <= 0) {
        (void)event_del(e->input);
        return;
    }
    buf_add_str(&e->typed, (struct str){text, (size_t)len});
    size_t end;
    while ((end = str_find(buf_str(&e->typed), '\n')) < e->typed.len) {
        take_command(e, str_trim((struct str){e->typed.ptr, end}));
        buf_consume(&e->typed, end + 1);
    }
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        (void)fprintf(stderr, "usage: edge PORT WORKERS CERT KEY host=[kind:]port…\n");
        return 2;
    }
    static const struct frame_handler handler = {on_frame, on_close};
    const int signals[] = {SIGTERM, SIGINT};
    struct edge e = {0};
    struct err err = {0};
    struct sockaddr_un at;
    uint16_t workers;
    e.argv = argv + 3;
    if (!str_to_u16(str_of(argv[1]), &e.port) || !str_to_u16(str_of(argv[2]), &workers)) {
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    e.gateway = start_gateway(&at);
    e.loop = loop_new(&err);
    if (e.loop == NULL || loop_watch_signals(e.loop, signals, 2, on_signal, &e, &err) < 0) {
        return 1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&at, sizeof at) != 0) {
        die("connect");
    }
    e.link = frame_open(e.loop, fd, LINK_FRAME_MAX, &handler, &e);
    if (getenv("WOS_EDGE_SECRET") != NULL) {
        buf_add_text(&e.secret, getenv("WOS_EDGE_SECRET"));
    }
    if (RAND_bytes(e.key, sizeof e.key) != 1) {
        die("random bytes");
    }
    e.input = event_new(loop_base(e.loop), 0, EV_READ | EV_PERSIST, on_input, &e);
    (void)event_add(e.input, NULL); /* fails for /dev/null: no commands then */
    send_access_log(&e);
    send_setup(&e, e.port, workers);
    send_snapshot(&e);
    loop_run(e.loop);
    frame_send(e.link, LINK_SHUTDOWN, STR("{}"), NULL, 0);
    loop_turn(e.loop, false);
    frame_free(e.link);
    event_free(e.input);
    buf_fini(&e.secret);
    buf_fini(&e.typed);
    (void)waitpid(e.gateway, NULL, 0);
    (void)unlink(at.sun_path);
    loop_free(e.loop);
    return 0;
}
