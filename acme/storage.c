/* storage: see storage.h. Called by the renewer and, for the check, by the order. */
#include "acme/storage.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acme/when.h"
#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/loop.h"
#include "certs/issue.h"

enum { SKEW_SECONDS = 3600, TAG_BYTES = 8, DEPTH_MAX = 8, LEFTOVERS_MAX = 64 };

void bundle_fini(struct bundle *bundle)
{
    buf_fini(&bundle->chain_pem);
    issue_buf_wipe(&bundle->key_pem);
    cert_free(bundle->cert);
    free(bundle->directory);
    *bundle = (struct bundle){.cert = NULL};
}

static bool covers(const struct cert *cert, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!cert_covers(cert, str_of(names[i]))) {
            return false;
        }
    }
    return true;
}

bool bundle_covers(const struct bundle *bundle, const char *const *names, size_t count)
{
    return bundle->cert != NULL && covers(bundle->cert, names, count);
}

static int check_order(const struct cert *cert, struct err *err)
{
    X509 *subject = cert->leaf;
    for (int i = 0; i < sk_X509_num(cert->chain); i++) {
        X509 *issuer = sk_X509_value(cert->chain, i);
        EVP_PKEY *key = X509_get0_pubkey(issuer);
        if (X509_check_issued(issuer, subject) != X509_V_OK || key == NULL ||
            X509_verify(subject, key) != 1) {
            ERR_clear_error();
            return err_set(err, ERR_REFUSED,
                           "certificate %d of the chain is not signed by the one after it", i + 1);
        }
        subject = issuer;
    }
    return 0;
}

struct cert *storage_check(struct str chain_pem, struct str key_pem, const char *const *names,
                           size_t name_count, int64_t now, struct err *err)
{
    struct cert *cert = cert_parse(chain_pem, err);
    if (cert == NULL) {
        return NULL;
    }
    /* The CA's clock may be a little ahead of ours. */
    int64_t ahead = cert->not_before - now;
    cert_free(cert);
    cert = cert_check_pair(chain_pem, key_pem,
                           ahead > 0 && ahead <= SKEW_SECONDS ? now + ahead : now, err);
    if (cert == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < name_count; i++) {
        if (!cert_covers(cert, str_of(names[i]))) {
            (void)err_set(err, ERR_REFUSED, "the certificate does not cover %s", names[i]);
            cert_free(cert);
            return NULL;
        }
    }
    if (check_order(cert, err) < 0) {
        cert_free(cert);
        return NULL;
    }
    return cert;
}

static char *live_path(const char *dir, const char *kind)
{
    return xasprintf("%s/live/%s", dir, kind);
}

static int read_member(const char *folder, const char *name, struct buf *out, struct err *err)
{
    autofree char *path = path_join(folder, name);
    struct err local;
    if (file_read(path, CERT_PEM_LIMIT, out, &local) == 0) {
        return 1;
    }
    if (err != NULL) {
        *err = local;
    }
    return local.code == ERR_NOT_FOUND ? 0 : -1;
}

static int load_folder(const char *folder, struct bundle *out, struct err *err)
{
    struct bundle bundle = {.cert = NULL};
    struct buf meta = {0};
    struct buf leaf = {0};
    int got = read_member(folder, "fullchain.pem", &bundle.chain_pem, err);
    got = got == 1 ? read_member(folder, "key.pem", &bundle.key_pem, err) : got;
    got = got == 1 ? read_member(folder, "cert.pem", &leaf, err) : got;
    got = got == 1 ? read_member(folder, "meta.json", &meta, err) : got;
    if (got == 1) {
        autojson cJSON *json = json_parse(buf_str(&meta), "meta.json", err);
        bundle.directory = xstrdup(json_get_str(json, "directory", ""));
        bundle.issued_at = when_get(json, "issuedAt");
        bundle.cert = json == NULL ? NULL : cert_parse(buf_str(&bundle.chain_pem), err);
        EVP_PKEY *key = bundle.cert == NULL ? NULL : cert_key_parse(buf_str(&bundle.key_pem), err);
        got = key != NULL && cert_check_key(bundle.cert, key, err) == 0 ? 1 : -1;
        EVP_PKEY_free(key);
    }
    buf_fini(&meta);
    buf_fini(&leaf);
    if (got != 1) {
        bundle_fini(&bundle);
        return got < 0 ? err_wrap(err, "%s", folder) : 0;
    }
    *out = bundle;
    return 1;
}

