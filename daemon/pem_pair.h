/* pem_pair: a certificate chain and its key as PEM text, kept by whoever hands
 * them on. The key is secret: no copy of it stays behind. Control plane.
 */
#ifndef WOS_DAEMON_PEM_PAIR_H
#define WOS_DAEMON_PEM_PAIR_H

#include "base/str.h"

/* Zero-initialised is empty. */
struct pem_pair {
    struct buf chain; /* owned; empty: no pair */
    struct buf key;   /* owned; secret */
};

/* Copies both; empty ones make it empty. */
void pem_pair_set(struct pem_pair *pair, struct str chain, struct str key);
void pem_pair_fini(struct pem_pair *pair);

#endif
