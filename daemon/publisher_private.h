/* publisher_private: what publisher.c and publisher_json.c share. Nobody else includes it. */
#ifndef WOS_DAEMON_PUBLISHER_PRIVATE_H
#define WOS_DAEMON_PUBLISHER_PRIVATE_H

#include "base/map.h"
#include "daemon/names.h"
#include "daemon/owner.h"
#include "daemon/pem_pair.h"
#include "daemon/publisher.h"
#include "daemon/route_policy.h"
#include "daemon/waiters.h"

struct publisher {
    uint32_t magic;
    struct loop *loop;           /* borrowed */
    const struct config *config; /* borrowed */
    publisher_sink_fn *sink;
    void *sink_arg; /* borrowed */
    struct names names;
    struct map owners; /* name → struct owner, owned */
    struct waiters waiters;
    struct loop_timer flush_timer; /* encodes what changed in this turn */
    struct loop_timer wait_timer;
    bool is_stale;
    uint64_t generation;
    uint64_t served;
    struct buf encoded;                                /* owned; holds keys: wiped */
    char *error;                                       /* owned */
    char *fault;                                       /* owned */
    publisher_fault_fn *fault_fn;                      /* or NULL */
    void *fault_arg;                                   /* borrowed */
    struct pem_pair pairs[PUBLISHER_CERTS_MAX];        /* of certificates; [0] is the default */
    uint8_t ticket_keys[SNAPSHOT_TICKET_KEYS_MAX][80]; /* secret */
    uint32_t ticket_key_count;
    bool has_access_key;
    uint8_t access_key[SNAPSHOT_ACCESS_KEY]; /* secret */
    uint64_t *revoked;                       /* owned; ascending */
    uint32_t revoked_count;
};

/* publisher_json.c: route_access_warning of an entry, which names its place. malloc'ed; NULL when
 * there is nothing to say. */
char *entry_warning(const struct publisher *p, const struct owner *owner, const struct entry *e);

#endif
