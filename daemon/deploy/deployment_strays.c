/* deployment_strays: what a service's processes left outside of its group and session, with setsid
 * or a second fork. It carries the service's run id (runid.h) and is ended when the service is
 * stopped, after its group: SIGTERM, and SIGKILL to what is left after the grace. Not what took
 * WOS_RUN_ID out of its environment: nothing tells whose it is. Loop thread. */
#include <signal.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/log.h"
#include "daemon/deploy/deployment_internal.h"
#include "daemon/deploy/runid.h"
#include "daemon/deploy/shell.h"

enum {
    LOOK_MS = 100,
    GIVE_UP_MS = 5000, /* of SIGKILL: what sleeps in a broken driver */
};

/* Of the service that is stopped alone, or of all. */
static bool is_meant(const struct deployment *d, const struct service_run *s)
{
    return s->mark != NULL && s->process == NULL &&
           (d->action == NULL || service_action_is_of(d, s));
}

static void strays_forget(struct deployment *d)
{
    for (size_t i = 0; i < d->service_count; i++) {
        struct service_run *s = d->services[i];
        if (is_meant(d, s)) {
            free(s->mark);
            s->mark = NULL;
        }
    }
    deployment_continue(d, d->strays_ended, 0);
}

static enum process_answer strays_signal(const struct deployment *d, int signo)
{
    autofree const char **ids = xcalloc(d->service_count + 1, sizeof *ids);
    size_t count = 0;
    for (size_t i = 0; i < d->service_count; i++) {
        if (is_meant(d, d->services[i])) {
            ids[count++] = d->services[i]->mark;
        }
    }
    return count == 0 ? PROCESS_NONE : runid_signal(ids, count, signo);
}

static void strays_look(void *arg)
{
    struct deployment *d = arg;
    CHECK(d->magic == DEPLOYMENT_MAGIC);
    uint64_t now_ms = clock_now_ms();
    bool is_first = d->strays_kill_ms == 0;
    if (is_first) {
        d->strays_kill_ms = now_ms + SHELL_GRACE_MS;
    }
    bool is_over = now_ms >= d->strays_kill_ms;
    if (strays_signal(d, is_over ? SIGKILL : is_first ? SIGTERM : 0) == PROCESS_NONE) {
        strays_forget(d);
    } else if (now_ms >= d->strays_kill_ms + GIVE_UP_MS) {
        log_warn("deployment", "processes of stopped services do not end",
                 LOG_STR("session", d->wt.session_name));
        strays_forget(d);
    } else {
        deployment_continue(d, strays_look, LOOK_MS);
    }
}

void strays_end(struct deployment *d, loop_fn *on_ended)
{
    d->strays_ended = on_ended;
    d->strays_kill_ms = 0;
    deployment_continue(d, strays_look, 0);
}
