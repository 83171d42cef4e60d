/* failure: why something about a certificate did not work, for people and for the schedule.
 *
 * `phase` is one of the documented words: account, key, order, hook-create, hook-delete,
 * cloudflare-create, cloudflare-delete, propagation, validation, issuance, validate-cert,
 * storage, resolve, activation, cancelled. `message` is one sentence that says what to do where
 * that is known; it never holds a secret. Plain data, owned by value; any thread.
 */
#ifndef WOS_ACME_FAILURE_H
#define WOS_ACME_FAILURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { FAILURE_TYPE_MAX = 64, FAILURE_MESSAGE_MAX = 512 };

struct failure {
    const char *phase;                 /* constant; NULL: no failure */
    char type[FAILURE_TYPE_MAX];       /* "rateLimited", …: the end of the problem's URN, or "" */
    char message[FAILURE_MESSAGE_MAX]; /* UTF-8, no control characters */
    int64_t retry_at;                  /* wall seconds: not before; 0: the schedule decides */
    bool is_permanent;                 /* trying again unchanged cannot help (bad configuration) */
};

/* Fills it; text from outside is cleaned of control characters and cut. */
void failure_set(struct failure *f, const char *phase, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void failure_set_err(struct failure *f, const char *phase, const struct err *err);
static inline bool failure_is_set(const struct failure *f)
{
    return f->phase != NULL;
}

#endif
