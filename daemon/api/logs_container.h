/* logs_container: the log of one service that is a container, for the logs endpoint.
 *
 * Runs `docker logs` and hands on whole lines. Following, it goes on with the next run of the
 * service (a restart, a new container) until freed; otherwise on_end comes once, from the
 * loop, after all output. Loop thread.
 */
#ifndef WOS_DAEMON_API_LOGS_CONTAINER_H
#define WOS_DAEMON_API_LOGS_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "daemon/daemon.h"

struct container_log;

typedef void container_log_lines_fn(void *arg, const char *service, const char *stream,
                                    struct str lines);
typedef void container_log_end_fn(void *arg);

/* `tail_lines` of what was written before, at most 10,000; 0: 1,000. */
struct container_log *container_log_new(struct daemon *d, const char *session, const char *service,
                                        size_t tail_lines, bool follow,
                                        container_log_lines_fn *on_lines,
                                        container_log_end_fn *on_end, void *arg);
/* In on_end, but not from inside on_lines. NULL is allowed. */
void container_log_free(struct container_log *log);

#endif
