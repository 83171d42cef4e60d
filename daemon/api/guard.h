/* guard: what a client by the public name gets only with tunnel.webUi.terminalEnabled: programs and
 * files of this machine.
 */
#ifndef WOS_DAEMON_API_GUARD_H
#define WOS_DAEMON_API_GUARD_H

#include <stdbool.h>

struct api_request;
struct daemon;

#define GUARD_TERMINAL_REFUSAL "terminal access is restricted to trusted local clients"

bool guard_terminal_is_open(const struct daemon *d, bool is_public);
/* False after having answered 403. */
bool guard_terminal(struct api_request *r);

#endif
