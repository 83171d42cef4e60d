/* template: `${…}` in the values of `environment`.
 *
 *     ${app.services.web.hostPort[3000]}   20017
 *     ${app.services.web.hostname[3000]}   feature-x-web.example.com
 *     ${app.services.web.url[3000]}        https://feature-x-web.example.com
 *     ${app.services.web.containerName}    wos-shop-1a2b3c4d-web         (mode generated)
 *     ${deps.db.hostPort[5432]}            and .containerName            (mode generated)
 *     ${expose.web.url[3000]}              and .hostPort, .hostname      (mode compose)
 *     ${NAME}   ${NAME:-default}           a declared argument           (not in mode compose)
 *
 * Anything else inside `${}` is an error; there is no escape.
 */
#ifndef WOS_DAEMON_DEPLOY_TEMPLATE_H
#define WOS_DAEMON_DEPLOY_TEMPLATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "daemon/deploy/manifest.h"

struct template_port {
    const char *service;
    uint16_t container_port;
    uint16_t host_port;
    const char *hostname; /* NULL: no route */
    const char *url;      /* NULL: no route */
};

struct template_argument {
    const char *key;
    const char *value; /* empty counts as not given */
};

struct template_scope {
    const struct manifest *manifest;
    const char *project;               /* for container names; mode generated only */
    const struct template_port *ports; /* those of the selected services */
    size_t port_count;
    const struct template_argument *arguments;
    size_t argument_count;
    const char *service_bind; /* NULL: localhost */
};

/* Syntax, names and ports against the manifest alone. */
int template_check(struct str text, const struct manifest *m, struct err *err);
/* Appends the expansion; *out may hold a part on failure. */
int template_expand(struct str text, const struct template_scope *scope, struct buf *out,
                    struct err *err);
#endif
