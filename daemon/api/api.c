/* api: see api.h. Two evhttp servers, one dispatcher. */
#include "daemon/api/api.h"

#include <netinet/in.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/api/access.h"
#include "daemon/api/caller.h"
#include "daemon/api/door.h"
#include "daemon/api/login.h"
#include "daemon/api/peer.h"
#include "daemon/api/postpone.h"
#include "daemon/api/request.h"
#include "daemon/api/web_assets.h"
#include "daemon/api/web_bind.h"
#include "daemon/api/web_clients.h"
#include "daemon/api/web_tls.h"
#include "daemon/certkeeper.h"
#include "daemon/daemon.h"

#define SOCKET_NAME "daemon.sock"

enum {
    API_MAGIC = 0x61706920,
    BODY_MAX = 4 << 20,
    HEADERS_MAX = 64 << 10,
    JUDGED_MAX = 25,
    JUDGE_AGAIN_MS = 20,
    TIMEOUT_S = 24 * 3600, /* streams may be silent for long; else web_clients.h */
    WEB_RETRY_MS = 5000,
};

struct api;

/* One listener with its prefix. */
struct mount {
    struct api *api; /* borrowed: owner */
    const char *prefix;
    bool is_web;
    struct evhttp *http;              /* owned */
    struct door *doors[WEB_BIND_MAX]; /* owned; NULL: none */
};

struct api {
    uint32_t magic;
    struct daemon *d; /* borrowed */
    struct mount socket;
    struct mount web;
    struct api_request *requests; /* owned: under way */
    struct peers *peers;          /* owned */
    struct web_clients *clients;  /* owned: the connections of web */
    struct web_tls *web_tls;      /* owned; NULL: plain HTTP */
    char *web_url;                /* owned; NULL: not listening */
    char *web_error;              /* owned; NULL: none */
    struct loop_timer web_timer;
};

static const struct api_endpoint *const tables[] = {
    api_ui_endpoints,          api_request_endpoints,   api_daemon_endpoints,
    api_worktree_endpoints,    api_operation_endpoints, api_publish_endpoints,
    api_auth_endpoints,        api_access_endpoints,    api_settings_endpoints,
    api_stats_endpoints,       api_project_endpoints,   api_setup_endpoints,
    api_event_endpoints,       api_action_endpoints,    api_exec_endpoints,
    api_certificate_endpoints, api_board_endpoints,     api_terminal_endpoints,
};

/* --- dispatch -------------------------------------------------------------------- */

/* Matches segment by segment; ':' takes one whole segment, decoded, into *out_param. */
static bool pattern_match(const char *pattern, const char *path, char **out_param)
{
    char *param = NULL;
    while (*pattern != '\0' || *path != '\0') {
        if (*pattern == ':') {
            size_t len = strcspn(path, "/");
            autofree char *raw = xstrndup(path, len);
            free(param);
            char *decoded = evhttp_uridecode(raw, 0, NULL);
            if (len == 0 || decoded == NULL) {
                free(decoded);
                return false;
            }
            param = decoded;
            pattern++;
            path += len;
        } else if (*pattern == *path) {
            pattern++;
            path++;
        } else {
            free(param);
            return false;
        }
    }
    *out_param = param;
    return true;
}

static int method_of(struct evhttp_request *http)
{
    switch (evhttp_request_get_command(http)) {
    case EVHTTP_REQ_GET:
    case EVHTTP_REQ_HEAD:
        return API_GET;
    case EVHTTP_REQ_POST:
        return API_POST;
    case EVHTTP_REQ_PUT:
        return API_PUT;
    case EVHTTP_REQ_PATCH:
        return API_PATCH;
    case EVHTTP_REQ_DELETE:
        return API_DELETE;
    default:
        return 0;
    }
}

/* The endpoint, or NULL with *out_path_known telling whether another method would do. */
static const struct api_endpoint *endpoint_find(const char *path, int method, char **out_param,
                                                bool *out_path_known)
{
    *out_path_known = false;
    for (size_t t = 0; t < COUNT_OF(tables); t++) {
        for (const struct api_endpoint *e = tables[t]; e->pattern != NULL; e++) {
            if (!pattern_match(e->pattern, path, out_param)) {
                continue;
            }
            if (e->method == method) {
                return e;
            }
            free(*out_param);
            *out_param = NULL;
            *out_path_known = true;
        }
    }
    return NULL;
}

