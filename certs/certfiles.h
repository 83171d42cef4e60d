/* certfiles: a certificate and its key from two files that somebody else
 * writes (source "files").
 *
 * Life: certfiles_init, then certfiles_load at start and whenever
 * certfiles_changed says so (a cheap stat of both, for a timer). A failed load
 * changes nothing but the stamps: the caller goes on with what it has and is
 * not told again until a file changes. Symbolic links are followed, so a
 * renewed live/ directory counts as a change. Control plane, one thread.
 */
#ifndef WOS_CERTS_CERTFILES_H
#define WOS_CERTS_CERTFILES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/err.h"
#include "base/str.h"
#include "certs/cert.h"

struct certfiles_stamp {
    dev_t dev;
    ino_t ino;
    struct timespec changed_at; /* mtime */
    off_t size_bytes;
    int error; /* errno of stat, 0 when the rest is filled */
};

struct certfiles {
    char *cert_path;                   /* owned */
    char *key_path;                    /* owned */
    struct certfiles_stamp cert_stamp; /* as of the last load */
    struct certfiles_stamp key_stamp;
};

void certfiles_init(struct certfiles *files, const char *cert_path, const char *key_path);
void certfiles_fini(struct certfiles *files);
/* Reads and checks the pair: readable, parsable, matching, valid at `now`
 * (wall seconds). Fills the two buffers, which must be empty, with the PEM (the key is secret:
 * issue_buf_wipe) and returns the certificate, owned by the caller; NULL with an error that
 * names the file, the buffers then untouched. */
struct cert *certfiles_load(struct certfiles *files, int64_t now, struct buf *out_chain_pem,
                            struct buf *out_key_pem, struct err *err);
/* True if either file is another one than at the last load. */
bool certfiles_changed(const struct certfiles *files);

#endif
