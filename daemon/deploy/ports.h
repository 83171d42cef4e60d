/* ports: which host port each declared port gets.
 *
 * Dynamic: first the port it had before, if still free and in range; then the
 * first free one from an offset that depends only on project, kind, service
 * and port, so that a worktree gets the same ports again and again. Static:
 * the declared port or an error. "Free" means: nobody listens on it on
 * 127.0.0.1, 0.0.0.0 or ::, and the caller has not reserved it for another session.
 */
#ifndef WOS_DAEMON_DEPLOY_PORTS_H
#define WOS_DAEMON_DEPLOY_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct port_binding {
    const char *kind; /* "app" or "deps" */
    const char *service;
    uint16_t container_port;
    uint16_t previous_port; /* 0: none */
    uint16_t host_port;     /* set by ports_assign */
};

struct ports_request {
    const char *project;
    uint16_t start, end; /* inclusive */
    bool dynamic;
    /* For another session; NULL: none is. */
    bool (*is_reserved)(void *arg, uint16_t port);
    /* NULL: ports_can_bind. */
    bool (*can_bind)(void *arg, uint16_t port);
    void *arg;
};

/* Bindings in order: services by name, ports as declared. */
int ports_assign(const struct ports_request *request, struct port_binding *bindings, size_t count,
                 struct err *err);
/* True if a listening socket can be made on the port on every address. */
bool ports_can_bind(uint16_t port);
/* Where the search of a binding starts: 0 .. size - 1. */
uint32_t ports_offset(const char *project, const struct port_binding *binding, uint32_t size);

#endif