/* False after having answered. */
static bool body_read(struct api_request *r)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(r->http);
    size_t len = evbuffer_get_length(in);
    if (len == 0) {
        return true;
    }
    struct err err = {.msg = ""};
    struct str text = {(const char *)evbuffer_pullup(in, -1), len};
    r->body = json_parse(text, "request body", &err);
    if (r->body == NULL) {
        reply_error(r, 400, "validation", err.msg, NULL);
        return false;
    }
    if (!cJSON_IsObject(r->body)) {
        reply_error(r, 400, "validation", "the body must be a JSON object", NULL);
        return false;
    }
    return true;
}

/* Who is not signed in and would have to be. */
static void refuse_public(struct api_request *r)
{
    if (r->refusal == NULL) {
        reply_error(r, 401, "unauthorized", "log in first", NULL);
        return;
    }
    bool is_offered = login_is_offered(r->d);
    autofree char *message =
        xasprintf("%s: %s", r->refusal,
                  is_offered ? "log in first, or ask as the user that wos runs as"
                             : "ask as the user that wos runs as (or set tunnel.webUi.enabled, "
                               "subdomain and secret, and log in)");
    reply_error(r, is_offered ? 401 : 403, is_offered ? "unauthorized" : "forbidden", message,
                NULL);
}

/* True when it must not go on as who it is. */
static bool lacks_login(struct api_request *r, const struct api_endpoint *e)
{
    if (!r->is_public || (e != NULL && e->access == API_ANYONE && e->method == API_GET)) {
        return false;
    }
    if (r->refusal != NULL && !login_is_offered(r->d)) {
        return true;
    }
    return (e == NULL || e->access != API_ANYONE) && !login_check(r);
}

static void dispatch(struct api_request *r, const char *path)
{
    bool is_path_known;
    const struct api_endpoint *e =
        endpoint_find(path, method_of(r->http), &r->param, &is_path_known);
    if (lacks_login(r, e)) {
        refuse_public(r);
    } else if (e == NULL) {
        reply_error(r, is_path_known ? 405 : 404,
                    is_path_known ? "method-not-allowed" : "not-found",
                    is_path_known ? "this method is not for this path" : "no such endpoint", NULL);
    } else if (r->is_public && e->access == API_LOCAL) {
        reply_error(r, 403, "forbidden", "only local clients may do this", NULL);
    } else if (body_read(r)) {
        e->handle(r);
    }
}

static bool socket_peer_is_ours(const struct api_request *r)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    int fd = caller_descriptor(r);
    return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           peer_uid_is_ours(peer.uid);
}

/* What the kernel says about the connection, where that matters: to who claims to be local, and to
 * who claims to be our gateway. */
static void judge_peer(struct api *api, struct api_request *r, enum access_who who)
{
    r->is_public = who != ACCESS_LOCAL;
    if (who == ACCESS_LOCAL) {
        enum peer peer = peers_find_local(api->peers, r);
        r->is_public = peer != PEER_OURS;
        r->refusal = r->is_public ? peer_reason(peer) : NULL;
    } else if (who == ACCESS_PUBLIC && caller_is_loopback(r)) {
        r->is_forwarded = peers_find(api->peers, r) == PEER_OURS;
    }
}

/* True where evhttp has not read the content and would take it for the next request. */
static bool has_unread_content(struct api_request *r)
{
    const char *length = request_header(r, "Content-Length");
    bool has = request_header(r, "Transfer-Encoding") != NULL ||
               (length != NULL && strspn(length, "0") != strlen(length));
    enum evhttp_cmd_type method = evhttp_request_get_command(r->http);
    bool is_read = method == EVHTTP_REQ_POST || method == EVHTTP_REQ_PUT ||
                   method == EVHTTP_REQ_PATCH ||
                   evbuffer_get_length(evhttp_request_get_input_buffer(r->http)) > 0;
    return has && !is_read;
}

/* Whom the Host of a request on the web listener claims to be. */
static enum access_who claimed(struct mount *m, struct api_request *r)
{
    char here[INET6_ADDRSTRLEN];
    caller_local_address(r, here);
    return access_classify(m->api->d->config, request_header(r, "Host"), here);
}

