/* storage: the certificate in use on disk, H/certs/acme/live/<kind>/ (directories 0700, files
 * 0600): cert.pem and fullchain.pem (both the whole chain), key.pem, meta.json {listenerKind,
 * source, directory, hostnames, notBefore, notAfter, issuedAt}.
 *
 * Installing is a transaction: the four files are written and synced beside it as
 * <kind>.staging-<16 hex>, then take the place of the old ones in one step, which go to
 * <kind>.prev-<16 hex> and are deleted. storage_recover puts right whatever a crash left: the
 * new bundle where it was complete and the old one already moved away, else the old one.
 *
 * Blocks on small files; the loop's thread. One writer at a time: lockfile.h.
 */
#ifndef WOS_ACME_STORAGE_H
#define WOS_ACME_STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "certs/cert.h"

struct bundle {
    struct buf chain_pem; /* owned: leaf first */
    struct buf key_pem;   /* owned; secret */
    struct cert *cert;    /* owned; NULL: there is no certificate */
    char *directory;      /* owned: "staging", "production" or the URL */
    int64_t issued_at;    /* wall seconds */
};

void bundle_fini(struct bundle *bundle);
/* True when each name is covered, a wildcard by itself only. */
bool bundle_covers(const struct bundle *bundle, const char *const *names, size_t count);

/* 1: *out filled. 0: none, or one of the four files is missing. -1: there is one that cannot be
 * used (damaged, key and certificate do not match); the error says why. Dates are not judged. */
int storage_load(const char *dir, const char *kind, struct bundle *out, struct err *err);
/* The pair must have been checked. */
int storage_install(const char *dir, const char *kind, const struct bundle *bundle,
                    const char *const *names, size_t name_count, struct err *err);
int storage_remove(const char *dir, const char *kind, struct err *err);
/* Leftovers of a crash; before storage_load. */
int storage_recover(const char *dir, const char *kind, struct err *err);

/* Makes dir and its folders, and repairs the modes of everything in them (0700, 0600; symbolic
 * links are left alone). Calls `repaired` with each path that others could have read. */
typedef void storage_repaired_fn(void *arg, const char *path, unsigned old_mode);
int storage_prepare(const char *dir, storage_repaired_fn *repaired, void *arg, struct err *err);

/* How storage_install checks what a CA sent: certificate and key belong together, valid now (an
 * hour of clock difference is borne), every name covered, each certificate signed by the next.
 * Returns the certificate; NULL with the error. */
struct cert *storage_check(struct str chain_pem, struct str key_pem, const char *const *names,
                           size_t name_count, int64_t now, struct err *err);

#endif
