/* hsts: see hsts.h. Called by the fronts as they write a head; the worker's thread. */
#include "gateway/hsts.h"

struct str hsts_value(struct exchange *x, const struct head *response)
{
    uint32_t seconds = x->worker->view->snapshot->spec.hsts_seconds;
    if (seconds == 0 || !x->tls || head_find(response, STR("strict-transport-security")) != NULL) {
        return STR_NONE;
    }
    return str_of(arena_try_printf(&x->arena, "max-age=%u", seconds));
}
