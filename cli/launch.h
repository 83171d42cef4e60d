/* launch: find the daemon, or start it. One daemon per home.
 *
 * Whoever needs the daemon calls launch_ensure; it is found by its socket or
 * started as `wos start --foreground` in a session of its own, with its output
 * in H/daemon.log. Two commands at once start one daemon: H/start.lock.
 */
#ifndef WOS_CLI_LAUNCH_H
#define WOS_CLI_LAUNCH_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "cli/command.h"

enum {
    LAUNCH_TIMEOUT_MS = 120000,
    LAUNCH_STOP_MS = 5000,
    LAUNCH_LOG_TAIL_CHARS = 4000,
};

/* Opens cli->client, without asking whether anybody is there. */
int launch_client(struct cli *cli, struct err *err);
/* The daemon answers and speaks our protocol when this returns 0. *out_health
 * (may be NULL) is the caller's; *out_started (may be NULL) tells if it was this
 * call that started it. */
int launch_ensure(struct cli *cli, cJSON **out_health, bool *out_started, struct err *err);
/* Ends the daemon by `how`, "stop" or "restart" (docs/API.md), and waits until
 * its process is gone. *out_found: was there one? A gateway whose daemon died is
 * ended with "stop". */
int launch_end(struct cli *cli, const char *how, bool *out_found, struct err *err);

#endif
