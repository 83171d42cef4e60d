/* truststore: the places on this machine that say which CAs are trusted: the system's store
 * (Debian, Fedora, Arch, SUSE families) and the NSS databases of Chromium and Firefox.
 *
 * A CA is put in under a name with its fingerprint, so that doing it twice changes nothing and
 * taking it out takes out exactly that one. The system's file alone trusts nothing: where it is as
 * wanted, the bundles are made anew all the same, as an earlier run may have failed at that. Each
 * place is reported once, as it is done:
 *
 *     added  present  removed  absent  would-add  would-remove  needs-root  skipped  failed
 *
 * Blocks; one thread.
 */
#ifndef WOS_CLI_TRUSTSTORE_H
#define WOS_CLI_TRUSTSTORE_H

#include <stdbool.h>

#include "base/loop.h"

struct truststore_result {
    const char *store; /* "system" | "nss" */
    const char *path;  /* the file or the database; "" where there is none */
    const char *state; /* one of the words above */
    const char *message;
};

struct truststore {
    struct loop *loop;
    const char *root;        /* "" or where another system's files are (tests, images) */
    const char *home;        /* the person's: for the databases */
    const char *ca_path;     /* PEM; not read when removing */
    const char *fingerprint; /* 64 hex digits */
    bool is_removing;
    bool is_listed; /* an earlier run may have put it in */
    bool is_dry;    /* only says what would be done */
    void (*tell)(void *arg, const struct truststore_result *result);
    void *arg;
};

void truststore_system(const struct truststore *t);
/* truststore_nss.c */
void truststore_nss(const struct truststore *t);
/* For the two: reports one place. */
void truststore_tell(const struct truststore *t, const char *store, const char *path,
                     const char *state, const char *message);

#endif
