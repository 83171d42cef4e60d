/* guard: see guard.h. */
#include "daemon/api/guard.h"

#include <stddef.h>

#include "daemon/api/request.h"
#include "daemon/daemon.h"

bool guard_terminal(struct api_request *r)
{
    if (!r->is_public || r->d->config->web_ui_terminal_enabled) {
        return true;
    }
    reply_error(r, 403, "forbidden", "terminal access is restricted to trusted local clients",
                NULL);
    return false;
}
