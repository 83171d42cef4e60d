/* second_pair: the other certificate of tunnel.ssl or web.ssl: rsaCert and rsaKey beside
 * cert and key, for clients that can verify only one kind of key.
 *
 * Read and watched like the first pair; a bad new one changes nothing but the reported error.
 * Both are offered under one name when they have exactly the same names and different kinds of
 * key (certs/certset.h, api/web_tls.h). Control plane, one thread; blocks on small files.
 */
#ifndef WOS_DAEMON_SECOND_PAIR_H
#define WOS_DAEMON_SECOND_PAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "certs/cert.h"
#include "certs/certfiles.h"
#include "daemon/config.h"

/* Zero-initialised: none is configured. */
struct second_pair {
    bool is_given;
    struct certfiles files;
    struct cert *cert;    /* owned; NULL: none usable yet */
    struct buf chain_pem; /* owned; empty then */
    struct buf key_pem;   /* owned; secret */
    char *error;          /* owned; NULL: the files are fine */
};

/* home: where relative paths begin. */
void second_pair_init(struct second_pair *pair, const struct config_ssl *ssl, const char *home);
void second_pair_fini(struct second_pair *pair);
/* Reads the files if they changed. True when there is another pair to publish. */
bool second_pair_look(struct second_pair *pair, int64_t now);
/* True when it is offered beside `first`: an older pair than the files' too. */
bool second_pair_fits(const struct second_pair *pair, const struct cert *first);
/* Why it is not offered beside `first` (may be NULL); NULL when it is, or none is wanted.
 * Borrowed until the next look. */
const char *second_pair_fault(const struct second_pair *pair, const struct cert *first);

#endif
