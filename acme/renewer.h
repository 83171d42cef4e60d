/* renewer: keeps one certificate from a CA fresh. The whole of acme/ as the daemon sees it.
 *
 * It loads the stored certificate of its kind (H/certs/acme/live/<kind>), decides when the next
 * one is due (at the CA's suggestion, RFC 9773; else when a third of its life is left, half of
 * a life under ten days), runs the order step by step on the loop, installs the result all or
 * nothing, and tells the daemon. A failure keeps the old certificate to its last second and is
 * retried with backoff and jitter, 1 minute to 6 hours, never before the CA's Retry-After. What
 * it knows (next attempt, failures, the CA's window) survives restarts in
 * H/certs/acme/state/<kind>.json; an order under way is taken up again or withdrawn.
 *
 * Life: renewer_new (loads), renewer_start (withdraws what a crash left, then follows the
 * schedule), renewer_free (stops what runs; TXT records of a stopped order are withdrawn at the
 * next start). Not renewer_free from inside its callbacks. One action runs at a time, others
 * wait for it. The loop's thread; it blocks on small files only.
 */
#ifndef WOS_ACME_RENEWER_H
#define WOS_ACME_RENEWER_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "acme/failure.h"
#include "acme/settings.h"
#include "base/fetch.h"
#include "base/loop.h"
#include "base/str.h"
#include "certs/cert.h"

struct renewer;

struct renewer_spec {
    struct loop *loop;
    struct fetch_client *fetch;
    const struct acme_settings *settings; /* borrowed for life */
    const char *dir;                      /* H/certs/acme; borrowed for life */
    const char *kind;                     /* "tunnel", "web" or another file-name-safe word */
    const char *const *names;             /* "example.com", "*.example.com"; borrowed for life */
    size_t name_count;
    /* They are about to be used, and nothing borrows from them: may be read anew (an API token's
     * file). At least every ten minutes, and before each action but the sweep of renewer_start. */
    void (*on_settings)(void *arg);
    /* There is another certificate to serve: renewer_chain and renewer_key. */
    void (*on_certificate)(void *arg);
    /* Step by step, for operation streams and the event log: {"type":"certificate.step", "kind",
     * "step", "state": "running|done|failed", "message"}; {"type":"certificate.issued|.renewed",
     * "kind", "hostnames", "notAfter"}; {"type":"certificate.failed", "kind", "hostnames", "phase",
     * "errorType" (as struct failure's), "message", "nextAt"}; {"type":"certificate.warning",
     * "kind", "message"} for what a person should know (a mode that was repaired, a damaged file).
     * From renewer_new on. Takes the tree. */
    void (*on_event)(void *arg, cJSON *event);
    void *arg;
};

typedef void renewer_done_fn(void *arg, const struct failure *failure);

struct renewer *renewer_new(const struct renewer_spec *spec);
void renewer_start(struct renewer *r);
void renewer_free(struct renewer *r);

/* The certificate in use: the stored one that covers the names and has not expired; NULL: none.
 * Borrowed until on_certificate. */
const struct cert *renewer_cert(const struct renewer *r);
struct str renewer_chain(const struct renewer *r); /* PEM, leaf first */
struct str renewer_key(const struct renewer *r);   /* PEM; secret */

/* Renews now when due, or with `force` in any case; `done` once, from the loop. While one runs the
 * call joins it. A pause after failures is not waited for, one the CA asked for only with `force`
 * not. Not due: success, and a step "schedule" says when it is. */
void renewer_renew(struct renewer *r, bool force, renewer_done_fn *done, void *arg);
/* The whole way against the staging directory (or the configured URL), nothing installed. */
void renewer_dry_run(struct renewer *r, renewer_done_fn *done, void *arg);
/* Revokes the stored certificate (RFC 8555 7.6), and deletes it. */
void renewer_revoke(struct renewer *r, renewer_done_fn *done, void *arg);
/* Deactivates the account (RFC 8555 7.3.6) and deletes its key. */
void renewer_deactivate_account(struct renewer *r, renewer_done_fn *done, void *arg);
/* Withdraws TXT records that are left in DNS (after a doctor was cancelled), if there are any. */
void renewer_sweep(struct renewer *r);
/* For whoever writes to DNS beside it (a doctor), so that commands of both never run at the same
 * time: `begun` comes once, from the loop, when what runs has ended, and until renewer_release
 * nothing else is begun. renewer_release is allowed before, after renewer_forget, too. One at a
 * time. */
void renewer_hold(struct renewer *r, renewer_done_fn *begun, void *arg);
void renewer_release(struct renewer *r);
/* Somebody who asks for a hold now has to wait for something that takes a while. */
bool renewer_is_busy(const struct renewer *r);
/* Nobody calls `arg`'s done functions any more; what runs goes on. */
void renewer_forget(struct renewer *r, const void *arg);
/* Ends what runs, also what nobody asked for; its waiters get phase "cancelled", and after a
 * renewal the schedule pauses for an hour. False: nothing that can be ended runs. */
bool renewer_cancel(struct renewer *r);
/* The journal of the doctor of the same listener (acme/doctor.h), malloc'ed: renewer_start
 * withdraws what a doctor that died left in it. */
char *renewer_doctor_journal(const char *dir, const char *kind);

/* {"state": "issuing|active|renewing|failed|stale", "nextAction": "issue|renew|retry", "nextAt",
 *  "nextReason", "step",
 *  "lastAttemptAt", "lastSuccessAt", "lastError": {phase, type, message, at} | null,
 *  "failures", "renewalWindow": {start, end, explanationUrl?} | null, "directory", "accountUrl",
 *  "profile"} */
cJSON *renewer_json(const struct renewer *r);

#endif
