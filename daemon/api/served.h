/* served: an answer that waits until the gateway serves what was changed. One thread: the daemon's
 * loop. */
#ifndef WOS_DAEMON_API_SERVED_H
#define WOS_DAEMON_API_SERVED_H

#include <cjson/cJSON.h>

struct api_request;

/* Publishes, and answers with `body` (taken) and "served": true when every worker of the gateway
 * has all that was set by now; false, with "message", when that will not be or takes longer than
 * 10 s. With the tunnel disabled there is nothing to wait for: at once, without "served". */
void reply_when_served(struct api_request *r, cJSON *body);

#endif
