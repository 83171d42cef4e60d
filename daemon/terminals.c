/* terminals: all of them; see terminal.h. Loop thread. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "daemon/terminal_internal.h"
#include "daemon/terminal_left.h"

enum {
    FREE_GRACE_MS = 300, /* the daemon ends */
    FREE_STEP_MS = 10,
};

struct terminals *terminals_new(struct loop *loop, const char *home)
{
    struct terminals *ts = xcalloc(1, sizeof(*ts));
    ts->loop = loop;
    if (home != NULL) {
        ts->dir = path_join(home, "terminals");
        ts->left = terminals_left_new(ts, ts->dir);
    }
    return ts;
}

void terminals_observe(struct terminals *ts, terminal_change_fn *on_change, void *arg)
{
    ts->on_change = on_change;
    ts->arg = arg;
}

/* SIGHUP, and a moment for shells to write their histories: those whose end is known. */
static void hang_up_all(struct terminals *ts)
{
    bool is_waiting = false;
    for (size_t i = 0; i < TERMINALS_MAX; i++) {
        struct terminal *t = ts->items[i];
        if (t != NULL && t->process != NULL && !t->use_pipes) {
            terminal_hang_up(t);
            is_waiting = true;
        }
    }
    for (int left_ms = FREE_GRACE_MS; is_waiting && left_ms > 0; left_ms -= FREE_STEP_MS) {
        (void)usleep(FREE_STEP_MS * 1000);
        is_waiting = false;
        for (size_t i = 0; i < TERMINALS_MAX; i++) {
            struct terminal *t = ts->items[i];
            siginfo_t info = {0};
            is_waiting = is_waiting || (t != NULL && t->process != NULL && !t->use_pipes &&
                                        waitid(P_PID, (id_t)subprocess_pid(t->process), &info,
                                               WEXITED | WNOHANG | WNOWAIT) == 0 &&
                                        info.si_pid == 0);
        }
    }
}

void terminals_free(struct terminals *ts)
{
    if (ts == NULL) {
        return;
    }
    hang_up_all(ts);
    for (size_t i = 0; i < TERMINALS_MAX; i++) {
        if (ts->items[i] != NULL) {
            if (ts->items[i]->process != NULL) {
                terminal_hang_up(ts->items[i]); /* with pipes nobody has yet */
                (void)subprocess_signal(ts->items[i]->process, SIGKILL, NULL);
            }
            terminal_free(ts->items[i]);
        }
    }
    terminals_left_free(ts->left);
    free(ts->dir);
    free(ts);
}

struct terminal *terminals_find(struct terminals *ts, const char *id)
{
    for (size_t i = 0; i < TERMINALS_MAX; i++) {
        if (ts->items[i] != NULL && strcmp(ts->items[i]->id, id) == 0) {
            return ts->items[i];
        }
    }
    return NULL;
}

void terminals_end_session(struct terminals *ts, const char *session)
{
    for (size_t i = 0; i < TERMINALS_MAX; i++) {
        struct terminal *t = ts->items[i];
        if (t != NULL && t->session != NULL && strcmp(t->session, session) == 0) {
            terminal_end(t);
        }
    }
}
