/* sessions_private: what sessions.c and session_operations.c share; nobody else includes it. */
#ifndef WOS_DAEMON_SESSIONS_PRIVATE_H
#define WOS_DAEMON_SESSIONS_PRIVATE_H

#include "base/map.h"
#include "daemon/daemon.h"
#include "daemon/sessions.h"

enum { SESSION_MAGIC = 0x73657373, OPS_MAX = 2 };

struct session {
    uint32_t magic;
    struct sessions *all;          /* borrowed: owner */
    char *name;                    /* owned */
    struct deployment *deployment; /* owned */
    /* Running operations in the order they end: one that is being cancelled, then the
     * `down` that cancels it. Borrowed from the registry. */
    struct operation *ops[OPS_MAX];
    struct deployment_port *asked; /* owned: what on_publish wants answered; strings too */
    size_t asked_count;
    session_then_fn *then; /* what ends ops[0] in place of session_on_done; or NULL */
    void *then_arg;        /* borrowed */
};

struct sessions {
    struct daemon *d; /* borrowed */
    struct deployment_env env;
    struct map by_name; /* → struct session, owned */
};

/* The health check's defaults, of config.json. */
struct health_settings session_health(const struct config *c);

#endif
