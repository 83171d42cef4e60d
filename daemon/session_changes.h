/* session_changes: a session as it was at one moment, and what is different at the next.
 * Used by changes.c; one thread.
 */
#ifndef WOS_DAEMON_SESSION_CHANGES_H
#define WOS_DAEMON_SESSION_CHANGES_H

#include "daemon/events.h"
#include "daemon/publisher.h"

struct session;
struct session_view;

struct session_view *session_view_new(const struct session *session, const struct publisher *p);
void session_view_free(struct session_view *view); /* NULL is allowed */
/* Emits what changed; `before` NULL: everything is new. */
void session_view_compare(struct events *events, const struct event_about *about,
                          const struct session_view *before, const struct session_view *now);

#endif
