/* channel_logs: what operations of a session wrote: its channels "deployment" and "init".
 *
 * The newest CHANNEL_LINES_MAX chunks of each are kept while the daemon runs, for readers that come
 * later. One thread: the daemon's loop.
 */
#ifndef WOS_DAEMON_CHANNEL_LOGS_H
#define WOS_DAEMON_CHANNEL_LOGS_H

#include "base/str.h"

enum { CHANNEL_LINES_MAX = 1000, CHANNEL_BYTES_MAX = 1 << 20 };

struct channel_logs;

struct channel_logs *channel_logs_new(void);
void channel_logs_free(struct channel_logs *logs);
/* Both strings are copied. */
void channel_logs_add(struct channel_logs *logs, const char *session, const char *channel,
                      const char *stream, const char *chunk);
void channel_logs_forget(struct channel_logs *logs, const char *session);

/* A line of NDJSON with its newline (docs/API.md); borrowed for the call. */
typedef void channel_line_fn(void *arg, struct str line);
/* What is kept comes from inside this call. */
void channel_logs_watch(struct channel_logs *logs, const char *session, const char *channel,
                        channel_line_fn *on_line, void *arg);
void channel_logs_unwatch(struct channel_logs *logs, const void *arg);

#endif
