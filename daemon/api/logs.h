/* logs: `GET /sessions/:name/logs`: the tails of services' log files, and what
 * is appended. One thread: the daemon's loop. */
#ifndef WOS_DAEMON_API_LOGS_H
#define WOS_DAEMON_API_LOGS_H

#include <stdbool.h>

struct api_request;
struct session;

void logs_handle(struct api_request *r);
/* The same of one service, or of all for NULL. 404 when there is no log. */
void logs_follow(struct api_request *r, const struct session *session, const char *service,
                 bool is_following);

#endif
