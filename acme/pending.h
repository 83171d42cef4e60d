/* pending: the order under way and the key it is for, over restarts:
 * H/certs/acme/orders/<kind>.json (0600): {directory, accountUrl, orderUrl, names,
 * privateKeyPem, createdAt}. The key is on disk before the CA sees it, so that a certificate the
 * CA has made is never without its key. Blocks on a small file; the loop's thread.
 */
#ifndef WOS_ACME_PENDING_H
#define WOS_ACME_PENDING_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct pending {
    char *directory;   /* owned */
    char *account_url; /* owned */
    char *order_url;   /* owned */
    char *names;       /* owned: joined with commas */
    EVP_PKEY *key;     /* owned; NULL: not made yet */
    int64_t created_at;
};

void pending_fini(struct pending *pending);
/* False: none that can be used, or older than a week. */
bool pending_load(const char *path, int64_t now, struct pending *out);
int pending_save(const char *path, const struct pending *pending, struct err *err);
void pending_remove(const char *path);
/* malloc'ed "example.com,*.example.com" */
char *pending_names(const char *const *names, size_t count);

#endif
