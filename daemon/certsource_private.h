/* certsource_private: what certsource.c and certsource_json.c share; nobody else includes it. */
#ifndef WOS_DAEMON_CERTSOURCE_PRIVATE_H
#define WOS_DAEMON_CERTSOURCE_PRIVATE_H

#include "certs/certfiles.h"
#include "daemon/certsource.h"

enum certsource_served {
    SERVED_NOTHING,
    SERVED_OWN,    /* what the source gave */
    SERVED_KEPT,   /* the last good pair of files that are bad now */
    SERVED_CA,     /* a leaf of the local CA: the source itself, or standing in */
    SERVED_MEMORY, /* made on the spot, trusted by nobody */
};

struct certsource {
    uint32_t magic;
    struct certsource_spec spec;
    char **names;            /* owned */
    char *dir;               /* owned: H/certs */
    struct certfiles files;  /* source files only */
    struct acme_config acme; /* source letsencrypt only */
    char *acme_dir;          /* owned: H/certs/acme; borrowed by the renewer */
    struct renewer *renewer; /* owned; source letsencrypt only */
    enum certsource_served served;
    struct cert *cert;    /* owned; NULL: nothing */
    struct buf chain_pem; /* owned */
    struct buf key_pem;   /* owned; secret */
    int64_t ca_looked_at;
    char *error; /* owned; NULL: the source is fine */
    const char *error_phase;
    int64_t error_at;
    int64_t attempt_at;
    int64_t success_at;
    bool has_issued; /* a certificate of the local CA was made */
};

/* True when it serves what its source is meant to give, if an old one. */
bool certsource_is_own(const struct certsource *s);

#endif
