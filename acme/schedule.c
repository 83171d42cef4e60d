/* schedule: see schedule.h. Called by the renewer's timer. */
#include "acme/schedule.h"

enum {
    SHORT_LIFE_SECONDS = 10 * 86400,
    LOOP_GUARD_SECONDS = 6 * 3600,
};

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static struct schedule by_dates(const struct schedule_input *in)
{
    int64_t life = in->not_after - in->not_before;
    int64_t left = life < SHORT_LIFE_SECONDS ? life / 2 : life / 3;
    struct schedule next = {.at = in->not_after - left, .reason = SCHEDULE_AGE};
    int64_t issued = in->issued_at == 0 ? in->not_before : in->issued_at;
    if (in->ari_start != 0 && in->ari_end > issued) {
        next.at = min64(in->ari_selected, in->not_after - life / 10);
        next.reason = SCHEDULE_SUGGESTED;
    }
    if (in->issued_at != 0) {
        next.at = max64(next.at, in->issued_at + min64(LOOP_GUARD_SECONDS, life / 4));
    }
    return next;
}

struct schedule schedule_next(const struct schedule_input *in, int64_t now)
{
    struct schedule next = {.at = now, .reason = SCHEDULE_NONE_USABLE};
    if (in->is_usable) {
        next = now > in->not_after ? (struct schedule){.at = now, .reason = SCHEDULE_EXPIRED}
                                   : by_dates(in);
    }
    if (in->is_resumable) {
        next = (struct schedule){.at = now, .reason = SCHEDULE_RESUME};
    }
    bool is_believable = in->not_until <= now + SCHEDULE_WAIT_MAX_SECONDS;
    if (in->not_until > next.at && is_believable) {
        next.at = in->not_until;
        next.is_waiting = true;
    }
    return next;
}

int64_t schedule_backoff(uint32_t failures, uint32_t random)
{
    int64_t pause = SCHEDULE_BACKOFF_MIN_SECONDS;
    for (uint32_t i = 1; i < failures && pause < SCHEDULE_BACKOFF_MAX_SECONDS; i++) {
        pause *= 2;
    }
    pause = min64(pause, SCHEDULE_BACKOFF_MAX_SECONDS);
    /* Never under the minimum: the first pause has its jitter on top. */
    int64_t spread = pause / 3;
    pause = pause - spread + (int64_t)(random % (uint32_t)(spread + 1));
    return failures <= 1 ? SCHEDULE_BACKOFF_MIN_SECONDS + (int64_t)(random % 21) : pause;
}

const char *schedule_reason_text(enum schedule_reason reason)
{
    switch (reason) {
    case SCHEDULE_NONE_USABLE:
        return "there is no certificate to serve";
    case SCHEDULE_RESUME:
        return "an order is under way";
    case SCHEDULE_SUGGESTED:
        return "the CA suggests it";
    case SCHEDULE_AGE:
        return "a good part of its life is over";
    case SCHEDULE_EXPIRED:
        return "it has expired";
    }
    return "";
}
