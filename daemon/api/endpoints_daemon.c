/* endpoints_daemon: health, the status of everything, stop and restart. */
#include <unistd.h>

#include "base/auto.h"
#include "base/build.h"
#include "base/json.h"
#include "base/loop.h"
#include "daemon/api/api.h"
#include "daemon/api/request.h"
#include "daemon/certkeeper.h"
#include "daemon/daemon.h"
#include "daemon/respawn.h"
#include "daemon/sessions.h"
#include "daemon/supervisor.h"

static void handle_health(struct api_request *r)
{
    const struct daemon *d = r->d;
    cJSON *out = cJSON_CreateObject();
    (void)json_add_bool(out, "ok", true);
    (void)json_add_str(out, "version", DAEMON_API_VERSION);
    if (!r->is_public) {
        (void)json_add_str(out, "protocol", DAEMON_PROTOCOL);
        (void)json_add_str(out, "build", build_id());
        (void)json_add_int(out, "pid", getpid());
        (void)json_add_str(out, "daemonId", d->daemon_id);
        (void)json_add_str(out, "startedAt", d->started_at);
        (void)json_add_str(out, "home", d->home);
        (void)json_add_str(out, "webHost", d->config->web_host);
        (void)json_add_int(out, "webPort", d->config->web_port);
        (void)json_add_str(out, "webScheme", config_web_scheme(d->config));
        (void)json_add_str(out, "webUrl", api_web_url(d->api));
    }
    reply_json(r, HTTP_STATUS_OK, out);
}

static cJSON *tunnel_json(const struct daemon *d)
{
    const struct config *c = d->config;
    cJSON *out = cJSON_CreateObject();
    bool is_enabled = publisher_is_enabled(d->publisher);
    (void)json_add_bool(out, "enabled", is_enabled);
    if (c->tunnel_domain != NULL) {
        (void)json_add_str(out, "domain", c->tunnel_domain);
    }
    (void)json_add_int(out, "port", c->tunnel_port);
    (void)json_add_int(out, "publicPort", config_public_port(c));
    (void)json_add_str(out, "scheme", config_scheme(c));
    (void)json_add_bool(out, "serviceTunnels", publisher_serves_services(d->publisher));
    (void)json_add_int(out, "generation", (int64_t)publisher_generation(d->publisher));
    (void)json_add_int(out, "servedGeneration", (int64_t)publisher_served_generation(d->publisher));
    if (!is_enabled) {
        (void)json_add_str(out, "state", "disabled");
        return out;
    }
    supervisor_add_status(d->supervisor, out);
    const char *error = publisher_error(d->publisher);
    if (error != NULL && json_get(out, "error") == NULL) {
        (void)json_add_str(out, "error", error);
    }
    return out;
}

static cJSON *config_json(const struct daemon *d)
{
    const struct config *c = d->config;
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "path", c->path);
    (void)json_add_bool(out, "exists", c->exists);
    (void)cJSON_AddItemToObject(out, "problems", config_problems_json(c));
    (void)cJSON_AddItemToObject(out, "restartKeys", daemon_restart_keys(d));
    return out;
}

static void handle_status_all(struct api_request *r)
{
    const struct daemon *d = r->d;
    cJSON *out = cJSON_CreateObject();
    cJSON *self = cJSON_AddObjectToObject(out, "daemon");
    (void)json_add_int(self, "pid", getpid());
    (void)json_add_str(self, "startedAt", d->started_at);
    (void)json_add_str(self, "build", build_id());
    (void)json_add_str(self, "version", build_version());
    (void)json_add_str(self, "home", d->home);
    (void)json_add_str(self, "webUrl", api_web_url(d->api));
    (void)cJSON_AddItemToObject(out, "tunnel", tunnel_json(d));
    (void)cJSON_AddItemToObject(out, "web", api_web_json(d->api));
    (void)cJSON_AddItemToObject(out, "config", config_json(d));
    (void)cJSON_AddItemToObject(out, "certificate", certkeeper_json(d->certkeeper, "tunnel"));
    (void)cJSON_AddItemToObject(out, "sessions", sessions_status_json(d->sessions));
    (void)cJSON_AddItemToObject(out, "routes", publisher_routes_json(d->publisher));
    reply_json(r, HTTP_STATUS_OK, out);
}

static void reply_scheduled(struct api_request *r)
{
    autofree char *now = time_text(clock_wall_ms());
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "status", "scheduled");
    (void)json_add_str(out, "scheduledAt", now);
    reply_json(r, 202, out);
}

static void handle_stop(struct api_request *r)
{
    daemon_end(r->d, DAEMON_END_STOP);
    reply_scheduled(r);
}

static void handle_restart(struct api_request *r)
{
    struct err err = {.msg = ""};
    if (json_get_bool(r->body, "start", false)) {
        if (respawn_start(r->d->loop, r->d->home, &err) < 0) {
            reply_err(r, &err);
            return;
        }
        reply_scheduled(r);
        return;
    }
    daemon_end(r->d, DAEMON_END_RESTART);
    reply_scheduled(r);
}

const struct api_endpoint api_daemon_endpoints[] = {
    {API_GET, "/health", API_ANYONE, handle_health},
    {API_GET, "/status/all", API_LOCAL, handle_status_all},
    {API_POST, "/daemon/stop", API_LOCAL, handle_stop},
    {API_POST, "/daemon/restart", API_LOCAL, handle_restart},
    {0, NULL, API_LOCAL, NULL},
};
