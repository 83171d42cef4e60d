/* lastgood: the last usable pair of source "files", kept in H/certs.
 *
 * What people keep elsewhere may be broken when the daemon starts: half of a
 * renewal, a lost mount. The pair served before is then still the best answer
 * until it expires. One file (0600) with the key and the chain, so that the two
 * can never be of different pairs. Control plane, one thread; blocks on the file.
 */
#ifndef WOS_DAEMON_LASTGOOD_H
#define WOS_DAEMON_LASTGOOD_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "certs/cert.h"

/* Of some use to who is asked for under `domain`: it covers that name or has one under it. An empty
 * domain asks for nothing. */
bool lastgood_is_for(const struct cert *cert, const char *domain);
/* Keeps the pair, unless it is the one kept already. */
int lastgood_save(const char *certs_dir, const char *kind, struct str chain_pem, struct str key_pem,
                  struct err *err);
/* The kept pair if it is still valid at `now` (wall seconds) and is for `domain`; else NULL with
 * the error (ERR_NOT_FOUND: none is kept). Fills the two buffers, which must be empty; the key is
 * secret: issue_buf_wipe. The caller owns the certificate. */
struct cert *lastgood_load(const char *certs_dir, const char *kind, const char *domain, int64_t now,
                           struct buf *out_chain_pem, struct buf *out_key_pem, struct err *err);

#endif
