/* channels: GET /worktrees/logs?session=S&channel=C (docs/API.md): one log channel, for as long as
 * the client stays. */
#ifndef WOS_DAEMON_API_CHANNELS_H
#define WOS_DAEMON_API_CHANNELS_H

struct api_request;

void channels_handle(struct api_request *r);

#endif
