/* doctor: would DNS-01 work? Tries everything up to the CA, in the order in which it can fail.
 *
 *   token     Cloudflare takes the API token           (cloudflare only)
 *   zone      and shows it the zone of the names       (cloudflare only)
 *   caa       the CAA records let the CA issue         (each name)
 *   txt       a TXT record at the challenge's name can be written (a hook: its create command runs)
 *   visible   and is seen at every authority, or at the configured resolvers
 *   withdraw  and can be taken away again (a hook: its delete command runs)
 *
 * Each step is reported when it has ended, with one sentence that names the one thing to fix where
 * it failed; the steps after a failed one are not tried, except that what was written is
 * withdrawn. An ok step's sentence says what was found. The loop's thread.
 */
#ifndef WOS_ACME_DOCTOR_H
#define WOS_ACME_DOCTOR_H

#include "acme/settings.h"
#include "base/fetch.h"
#include "base/loop.h"

struct doctor;

typedef void doctor_step_fn(void *arg, const char *step, bool is_ok, const char *message);
typedef void doctor_done_fn(void *arg, bool is_ok);

struct doctor_spec {
    struct loop *loop;
    struct fetch_client *fetch;
    const struct acme_settings *settings; /* borrowed for life */
    const char *journal_path;             /* one of its own: not the order's */
    const char *listener_kind;
    const char *const *names; /* copied */
    size_t name_count;
    const char *const
        *ca_identities; /* the directory's caaIdentities; copied; none: caa is left out */
    size_t ca_identity_count;
    const char *account_uri; /* copied; may be NULL */
    doctor_step_fn *on_step;
    doctor_done_fn *on_done; /* once, the last call */
    void *arg;
};

/* Callbacks come from the loop, never from inside; none may cancel. It frees itself after on_done.
 */
struct doctor *doctor_start(const struct doctor_spec *spec);
/* No further callbacks; a record that was written stays in the journal. NULL is allowed. */
void doctor_cancel(struct doctor *d);

#endif