int storage_load(const char *dir, const char *kind, struct bundle *out, struct err *err)
{
    autofree char *folder = live_path(dir, kind);
    return load_folder(folder, out, err);
}

static char *meta_text(const char *kind, const struct bundle *bundle, const char *const *names,
                       size_t name_count)
{
    autojson cJSON *json = cJSON_CreateObject();
    CHECK(json != NULL);
    json_add_str(json, "listenerKind", kind);
    json_add_str(json, "source", "letsencrypt");
    json_add_str(json, "directory", bundle->directory);
    cJSON *list = cJSON_AddArrayToObject(json, "hostnames");
    for (size_t i = 0; i < name_count; i++) {
        CHECK(cJSON_AddItemToArray(list, cJSON_CreateString(names[i])));
    }
    when_add(json, "notBefore", bundle->cert->not_before);
    when_add(json, "notAfter", bundle->cert->not_after);
    when_add(json, "issuedAt", bundle->issued_at);
    return json_print(json);
}

static int write_member(const char *folder, const char *name, struct str bytes, struct err *err)
{
    autofree char *path = path_join(folder, name);
    return file_write_atomic(path, bytes, 0600, err);
}

static void sync_folder(const char *path)
{
    autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd); /* some file systems cannot; nothing to do */
    }
}

/* The staged folder takes the place of the live one; the old one ends at prev. */
static int swap_folders(const char *staging, const char *live, const char *prev, struct err *err)
{
    if (renameat2(AT_FDCWD, staging, AT_FDCWD, live, RENAME_EXCHANGE) == 0) {
        return rename(staging, prev) == 0 ? 0 : err_set_sys(err, "%s", prev);
    }
    if (rename(live, prev) != 0 && errno != ENOENT) {
        return err_set_sys(err, "%s", prev);
    }
    if (rename(staging, live) != 0) {
        (void)err_set_sys(err, "%s", live);
        (void)rename(prev, live); /* back; if not even that, storage_recover does it */
        return -1;
    }
    return 0;
}

int storage_install(const char *dir, const char *kind, const struct bundle *bundle,
                    const char *const *names, size_t name_count, struct err *err)
{
    uint8_t random[TAG_BYTES];
    char tag[2 * TAG_BYTES + 1];
    CHECK(RAND_bytes(random, sizeof random) == 1);
    for (size_t i = 0; i < TAG_BYTES; i++) {
        (void)snprintf(tag + 2 * i, 3, "%02x", random[i]);
    }
    autofree char *parent = path_join(dir, "live");
    autofree char *live = live_path(dir, kind);
    autofree char *staging = xasprintf("%s.staging-%s", live, tag);
    autofree char *prev = xasprintf("%s.prev-%s", live, tag);
    autofree char *meta = meta_text(kind, bundle, names, name_count);
    if (dir_make(staging, 0700, err) < 0 ||
        write_member(staging, "key.pem", buf_str(&bundle->key_pem), err) < 0 ||
        write_member(staging, "cert.pem", buf_str(&bundle->chain_pem), err) < 0 ||
        write_member(staging, "fullchain.pem", buf_str(&bundle->chain_pem), err) < 0 ||
        write_member(staging, "meta.json", str_of(meta), err) < 0 ||
        swap_folders(staging, live, prev, err) < 0) {
        (void)path_remove_all(staging, NULL); /* the failure above is the one to report */
        return err_wrap(err, "storing the certificate");
    }
    sync_folder(parent);
    (void)path_remove_all(prev, NULL); /* storage_recover tries again at the next start */
    return 0;
}

