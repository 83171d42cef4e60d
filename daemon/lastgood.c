/* lastgood: see lastgood.h. Called by certkeeper.c. */
#include "daemon/lastgood.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "certs/issue.h"
#include "routing/host.h"

enum { LASTGOOD_LIMIT = 2 * CERT_PEM_LIMIT + 1 };

/* The tunnel's has no prefix: it was there before there were others. */
static char *lastgood_path(const char *certs_dir, const char *kind)
{
    bool is_tunnel = strcmp(kind, "tunnel") == 0;
    autofree char *name =
        xasprintf("%s%sfiles-last-good.pem", is_tunnel ? "" : kind, is_tunnel ? "" : "-");
    return path_join(certs_dir, name);
}

int lastgood_save(const char *certs_dir, const char *kind, struct str chain_pem, struct str key_pem,
                  struct err *err)
{
    autofree char *path = lastgood_path(certs_dir, kind);
    struct buf pair = {0};
    struct buf kept = {0};
    struct err none = {.msg = ""};
    /* In one piece: growing would leave a copy of the key behind. Either text may hold anything
     * around what counts, even the other, so the first line says where the key ends. */
    buf_reserve(&pair, key_pem.len + chain_pem.len + 32);
    buf_printf(&pair, "%zu\n", key_pem.len);
    buf_add_str(&pair, key_pem);
    buf_add_str(&pair, chain_pem);
    bool is_kept = file_read(path, LASTGOOD_LIMIT, &kept, &none) == 0 &&
                   str_eq(buf_str(&kept), buf_str(&pair));
    int rc = is_kept ? 0 : file_write_atomic(path, buf_str(&pair), 0600, err);
    issue_buf_wipe(&pair);
    issue_buf_wipe(&kept);
    return rc;
}

/* Cuts the file's text in two; false when that is no file of lastgood_save. */
static bool pair_split(struct str text, struct str *out_key, struct str *out_chain)
{
    struct str line;
    uint64_t key_len = 0;
    if (!str_next(&text, '\n', &line) || text.ptr == NULL || !str_to_u64(line, &key_len) ||
        key_len > text.len) {
        return false;
    }
    *out_key = (struct str){text.ptr, (size_t)key_len};
    *out_chain = (struct str){text.ptr + key_len, text.len - (size_t)key_len};
    return true;
}

bool lastgood_is_for(const struct cert *cert, const char *domain)
{
    if (*domain == '\0' || cert_covers(cert, str_of(domain))) {
        return true;
    }
    for (size_t i = 0; i < cert->name_count; i++) {
        const char *name = cert->names[i];
        if (host_is_under(str_of(strncmp(name, "*.", 2) == 0 ? name + 2 : name), str_of(domain))) {
            return true;
        }
    }
    return false;
}

struct cert *lastgood_load(const char *certs_dir, const char *kind, const char *domain, int64_t now,
                           struct buf *out_chain_pem, struct buf *out_key_pem, struct err *err)
{
    autofree char *path = lastgood_path(certs_dir, kind);
    struct buf pair = {0};
    if (file_read(path, LASTGOOD_LIMIT, &pair, err) < 0) {
        return NULL;
    }
    struct str key;
    struct str chain;
    struct cert *cert = NULL;
    if (!pair_split(buf_str(&pair), &key, &chain)) {
        (void)err_set(err, ERR_CONFIG, "%s is damaged", path); /* NULL tells the caller */
    } else if ((cert = cert_check_pair(chain, key, now, err)) == NULL) {
        (void)err_wrap(err, "%s", path); /* as above */
    } else if (!lastgood_is_for(cert, domain)) {
        (void)err_set(err, ERR_CONFIG, "%s: it has no name under %s", path, domain);
        cert_free(cert);
        cert = NULL;
    } else {
        buf_reserve(out_key_pem, key.len + 1);
        buf_add_str(out_key_pem, key);
        buf_add_str(out_chain_pem, chain);
    }
    issue_buf_wipe(&pair);
    return cert;
}
