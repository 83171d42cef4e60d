/* certdoctor: why is there no good certificate? Tries what a certificate depends on, in the order
 * in which it can fail, and names what to fix.
 *
 * A CA's certificate: the steps of acme/doctor.h (token, zone, caa, txt, visible, withdraw), then
 *   ca       the CA's directory answers
 *   account  the account is there, or can be made
 * Files and the local CA:
 *   source   it is on, and what it gives can be read and fits together
 * Each of them:
 *   certificate  what is served covers the names, and for how long
 *   gateway      the gateway shows the newest (the tunnel's only)
 *
 * A step is reported when it has ended, with one sentence. A failed one does not keep the later
 * ones from being tried where they do not depend on it. The daemon's loop.
 */
#ifndef WOS_DAEMON_CERTDOCTOR_H
#define WOS_DAEMON_CERTDOCTOR_H

#include <stdbool.h>

#include "base/fetch.h"
#include "base/loop.h"
#include "daemon/certsource.h"
#include "daemon/publisher.h"

struct certdoctor;

struct certdoctor_spec {
    struct loop *loop;
    struct fetch_client *fetch;
    struct publisher *publisher;
    const struct certsource *source; /* borrowed for life; NULL: the listener has no TLS */
    const char *kind;                /* "tunnel" | "web"; a constant */
    const char *home;                /* borrowed for life */
    void (*on_step)(void *arg, const char *step, bool is_ok, const char *message);
    /* The last call; the doctor frees itself after it. */
    void (*on_done)(void *arg, bool is_ok);
    void *arg;
};

/* Callbacks come from the loop, never from inside. */
struct certdoctor *certdoctor_start(const struct certdoctor_spec *spec);
/* No further callbacks. What was written to DNS is withdrawn by the next one, or at the daemon's
 * start. NULL is allowed. */
void certdoctor_cancel(struct certdoctor *d);

#endif
