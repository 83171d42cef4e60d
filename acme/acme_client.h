/* acme_client: requests to one ACME server (RFC 8555 section 6), one at a time.
 *
 * It fetches the directory once (and again when a day old), keeps nonces, signs with the
 * account's key, repeats what was refused with badNonce (at most ten times) and what failed on
 * the way or with 5xx (twice, after a pause), and turns every other failure into a struct
 * failure: the problem document's type and detail with those of its subproblems, and retry_at
 * from Retry-After. Answers are bounded (256 KiB) and every request has a deadline. A URL the
 * server names is only followed where it is as safe as the directory's own (https stays https).
 *
 * Life: acme_client_new, any number of requests one after another, acme_client_free (or
 * acme_client_cancel: the callback of what is under way is not called). Callbacks come once, from
 * the loop, never from inside the call; the reply is borrowed for the call. A callback may start
 * the next request or free the client. The loop's thread.
 */
#ifndef WOS_ACME_ACME_CLIENT_H
#define WOS_ACME_ACME_CLIENT_H

#include <cjson/cJSON.h>
#include <openssl/evp.h>

#include "acme/failure.h"
#include "acme/settings.h"
#include "base/fetch.h"
#include "base/loop.h"

struct acme_client;

enum acme_client_resource {
    CLIENT_NEW_NONCE,
    CLIENT_NEW_ACCOUNT,
    CLIENT_NEW_ORDER,
    CLIENT_REVOKE_CERT,
    CLIENT_RENEWAL_INFO, /* RFC 9773; a server need not have it */
    CLIENT_RESOURCES
};

struct acme_client_reply {
    const struct failure *failure; /* NULL: the status is 2xx */
    int status;                    /* 0: no answer */
    struct str body;
    const cJSON *json;         /* the body, or the problem document; NULL when it is not JSON */
    const char *location;      /* NULL: none; checked as above */
    int64_t retry_at;          /* wall seconds from Retry-After; 0: none */
    const struct fetch *fetch; /* for fetch_header_at; NULL without an answer */
};

typedef void acme_client_done_fn(void *arg, const struct acme_client_reply *reply);

/* What a request is signed with. */
enum acme_client_signer {
    CLIENT_BY_ACCOUNT, /* the account's URL in the head */
    CLIENT_BY_KEY,     /* the public key in the head: newAccount */
};

/* `settings` (directory_url, ca_file) borrowed for life. */
struct acme_client *acme_client_new(struct loop *loop, struct fetch_client *fetch,
                                    const struct acme_settings *settings);
void acme_client_free(struct acme_client *c);
/* Ends what is under way without its callback; the client can be used on. */
void acme_client_cancel(struct acme_client *c);

/* The account for the requests to come; `key` is referenced, `kid` copied; NULL: none. */
void acme_client_set_account(struct acme_client *c, EVP_PKEY *key, const char *kid);
EVP_PKEY *acme_client_key(const struct acme_client *c);
const char *acme_client_kid(const struct acme_client *c);

/* Fetches the directory unless it is known; the others below do it themselves. */
void acme_client_directory(struct acme_client *c, acme_client_done_fn *done, void *arg);
/* NULL when unknown or absent. Borrowed until the directory is fetched again. */
const char *acme_client_url(const struct acme_client *c, enum acme_client_resource resource);
const cJSON *acme_client_meta(const struct acme_client *c);

/* An unsigned GET (renewalInfo). */
void acme_client_get(struct acme_client *c, const char *url, acme_client_done_fn *done, void *arg);
struct acme_client_post {
    const char *phase;                  /* for the failure */
    const char *url;                    /* NULL: `resource` */
    enum acme_client_resource resource; /* used when url is NULL */
    enum acme_client_signer signer;
    const cJSON *payload; /* NULL: POST-as-GET; borrowed for the call */
};
void acme_client_post(struct acme_client *c, const struct acme_client_post *post,
                      acme_client_done_fn *done, void *arg);

/* Retry-After in both forms (RFC 9110 10.2.3) as wall seconds; 0 when there is none that can be
 * read. Times more than eight days away are cut to that. */
int64_t acme_client_retry_after(struct str value, int64_t now);
/* Fills `f` from a problem document (RFC 7807); `json` may be NULL. */
void acme_client_problem(struct failure *f, const char *phase, int status, const cJSON *json);

#endif
