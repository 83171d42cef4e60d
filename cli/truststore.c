/* truststore: see truststore.h. The system's store, and what it shares with truststore_nss.c. */
#include "cli/truststore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "cli/run.h"

enum { UPDATE_MS = 120000, PEM_MAX = 64 << 10 };

/* Where a family keeps what its owner adds, and what makes bundles of it. */
struct family {
    const char *dir;    /* exists in this family only */
    const char *update; /* shown to people */
    const char *argv[3];
};

static const struct family families[] = {
    {"/etc/pki/ca-trust/source/anchors", "update-ca-trust", {"update-ca-trust", "extract", NULL}},
    {"/etc/ca-certificates/trust-source/anchors",
     "trust extract-compat",
     {"trust", "extract-compat", NULL}},
    {"/etc/pki/trust/anchors", "update-ca-certificates", {"update-ca-certificates", NULL}},
    {"/usr/local/share/ca-certificates",
     "update-ca-certificates",
     {"update-ca-certificates", NULL}},
};

void truststore_tell(const struct truststore *t, const char *store, const char *path,
                     const char *state, const char *message)
{
    const struct truststore_result result = {store, path, state, message};
    t->tell(t->arg, &result);
}

static const struct family *family_find(const struct truststore *t)
{
    for (size_t i = 0; i < COUNT_OF(families); i++) {
        autofree char *dir = xasprintf("%s%s", t->root, families[i].dir);
        if (file_exists(dir)) {
            return &families[i];
        }
    }
    return NULL;
}

/* Debian's script: it takes another root as five options, and forgets a removed CA with --fresh. */
static int update_debian(const struct truststore *t, const char *program, struct err *err)
{
    autofree char *local = xasprintf("%s/usr/local/share/ca-certificates", t->root);
    autofree char *certs = xasprintf("%s/usr/share/ca-certificates", t->root);
    autofree char *conf = xasprintf("%s/etc/ca-certificates.conf", t->root);
    autofree char *out = xasprintf("%s/etc/ssl/certs", t->root);
    autofree char *hooks = xasprintf("%s/etc/ca-certificates/update.d", t->root);
    const char *const fresh = t->is_removing ? "--fresh" : NULL;
    const char *const here[] = {program, fresh, NULL};
    const char *const there[] = {program, "--localcertsdir", local, "--certsdir",
                                 certs,   "--certsconf",     conf,  "--etccertsdir",
                                 out,     "--hooksdir",      hooks, fresh,
                                 NULL};
    return run_program(t->loop, t->root[0] == '\0' ? here : there, UPDATE_MS, err);
}

static int update(const struct truststore *t, const struct family *family, struct err *err)
{
    autofree char *program = NULL;
    if (!run_find(family->argv[0], &program)) {
        return err_set(err, ERR_NOT_FOUND, "%s is not installed (package ca-certificates)",
                       family->argv[0]);
    }
    if (strcmp(family->dir, "/usr/local/share/ca-certificates") == 0) {
        return update_debian(t, program, err);
    }
    if (t->root[0] != '\0') {
        return 0; /* the others make bundles of /etc only: whoever uses that root runs them */
    }
    const char *const argv[] = {program, family->argv[1], NULL};
    return run_program(t->loop, argv, UPDATE_MS, err);
}

static void tell_root(const struct truststore *t, const struct family *family, const char *file)
{
    autofree char *text = t->is_removing
                              ? xasprintf("needs root: sudo rm %s && sudo %s", file, family->update)
                              : xasprintf("needs root: sudo install -m 644 '%s' %s && sudo %s",
                                          t->ca_path, file, family->update);
    truststore_tell(t, "system", file, "needs-root", text);
}

static int change(const struct truststore *t, const char *file, struct err *err)
{
    if (t->is_removing) {
        return unlink(file) < 0 ? err_set_sys(err, "%s", file) : 0;
    }
    struct buf pem = {0};
    int rc = file_read(t->ca_path, PEM_MAX, &pem, err);
    if (rc == 0) {
        rc = file_write_atomic(file, buf_str(&pem), 0644, err);
    }
    buf_fini(&pem);
    return rc;
}

/* The file is as wanted. Is the bundle? It is made anew where that can be done. */
static void confirm(const struct truststore *t, const struct family *family, const char *dir,
                    const char *file)
{
    struct err err = {.msg = ""};
    bool can_update = t->is_listed && !t->is_dry && access(dir, W_OK) == 0;
    if (can_update && update(t, family, &err) < 0) {
        truststore_tell(t, "system", file, "failed", err.msg);
    } else {
        truststore_tell(t, "system", file, t->is_removing ? "absent" : "present", "nothing to do");
    }
}

void truststore_system(const struct truststore *t)
{
    struct err err = {.msg = ""};
    const struct family *family = family_find(t);
    if (family == NULL) {
        truststore_tell(t, "system", "", "skipped",
                        "this system keeps its CAs in no place that is known here");
        return;
    }
    autofree char *dir = xasprintf("%s%s", t->root, family->dir);
    autofree char *file = xasprintf("%s/wos-%.16s.crt", dir, t->fingerprint);
    bool is_there = file_exists(file);
    if (is_there != t->is_removing) {
        confirm(t, family, dir, file);
    } else if (access(dir, W_OK) < 0) {
        tell_root(t, family, file);
    } else if (t->is_dry) {
        truststore_tell(t, "system", file, t->is_removing ? "would-remove" : "would-add",
                        family->update);
    } else if (change(t, file, &err) < 0 || update(t, family, &err) < 0) {
        truststore_tell(t, "system", file, "failed", err.msg);
    } else {
        truststore_tell(t, "system", file, t->is_removing ? "removed" : "added", family->update);
    }
}
