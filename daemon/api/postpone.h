/* postpone: a request that is looked at again a little later.
 *
 * Nothing is called when its client goes or the API ends before. One thread: the daemon's loop.
 */
#ifndef WOS_DAEMON_API_POSTPONE_H
#define WOS_DAEMON_API_POSTPONE_H

#include <stdint.h>

struct api_request;

typedef void postpone_fn(struct api_request *r, void *arg);

/* `arg` must live as long as the API. The request must not have a `cancel` of its own. */
void request_postpone(struct api_request *r, uint64_t delay_ms, postpone_fn *fn, void *arg);

#endif
