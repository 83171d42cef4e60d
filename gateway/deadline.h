/* deadline: a timing wheel for the waits of connections.
 *
 * Every wait of the data path has a deadline; moving one to later costs a
 * store, nothing else: an entry found in an expired slot before its time is
 * put where it belongs. Resolution DEADLINE_TICK_MS; never fires early.
 */
#ifndef WOS_GATEWAY_DEADLINE_H
#define WOS_GATEWAY_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>

enum { DEADLINE_TICK_MS = 128, DEADLINE_SLOTS = 512 };

struct deadline {
    struct deadline *next;
    struct deadline **prev; /* NULL: not in the wheel */
    uint64_t at_ms;         /* 0: no deadline */
    uint64_t slot_ms;       /* when its slot is looked at */
};

struct deadline_wheel {
    struct deadline *slots[DEADLINE_SLOTS];
    uint64_t done_tick; /* slots up to here are handled */
    uint32_t count;
};

typedef void deadline_fn(struct deadline *d, void *arg);

void deadline_wheel_init(struct deadline_wheel *wheel, uint64_t now_ms);
/* after_ms 0 clears. */
void deadline_set(struct deadline_wheel *wheel, struct deadline *d, uint64_t now_ms,
                  uint64_t after_ms);
void deadline_clear(struct deadline_wheel *wheel, struct deadline *d);
/* Calls on_due for each entry whose time has come; it is out of the wheel then. */
void deadline_wheel_run(struct deadline_wheel *wheel, uint64_t now_ms, deadline_fn *on_due,
                        void *arg);

#endif
