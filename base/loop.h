/* loop: one libevent base, one thread, an explicit end of turn.
 *
 * A turn is one wait plus the callbacks of everything that became ready.
 * After it, in this order: the flush hooks (registered once), then deferred
 * calls, which may defer again (those run in the same end of turn), and where
 * there were any the flush hooks once more, for what the calls wrote. Freeing
 * anything a callback may still stand on is deferred: loop_defer.
 * Everything here is for the loop's own thread.
 */
#ifndef WOS_BASE_LOOP_H
#define WOS_BASE_LOOP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct event_base;
struct loop;

typedef void loop_fn(void *arg);
typedef void loop_signal_fn(int signo, void *arg);

struct loop *loop_new(struct err *err);
/* Runs the deferred calls that are left and the at-free calls, then frees. */
void loop_free(struct loop *loop);
/* The libevent base, for event_new and evhttp. Borrowed. */
struct event_base *loop_base(struct loop *loop);
/* Runs until loop_stop. */
void loop_run(struct loop *loop);
/* One turn: waits for an event if `block`, runs callbacks and the end of turn.
 * Turns do not nest: neither call may be made from a callback. */
void loop_turn(struct loop *loop, bool block);
void loop_stop(struct loop *loop);
/* The next turn does not wait. Own thread. */
void loop_wake(struct loop *loop);

/* Calls fn(arg) at the end of this turn, once. */
void loop_defer(struct loop *loop, loop_fn *fn, void *arg);
/* The same without memory, for what must go on without: `call` is part of what fn(call) is about
 * (OWNER_OF). Zero-initialised is one that does not wait; one that does may get another fn. */
struct loop_call {
    struct loop_call *next;
    void (*fn)(struct loop_call *call); /* NULL: it does not wait */
};
void loop_defer_call(struct loop *loop, struct loop_call *call, void (*fn)(struct loop_call *call));
/* Calls fn(arg) at every end of turn, before deferred calls. At most 4. */
void loop_add_flush(struct loop *loop, loop_fn *fn, void *arg);
/* Calls fn(arg) from loop_free, the newest first: for things that belong to
 * the loop and have no other owner. The pair (fn, arg) can be taken back. */
void loop_at_free(struct loop *loop, loop_fn *fn, void *arg);
void loop_at_free_cancel(struct loop *loop, loop_fn *fn, void *arg);

/* Milliseconds of the monotonic clock, read once per turn and by each timer. */
uint64_t loop_now_ms(struct loop *loop);
/* The same clock, read now; any thread. */
uint64_t clock_now_ms(void);
uint64_t clock_now_us(void);
/* Wall clock in milliseconds since the epoch. */
int64_t clock_wall_ms(void);

/* timer: one shot. Embedded in its owner; loop_timer_fini before the owner is
 * freed. Setting a set timer moves it. Never early by loop_now_ms. */
struct event;
struct loop_timer {
    struct event *event; /* owned */
    struct loop *loop;   /* borrowed */
    uint64_t due_us;     /* on the monotonic clock */
    loop_fn *fn;
    void *arg; /* borrowed */
};
void loop_timer_init(struct loop_timer *t, struct loop *loop, loop_fn *fn, void *arg);
void loop_timer_set(struct loop_timer *t, uint64_t delay_ms);
bool loop_timer_is_set(const struct loop_timer *t);
void loop_timer_clear(struct loop_timer *t);
void loop_timer_fini(struct loop_timer *t);

/* Blocks the signals in the calling thread (call before starting others) and
 * delivers them as callbacks on the loop, through a signalfd. Once per loop. */
int loop_watch_signals(struct loop *loop, const int *signals, int count, loop_signal_fn *fn,
                       void *arg, struct err *err);

#endif
