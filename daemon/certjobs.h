/* certjobs: what people ask of certificates, as operations (operations.h), and what they are told.
 *
 * One at a time per listener: asking for what already runs joins it, anything else is refused
 * with ERR_BUSY. An operation's session is "certificate:tunnel" or "certificate:web", its
 * events are those of the renewer and the doctor, and it lives on when its client leaves. A doctor
 * and an order that the schedule began wait for each other. A renewal ends when the gateway serves
 * the new certificate, not before.
 *
 * All certificate.* events of a CA pass here on their way to the log: issued, renewed, activated,
 * failed, warning and the single steps, each with listenerKind and source (docs/API.md). Life: with
 * the daemon, freed before operations and the certkeeper. The daemon's loop.
 */
#ifndef WOS_DAEMON_CERTJOBS_H
#define WOS_DAEMON_CERTJOBS_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/err.h"
#include "daemon/operations.h"

struct certjobs;
struct daemon;

enum certjob {
    CERTJOB_RENEW,
    CERTJOB_DRY_RUN,
    CERTJOB_REVOKE,
    CERTJOB_DEACTIVATE,
    CERTJOB_DOCTOR,
};

struct certjobs *certjobs_new(struct daemon *d);
void certjobs_free(struct certjobs *jobs);
/* From the certkeeper; takes the tree. */
void certjobs_on_event(struct certjobs *jobs, cJSON *event);
/* kind: "tunnel" | "web". NULL with the error: ERR_BUSY, ERR_CONFIG (no CA is configured), or
 * ERR_USAGE (no such listener). *out_joined: it was under way. */
struct operation *certjobs_start(struct certjobs *jobs, enum certjob what, const char *kind,
                                 bool force, bool *out_joined, struct err *err);
/* The operation under way on the listener, or NULL. */
struct operation *certjobs_active(const struct certjobs *jobs, const char *kind);
/* Ends what runs; false: nothing does. The operation's end comes later, as "cancelled". */
bool certjobs_cancel(struct certjobs *jobs, const char *kind);

#endif
