/* login: see login.h. Called by api.c for every request by the public name, and the endpoints of
 * /auth. */
#include "daemon/api/login.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "daemon/api/api.h"
#include "daemon/api/caller.h"
#include "daemon/api/request.h"
#include "daemon/daemon.h"
#include "daemon/web_grants.h"
#include "daemon/web_logins.h"
#include "gateway/throttle.h"

#define COOKIE_PLAIN "wos_public_auth"
#define COOKIE_TLS "__Host-wos_public_auth"

enum { COOKIES_MAX = 8, MAX_AGE_S = WEB_LOGINS_DAYS * 86400 };

struct login {
    struct web_logins *logins; /* owned */
    struct throttle *throttle; /* owned */
    struct web_grants grants;
};

struct login *login_new(struct daemon *d)
{
    struct login *l = xcalloc(1, sizeof *l);
    l->logins = web_logins_new(d->loop, d->home);
    l->throttle = throttle_new();
    return l;
}

void login_free(struct login *l)
{
    if (l != NULL) {
        web_logins_free(l->logins);
        throttle_free(l->throttle);
        free(l);
    }
}

/* --- the cookie ---------------------------------------------------------------------------- */

bool login_cookie(const char *cookies, struct str name, unsigned index, struct str *out_value)
{
    struct str rest = cookies == NULL ? STR("") : str_of(cookies);
    struct str pair;
    while (str_next(&rest, ';', &pair)) {
        pair = str_trim(pair);
        if (str_starts(pair, name) && pair.len > name.len && pair.ptr[name.len] == '=' &&
            index-- == 0) {
            *out_value = (struct str){pair.ptr + name.len + 1, pair.len - name.len - 1};
            return true;
        }
    }
    return false;
}

bool login_is_offered(const struct daemon *d)
{
    const struct config *c = d->config;
    return (c->web_ui_enabled || c->web_is_exposed) && c->web_ui_secret != NULL;
}

bool login_check(struct api_request *r)
{
    const struct config *c = r->d->config;
    const char *cookies = request_header(r, "Cookie");
    struct str name = caller_of(r).is_tls ? STR(COOKIE_TLS) : STR(COOKIE_PLAIN);
    struct str value;
    for (unsigned i = 0; i < COOKIES_MAX && login_cookie(cookies, name, i, &value); i++) {
        const char *id =
            web_logins_find(r->d->login->logins, c->web_ui_secret, value, clock_wall_ms());
        if (id != NULL) {
            (void)snprintf(r->login, sizeof r->login, "%s", id);
            return true;
        }
    }
    return false;
}

static void set_cookie(struct api_request *r, const char *value, int max_age_s)
{
    bool tls = caller_of(r).is_tls;
    autofree char *text =
        xasprintf("%s=%s; Path=/; HttpOnly; SameSite=Lax; Max-Age=%d%s",
                  tls ? COOKIE_TLS : COOKIE_PLAIN, value, max_age_s, tls ? "; Secure" : "");
    reply_header(r, "Set-Cookie", text);
}

/* --- trying ---------------------------------------------------------------------------------- */

/* False after 429: this client has to wait. */
static bool may_try(struct api_request *r, const struct caller *peer)
{
    uint64_t wait_ms = throttle_wait(r->d->login->throttle, &r->d->config->limits,
                                     caller_sockaddr(peer), clock_now_ms());
    if (wait_ms == 0) {
        return true;
    }
    char seconds[24];
    (void)snprintf(seconds, sizeof seconds, "%llu", (unsigned long long)(wait_ms + 999) / 1000);
    reply_header(r, "Retry-After", seconds);
    autofree char *message = xasprintf("too many wrong tries; wait %s s", seconds);
    reply_error(r, 429, "too-many-attempts", message, NULL);
    return false;
}

static void try_failed(struct api_request *r, const struct caller *peer, const char *message)
{
    throttle_failed(r->d->login->throttle, &r->d->config->limits, caller_sockaddr(peer),
                    clock_now_ms());
    log_warn("web", "a wrong secret or link for the web UI", LOG_STR("from", peer->text));
    reply_error(r, 401, "unauthorized", message, NULL);
}

static cJSON *ok_json(void)
{
    cJSON *out = cJSON_CreateObject();
    return json_add_bool(out, "ok", true);
}

static void sign_in(struct api_request *r, const struct caller *peer)
{
    struct err err = {.msg = ""};
    throttle_passed(r->d->login->throttle, caller_sockaddr(peer), clock_now_ms());
    char *token = web_logins_add(r->d->login->logins, r->d->config->web_ui_secret, peer->text,
                                 request_header(r, "User-Agent"), clock_wall_ms(), &err);
    if (token == NULL) {
        reply_err(r, &err);
        return;
    }
    log_info("web", "a device signed in", LOG_STR("from", peer->text));
    set_cookie(r, token, MAX_AGE_S);
    OPENSSL_cleanse(token, strlen(token));
    free(token);
    reply_json(r, HTTP_STATUS_OK, ok_json());
}

/* --- endpoints ------------------------------------------------------------------------------- */

/* Compares digests: neither length nor content shows in the time it takes. */
static bool secret_is(const char *secret, const char *given)
{
    uint8_t a[SHA256_DIGEST_LENGTH];
    uint8_t b[SHA256_DIGEST_LENGTH];
    (void)SHA256((const uint8_t *)secret, strlen(secret), a);
    (void)SHA256((const uint8_t *)given, strlen(given), b);
    return CRYPTO_memcmp(a, b, sizeof a) == 0;
}

