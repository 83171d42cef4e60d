/* shells: the terminals of the web UI, each in a worktree or in one of its services.
 *
 * A shell is a terminal (daemon/terminal.h) with a title that lasts: it goes on while nobody looks,
 * up to terminals.idleMinutes, and what it left at its end is kept for SHELLS_KEEP_MS. It ends
 * when it is closed, when its worktree goes (by wos or not) and when the daemon ends, a restart
 * of the daemon included. What happens to shells are events: terminal.started, attached,
 * detached, updated, exited, removed. One thread: the daemon's loop.
 */
#ifndef WOS_DAEMON_SHELLS_H
#define WOS_DAEMON_SHELLS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum {
    SHELLS_MAX = 48, /* what terminals.max can be; the rest of TERMINALS_MAX is `wos exec`'s */
    SHELLS_TITLE_MAX = 80, /* bytes */
    SHELLS_KEEP_MS = 600000,
};

struct daemon;
struct exec_plan;
struct shells;
struct worktree;

/* Uses d->terminals, d->events and d->config. */
struct shells *shells_new(struct daemon *d);
/* Before terminals_free. NULL is allowed. */
void shells_free(struct shells *s);

/* The user's shell in the worktree, with the daemon's environment without what is the daemon's
 * alone. To be freed with exec_plan_fini. */
void shells_plan(const struct shells *s, const struct worktree *wt, struct exec_plan *out);

/* The user's shell: an absolute path. */
const char *shells_program(const struct shells *s);

struct shell_spec {
    const struct worktree *wt;
    const struct exec_plan *plan;
    const char *service; /* or NULL */
    const char *title;   /* or NULL: one is made */
    uint16_t cols, rows; /* 0: the default */
};
/* TERMINAL of docs/API.md; NULL with ERR_BUSY at terminals.max, else why not. Everything copied. */
cJSON *shells_open(struct shells *s, const struct shell_spec *spec, struct err *err);

/* Those of the worktree at `path` (NULL: all), oldest first. */
cJSON *shells_list(const struct shells *s, const char *path);
/* TERMINAL, or NULL when there is none of that id. */
cJSON *shells_rename(struct shells *s, const char *id, const char *title);
/* Hangs up; it is removed once it ended. False when there is none of that id. */
bool shells_close(struct shells *s, const char *id);
/* 1..SHELLS_TITLE_MAX bytes without control characters. */
bool shells_title_is_good(const char *title);

#endif
