/* waiters: see waiters.h. Called by publisher.c on the daemon's loop. */
#include "daemon/waiters.h"

#include <stdlib.h>

#include "base/auto.h"

struct waiter {
    struct waiter *next;
    waiter_done_fn *done;
    void *arg;           /* borrowed */
    uint64_t generation; /* 0: the next snapshot, not made yet */
    uint64_t deadline_ms;
    char *error; /* owned; set: tell it in the next run */
};

static void waiter_free(struct waiter *w)
{
    free(w->error);
    free(w);
}

void waiters_fini(struct waiters *ws)
{
    while (ws->first != NULL) {
        struct waiter *next = ws->first->next;
        waiter_free(ws->first);
        ws->first = next;
    }
}

void waiters_add(struct waiters *ws, waiter_done_fn *done, void *arg, uint64_t deadline_ms,
                 const char *error)
{
    struct waiter *w = xcalloc(1, sizeof *w);
    *w = (struct waiter){.next = ws->first, .done = done, .arg = arg, .deadline_ms = deadline_ms};
    w->error = error == NULL ? NULL : xstrdup(error);
    ws->first = w;
}

void waiters_assign(struct waiters *ws, uint64_t generation)
{
    for (struct waiter *w = ws->first; w != NULL; w = w->next) {
        if (w->generation == 0) {
            w->generation = generation;
        }
    }
}

static void waiter_fail(struct waiter *w, const char *error)
{
    if (w->error == NULL) {
        w->error = xstrdup(error);
    }
}

void waiters_fail_all(struct waiters *ws, const char *error)
{
    for (struct waiter *w = ws->first; w != NULL; w = w->next) {
        waiter_fail(w, error);
    }
}

void waiters_fail_until(struct waiters *ws, uint64_t generation, const char *error)
{
    for (struct waiter *w = ws->first; w != NULL; w = w->next) {
        if (w->generation != 0 && w->generation <= generation) {
            waiter_fail(w, error);
        }
    }
}

uint64_t waiters_expire(struct waiters *ws, uint64_t now_ms, const char *error)
{
    uint64_t next = 0;
    for (struct waiter *w = ws->first; w != NULL; w = w->next) {
        if (w->deadline_ms <= now_ms) {
            waiter_fail(w, error);
        } else if (next == 0 || w->deadline_ms < next) {
            next = w->deadline_ms;
        }
    }
    return next;
}

void waiters_run(struct waiters *ws, uint64_t served)
{
    for (struct waiter **at = &ws->first; *at != NULL;) {
        struct waiter *w = *at;
        if (w->error == NULL && (w->generation == 0 || w->generation > served)) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->done(w->arg, w->error);
        waiter_free(w);
        at = &ws->first; /* the callback may have changed the list */
    }
}

void waiters_cancel(struct waiters *ws, const void *arg)
{
    for (struct waiter **at = &ws->first; *at != NULL;) {
        struct waiter *w = *at;
        if (w->arg == arg) {
            *at = w->next;
            waiter_free(w);
        } else {
            at = &w->next;
        }
    }
}
