/* store: what a session leaves on disk, under <home>/sessions/<name>/.
 *
 * state.json has the documented keys and ours (startTicks per service, hostnames,
 * noTunnel, hostModes, docker); keys it does not know are kept. Writes are atomic, files
 * 0600, directories 0700. Small blocking file I/O; daemon thread.
 */
#ifndef WOS_DAEMON_STORE_STORE_H
#define WOS_DAEMON_STORE_STORE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* All malloc'ed. */
char *store_session_dir(const char *home, const char *session);
char *store_state_path(const char *home, const char *session);
/* shell/logs/<service>.<stream>.log; other bytes than [A-Za-z0-9._-] become '_'. */
char *store_log_path(const char *home, const char *session, const char *service,
                     const char *stream);

/* The parsed state.json, an object; NULL with ERR_NOT_FOUND or why it is no
 * good. The caller frees. */
cJSON *store_load_state(const char *home, const char *session, struct err *err);
/* Makes the directory as needed. */
int store_save_state(const char *home, const char *session, const cJSON *state, struct err *err);
/* Removes the whole session directory. */
int store_remove(const char *home, const char *session, struct err *err);

/* last-up-failure.json {failedAt, message, operationId?, step?}; operation_id and step may be NULL.
 */
int store_save_failure(const char *home, const char *session, const char *message,
                       const char *operation_id, const char *step, struct err *err);
void store_clear_failure(const char *home, const char *session);
/* NULL when there is none; the caller frees. */
cJSON *store_load_failure(const char *home, const char *session);

/* Names of all session directories, sorted; NULL-terminated. Free with
 * store_names_free. An absent sessions folder gives an empty list. */
char **store_list(const char *home);
void store_names_free(char **names);

/* A set of ports, one bit each. */
struct port_set {
    uint8_t bits[65536 / 8];
};
/* Sets the bit of every port that sessions have recorded: those of which `wanted` says so, NULL:
 * all. */
typedef bool store_wanted_fn(void *arg, const char *session);
void store_collect_ports(const char *home, store_wanted_fn *wanted, void *arg,
                         struct port_set *out);
static inline bool port_set_has(const struct port_set *set, uint16_t port)
{
    return (set->bits[port / 8] >> (port % 8) & 1) != 0;
}

/* RFC 3339 UTC with milliseconds ("2026-11-20T12:00:00.123Z") of now. malloc'ed. */
char *store_timestamp(void);

#endif
