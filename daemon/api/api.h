/* api: the daemon's HTTP API (docs/API.md) on H/daemon.sock and on the loopback
 * web listener. One thread: the daemon's loop. The current directory must be H.
 */
#ifndef WOS_DAEMON_API_API_H
#define WOS_DAEMON_API_API_H

#include <cjson/cJSON.h>

#include "base/err.h"

struct api;
struct api_request;
struct daemon;

/* Listens on daemon.sock (an old socket is replaced: the caller holds the lock) and on
 * web.host:web.port. A busy web port only disables the web listener (it is tried again). */
struct api *api_new(struct daemon *d, struct err *err);
/* Cancels what is under way and removes the socket. */
void api_free(struct api *api);
/* "http://127.0.0.1:4949", or NULL while nothing listens there. Borrowed. */
const char *api_web_url(const struct api *api);
/* The web listener's certificate (certkeeper_web) is another one. */
void api_set_web_pair(struct api *api);
/* {"host","port","state","error"?} */
cJSON *api_web_json(const struct api *api);

/* Ends what a device has under way by the public name (request.h), but for `except`. `login` NULL:
 * every device. */
void api_end_login(struct api *api, const char *login, const struct api_request *except);

enum { API_GET = 1, API_POST = 2, API_DELETE = 4, API_PUT = 8, API_PATCH = 16 };

enum api_access {
    API_ANYONE, /* before a login too */
    API_LOGGED_IN,
    API_LOCAL, /* never by the public name */
};

/* One endpoint. In the pattern, a segment ":" matches anything and becomes r->param. */
struct api_endpoint {
    int method;
    const char *pattern;
    enum api_access access;
    void (*handle)(struct api_request *r);
};

/* Tables of the other files here; each ends with a NULL pattern. */
extern const struct api_endpoint api_daemon_endpoints[];
extern const struct api_endpoint api_worktree_endpoints[];
extern const struct api_endpoint api_operation_endpoints[];
extern const struct api_endpoint api_publish_endpoints[];
extern const struct api_endpoint api_auth_endpoints[];
extern const struct api_endpoint api_access_endpoints[];
extern const struct api_endpoint api_settings_endpoints[];
extern const struct api_endpoint api_stats_endpoints[];
extern const struct api_endpoint api_ui_endpoints[];
extern const struct api_endpoint api_request_endpoints[];
extern const struct api_endpoint api_certificate_endpoints[];
extern const struct api_endpoint api_project_endpoints[];
extern const struct api_endpoint api_setup_endpoints[];
extern const struct api_endpoint api_event_endpoints[];
extern const struct api_endpoint api_action_endpoints[];
extern const struct api_endpoint api_exec_endpoints[];
extern const struct api_endpoint api_board_endpoints[];
extern const struct api_endpoint api_terminal_endpoints[];

#endif
