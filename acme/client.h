/* client: requests to one ACME server (RFC 8555 section 6), one at a time.
 *
 * It fetches the directory once (and again when a day old), keeps nonces, signs with the
 * account's key, repeats what was refused with badNonce (at most ten times) and what failed on
 * the way or with 5xx (twice, after a pause), and turns every other failure into a struct
 * failure: the problem document's type and detail with those of its subproblems, and retry_at
 * from Retry-After. Answers are bounded (256 KiB) and every request has a deadline. A URL the
 * server names is only followed where it is as safe as the directory's own (https stays https).
 *
 * Life: client_new, any number of requests one after another, client_free (or client_cancel:
 * the callback of what is under way is not called). Callbacks come once, from the loop, never
 * from inside the call; the reply is borrowed for the call. A callback may start the next
 * request or free the client. The loop's thread.
 */
#ifndef WOS_ACME_CLIENT_H
#define WOS_ACME_CLIENT_H

#include <cjson/cJSON.h>
#include <openssl/evp.h>

#include "acme/failure.h"
#include "acme/settings.h"
#include "base/fetch.h"
#include "base/loop.h"

struct client;

enum client_resource {
    CLIENT_NEW_NONCE,
    CLIENT_NEW_ACCOUNT,
    CLIENT_NEW_ORDER,
    CLIENT_REVOKE_CERT,
    CLIENT_RENEWAL_INFO, /* RFC 9773; a server need not have it */
    CLIENT_RESOURCES
};

struct client_reply {
    const struct failure *failure; /* NULL: the status is 2xx */
    int status;                    /* 0: no answer */
    struct str body;
    const cJSON *json;         /* the body, or the problem document; NULL when it is not JSON */
    const char *location;      /* NULL: none; checked as above */
    int64_t retry_at;          /* wall seconds from Retry-After; 0: none */
    const struct fetch *fetch; /* for fetch_header_at; NULL without an answer */
};

typedef void client_done_fn(void *arg, const struct client_reply *reply);

/* What a request is signed with. */
enum client_signer {
    CLIENT_BY_ACCOUNT, /* the account's URL in the head */
    CLIENT_BY_KEY,     /* the public key in the head: newAccount */
};

/* `settings` (directory_url, ca_file) borrowed for life. */
struct client *client_new(struct loop *loop, struct fetch_client *fetch,
                          const struct acme_settings *settings);
void client_free(struct client *c);
/* Ends what is under way without its callback; the client can be used on. */
void client_cancel(struct client *c);

/* The account for the requests to come; `key` is referenced, `kid` copied; NULL: none. */
void client_set_account(struct client *c, EVP_PKEY *key, const char *kid);
EVP_PKEY *client_key(const struct client *c);
const char *client_kid(const struct client *c);

/* Fetches the directory unless it is known; the others below do it themselves. */
void client_directory(struct client *c, client_done_fn *done, void *arg);
/* NULL when unknown or absent. Borrowed until the directory is fetched again. */
const char *client_url(const struct client *c, enum client_resource resource);
const cJSON *client_meta(const struct client *c);

/* An unsigned GET (renewalInfo). */
void client_get(struct client *c, const char *url, client_done_fn *done, void *arg);
struct client_post {
    const char *phase;             /* for the failure */
    const char *url;               /* NULL: `resource` */
    enum client_resource resource; /* used when url is NULL */
    enum client_signer signer;
    const cJSON *payload; /* NULL: POST-as-GET; borrowed for the call */
};
void client_post(struct client *c, const struct client_post *post, client_done_fn *done, void *arg);

/* Retry-After in both forms (RFC 9110 10.2.3) as wall seconds; 0 when there is none that can be
 * read. Times more than eight days away are cut to that. */
int64_t client_retry_after(struct str value, int64_t now);
/* Fills `f` from a problem document (RFC 7807); `json` may be NULL. */
void client_problem(struct failure *f, const char *phase, int status, const cJSON *json);

#endif
