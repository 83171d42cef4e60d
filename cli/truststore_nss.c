/* truststore_nss: the NSS databases of Chromium (one per person) and Firefox (one per profile), by
 * certutil: the second half of truststore.h. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/file.h"
#include "cli/run.h"
#include "cli/truststore.h"

enum { CERTUTIL_MS = 30000 };

struct nss {
    const struct truststore *t;
    char *certutil; /* owned */
    char *nickname; /* owned */
    size_t count;   /* databases found */
};

static int certutil(const struct nss *n, const char *database, const char *const *more,
                    struct err *err)
{
    enum { FIXED = 3, MORE_MAX = 8 };
    const char *argv[FIXED + MORE_MAX + 1] = {n->certutil, "-d", database};
    for (size_t i = 0; more[i] != NULL && i < MORE_MAX; i++) {
        argv[FIXED + i] = more[i];
    }
    return run_program(n->t->loop, argv, CERTUTIL_MS, err);
}

static bool database_has(const struct nss *n, const char *database)
{
    const char *const list[] = {"-L", "-n", n->nickname, NULL};
    return certutil(n, database, list, NULL) == 0;
}

static int database_change(const struct nss *n, const char *database, struct err *err)
{
    const char *const remove[] = {"-D", "-n", n->nickname, NULL};
    const char *const add[] = {"-A", "-t", "C,,", "-n", n->nickname, "-i", n->t->ca_path, NULL};
    return certutil(n, database, n->t->is_removing ? remove : add, err);
}

static void database_do(struct nss *n, const char *dir)
{
    const struct truststore *t = n->t;
    struct err err = {.msg = ""};
    autofree char *database = xasprintf("sql:%s", dir);
    n->count++;
    bool is_there = database_has(n, database);
    if (is_there != t->is_removing) {
        truststore_tell(t, "nss", dir, is_there ? "present" : "absent", "nothing to do");
    } else if (t->is_dry) {
        truststore_tell(t, "nss", dir, t->is_removing ? "would-remove" : "would-add", n->nickname);
    } else if (database_change(n, database, &err) < 0) {
        truststore_tell(t, "nss", dir, "failed", err.msg);
    } else {
        truststore_tell(t, "nss", dir, t->is_removing ? "removed" : "added", n->nickname);
    }
}

static bool is_database(const char *dir)
{
    autofree char *file = path_join(dir, "cert9.db");
    return file_exists(file);
}

/* Chromium makes its database when it first needs one: made here, it is used. */
static void own_database(struct nss *n)
{
    const struct truststore *t = n->t;
    struct err err = {.msg = ""};
    autofree char *dir = path_join(t->home, ".pki/nssdb");
    autofree char *database = xasprintf("sql:%s", dir);
    const char *const create[] = {"-N", "--empty-password", NULL};
    if (!is_database(dir)) {
        if (t->is_removing) {
            return;
        }
        if (t->is_dry) {
            n->count++;
            truststore_tell(t, "nss", dir, "would-add", "the database would be made");
            return;
        }
        if (dir_make(dir, 0700, &err) < 0 || certutil(n, database, create, &err) < 0) {
            truststore_tell(t, "nss", dir, "failed", err.msg);
            return;
        }
    }
    database_do(n, dir);
}

static void firefox_profiles(struct nss *n, const char *folder)
{
    autofree char *path = path_join(n->t->home, folder);
    DIR *dir = opendir(path);
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        autofree char *profile = path_join(path, entry->d_name);
        if (entry->d_name[0] != '.' && is_database(profile)) {
            database_do(n, profile);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
}

void truststore_nss(const struct truststore *t)
{
    static const char *const chromiums[] = {
        "snap/chromium/current/.pki/nssdb",
        ".local/share/pki/nssdb",
        ".var/app/org.chromium.Chromium/data/pki/nssdb",
        ".var/app/com.google.Chrome/data/pki/nssdb",
    };
    static const char *const firefoxes[] = {
        ".mozilla/firefox",
        ".config/mozilla/firefox",
        "snap/firefox/common/.mozilla/firefox",
        ".var/app/org.mozilla.firefox/.mozilla/firefox",
    };
    struct nss n = {.t = t};
    if (!run_find("certutil", &n.certutil)) {
        truststore_tell(t, "nss", "", "skipped",
                        "Chromium and Firefox need certutil (Debian: libnss3-tools, Fedora: "
                        "nss-tools, Arch: nss); or import the file in their settings");
        return;
    }
    n.nickname = xasprintf("wos local CA %.16s", t->fingerprint);
    own_database(&n);
    for (size_t i = 0; i < COUNT_OF(chromiums); i++) {
        autofree char *dir = path_join(t->home, chromiums[i]);
        if (is_database(dir)) {
            database_do(&n, dir);
        }
    }
    for (size_t i = 0; i < COUNT_OF(firefoxes); i++) {
        firefox_profiles(&n, firefoxes[i]);
    }
    if (n.count == 0) {
        truststore_tell(t, "nss", "", "absent", "no browser's database is there");
    }
    free(n.certutil);
    free(n.nickname);
}
