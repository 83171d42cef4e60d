/* caa: may a CA issue for a name? (RFC 8659, with the parameters of RFC 8657)
 *
 * The CAA records of the name, else of its parent, and so on to the top, are asked of the
 * resolvers (as nameservers.h chooses them). The first set found decides. The loop's thread.
 */
#ifndef WOS_ACME_CAA_H
#define WOS_ACME_CAA_H

#include "acme/settings.h"
#include "base/loop.h"

struct caa;

enum caa_verdict { CAA_ALLOWED, CAA_FORBIDDEN, CAA_UNKNOWN };

struct caa_query {
    const char *name;              /* "example.com" or "*.example.com" */
    const char *const *identities; /* the CA's caaIdentities, "letsencrypt.org" */
    size_t identity_count;
    const char *account_uri; /* compared with accounturi; NULL: not known yet, any will do */
};

struct caa_result {
    enum caa_verdict verdict;
    const char *message; /* one sentence, in either case */
};

/* Once, from the loop; not after caa_cancel. Borrowed for the call. */
typedef void caa_done_fn(void *arg, const struct caa_result *result);

struct caa *caa_check(struct loop *loop, const struct acme_settings *settings,
                      const struct caa_query *query, caa_done_fn *done, void *arg);
/* NULL is allowed. */
void caa_cancel(struct caa *c);

#endif
