/* sockets: see sockets.h. Used by the supervisor on the daemon's loop; bind and listen do not
 * block. */
#include "daemon/sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "gateway/link_protocol.h"

enum { BACKLOG = 4096 }; /* the kernel cuts it to net.core.somaxconn */

void sockets_init(struct socket_set *set, size_t worker_count)
{
    CHECK(worker_count > 0 && worker_count <= SOCKETS_WORKERS_MAX);
    set->workers = xcalloc(worker_count, sizeof *set->workers);
    set->worker_count = worker_count;
}

void sockets_fini(struct socket_set *set)
{
    for (size_t w = 0; w < set->worker_count; w++) {
        for (size_t i = 0; i < set->workers[w].count; i++) {
            (void)close(set->workers[w].fds[i]);
            free(set->workers[w].addresses[i]);
        }
    }
    free(set->workers);
    *set = (struct socket_set){.is_redirect = set->is_redirect};
}

bool sockets_is_empty(const struct socket_set *set)
{
    for (size_t w = 0; w < set->worker_count; w++) {
        if (set->workers[w].count > 0) {
            return false;
        }
    }
    return true;
}

void sockets_add(struct socket_set *set, size_t worker, const char *address, int fd)
{
    CHECK(worker < set->worker_count);
    struct worker_sockets *ws = &set->workers[worker];
    CHECK(ws->count < SOCKETS_PER_WORKER_MAX);
    int on = 1; /* accepted sockets inherit it: small answers go out at once */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ws->fds[ws->count] = fd;
    ws->addresses[ws->count] = xstrdup(address);
    ws->count++;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof addr;
    if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0) {
        return 0;
    }
    if (addr.ss_family == AF_INET) {
        return ntohs(((const struct sockaddr_in *)&addr)->sin_port);
    }
    return addr.ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)&addr)->sin6_port) : 0;
}

bool sockets_have_port(const struct socket_set *set, uint16_t port)
{
    for (size_t w = 0; w < set->worker_count; w++) {
        for (size_t i = 0; i < set->workers[w].count; i++) {
            if (port_of(set->workers[w].fds[i]) != port) {
                return false;
            }
        }
    }
    return !sockets_is_empty(set);
}

/* A bound socket, or -1 with errno. */
static int bind_one(int family, uint16_t port, bool is_shared)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int on = 1;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    const struct sockaddr *addr =
        family == AF_INET ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6;
    socklen_t len = family == AF_INET ? sizeof v4 : sizeof v6;
    /* REUSEADDR: connections of an earlier run in TIME_WAIT are no obstacle; a listener is. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) ||
        (is_shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) ||
        bind(fd, addr, len) < 0) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* True when errno says that the machine has no such address family. */
static bool family_is_absent(void)
{
    return errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL || errno == EPROTONOSUPPORT;
}

static int bind_error(const struct socket_set *set, uint16_t port, struct err *err)
{
    const char *key = set->is_redirect ? "tunnel.redirectPort" : "tunnel.port";
    if (errno == EADDRINUSE) {
        return err_set(err, ERR_BUSY,
                       "port %u is in use by another program; set %s to a free one in config.json",
                       port, key);
    }
    if (errno == EACCES) {
        return err_set(err, ERR_REFUSED, "port %u needs privileges; set %s to one above 1023%s",
                       port, key,
                       set->is_redirect ? "" : " and tunnel.publicPort to what people use");
    }
    return err_set_sys(err, "cannot listen on port %u", port);
}

/* Without SO_REUSEPORT a bind fails while anybody listens there, also a program of the
 * same user that set it: it would get a share of our connections. listen() makes the kernel
 * check again. */
static int port_probe(const struct socket_set *set, uint16_t port, struct err *err)
{
    static const int families[] = {AF_INET, AF_INET6};
    for (size_t i = 0; i < COUNT_OF(families); i++) {
        int fd = bind_one(families[i], port, false);
        if (fd < 0 && families[i] == AF_INET6 && family_is_absent()) {
            continue;
        }
        int rc = fd < 0 ? -1 : listen(fd, 1);
        if (rc < 0) {
            rc = bind_error(set, port, err);
        }
        if (fd >= 0) {
            (void)close(fd);
        }
        if (rc < 0) {
            return -1;
        }
    }
    return 0;
}

static int bind_worker(struct socket_set *set, size_t worker, uint16_t port, struct err *err)
{
    static const int families[] = {AF_INET, AF_INET6};
    for (size_t i = 0; i < COUNT_OF(families); i++) {
        int fd = bind_one(families[i], port, true);
        if (fd < 0 && families[i] == AF_INET6 && family_is_absent()) {
            continue;
        }
        if (fd < 0 || listen(fd, BACKLOG) < 0) {
            int rc = bind_error(set, port, err);
            if (fd >= 0) {
                (void)close(fd);
            }
            return rc;
        }
        autofree char *address = xasprintf("%s%s:%u", set->is_redirect ? LINK_REDIRECT : "",
                                           families[i] == AF_INET ? "0.0.0.0" : "[::]", port);
        sockets_add(set, worker, address, fd);
    }
    return 0;
}

static void worker_empty(struct worker_sockets *ws)
{
    for (size_t i = 0; i < ws->count; i++) {
        (void)close(ws->fds[i]);
        free(ws->addresses[i]);
    }
    ws->count = 0;
}

int sockets_bind(struct socket_set *set, uint16_t port, struct err *err)
{
    bool was_bound[SOCKETS_WORKERS_MAX] = {false};
    bool has_any = false;
    for (size_t w = 0; w < set->worker_count; w++) {
        was_bound[w] = set->workers[w].count > 0;
        has_any = has_any || was_bound[w];
    }
    if (!has_any && port_probe(set, port, err) < 0) {
        return -1;
    }
    for (size_t w = 0; w < set->worker_count; w++) {
        if (was_bound[w] || bind_worker(set, w, port, err) == 0) {
            continue;
        }
        for (size_t undo = 0; undo <= w; undo++) {
            if (!was_bound[undo]) {
                worker_empty(&set->workers[undo]);
            }
        }
        return -1;
    }
    return 0;
}

void sockets_respread(struct socket_set *set, size_t worker_count)
{
    struct socket_set next = {.is_redirect = set->is_redirect};
    sockets_init(&next, worker_count);
    for (size_t w = 0; w < set->worker_count; w++) {
        struct worker_sockets *ws = &set->workers[w];
        for (size_t i = 0; i < ws->count; i++) {
            size_t to = w % worker_count;
            for (size_t tries = 0;
                 tries < worker_count && next.workers[to].count == SOCKETS_PER_WORKER_MAX;
                 tries++) {
                to = (to + 1) % worker_count;
            }
            if (next.workers[to].count == SOCKETS_PER_WORKER_MAX) {
                (void)close(ws->fds[i]); /* a gateway takes no more than these */
            } else {
                sockets_add(&next, to, ws->addresses[i], ws->fds[i]);
            }
            free(ws->addresses[i]);
        }
        ws->count = 0;
    }
    sockets_fini(set);
    *set = next;
}
