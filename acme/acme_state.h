/* acme_state: what a renewer knows beyond the certificate, over restarts:
 * H/certs/acme/state/<kind>.json (0600): attempts, failures, the CA's suggestion. A file that
 * cannot be read counts as none. Blocks on a small file; the loop's thread.
 */
#ifndef WOS_ACME_ACME_STATE_H
#define WOS_ACME_ACME_STATE_H

#include <stdint.h>

#include "acme/ari.h"
#include "acme/failure.h"
#include "base/err.h"

enum { ACME_STATE_HASH_MAX = 17 };

struct acme_state {
    int64_t last_attempt_at; /* wall seconds, as all */
    int64_t last_success_at;
    int64_t not_until; /* no attempt by itself before */
    int64_t ca_until;  /* the CA wants none before; 0: it said nothing */
    uint32_t failures; /* in a row */
    struct failure last_error;
    char last_phase[32]; /* what last_error.phase points to after loading */
    int64_t last_error_at;
    struct ari ari;
    /* Hashes of the settings the failures belong to: all that older versions hashed, and of the
     * rest of them; "": none was kept. */
    char config[ACME_STATE_HASH_MAX];
    char way[ACME_STATE_HASH_MAX];
};

void acme_state_load(struct acme_state *state, const char *path);
int acme_state_save(const struct acme_state *state, const char *path, struct err *err);

#endif
