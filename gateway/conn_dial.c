/* conn_dial: connections to services on this machine: 127.0.0.1, then ::1.
 * The worker's thread. */
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "gateway/conn_private.h"
#include "gateway/tls.h"

/* Options without which only time is lost. */
static void set_options(int fd)
{
    static const char congestion[] = "reno";
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    /* Loopback has no congestion. What some systems have as their default (bbr) measures it all
     * the same and paces by a timer. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, sizeof congestion - 1);
}

/* Starts a connect on a fresh socket. 0, or an errno. */
static int dial_start(struct conn *c)
{
    bool v6 = !c->try_v6;
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    set_options(fd);
    int result;
    if (v6) {
        struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(c->port)};
        to.sin6_addr = in6addr_loopback;
        result = connect(fd, (const struct sockaddr *)&to, sizeof to);
    } else {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(c->port)};
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        result = connect(fd, (const struct sockaddr *)&to, sizeof to);
    }
    if (result != 0 && errno != EINPROGRESS) {
        int error = errno;
        (void)close(fd);
        return error;
    }
    c->fd = fd;
    if (!conn_register(c)) {
        (void)close(fd);
        c->fd = -1;
        return ENOMEM;
    }
    return 0;
}

static void dial_on_failed(struct loop_call *call)
{
    struct conn *c = OWNER_OF(call, struct conn, later);
    CHECK(c->magic == CONN_MAGIC);
    conn_die(c, c->error);
}

/* The next address, or CONN_DEAD at the end of the turn with the first error:
 * what people configured is 127.0.0.1. */
static void dial_next(struct conn *c, int error)
{
    if (c->error == 0) {
        c->error = error;
    }
    if (c->try_v6 && error == ECONNREFUSED) {
        c->try_v6 = false;
        if (c->fd >= 0) {
            (void)event_del(&c->event);
            (void)close(c->fd);
            c->fd = -1;
        }
        if (dial_start(c) == 0) {
            return;
        }
    }
    if (c->later.fn == NULL) { /* else it waits already */
        loop_defer_call(c->worker->loop, &c->later, dial_on_failed);
    }
}

struct conn *conn_dial(struct worker *w, uint16_t port, SSL_CTX *tls, const struct conn_ops *ops,
                       void *owner)
{
    struct conn *c = conn_new(w, ops, owner);
    if (c == NULL) {
        return NULL;
    }
    c->port = port;
    c->try_v6 = true;
    c->state = CONN_CONNECTING;
    stat_add(&w->stats.upstream_dials, 1);
    int error = tls != NULL && !tls_attach(c, tls, false) ? ENOMEM : dial_start(c);
    if (error != 0) {
        dial_next(c, error);
    }
    return c;
}

void conn_dial_finish(struct conn *c)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
        error = errno;
    }
    if (error != 0) {
        dial_next(c, error);
        return;
    }
    c->error = 0;
    c->is_v6 = !c->try_v6;
    c->can_write = true;
    c->state = c->ssl != NULL ? CONN_HANDSHAKE : CONN_OPEN;
    conn_mark_dirty(c);
    if (c->state == CONN_OPEN) {
        c->ops->on_event(c, CONN_READY);
    }
}
