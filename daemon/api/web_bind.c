/* web_bind: see web_bind.h. Called by api.c at the start, and again while the port is in use. */
#include "daemon/api/web_bind.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"

static const char LOOPBACK[] = "127.0.0.1";

/* The address to bind for a web.host that config_rules.c has found good. */
static const char *host_of(const struct config *c)
{
    return strcmp(c->web_host, "localhost") == 0 ? LOOPBACK : c->web_host;
}

static bool is_any(const char *host)
{
    struct in6_addr v6;
    return strcmp(host, "0.0.0.0") == 0 ||
           (inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_UNSPECIFIED(&v6));
}

static int bind_one(const char *host, uint16_t port, struct err *err)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    bool is_v4 = inet_pton(AF_INET, host, &v4.sin_addr) == 1;
    if (!is_v4 && inet_pton(AF_INET6, host, &v6.sin6_addr) != 1) {
        return err_set(err, ERR_CONFIG, "web.host %.60s is not an IP address", host);
    }
    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    int off = 0; /* "::" has IPv4 too, whatever net.ipv6.bindv6only says */
    const struct sockaddr *addr =
        is_v4 ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        (!is_v4 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0) ||
        bind(fd, addr, is_v4 ? sizeof v4 : sizeof v6) < 0 || listen(fd, 128) < 0) {
        (void)err_set_sys(err, "the web listener cannot use %.60s port %u (web.host, web.port)",
                          host, (unsigned)port);
        if (fd >= 0) {
            (void)close(fd);
        }
        return -1;
    }
    return fd;
}

int web_bind(const struct config *c, int out_fds[WEB_BIND_MAX], struct err *err)
{
    const char *host = host_of(c);
    uint16_t port = (uint16_t)c->web_port;
    if (c->web_fault != NULL) {
        return err_set(err, ERR_CONFIG, "web.host %s", c->web_fault);
    }
    out_fds[0] = bind_one(host, port, err);
    if (out_fds[0] < 0) {
        return -1;
    }
    if (!c->web_is_exposed || is_any(host)) {
        return 1;
    }
    out_fds[1] = bind_one(LOOPBACK, port, err);
    if (out_fds[1] < 0) {
        (void)close(out_fds[0]);
        return -1;
    }
    return 2;
}

char *web_bind_url(const struct config *c)
{
    const char *host = is_any(c->web_host) ? LOOPBACK : c->web_host;
    bool is_v6 = strchr(host, ':') != NULL;
    return xasprintf("%s://%s%s%s:%u", config_web_scheme(c), is_v6 ? "[" : "", host,
                     is_v6 ? "]" : "", c->web_port);
}
