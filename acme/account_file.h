/* account_file: reading, writing, finding and deleting account.json (account.h). Blocks on small
 * files; the loop's thread. */
#ifndef WOS_ACME_ACCOUNT_FILE_H
#define WOS_ACME_ACCOUNT_FILE_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct account_file {
    char *url;     /* owned; "" until the CA has named it */
    EVP_PKEY *key; /* owned */
    int64_t created_at;
};

void account_file_fini(struct account_file *file);
/* False when there is none that can be used; *out is untouched then. */
bool account_file_load(const char *path, const char *directory, struct account_file *out);
int account_file_save(const char *path, const char *directory, const char *email,
                      const struct account_file *file, struct err *err);
/* Another account of this directory (any e-mail address) with a URL; the newest. */
bool account_file_find(const char *dir, const char *directory, struct account_file *out);
/* Deletes every account with this URL. */
void account_file_delete(const char *dir, const char *url);

#endif
