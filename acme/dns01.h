/* dns01: TXT records for DNS-01 challenges (RFC 8555 section 8.4), written by a provider.
 *
 * A struct dns01 belongs to one order. dns01_present writes a record, dns01_withdraw takes
 * it away again; both are asynchronous, report once from the loop, and may be repeated:
 * presenting what is there and withdrawing what is not are successes. Several values at one
 * name stand side by side (a domain and its wildcard have the same name), and records that
 * are not ours are never touched. What was presented is remembered in a journal on disk
 * before the provider is asked, so that leftovers of a crash are withdrawn by
 * dns01_sweep() at the next start.
 *
 * Life: dns01_new, any number of calls, dns01_free (cancels what is under way; a hook's whole
 * process group is ended). The loop's thread.
 */
#ifndef WOS_ACME_DNS01_H
#define WOS_ACME_DNS01_H

#include "acme/failure.h"
#include "acme/settings.h"
#include "base/fetch.h"
#include "base/loop.h"

struct dns01;

struct dns01_spec {
    struct loop *loop;
    struct fetch_client *fetch;
    const struct acme_settings *settings;
    const char *journal_path;  /* JSON, 0600; removed when empty */
    const char *listener_kind; /* "tunnel" | "web", for hooks */
    const char *base_domain;   /* shortest name without "*." , for hooks */
    const char *const *names;  /* all names of the certificate, for hooks */
    size_t name_count;
};

/* failure NULL: done. Called once, from the loop, never from inside the call. */
typedef void dns01_done_fn(void *arg, const struct failure *failure);

struct dns01 *dns01_new(const struct dns01_spec *spec);
void dns01_free(struct dns01 *d);
/* `record` is the full name, "_acme-challenge.example.com", or where a CNAME leads from there. */
void dns01_present(struct dns01 *d, const char *record, const char *value, dns01_done_fn *done,
                   void *arg);
void dns01_withdraw(struct dns01 *d, const char *record, const char *value, dns01_done_fn *done,
                    void *arg);
/* Withdraws everything in the journal. */
void dns01_sweep(struct dns01 *d, dns01_done_fn *done, void *arg);

#endif