/* Whether it cannot be told yet whose the connection is; a daemon that goes on with the gateway of
 * another gets descriptors from it for a moment. */
static bool is_undecided(struct mount *m, struct api_request *r)
{
    return m->is_web && r->judged < JUDGED_MAX && claimed(m, r) == ACCESS_LOCAL &&
           peers_find_local(m->api->peers, r) == PEER_UNDECIDED;
}

/* False after having answered 403. */
static bool request_is_allowed(struct mount *m, struct api_request *r)
{
    if (!m->is_web) {
        if (!socket_peer_is_ours(r)) {
            reply_error(r, 403, "forbidden", "this socket is another user's", NULL);
            return false;
        }
        return true;
    }
    enum access_who who = claimed(m, r);
    if (who == ACCESS_NOBODY) {
        reply_error(r, 403, "forbidden", "this Host is not one of the web listener's names", NULL);
        return false;
    }
    judge_peer(m->api, r, who);
    if (method_of(r->http) != API_GET && !caller_page_is_ours(r)) {
        reply_error(r, 403, "forbidden", "requests from pages of other origins are refused", NULL);
        return false;
    }
    return true;
}

static void api_judge(struct api_request *r, void *arg)
{
    struct mount *m = arg;
    struct evhttp_request *http = r->http;
    if (is_undecided(m, r)) {
        r->judged++;
        request_postpone(r, JUDGE_AGAIN_MS, api_judge, m);
        return;
    }
    if (!request_is_allowed(m, r)) {
        return;
    }
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(http));
    size_t prefix = strlen(m->prefix);
    if (path != NULL && strncmp(path, m->prefix, prefix) == 0 && path[prefix] == '/') {
        dispatch(r, path + prefix);
    } else if (m->is_web && path != NULL && method_of(http) == API_GET &&
               web_assets_serve(r, path)) {
        return;
    } else if (m->is_web && path != NULL && strncmp(path, "/v1/", 4) == 0) {
        reply_error(r, 404, "not-found", "this API is at /ui/v1/ here", NULL);
    } else {
        reply_error(r, 404, "not-found", "no such page", NULL);
    }
}

static void api_on_request(struct evhttp_request *http, void *arg)
{
    struct mount *m = arg;
    CHECK(m->api->magic == API_MAGIC);
    struct web_client *client =
        m->is_web ? web_clients_find(m->api->clients, evhttp_request_get_connection(http)) : NULL;
    struct api_request *r = request_new(m->api->d, http, client, &m->api->requests);
    if (has_unread_content(r)) {
        (void)evhttp_add_header(evhttp_request_get_output_headers(http), "Connection", "close");
        reply_error(r, 400, "validation", "this method has no content", NULL);
        return;
    }
    api_judge(r, m);
}

/* --- listening --------------------------------------------------------------------- */

static void mount_init(struct mount *m, struct api *api, const char *prefix, bool is_web)
{
    *m = (struct mount){.api = api, .prefix = prefix, .is_web = is_web};
    m->http = evhttp_new(loop_base(api->d->loop));
    CHECK(m->http != NULL);
    evhttp_set_allowed_methods(m->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
                                            EVHTTP_REQ_PUT | EVHTTP_REQ_PATCH | EVHTTP_REQ_DELETE |
                                            EVHTTP_REQ_OPTIONS);
    evhttp_set_max_body_size(m->http, BODY_MAX);
    evhttp_set_max_headers_size(m->http, HEADERS_MAX);
    evhttp_set_timeout(m->http, TIMEOUT_S);
    evhttp_set_gencb(m->http, api_on_request, m);
}

static bool mount_add_door(struct mount *m, int index, int fd)
{
    m->doors[index] = door_open(m->api->d->loop, m->http, fd, m->is_web ? "web" : SOCKET_NAME);
    return m->doors[index] != NULL;
}

static void mount_fini(struct mount *m)
{
    for (size_t i = 0; i < COUNT_OF(m->doors); i++) {
        door_close(m->doors[i]);
    }
    evhttp_free(m->http);
}

