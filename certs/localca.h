/* localca: a certificate authority of one's own, and the certificate it gives
 * the tunnel.
 *
 * Made once under the certs directory (0700): `ca.crt` and `ca.key` (0600),
 * ECDSA P-256, ten years, "wos local CA <hostname>". People import ca.crt into
 * their browsers, so it is kept as long as it can be used at all. The leaf is
 * `<kind>-self-signed.crt` (leaf, then CA) and `<kind>-self-signed.key`, kind "tunnel" or "web",
 * 397 days, for `<domain>`, `*.<domain>`, localhost, 127.0.0.1 and ::1.
 *
 * Control plane: blocks on files. One daemon per directory; there is no lock.
 */
#ifndef WOS_CERTS_LOCALCA_H
#define WOS_CERTS_LOCALCA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum {
    LOCALCA_CA_SECONDS = 3650 * 86400,
    LOCALCA_LEAF_SECONDS = 397 * 86400, /* the most that browsers accept */
};

struct localca_leaf {
    struct buf chain_pem;       /* owned by the caller: leaf, CA */
    struct buf key_pem;         /* owned by the caller; secret */
    int64_t not_after;          /* wall seconds */
    bool reissued;              /* the leaf was made by this call */
    bool ca_made;               /* so was the CA: it has to be imported (again) */
    const char *reissue_reason; /* a constant sentence part ("the domain changed"), or NULL */
};

/* The pair to serve, made or remade where need be: when there is none, when it
 * is damaged, not for `domain`, not from the present CA, or has less than a
 * third of its life left. A CA that is damaged or expired is remade as well
 * (ca_made). Errors are about files and leave *out untouched: see
 * issue_self_signed for what to serve then. `now` in wall seconds. */
int localca_ensure(const char *certs_dir, const char *kind, const char *domain, int64_t now,
                   struct localca_leaf *out, struct err *err);
/* `address`, an IP address or NULL, is named beside 127.0.0.1 and ::1. */
int localca_ensure_at(const char *certs_dir, const char *kind, const char *domain,
                      const char *address, int64_t now, struct localca_leaf *out, struct err *err);
/* Wipes and frees; fine on a zeroed struct. */
void localca_leaf_fini(struct localca_leaf *leaf);
/* malloc'ed "<certs_dir>/ca.crt" */
char *localca_ca_path(const char *certs_dir);

#endif
