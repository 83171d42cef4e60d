/* docker_events: the engine's events, one `docker events` per engine for all deployments.
 *
 * A watcher is told that something about its project's containers changed; what, it finds out
 * itself. When the stream ends (the engine restarts) every watcher is told and the stream is
 * begun again. One hub per daemon, on its loop; on_change comes from the loop.
 */
#ifndef WOS_DAEMON_DEPLOY_DOCKER_EVENTS_H
#define WOS_DAEMON_DEPLOY_DOCKER_EVENTS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/loop.h"

struct docker_events;
struct docker_watch;

typedef void docker_change_fn(void *arg);

struct docker_events *docker_events_new(struct loop *loop);
/* Every watch must be gone. NULL is allowed. */
void docker_events_free(struct docker_events *hub);

/* docker: the program; env: NULL-terminated, says which engine. All copied. */
struct docker_watch *docker_watch_new(struct docker_events *hub, const char *docker,
                                      const char *const *env, const char *project,
                                      docker_change_fn *on_change, void *arg);
/* Not from inside on_change. NULL is allowed. */
void docker_watch_free(struct docker_watch *watch);
/* The process behind it, to be found again after a crash of the daemon; 0 if none. */
pid_t docker_watch_pid(const struct docker_watch *watch, uint64_t *out_start_ticks);

#endif