static void handle_login(struct api_request *r)
{
    const struct config *c = r->d->config;
    const char *secret = login_is_offered(r->d) ? c->web_ui_secret : NULL;
    struct caller peer = caller_of(r);
    if (!may_try(r, &peer)) {
        return;
    }
    if (secret == NULL || !secret_is(secret, json_get_str(r->body, "secret", ""))) {
        try_failed(r, &peer, "wrong secret");
        return;
    }
    sign_in(r, &peer);
}

static void handle_exchange(struct api_request *r)
{
    struct caller peer = caller_of(r);
    if (!r->is_public) {
        reply_json(r, HTTP_STATUS_OK, ok_json()); /* nothing to sign in to */
    } else if (may_try(r, &peer)) {
        if (!web_grants_take(&r->d->login->grants, json_get_str(r->body, "grant", ""),
                             clock_now_ms())) {
            try_failed(r, &peer, "this link was used already, or its time is over");
            return;
        }
        sign_in(r, &peer);
    }
}

/* Where another device finds the UI, malloc'ed: by tunnel.webUi, else straight at web.host; NULL:
 * nowhere, or at more than one address. */
static char *outside_url(const struct api_request *r)
{
    const struct config *c = r->d->config;
    if (c->web_ui_enabled) {
        return publisher_url(r->d->publisher, c->web_ui_hostname);
    }
    const char *url = api_web_url(r->d->api);
    bool has_address = c->web_is_exposed && url != NULL && strstr(url, c->web_host) != NULL;
    return has_address ? xstrdup(url) : NULL;
}

static void handle_connect(struct api_request *r)
{
    int64_t ttl_ms = json_get_int(r->body, "ttlMs", WEB_GRANT_TTL_MS);
    autofree char *base = outside_url(r);
    if (base == NULL) {
        reply_error(r, 400, "web-ui-disabled",
                    "the web UI has no public name: set tunnel.webUi.enabled, subdomain and secret "
                    "(or one address of the network as web.host)",
                    NULL);
        return;
    }
    if (ttl_ms < WEB_GRANT_TTL_MIN_MS || ttl_ms > WEB_GRANT_TTL_MAX_MS) {
        reply_error(r, 400, "validation", "ttlMs must be from 1000 to 3600000 (an hour)", NULL);
        return;
    }
    autofree char *grant = web_grants_make(&r->d->login->grants, (uint64_t)ttl_ms, clock_now_ms());
    if (grant == NULL) {
        reply_error(r, 500, "server-error", "no random bytes", NULL);
        return;
    }
    autofree char *url = xasprintf("%s/#connect=%s", base, grant);
    autofree char *expires = time_text(clock_wall_ms() + ttl_ms);
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "url", url);
    (void)json_add_str(out, "expiresAt", expires);
    reply_json(r, HTTP_STATUS_OK, out);
}

static void handle_logout(struct api_request *r)
{
    if (login_check(r)) {
        (void)web_logins_revoke(r->d->login->logins, r->login, NULL);
        api_end_login(r->d->api, r->login, r);
    }
    set_cookie(r, "", 0);
    reply_json(r, HTTP_STATUS_OK, ok_json());
}

static void handle_session(struct api_request *r)
{
    bool is_in = !r->is_public || login_check(r);
    cJSON *out = cJSON_CreateObject();
    (void)json_add_bool(out, "authenticated", is_in);
    (void)json_add_bool(out, "requiresAuth", r->is_public);
    (void)json_add_int(out, "daemonStartedAt", r->d->started_ms);
    reply_json(r, HTTP_STATUS_OK, out);
}

static void handle_list(struct api_request *r)
{
    cJSON *out = cJSON_CreateObject();
    (void)cJSON_AddItemToObject(
        out, "sessions", web_logins_json(r->d->login->logins, r->is_public ? r->login : NULL));
    autofree char *url = outside_url(r);
    if (url != NULL) {
        (void)json_add_str(out, "url", url);
    }
    reply_json(r, HTTP_STATUS_OK, out);
}

/* `id` NULL: every device. Also what they are reading now ends. */
static void end_logins(struct api_request *r, const char *id)
{
    struct err err = {.msg = ""};
    int rc = id == NULL ? web_logins_revoke_all(r->d->login->logins, &err)
                        : web_logins_revoke(r->d->login->logins, id, &err);
    api_end_login(r->d->api, id, r);
    if (rc < 0) {
        reply_err(r, &err);
        return;
    }
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "revoked", id == NULL ? "all" : id);
    reply_json(r, HTTP_STATUS_OK, out);
}

static void handle_revoke(struct api_request *r)
{
    end_logins(r, r->param);
}

static void handle_revoke_all(struct api_request *r)
{
    end_logins(r, NULL);
}

const struct api_endpoint api_auth_endpoints[] = {
    {API_POST, "/auth/login", API_ANYONE, handle_login},
    {API_POST, "/auth/logout", API_ANYONE, handle_logout},
    {API_GET, "/auth/session", API_ANYONE, handle_session},
    {API_POST, "/auth/exchange", API_ANYONE, handle_exchange},
    {API_POST, "/auth/connect", API_LOCAL, handle_connect},
    {API_GET, "/auth/sessions", API_LOGGED_IN, handle_list},
    {API_DELETE, "/auth/sessions/:", API_LOGGED_IN, handle_revoke},
    {API_DELETE, "/auth/sessions", API_LOGGED_IN, handle_revoke_all},
    {0, NULL, API_LOCAL, NULL},
};
