/* compose_file: the text of the compose files that wos writes.
 *
 * Generated mode: one file with every service. Compose mode: an overlay to the user's file
 * (compose_base.h). Keys come in a fixed order, services and environments sorted, every string
 * double-quoted; `$` is doubled where Compose must not interpolate. Pure; any thread.
 */
#ifndef WOS_DAEMON_DEPLOY_COMPOSE_FILE_H
#define WOS_DAEMON_DEPLOY_COMPOSE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "daemon/deploy/envlist.h"

struct compose_port {
    uint16_t host;
    uint16_t container;
};

/* Zeroed members are left out of the file. */
struct compose_service {
    const char *name;
    const char *image; /* may hold ${…} for Compose */
    const char *container_name;
    const char *working_dir;
    const char *profile;
    const char *env_file; /* absolute */
    struct envlist environment;
    struct envlist labels;
    const char *workspace;      /* host directory, mounted as /workspace before the others */
    const char *const *volumes; /* may hold ${…} for Compose */
    size_t volume_count;
    const char *volume_root; /* where "./data" among them begins */
    struct compose_port *ports;
    size_t port_count;
    const char **depends_on; /* sorted when written */
    size_t depends_count;
    const char *script; /* run by sh -c */
};

struct compose_file {
    const char *version; /* NULL: none */
    struct compose_service *services;
    size_t count;
    const char *service_bind; /* a second address for every port, or NULL */
};

/* Sorts the services. Appended. */
void compose_file_write(struct compose_file *file, struct buf *out);
/* Of a volume "data:/var/lib": true with the name if it is a named one. */
bool compose_volume_name(const char *volume, struct str *out_name);

#endif
