/* deadline: see deadline.h. One worker's thread. */
#include "gateway/deadline.h"

#include <stddef.h>

void deadline_wheel_init(struct deadline_wheel *wheel, uint64_t now_ms)
{
    *wheel = (struct deadline_wheel){.done_tick = now_ms / DEADLINE_TICK_MS};
}

static void unlink_entry(struct deadline_wheel *wheel, struct deadline *d)
{
    if (d->prev == NULL) {
        return;
    }
    *d->prev = d->next;
    if (d->next != NULL) {
        d->next->prev = d->prev;
    }
    d->prev = NULL;
    d->next = NULL;
    wheel->count--;
}

static void link_entry(struct deadline_wheel *wheel, struct deadline *d)
{
    /* Rounded up, so that nothing fires early; never in a slot already passed. */
    uint64_t tick = d->at_ms / DEADLINE_TICK_MS + 1;
    if (tick <= wheel->done_tick) {
        tick = wheel->done_tick + 1;
    }
    if (tick >= wheel->done_tick + DEADLINE_SLOTS) {
        tick = wheel->done_tick + DEADLINE_SLOTS - 1; /* looked at again then */
    }
    struct deadline **slot = &wheel->slots[tick % DEADLINE_SLOTS];
    d->slot_ms = tick * DEADLINE_TICK_MS;
    d->next = *slot;
    d->prev = slot;
    if (d->next != NULL) {
        d->next->prev = &d->next;
    }
    *slot = d;
    wheel->count++;
}

void deadline_set(struct deadline_wheel *wheel, struct deadline *d, uint64_t now_ms,
                  uint64_t after_ms)
{
    if (after_ms == 0) {
        deadline_clear(wheel, d);
        return;
    }
    d->at_ms = now_ms + after_ms;
    if (d->prev != NULL && d->slot_ms <= d->at_ms + DEADLINE_TICK_MS) {
        return; /* its slot comes no later than needed */
    }
    unlink_entry(wheel, d);
    link_entry(wheel, d);
}

void deadline_clear(struct deadline_wheel *wheel, struct deadline *d)
{
    d->at_ms = 0;
    unlink_entry(wheel, d);
}

void deadline_wheel_run(struct deadline_wheel *wheel, uint64_t now_ms, deadline_fn *on_due,
                        void *arg)
{
    uint64_t now_tick = now_ms / DEADLINE_TICK_MS;
    if (now_tick > wheel->done_tick + DEADLINE_SLOTS) {
        wheel->done_tick = now_tick - DEADLINE_SLOTS; /* one full round sees all */
    }
    while (wheel->done_tick < now_tick) {
        wheel->done_tick++;
        struct deadline **slot = &wheel->slots[wheel->done_tick % DEADLINE_SLOTS];
        while (*slot != NULL) {
            struct deadline *d = *slot;
            unlink_entry(wheel, d);
            if (d->at_ms > now_ms) {
                link_entry(wheel, d);
            } else {
                d->at_ms = 0;
                on_due(d, arg);
            }
        }
    }
}
