/* logs: `GET /sessions/:name/logs`: the tails of services' log files, and what
 * is appended. One thread: the daemon's loop. */
#ifndef WOS_DAEMON_API_LOGS_H
#define WOS_DAEMON_API_LOGS_H

struct api_request;

void logs_handle(struct api_request *r);

#endif
