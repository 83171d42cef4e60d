/* libevent_log: see libevent_log.h. */
#include "base/libevent_log.h"

#include <event2/event.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/log.h"
#include "base/loop.h"

enum { PAUSE_MS = 10000 };

/* libevent's callback has no argument to keep these in; any thread may call it. */
static _Atomic uint64_t quiet_until_ms;
static _Atomic uint64_t left_out;

static void on_message(int severity, const char *message)
{
    if (severity < EVENT_LOG_WARN) {
        return;
    }
    uint64_t now = clock_now_ms();
    uint64_t until = atomic_load(&quiet_until_ms);
    if (now < until || !atomic_compare_exchange_strong(&quiet_until_ms, &until, now + PAUSE_MS)) {
        (void)atomic_fetch_add(&left_out, 1);
        return;
    }
    /* Not returned to a caller, as rule 25 wants: libevent has none. */
    log_warn("libevent", message, LOG_INT("left_out", atomic_exchange(&left_out, 0)));
}

void libevent_log_init(void)
{
    event_set_log_callback(on_message);
}
