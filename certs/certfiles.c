/* certfiles: see certfiles.h. Called by the daemon, on its one thread. */
#include "certs/certfiles.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/file.h"
#include "certs/issue.h"

void certfiles_init(struct certfiles *files, const char *cert_path, const char *key_path)
{
    *files = (struct certfiles){.cert_path = xstrdup(cert_path), .key_path = xstrdup(key_path)};
    files->cert_stamp.error = -1; /* no errno: nothing was loaded yet, so all is new */
    files->key_stamp.error = -1;
}

void certfiles_fini(struct certfiles *files)
{
    free(files->cert_path);
    free(files->key_path);
    *files = (struct certfiles){.cert_path = NULL};
}

static struct certfiles_stamp stamp_of(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        return (struct certfiles_stamp){.error = errno};
    }
    return (struct certfiles_stamp){
        .dev = st.st_dev, .ino = st.st_ino, .changed_at = st.st_mtim, .size_bytes = st.st_size};
}

static bool stamp_eq(const struct certfiles_stamp *a, const struct certfiles_stamp *b)
{
    return a->error == b->error && a->dev == b->dev && a->ino == b->ino &&
           a->changed_at.tv_sec == b->changed_at.tv_sec &&
           a->changed_at.tv_nsec == b->changed_at.tv_nsec && a->size_bytes == b->size_bytes;
}

static struct cert *pair_check(const struct certfiles *files, struct str chain_pem,
                               struct str key_pem, int64_t now, struct err *err)
{
    struct cert *cert = cert_parse(chain_pem, err);
    if (cert == NULL) {
        (void)err_wrap(err, "%s", files->cert_path); /* NULL tells the caller */
        return NULL;
    }
    EVP_PKEY *key = cert_key_parse(key_pem, err);
    bool key_good = key != NULL && cert_check_key(cert, key, err) == 0;
    EVP_PKEY_free(key);
    if (!key_good) {
        (void)err_wrap(err, "%s", files->key_path); /* as above */
    } else if (cert_check_dates(cert, now, err) < 0) {
        (void)err_wrap(err, "%s", files->cert_path); /* as above */
    } else {
        return cert;
    }
    cert_free(cert);
    return NULL;
}

struct cert *certfiles_load(struct certfiles *files, int64_t now, struct buf *out_chain_pem,
                            struct buf *out_key_pem, struct err *err)
{
    /* Before reading: what is written meanwhile shows up as a change. */
    files->cert_stamp = stamp_of(files->cert_path);
    files->key_stamp = stamp_of(files->key_path);
    struct buf chain_pem = {0};
    struct buf key_pem = {0};
    struct cert *cert = NULL;
    if (file_read(files->cert_path, CERT_PEM_LIMIT, &chain_pem, err) == 0 &&
        file_read(files->key_path, CERT_PEM_LIMIT, &key_pem, err) == 0) {
        cert = pair_check(files, buf_str(&chain_pem), buf_str(&key_pem), now, err);
    }
    if (cert == NULL) {
        buf_fini(&chain_pem);
        issue_buf_wipe(&key_pem);
        return NULL;
    }
    *out_chain_pem = chain_pem;
    *out_key_pem = key_pem;
    return cert;
}

bool certfiles_changed(const struct certfiles *files)
{
    struct certfiles_stamp cert_stamp = stamp_of(files->cert_path);
    struct certfiles_stamp key_stamp = stamp_of(files->key_path);
    return !stamp_eq(&cert_stamp, &files->cert_stamp) || !stamp_eq(&key_stamp, &files->key_stamp);
}
