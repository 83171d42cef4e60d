/* events: what happened in this daemon, numbered, for whoever watches.
 *
 * The newest EVENTS_HISTORY_MAX events (and at most EVENTS_BYTES_MAX of them) are kept,
 * so that a reader that lost its connection can go on where it was. Each is kept as
 * one frame of text/event-stream (WHATWG HTML, 9.2): id, event and data lines. Numbers start at 1
 * in each daemon. A hint channel: readers fetch the state itself from the other endpoints.
 * One thread: the daemon's loop.
 */
#ifndef WOS_DAEMON_EVENTS_H
#define WOS_DAEMON_EVENTS_H

#include <cjson/cJSON.h>
#include <stdint.h>

#include "base/str.h"

enum { EVENTS_HISTORY_MAX = 4000, EVENTS_BYTES_MAX = 8 << 20 };

struct events;

struct events *events_new(void);
void events_free(struct events *events);

/* What an event is about; each may be NULL. Borrowed. */
struct event_about {
    const char *project_id;
    const char *session;
    const char *worktree_path;
    const char *operation_id;
};

/* Adds {"type": …, …}; takes the tree. `about` may be NULL. Watchers are told from inside. */
void events_emit(struct events *events, const struct event_about *about, cJSON *event);
/* The number of the newest, 0 when there was none. */
uint64_t events_newest(const struct events *events);

/* One frame, with its empty line at the end, and what type of event it is; borrowed for the call. A
 * watcher may unwatch itself from inside. */
typedef void events_frame_fn(void *arg, const char *type, struct str frame);
/* Every later event of `session` (NULL: all), after those kept with numbers above `after`,
 * which are delivered from inside this call. */
void events_watch(struct events *events, uint64_t after, const char *session,
                  events_frame_fn *on_frame, void *arg);
void events_unwatch(struct events *events, const void *arg);

#endif