int storage_remove(const char *dir, const char *kind, struct err *err)
{
    autofree char *live = live_path(dir, kind);
    return path_remove_all(live, err);
}

/* malloc'ed names in live/ that begin with "<kind>.staging-" or "<kind>.prev-". */
static size_t leftovers(const char *parent, const char *prefix, char *out[LEFTOVERS_MAX])
{
    size_t count = 0;
    DIR *list = opendir(parent);
    struct dirent *entry;
    while (list != NULL && count < LEFTOVERS_MAX && (entry = readdir(list)) != NULL) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0) {
            out[count++] = path_join(parent, entry->d_name);
        }
    }
    if (list != NULL) {
        (void)closedir(list);
    }
    return count;
}

/* With no live folder: a whole bundle among them becomes it. */
static void restore_one(char *const *paths, size_t count, const char *live)
{
    for (size_t i = 0; i < count && access(live, F_OK) != 0; i++) {
        struct bundle bundle = {.cert = NULL};
        if (load_folder(paths[i], &bundle, NULL) == 1) {
            (void)rename(paths[i], live); /* not: the next one, or a new certificate */
        }
        bundle_fini(&bundle);
    }
}

int storage_recover(const char *dir, const char *kind, struct err *err)
{
    char *staged[LEFTOVERS_MAX];
    char *previous[LEFTOVERS_MAX];
    autofree char *parent = path_join(dir, "live");
    autofree char *live = live_path(dir, kind);
    autofree char *staging_prefix = xasprintf("%s.staging-", kind);
    autofree char *prev_prefix = xasprintf("%s.prev-", kind);
    size_t staged_count = leftovers(parent, staging_prefix, staged);
    size_t previous_count = leftovers(parent, prev_prefix, previous);
    if (previous_count > 0) {
        restore_one(staged, staged_count, live); /* complete: moved away comes after written */
    }
    restore_one(previous, previous_count, live);
    int result = 0;
    for (size_t i = 0; i < staged_count; i++) {
        result |= path_remove_all(staged[i], err);
        free(staged[i]);
    }
    for (size_t i = 0; i < previous_count; i++) {
        result |= path_remove_all(previous[i], err);
        free(previous[i]);
    }
    return result;
}

struct repair {
    storage_repaired_fn *fn;
    void *arg;
};

static void repair_modes(int parent, const char *name, const char *path, int depth,
                         const struct repair *repair)
{
    struct stat st;
    int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    if (fstat(fd, &st) != 0 || (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))) {
        (void)close(fd);
        return;
    }
    mode_t mode = S_ISDIR(st.st_mode) ? 0700 : 0600;
    if ((st.st_mode & 07777) != mode && fchmod(fd, mode) == 0 && (st.st_mode & 077) != 0) {
        repair->fn(repair->arg, path, st.st_mode & 07777);
    }
    DIR *list = S_ISDIR(st.st_mode) && depth < DEPTH_MAX ? fdopendir(fd) : NULL;
    if (list == NULL) {
        (void)close(fd);
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(list)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            autofree char *child = path_join(path, entry->d_name);
            repair_modes(dirfd(list), entry->d_name, child, depth + 1, repair);
        }
    }
    (void)closedir(list);
}

int storage_prepare(const char *dir, storage_repaired_fn *repaired, void *arg, struct err *err)
{
    static const char *const folders[] = {"accounts", "live", "locks", "orders", "state"};
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        autofree char *path = path_join(dir, folders[i]);
        if (dir_make(path, 0700, err) < 0) {
            return -1;
        }
    }
    struct repair repair = {repaired, arg};
    repair_modes(AT_FDCWD, dir, dir, 0, &repair);
    return 0;
}
