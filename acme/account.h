/* account: our account at a CA (RFC 8555 section 7.3) and its file.
 *
 * H/certs/acme/accounts/<hash>/account.json (directory 0700, file 0600), hash = the first 16 hex
 * digits of sha256("<directory>\n<email in lower case>"): {directory, email, accountUrl,
 * privateKeyPem, createdAt}. Files of the reference, with RSA keys, are used as they are. The key
 * is saved before it is first used (accountUrl is "" until the CA has named it), so that a
 * crash never leaves an account nobody has the key of.
 *
 * account_ensure makes the client ready to sign with the account: by the stored URL without
 * asking; taking over another file's account of the same directory when the e-mail address
 * changed, and telling the CA (no answer or a refusal is a failure; only an account that the CA
 * has no more is replaced); else newAccount. With `verify` the stored URL is not believed: the CA
 * is asked for the account by its key, and for a new one if it has none or the old one was
 * deactivated.
 *
 * Life: account_new loads; account_free; one call at a time. The loop's thread; blocks on small
 * files.
 */
#ifndef WOS_ACME_ACCOUNT_H
#define WOS_ACME_ACCOUNT_H

#include "acme/acme_client.h"
#include "acme/failure.h"
#include "acme/settings.h"

struct account;

typedef void account_done_fn(void *arg, const struct failure *failure);

/* `dir`: H/certs/acme. All borrowed for life. */
struct account *account_new(struct acme_client *client, const struct acme_settings *settings,
                            const char *dir);
void account_free(struct account *a);
/* "" while there is none. */
const char *account_url(const struct account *a);
/* `done` once, from the loop. The client is used, and must be idle. */
void account_ensure(struct account *a, bool verify, account_done_fn *done, void *arg);
/* Deactivates it at the CA (section 7.3.6) and deletes every file that has it. */
void account_deactivate(struct account *a, account_done_fn *done, void *arg);
/* No callback any more. */
void account_cancel(struct account *a);

/* malloc'ed path of account.json. */
char *account_path(const char *dir, const char *directory, const char *email);

#endif