static int socket_listen(struct api *api, struct err *err)
{
    /* Bound under another name and renamed: a client finds the old socket or a listening one. */
    static const char temporary[] = SOCKET_NAME ".new";
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s", temporary);
    (void)unlink(temporary);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&addr, sizeof addr) < 0 ||
        chmod(temporary, 0600) < 0 || listen(fd, 128) < 0 || rename(temporary, SOCKET_NAME) < 0 ||
        !mount_add_door(&api->socket, 0, fd)) {
        (void)err_set_sys(err, "cannot listen on %s/" SOCKET_NAME, api->d->home);
        if (fd >= 0) {
            (void)close(fd);
        }
        return -1;
    }
    return 0;
}

static bool web_accept(struct api *api, const int *fds, int count)
{
    bool is_good = true;
    for (int i = 0; i < count; i++) {
        if (!is_good || !mount_add_door(&api->web, i, fds[i])) {
            is_good = false;
            (void)close(fds[i]);
        }
    }
    return is_good;
}

static void api_on_web_timer(void *arg)
{
    struct api *api = arg;
    CHECK(api->magic == API_MAGIC);
    const struct config *c = api->d->config;
    struct err err = {.msg = ""};
    int fds[WEB_BIND_MAX];
    int count = web_bind(c, fds, &err);
    if (count > 0 && web_accept(api, fds, count)) {
        api->web_url = web_bind_url(c);
        free(api->web_error);
        api->web_error = NULL;
        log_info("web", "listening", LOG_STR("url", api->web_url));
        if (api->d->api == api) {
            daemon_write_metadata(api->d); /* later than the start: it named no URL */
        }
        return;
    }
    if (api->web_error == NULL) {
        log_warn("web", "the web UI is off; everything else works", LOG_STR("error", err.msg));
        api->web_error = xstrdup(err.msg);
    }
    if (err.code != ERR_CONFIG) {
        loop_timer_set(&api->web_timer, WEB_RETRY_MS);
    }
}

void api_set_web_pair(struct api *api)
{
    struct err err = {.msg = ""};
    struct snapshot_cert pairs[CERTKEEPER_WEB_MAX];
    size_t count = api->web_tls == NULL ? 0 : certkeeper_web(api->d->certkeeper, pairs);
    if (count > 0 && web_tls_set(api->web_tls, pairs, count, &err) < 0) {
        log_error("web", "the old certificate stays in use", LOG_STR("error", err.msg));
    }
}

/* web.ssl: from the first connection on. */
static int web_tls_start(struct api *api, struct err *err)
{
    if (!api->d->config->web_ssl.enabled) {
        return 0;
    }
    api->web_tls = web_tls_new(err);
    api_set_web_pair(api);
    return api->web_tls == NULL ? -1 : 0;
}

struct api *api_new(struct daemon *d, struct err *err)
{
    struct api *api = xcalloc(1, sizeof *api);
    api->magic = API_MAGIC;
    api->d = d;
    api->peers = peers_new();
    mount_init(&api->socket, api, "/v1", false);
    mount_init(&api->web, api, "/ui/v1", true);
    loop_timer_init(&api->web_timer, d->loop, api_on_web_timer, api);
    if (web_tls_start(api, err) < 0 || socket_listen(api, err) < 0) {
        api_free(api);
        return NULL;
    }
    api->clients = web_clients_new(d->loop, d->config, api->web.http, api->web_tls);
    api_on_web_timer(api);
    return api;
}

void api_free(struct api *api)
{
    if (api == NULL) {
        return;
    }
    CHECK(api->magic == API_MAGIC);
    requests_cancel(&api->requests);
    loop_timer_fini(&api->web_timer);
    mount_fini(&api->socket);
    mount_fini(&api->web);
    web_clients_free(api->clients);
    web_tls_free(api->web_tls);
    peers_free(api->peers);
    (void)unlink(SOCKET_NAME);
    free(api->web_url);
    free(api->web_error);
    api->magic = 0;
    free(api);
}

const char *api_web_url(const struct api *api)
{
    return api->web_url;
}

void api_end_login(struct api *api, const char *login, const struct api_request *except)
{
    requests_end_login(&api->requests, login, except);
}

cJSON *api_web_json(const struct api *api)
{
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "host", api->d->config->web_host);
    (void)json_add_int(out, "port", api->d->config->web_port);
    (void)json_add_str(out, "state", api->web_url != NULL ? "listening" : "failed");
    (void)json_add_bool(out, "requiresAuth", api->d->config->web_is_exposed);
    if (api->web_error != NULL) {
        (void)json_add_str(out, "error", api->web_error);
    }
    return out;
}
