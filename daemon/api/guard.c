/* guard: see guard.h. */
#include "daemon/api/guard.h"

#include <stddef.h>

#include "daemon/api/request.h"
#include "daemon/daemon.h"

bool guard_terminal_is_open(const struct daemon *d, bool is_public)
{
    return !is_public || d->config->web_ui_terminal_enabled;
}

bool guard_terminal(struct api_request *r)
{
    if (guard_terminal_is_open(r->d, r->is_public)) {
        return true;
    }
    reply_error(r, 403, "forbidden", GUARD_TERMINAL_REFUSAL, NULL);
    return false;
}
