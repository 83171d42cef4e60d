/* guard: what a client by the public name gets only with tunnel.webUi.terminalEnabled: programs and
 * files of this machine.
 */
#ifndef WOS_DAEMON_API_GUARD_H
#define WOS_DAEMON_API_GUARD_H

#include <stdbool.h>

struct api_request;

/* False after having answered 403. */
bool guard_terminal(struct api_request *r);

#endif
