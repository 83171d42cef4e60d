/* certkeeper: the certificate the tunnel serves, whatever happens to its source.
 *
 * Source self-signed: a leaf of the local CA, remade as it needs be. Source
 * files: the pair is checked before use and looked at every two seconds; a bad new
 * pair changes nothing but the reported error, and the last good one is kept over restarts
 * (lastgood.h) and served until it expires. Source letsencrypt: this version
 * has no ACME client and says so. Where the source gives nothing usable, a leaf of the
 * local CA is served, and failing that a certificate made in memory: never plaintext. Also
 * keeps the ticket keys. One thread: the daemon's loop; blocks on small files.
 */
#ifndef WOS_DAEMON_CERTKEEPER_H
#define WOS_DAEMON_CERTKEEPER_H

#include <cjson/cJSON.h>

#include "base/loop.h"
#include "daemon/config.h"
#include "daemon/publisher.h"

struct certkeeper;

/* Loads at once and hands the pair to the publisher. */
struct certkeeper *certkeeper_new(struct loop *loop, const struct config *config,
                                  struct publisher *publisher);
void certkeeper_free(struct certkeeper *k);
/* CERTIFICATE of docs/API.md; k may be NULL: disabled. */
cJSON *certkeeper_json(const struct certkeeper *k);

#endif
