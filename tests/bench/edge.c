/* edge: runs the gateway alone, with routes from the command line, for
 * measurements and experiments that need no daemon.
 *
 *     edge PORT WORKERS CERT KEY host=port [host=port …]     (CERT "-": cleartext)
 *
 * Prints "ready <gateway pid>" once every worker serves; ends the gateway on
 * SIGTERM, SIGINT or end of standard input. */
#include <arpa/inet.h>
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

enum { ROUTES_MAX = 100000 };

struct edge {
    struct loop *loop;
    struct frame_channel *link;
    pid_t gateway;
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

static void on_frame(void *arg, uint32_t type, struct str payload, const int *fds, size_t count)
{
    struct edge *e = arg;
    (void)fds;
    (void)count;
    if (type == LINK_ACK) {
        (void)printf("ready %d\n", (int)e->gateway);
        (void)fflush(stdout);
    } else if (type == LINK_NACK) {
        (void)fprintf(stderr, "%.*s\n", STR_ARG(payload));
        loop_stop(e->loop);
    }
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

static void send_snapshot(struct edge *e, uint16_t port, char **argv)
{
    static struct route routes[ROUTES_MAX];
    static const struct policy open_policy;
    struct snapshot_spec spec = {.generation = 1,
                                 .tls_min = 2,
                                 .public_port = port,
                                 .domain = STR("wos.localhost"),
                                 .limits = limits_default,
                                 .routes = routes,
                                 .policies = &open_policy,
                                 .policy_count = 1};
    struct snapshot_cert cert;
    struct buf chain = {0};
    struct buf key = {0};
    struct buf bytes = {0};
    struct err err = {0};
    if (strcmp(argv[0], "-") != 0) {
        if (file_read(argv[0], SNAPSHOT_PEM_MAX, &chain, &err) < 0 ||
            file_read(argv[1], SNAPSHOT_PEM_MAX, &key, &err) < 0) {
            (void)fprintf(stderr, "%s\n", err.msg);
            exit(1);
        }
        cert = (struct snapshot_cert){buf_str(&chain), buf_str(&key)};
        spec.tls = true;
        spec.certs = &cert;
        spec.cert_count = 1;
    }
    for (char **at = argv + 2; *at != NULL && spec.route_count < ROUTES_MAX; at++) {
        struct str text = str_of(*at);
        size_t eq = str_find(text, '=');
        uint16_t to;
        if (eq == text.len ||
            !str_to_u16((struct str){text.ptr + eq + 1, text.len - eq - 1}, &to)) {
            (void)fprintf(stderr, "not host=port: %s\n", *at);
            exit(1);
        }
        routes[spec.route_count++] = (struct route){.host = {text.ptr, eq},
                                                    .owner = STR("edge"),
                                                    .service = STR("edge"),
                                                    .port = to,
                                                    .route_class = ROUTE_PUBLISHED};
    }
    snapshot_encode(&spec, &bytes);
    frame_send(e->link, LINK_SNAPSHOT, buf_str(&bytes), NULL, 0);
    buf_fini(&bytes);
    buf_fini(&chain);
    buf_fini(&key);
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        (void)fprintf(stderr, "usage: edge PORT WORKERS CERT KEY host=port…\n");
        return 2;
    }
    static const struct frame_handler handler = {on_frame, on_close};
    const int signals[] = {SIGTERM, SIGINT};
    struct edge e = {0};
    struct err err = {0};
    struct sockaddr_un at;
    uint16_t port;
    uint16_t workers;
    if (!str_to_u16(str_of(argv[1]), &port) || !str_to_u16(str_of(argv[2]), &workers)) {
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
    send_setup(&e, port, workers);
    send_snapshot(&e, port, argv + 3);
    loop_run(e.loop);
    frame_send(e.link, LINK_SHUTDOWN, STR("{}"), NULL, 0);
    loop_turn(e.loop, false);
    frame_free(e.link);
    (void)waitpid(e.gateway, NULL, 0);
    (void)unlink(at.sun_path);
    loop_free(e.loop);
    return 0;
}
