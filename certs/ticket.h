/* ticket: the keys of TLS session tickets, made and rotated by the daemon.
 *
 * A set holds up to three keys: the newest encrypts, all decrypt. A key made
 * every 12 hours and kept for two more turns means that a ticket can be
 * resumed for at least 24 hours and that no key is older than 36. The set is
 * the daemon's; it travels to the gateways in the snapshot, so that they share
 * one set across generations, and lies in H/certs between daemon runs. Secret:
 * wipe it, and every copy. Control plane, one thread.
 */
#ifndef WOS_CERTS_TICKET_H
#define WOS_CERTS_TICKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "certs/tlsctx.h"

enum { TICKET_SET_MAX = 3, TICKET_ROTATE_SECONDS = 12 * 3600 };

/* Zero-initialised is empty and due. */
struct ticket_set {
    uint8_t keys[TICKET_SET_MAX][TICKET_KEY_SIZE]; /* newest first */
    uint32_t count;
    int64_t rotated_at; /* wall seconds: when the newest was made */
};

/* True when the set is empty, its newest key is 12 hours old, or was made in
 * the future (the clock was set back). */
bool ticket_set_is_due(const struct ticket_set *set, int64_t now);
/* Puts a new random key first and drops keys past the third. A set that missed more than
 * three turns starts anew. */
int ticket_set_rotate(struct ticket_set *set, int64_t now, struct err *err);
/* Appends the set as bytes, for a file of mode 0600. */
void ticket_set_encode(const struct ticket_set *set, struct buf *out);
/* *out is untouched when the bytes are no set. */
int ticket_set_decode(struct str bytes, struct ticket_set *out, struct err *err);
void ticket_set_wipe(struct ticket_set *set);

#endif
