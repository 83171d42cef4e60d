/* hook: one run of a command of the user's that writes or deletes a TXT record.
 *
 * `sh -c <command>` with standard input from /dev/null, the daemon's environment and:
 *   WOS_ACME_HOOK_PHASE         create | delete
 *   WOS_ACME_RECORD_NAME        _acme-challenge.example.com, or where a CNAME leads from there
 *   WOS_ACME_RECORD_VALUE       the text of the TXT record
 *   WOS_ACME_BASE_DOMAIN        the shortest name of the certificate without "*."
 *   WOS_ACME_LISTENER_KIND      tunnel | web
 *   WOS_ACME_CERTIFICATE_NAMES  all names, comma-separated
 * Exit 0 is success. At the timeout the command's whole process group is ended (SIGTERM, 2 s later
 * SIGKILL). Processes it leaves behind after its end live on. Of each stream the last
 * 8 KiB are kept; the last three lines of standard error (of standard output where that is
 * empty) are in the failure's message. The loop's thread.
 */
#ifndef WOS_ACME_HOOK_H
#define WOS_ACME_HOOK_H

#include "acme/failure.h"
#include "base/loop.h"

struct hook;

enum hook_phase { HOOK_CREATE, HOOK_DELETE };

struct hook_spec {
    const char *command; /* NULL or empty: a failure that is permanent */
    enum hook_phase phase;
    const char *record;
    const char *value;
    const char *base_domain;
    const char *listener_kind;
    const char *const *names;
    size_t name_count;
    uint32_t timeout_ms; /* 0: 60 s */
};

/* Once, from the loop, never from inside hook_run; not after hook_cancel. */
typedef void hook_done_fn(void *arg, const struct failure *failure);

/* Everything of the spec is copied. */
struct hook *hook_run(struct loop *loop, const struct hook_spec *spec, hook_done_fn *done,
                      void *arg);
/* Ends the process group; frees when it is gone. NULL is allowed. */
void hook_cancel(struct hook *h);

#endif
