/* ports: host ports for declared ports. Called by deployment in its step
 * "ports"; daemon thread. Binding a socket does not wait. */
#include "daemon/deploy/ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"
#include "daemon/deploy/digest.h"

static bool port_can_listen(int family, const struct sockaddr *address, socklen_t size)
{
    autoclose int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno == EAFNOSUPPORT; /* no such family here: nobody can hold it */
    }
    int on = 1;
    /* Connections in TIME_WAIT must not cost a service its port. */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    }
    if (bind(fd, address, size) < 0) {
        return errno == EADDRNOTAVAIL; /* IPv6 switched off */
    }
    return listen(fd, 1) == 0;
}

bool ports_can_bind(uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!port_can_listen(AF_INET, (struct sockaddr *)&v4, sizeof(v4))) {
        return false;
    }
    v4.sin_addr.s_addr = htonl(INADDR_ANY);
    if (!port_can_listen(AF_INET, (struct sockaddr *)&v4, sizeof(v4))) {
        return false;
    }
    v6.sin6_addr = in6addr_any;
    return port_can_listen(AF_INET6, (struct sockaddr *)&v6, sizeof(v6));
}

uint32_t ports_offset(const char *project, const struct port_binding *binding, uint32_t size)
{
    struct buf text = {0};
    buf_add(&text, project, strlen(project) + 1);
    buf_add(&text, binding->kind, strlen(binding->kind) + 1);
    buf_add(&text, binding->service, strlen(binding->service) + 1);
    buf_printf(&text, "%u", (unsigned)binding->container_port);
    uint8_t digest[DIGEST_SHA1_SIZE];
    digest_sha1(buf_str(&text), digest);
    buf_fini(&text);
    uint64_t number = 0;
    for (int i = 0; i < 6; i++) {
        number = number << 8 | digest[i];
    }
    return (uint32_t)(number % size);
}

static bool port_is_given(const struct port_binding *bindings, size_t count, uint32_t port)
{
    for (size_t i = 0; i < count; i++) {
        if (bindings[i].host_port == port) {
            return true;
        }
    }
    return false;
}

static bool port_is_free(const struct ports_request *request, uint16_t port)
{
    if (request->is_reserved != NULL && request->is_reserved(request->arg, port)) {
        return false;
    }
    return request->can_bind != NULL ? request->can_bind(request->arg, port) : ports_can_bind(port);
}

static int ports_assign_static(const struct ports_request *request, struct port_binding *bindings,
                               size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t port = bindings[i].container_port;
        for (size_t j = 0; j < i; j++) {
            if (bindings[j].container_port == port) {
                return err_set(err, ERR_CONFIG,
                               "port %u is declared by both %s and %s; with dynamic_ports: false "
                               "every port must be declared once",
                               (unsigned)port, bindings[j].service, bindings[i].service);
            }
        }
        if (!port_is_free(request, port)) {
            return err_set(
                err, ERR_FAILED,
                "port %u of service %s is in use; free it or remove dynamic_ports: false",
                (unsigned)port, bindings[i].service);
        }
        bindings[i].host_port = port;
    }
    return 0;
}

static void ports_keep_previous(const struct ports_request *request, struct port_binding *bindings,
                                size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t port = bindings[i].previous_port;
        if (port >= request->start && port <= request->end && port != 0 &&
            !port_is_given(bindings, count, port) && port_is_free(request, port)) {
            bindings[i].host_port = port;
        }
    }
}

int ports_assign(const struct ports_request *request, struct port_binding *bindings, size_t count,
                 struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        bindings[i].host_port = 0;
    }
    if (!request->dynamic) {
        return ports_assign_static(request, bindings, count, err);
    }
    CHECK(request->start <= request->end);
    uint32_t size = (uint32_t)request->end - request->start + 1;
    if (count > size) {
        return err_set(err, ERR_CONFIG,
                       "host_ports.range %u-%u has %u ports but %zu are declared; widen the range",
                       (unsigned)request->start, (unsigned)request->end, (unsigned)size, count);
    }
    ports_keep_previous(request, bindings, count);
    for (size_t i = 0; i < count; i++) {
        if (bindings[i].host_port != 0) {
            continue;
        }
        uint32_t offset = ports_offset(request->project, &bindings[i], size);
        for (uint32_t step = 0; step < size && bindings[i].host_port == 0; step++) {
            uint16_t port = (uint16_t)(request->start + (offset + step) % size);
            if (!port_is_given(bindings, count, port) && port_is_free(request, port)) {
                bindings[i].host_port = port;
            }
        }
        if (bindings[i].host_port == 0) {
            return err_set(err, ERR_FAILED,
                           "no free port left in host_ports.range %u-%u for service %s port %u",
                           (unsigned)request->start, (unsigned)request->end, bindings[i].service,
                           (unsigned)bindings[i].container_port);
        }
    }
    return 0;
}
