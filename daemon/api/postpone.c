/* postpone: see postpone.h. Called by api.c. */
#include "daemon/api/postpone.h"

#include <stdlib.h>

#include "base/auto.h"
#include "base/loop.h"
#include "daemon/api/request.h"
#include "daemon/daemon.h"

struct postponed {
    struct api_request *r; /* borrowed: has this as its work */
    struct loop_timer timer;
    postpone_fn *fn;
    void *arg; /* borrowed */
};

static void postponed_end(struct api_request *r)
{
    struct postponed *p = r->work;
    loop_timer_fini(&p->timer);
    free(p);
    r->work = NULL;
    r->cancel = NULL;
}

static void postponed_on_timer(void *arg)
{
    const struct postponed p = *(const struct postponed *)arg;
    postponed_end(p.r);
    p.fn(p.r, p.arg);
}

void request_postpone(struct api_request *r, uint64_t delay_ms, postpone_fn *fn, void *arg)
{
    CHECK(r->cancel == NULL);
    struct postponed *p = xcalloc(1, sizeof *p);
    *p = (struct postponed){.r = r, .fn = fn, .arg = arg};
    loop_timer_init(&p->timer, r->d->loop, postponed_on_timer, p);
    loop_timer_set(&p->timer, delay_ms);
    r->work = p;
    r->cancel = postponed_end;
}
