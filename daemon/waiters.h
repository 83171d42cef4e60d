/* waiters: who waits for a snapshot to be served. Part of the publisher.
 *
 * A waiter is told once: served, or an error. Nobody is told from inside add or
 * fail, only from run. Callbacks may add, cancel and fail. One thread.
 */
#ifndef WOS_DAEMON_WAITERS_H
#define WOS_DAEMON_WAITERS_H

#include <stdint.h>

typedef void waiter_done_fn(void *arg, const char *error);

struct waiter;
struct waiters {
    struct waiter *first; /* owned */
};

void waiters_fini(struct waiters *ws);
/* `error` (may be NULL) is copied: then the waiter is told that in the next run. */
void waiters_add(struct waiters *ws, waiter_done_fn *done, void *arg, uint64_t deadline_ms,
                 const char *error);
/* A snapshot was made: whoever waits for the next one waits for this generation. */
void waiters_assign(struct waiters *ws, uint64_t generation);
/* Everybody, or those who wait for a generation up to `generation`, will be told the error. */
void waiters_fail_all(struct waiters *ws, const char *error);
void waiters_fail_until(struct waiters *ws, uint64_t generation, const char *error);
/* Those whose deadline has passed will be told the error; the earliest other deadline, or 0. */
uint64_t waiters_expire(struct waiters *ws, uint64_t now_ms, const char *error);
/* Tells everybody who has an error or waits for at most `served`. */
void waiters_run(struct waiters *ws, uint64_t served);
void waiters_cancel(struct waiters *ws, const void *arg);

#endif
