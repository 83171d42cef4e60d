/* web_bind: the sockets of the web listener. */
#ifndef WOS_DAEMON_API_WEB_BIND_H
#define WOS_DAEMON_API_WEB_BIND_H

#include "base/err.h"
#include "daemon/config.h"

enum { WEB_BIND_MAX = 2 };

/* Listens on web.host and web.port; where that is one address of the network, on 127.0.0.1 too,
 * where the gateway comes for tunnel.webUi. How many sockets are in `out_fds`, or -1 with all of
 * them closed: ERR_CONFIG when the configuration does not allow it, else it may be tried again. */
int web_bind(const struct config *c, int out_fds[WEB_BIND_MAX], struct err *err);

/* Where a person finds it: malloc'ed, "http://127.0.0.1:4949". */
char *web_bind_url(const struct config *c);

#endif
