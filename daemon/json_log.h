/* json_log: the log of the `logging` block of config.json: the daemon's events as JSON lines.
 *
 *     {"ts":"2026-11-20T12:00:00.123Z","level":"info","module":"daemon","msg":"started","pid":1}
 *
 * Beside daemon.log, not instead of it. logging.file (relative to H, which must be the current
 * directory) gets lines up to logging.level, or what logging.modules says of a module; members
 * behind "msg" are the event's own. With logging.redactPrompts those of people's words (prompt,
 * query, lastQuery, summary, title) become "<name>.len". A file of logging.maxSize bytes becomes
 * FILE.1, that one FILE.2 and so on, at most logging.keep of them; one that was moved or
 * removed is begun anew. Lines that cannot be written are lost, which daemon.log says once. One
 * thread: the daemon's, and blocks on that file.
 */
#ifndef WOS_DAEMON_JSON_LOG_H
#define WOS_DAEMON_JSON_LOG_H

#include "daemon/config.h"

struct json_log;

/* The configuration is borrowed. Taps base/log: one at a time. */
struct json_log *json_log_new(const struct config *config);
/* logging.* may have changed. */
void json_log_config_changed(struct json_log *l);
/* NULL is allowed. */
void json_log_free(struct json_log *l);

#endif
