/* schedule: when a certificate is due. Pure; the renewer gives it what it knows and the time.
 *
 * - No certificate that can be served (none, expired, for other names, of another directory):
 *   at once.
 * - The CA's suggestion (RFC 9773) where there is one for this certificate, never later than
 *   when a tenth of its life is left; a window that ended before the certificate was issued
 *   cannot be meant for it.
 * - Else when a third of its life is left, or half for lives under ten days.
 * - Never sooner after the last success than six hours, or a quarter of a shorter life: whatever
 *   a CA says or does, nothing is renewed in a loop.
 * - After failures not before the time that backoff or the CA set. A time further away than
 *   either can have set was made by a clock that was wrong, and is not waited for.
 */
#ifndef WOS_ACME_SCHEDULE_H
#define WOS_ACME_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SCHEDULE_BACKOFF_MIN_SECONDS = 60,
    SCHEDULE_BACKOFF_MAX_SECONDS = 6 * 3600,
    SCHEDULE_WAIT_MAX_SECONDS = 8 * 86400, /* the longest Retry-After that is believed */
};

struct schedule_input {
    bool is_usable;     /* there is a certificate that may be served */
    int64_t not_before; /* its dates; wall seconds */
    int64_t not_after;
    int64_t issued_at; /* when we installed it; 0: not known */
    int64_t ari_start; /* 0: no suggestion */
    int64_t ari_end;
    int64_t ari_selected;
    int64_t not_until; /* after failures; 0: none */
    bool is_resumable; /* an order is under way since before the last stop */
};

enum schedule_reason {
    SCHEDULE_NONE_USABLE,
    SCHEDULE_RESUME,
    SCHEDULE_SUGGESTED,
    SCHEDULE_AGE,
    SCHEDULE_EXPIRED,
};

struct schedule {
    int64_t at; /* wall seconds; <= now: due */
    enum schedule_reason reason;
    bool is_waiting; /* `at` comes from not_until */
};

struct schedule schedule_next(const struct schedule_input *input, int64_t now);
/* The pause after `failures` (1 or more) in a row: 1 minute doubled each time up to 6 hours,
 * less up to a third: `random` is any number. */
int64_t schedule_backoff(uint32_t failures, uint32_t random);
/* "there is no certificate to serve", "the CA suggests it", … */
const char *schedule_reason_text(enum schedule_reason reason);

#endif
