/* client: the measurements of scripts/bench that h2load and curl cannot make.
 *
 *     client latency PROTO HOST PORT COUNT    one connection, one request after the other
 *     client full PROTO HOST PORT COUNT       COUNT connections, a few at a time: full
 *                                             handshake, one request, close
 *     client resumed PROTO HOST PORT COUNT    the same, each with the ticket of the one before
 *     client serial PROTO HOST PORT COUNT     full ones in sequence, the request after the
 *                                             ticket: as many turns each time
 *     client first PROTO HOST PORT COUNT      full ones in sequence without TCP_NODELAY; the
 *                                             time from connect to the answer
 *     client idle PROTO HOST PORT COUNT       COUNT connections with one request each, prints
 *                                             "idle COUNT", holds them until its input ends
 *
 * Prints (but idle) "COUNT RATE P50 P90 P99 RESUMED TLS": requests and their number per second,
 * percentiles in µs, how many handshakes were resumed, the lowest TLS version met (772: TLS 1.3).
 * PROTO is plain (HTTP/1.1 without TLS), h1 or h2. It always asks for /small at 127.0.0.1:PORT
 * with HOST as the name. Anything but a 200: exit 1. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/channel.h"

enum { THREADS = 4 };

struct result {
    double *took; /* owned: µs, one a request */
    size_t count;
    double seconds;
    size_t resumed;
    int version;
};

static double *new_times(size_t count)
{
    double *took = calloc(count, sizeof *took);
    if (took == NULL) {
        channel_die("calloc");
    }
    return took;
}

static void print_result(struct result *r)
{
    double p50 = percentile(r->took, r->count, 0.5);
    double p90 = percentile(r->took, r->count, 0.9);
    double p99 = percentile(r->took, r->count, 0.99);
    (void)printf("%zu %.1f %.1f %.1f %.1f %zu %d\n", r->count, (double)r->count / r->seconds, p50,
                 p90, p99, r->resumed, r->version);
    free(r->took);
}

static void run_latency(const struct target *t, size_t count)
{
    static char buf[CHANNEL_BUFFER];
    struct channel ch = {.buf = buf};
    struct result r = {.took = new_times(count), .count = count};
    channel_open(t, &ch);
    for (size_t i = 0; i < count / 10 + 50; i++) {
        channel_request(t, &ch); /* caches, pools and tickets first */
    }
    double begin = now_us();
    for (size_t i = 0; i < count; i++) {
        double start = now_us();
        channel_request(t, &ch);
        r.took[i] = now_us() - start;
    }
    r.seconds = (now_us() - begin) / 1e6;
    r.version = ch.ssl != NULL ? SSL_version(ch.ssl) : 0;
    channel_close(&ch);
    SSL_SESSION_free(ch.session);
    print_result(&r);
}

/* What one thread of connections does, and found. */
struct shaker {
    const struct target *t;
    bool resume;
    bool serial;
    double *took; /* borrowed: a part of the result's */
    size_t count;
    size_t resumed;
    int version;
};

/* The client says goodbye and waits until the server has closed its side too. */
static void say_goodbye(struct channel *ch, bool serial)
{
    char rest[1024];
    (void)SSL_shutdown(ch->ssl);
    if (!serial) {
        (void)shutdown(ch->fd, SHUT_WR);
    }
    while (SSL_read(ch->ssl, rest, sizeof rest) > 0 || recv(ch->fd, rest, sizeof rest, 0) > 0) {
    }
}

static void *shaker_thread(void *arg)
{
    struct shaker *s = arg;
    char buf[CHANNEL_BUFFER];
    struct channel ch = {.buf = buf};
    s->version = TLS1_3_VERSION;
    if (s->resume) { /* not counted: there is no ticket yet */
        channel_open(s->t, &ch);
        channel_request(s->t, &ch);
        say_goodbye(&ch, s->serial);
        channel_close(&ch);
    }
    for (size_t i = 0; i < s->count; i++) {
        double start = now_us();
        channel_open(s->t, &ch);
        if (s->serial) {
            struct pollfd ticket = {.fd = ch.fd, .events = POLLIN};
            (void)poll(&ticket, 1, -1);
        }
        channel_request(s->t, &ch);
        s->took[i] = now_us() - start;
        s->resumed += SSL_session_reused(ch.ssl) ? 1 : 0;
        s->version = SSL_version(ch.ssl) < s->version ? SSL_version(ch.ssl) : s->version;
        say_goodbye(&ch, s->serial);
        channel_close(&ch);
        if (!s->resume) {
            SSL_SESSION_free(ch.session);
            ch.session = NULL;
        }
    }
    SSL_SESSION_free(ch.session);
    return NULL;
}

static void run_shakers(const struct target *t, size_t count, bool resume, bool serial,
                        size_t threads)
{
    pthread_t thread[THREADS];
    struct shaker shakers[THREADS];
    size_t each = count / threads;
    struct result r = {.took = new_times(count), .count = each * threads};
    double start = now_us();
    for (size_t i = 0; i < threads; i++) {
        shakers[i] = (struct shaker){t, resume, serial, r.took + i * each, each, 0, 0};
        if (pthread_create(&thread[i], NULL, shaker_thread, &shakers[i]) != 0) {
            channel_die("pthread_create");
        }
    }
    r.version = TLS1_3_VERSION;
    for (size_t i = 0; i < threads; i++) {
        (void)pthread_join(thread[i], NULL);
        r.resumed += shakers[i].resumed;
        r.version = shakers[i].version < r.version ? shakers[i].version : r.version;
    }
    r.seconds = (now_us() - start) / 1e6;
    print_result(&r);
}

static void run_idle(const struct target *t, size_t count)
{
    static char buf[CHANNEL_BUFFER];
    struct channel *channels = calloc(count, sizeof *channels);
    if (channels == NULL) {
        channel_die("calloc");
    }
    for (size_t i = 0; i < count; i++) {
        channels[i].buf = buf;
        channel_open(t, &channels[i]);
        channel_request(t, &channels[i]);
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
        SSL_SESSION_free(channels[i].session);
    }
    free(channels);
    if (gone > 0) {
        (void)fprintf(stderr, "%zu connections were closed by the server meanwhile\n", gone);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    struct target t;
    if (argc != 6 || !target_init(&t, argv[2], argv[3], argv[4])) {
        (void)fprintf(stderr, "usage: client latency|full|serial|resumed|first|idle plain|h1|h2 "
                              "HOST PORT COUNT\n");
        return 2;
    }
    size_t count = strtoul(argv[5], NULL, 10);
    const char *what = argv[1];
    (void)signal(SIGPIPE, SIG_IGN);
    if (strcmp(what, "latency") == 0 && count > 0) {
        run_latency(&t, count);
    } else if (strcmp(what, "full") == 0 && t.tls && count >= THREADS) {
        run_shakers(&t, count, false, false, THREADS);
    } else if (strcmp(what, "serial") == 0 && t.tls && count > 0) {
        run_shakers(&t, count, false, true, 1);
    } else if (strcmp(what, "resumed") == 0 && t.tls && count >= THREADS) {
        run_shakers(&t, count, true, false, THREADS);
    } else if (strcmp(what, "first") == 0 && t.tls && count > 0) {
        t.delays = true;
        run_shakers(&t, count, false, false, 1);
    } else if (strcmp(what, "idle") == 0) {
        run_idle(&t, count);
    } else {
        return 2;
    }
    target_fini(&t);
    return 0;
}
