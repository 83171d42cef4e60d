/* seen: see seen.h. Called by gateway/notice.c. */
#include "gateway/seen.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/auto.h"

struct slot {
    uint64_t id; /* 0: free */
    uint64_t at_ms;
};

struct seen {
    struct slot slots[SEEN_SLOTS];
};

struct seen *seen_new(void)
{
    return try_zalloc(sizeof(struct seen));
}

void seen_free(struct seen *s)
{
    free(s);
}

bool seen_is_due(struct seen *s, uint64_t id, uint64_t now_ms)
{
    struct slot *place = NULL;
    for (unsigned i = 0; i < SEEN_PROBES; i++) {
        struct slot *slot = &s->slots[(id + i) % SEEN_SLOTS];
        bool is_old = slot->id == 0 || now_ms - slot->at_ms >= SEEN_EVERY_MS;
        if (slot->id == id && !is_old) {
            return false;
        }
        if (is_old && place == NULL) {
            place = slot;
        }
    }
    if (place == NULL) {
        return false;
    }
    *place = (struct slot){.id = id, .at_ms = now_ms};
    return true;
}
