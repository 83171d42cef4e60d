/* second_pair: see second_pair.h. Owned by the certkeeper. */
#include "daemon/second_pair.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "certs/issue.h"

void second_pair_init(struct second_pair *pair, const struct config_ssl *ssl, const char *home)
{
    *pair = (struct second_pair){.is_given = ssl->source == SSL_FILES && ssl->rsa_cert != NULL &&
                                             ssl->rsa_key != NULL};
    if (pair->is_given) {
        autofree char *cert = path_join(home, ssl->rsa_cert);
        autofree char *key = path_join(home, ssl->rsa_key);
        certfiles_init(&pair->files, cert, key);
    }
}

void second_pair_fini(struct second_pair *pair)
{
    if (pair->is_given) {
        certfiles_fini(&pair->files);
    }
    cert_free(pair->cert);
    buf_fini(&pair->chain_pem);
    issue_buf_wipe(&pair->key_pem);
    free(pair->error);
    *pair = (struct second_pair){.is_given = false};
}

bool second_pair_look(struct second_pair *pair, int64_t now)
{
    struct err err = {.msg = ""};
    struct buf chain = {0};
    struct buf key = {0};
    if (!pair->is_given || !certfiles_changed(&pair->files)) {
        return false;
    }
    struct cert *cert = certfiles_load(&pair->files, now, &chain, &key, &err);
    free(pair->error);
    pair->error = NULL;
    if (cert == NULL) {
        pair->error = xstrdup(err.msg);
        log_error("certificate", "the second pair cannot be used", LOG_STR("error", err.msg));
        return false;
    }
    cert_free(pair->cert);
    buf_fini(&pair->chain_pem);
    issue_buf_wipe(&pair->key_pem);
    pair->cert = cert;
    pair->chain_pem = chain;
    pair->key_pem = key;
    log_info("certificate", "serving a second pair", LOG_STR("cert", pair->files.cert_path));
    return true;
}

static bool has_name(const struct cert *cert, const char *name)
{
    for (size_t i = 0; i < cert->name_count; i++) {
        if (strcmp(cert->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Why the two cannot be offered together; NULL: they can. */
static const char *mismatch(const struct cert *second, const struct cert *first)
{
    bool same_names = second->name_count == first->name_count;
    for (size_t i = 0; same_names && i < first->name_count; i++) {
        same_names = has_name(second, first->names[i]);
    }
    if (!same_names) {
        return "rsaCert does not have the same names as cert: it is not offered beside it";
    }
    if (EVP_PKEY_get_base_id(X509_get0_pubkey(second->leaf)) ==
        EVP_PKEY_get_base_id(X509_get0_pubkey(first->leaf))) {
        return "rsaCert has the same kind of key as cert: it is not offered beside it";
    }
    return NULL;
}

bool second_pair_fits(const struct second_pair *pair, const struct cert *first)
{
    return pair->cert != NULL && mismatch(pair->cert, first) == NULL;
}

const char *second_pair_fault(const struct second_pair *pair, const struct cert *first)
{
    if (!pair->is_given || pair->error != NULL || pair->cert == NULL || first == NULL) {
        return pair->error;
    }
    return mismatch(pair->cert, first);
}
