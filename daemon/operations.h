/* operations: the registry of what the daemon is doing to sessions: one `up`,
 * `down`, … each, with its events.
 *
 * One exclusive operation per session at a time. Every event becomes one line
 * of NDJSON (docs/API.md) with a sequence number; the newest
 * OPERATION_HISTORY_MAX lines of each operation are kept, and the newest
 * OPERATION_KEEP_MAX finished operations. Watchers get the history first, then
 * each new line, and are told the end.
 *
 * An operation belongs to the registry; whoever began it may use the pointer
 * until operation_finish(). One thread: the daemon's loop.
 */
#ifndef WOS_DAEMON_OPERATIONS_H
#define WOS_DAEMON_OPERATIONS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"

enum {
    OPERATION_HISTORY_MAX = 4000, /* lines per operation */
    OPERATION_HISTORY_BYTES_MAX = 8 << 20,
    OPERATION_KEEP_MAX = 100, /* finished operations */
};

/* The code of one that a down ended. An `up` has succeeded then all the same: clients of the
 * system before know it so. */
#define OPERATION_CANCELLED "cancelled"

struct operations;
struct operation;

struct operations *operations_new(void);
void operations_free(struct operations *ops);

/* Called with each event before it is written (borrowed), and with NULL when an operation begins
 * and when it is finished. One observer. */
typedef void operations_observer_fn(void *arg, const struct operation *op, const cJSON *event);
void operations_observe(struct operations *ops, operations_observer_fn *observer, void *arg);

/* kind: "up", "down", … . NULL with ERR_BUSY and the documented sentence while
 * another one of the session runs (operations_active names it). */
struct operation *operation_begin(struct operations *ops, const char *kind, const char *session,
                                  struct err *err);
/* The same while another one runs: for a `down` that cancels an `up`. Until that
 * is finished both are active, and operations_active gives the newer. */
struct operation *operation_begin_over(struct operations *ops, const char *kind,
                                       const char *session);
/* Adds an event; takes the tree. */
void operation_emit(struct operation *op, cJSON *event);
/* Shorthands for the two commonest. `message` may be NULL. */
void operation_step(struct operation *op, const char *id, const char *state, const char *message);
void operation_log(struct operation *op, const char *channel, const char *stream, struct str chunk);
/* Adds the terminal line, tells the watchers, frees the session for the next
 * one. `failure` NULL: succeeded. `code` NULL or an error code of the API; OPERATION_CANCELLED
 * also without a failure.
 * Do not use `op` afterwards. */
void operation_finish(struct operation *op, const char *code, const char *failure);
bool operation_is_finished(const struct operation *op);
const char *operation_id(const struct operation *op);
const char *operation_kind(const struct operation *op);
const char *operation_session(const struct operation *op);
const char *operation_started_at(const struct operation *op);
/* The id of the newest step event, or NULL. */
const char *operation_last_step(const struct operation *op);
/* OPERATION of docs/API.md. */
cJSON *operation_json(const struct operation *op);

/* Lookups: NULL when there is none. */
struct operation *operations_find(const struct operations *ops, const char *id);
struct operation *operations_active(const struct operations *ops, const char *session);
/* The newest of the session, running or not. */
struct operation *operations_latest(const struct operations *ops, const char *session);

/* Lines come with their newline. `is_last`: no call follows and the watch is
 * gone. The history is delivered from inside operation_watch. */
typedef void operation_line_fn(void *arg, struct str line, bool is_last);
void operation_watch(struct operation *op, operation_line_fn *on_line, void *arg);
void operation_unwatch(struct operation *op, const void *arg);

/* "2026-11-20T12:00:00.123Z" of a wall clock in ms; malloc'ed. */
char *time_text(int64_t wall_ms);
/* A random version 4 UUID; malloc'ed. */
char *uuid_text(void);

#endif
