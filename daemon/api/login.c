/* login: see login.h. Called by api.c for every request by the public name, and the endpoints of
 * /auth. */
#include "daemon/api/login.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/str.h"
#include "daemon/api/api.h"
#include "daemon/api/request.h"
#include "daemon/daemon.h"

#define COOKIE_NAME "wos_public_auth"

enum { ATTEMPTS_MAX = 10, ATTEMPTS_MS = 60000, CLOCK_SKEW_MS = 60000 };

static void mac_text(const char *secret, const char *text, char out[SHA256_DIGEST_LENGTH * 2 + 1])
{
    uint8_t mac[SHA256_DIGEST_LENGTH];
    unsigned len = 0;
    CHECK(HMAC(EVP_sha256(), secret, (int)strlen(secret), (const uint8_t *)text, strlen(text), mac,
               &len) != NULL &&
          len == sizeof mac);
    for (size_t i = 0; i < sizeof mac; i++) {
        (void)snprintf(out + i * 2, 3, "%02x", mac[i]);
    }
}

char *login_token(const char *secret, int64_t now_ms)
{
    char mac[SHA256_DIGEST_LENGTH * 2 + 1];
    autofree char *text = xasprintf("v1.%lld", (long long)now_ms);
    mac_text(secret, text, mac);
    return xasprintf("%s.%s", text, mac);
}

static bool token_is_valid(const char *secret, struct str token, int64_t now_ms)
{
    uint64_t issued = 0;
    struct str rest = token;
    struct str part;
    if (!str_next(&rest, '.', &part) || !str_eq(part, STR("v1")) || !str_next(&rest, '.', &part) ||
        !str_to_u64(part, &issued) || issued > INT64_MAX) {
        return false;
    }
    int64_t age_ms = now_ms - (int64_t)issued;
    if (age_ms < -CLOCK_SKEW_MS || age_ms > (int64_t)LOGIN_MAX_AGE_S * 1000) {
        return false;
    }
    autofree char *good = login_token(secret, (int64_t)issued);
    return strlen(good) == token.len && CRYPTO_memcmp(good, token.ptr, token.len) == 0;
}

bool login_is_valid_at(const char *secret, const char *cookies, int64_t now_ms)
{
    if (secret == NULL || *secret == '\0' || cookies == NULL) {
        return false;
    }
    struct str rest = str_of(cookies);
    struct str pair;
    while (str_next(&rest, ';', &pair)) {
        pair = str_trim(pair);
        if (str_starts(pair, STR(COOKIE_NAME "="))) {
            size_t skip = sizeof COOKIE_NAME; /* the name and '=' */
            if (token_is_valid(secret, (struct str){pair.ptr + skip, pair.len - skip}, now_ms)) {
                return true;
            }
        }
    }
    return false;
}

bool login_is_valid(const char *secret, const char *cookies)
{
    return login_is_valid_at(secret, cookies, clock_wall_ms());
}

/* --- endpoints --------------------------------------------------------------------- */

static void set_cookie(struct api_request *r, const char *value, int max_age_s)
{
    const char *proto = request_header(r, "X-Forwarded-Proto");
    bool is_tls = proto != NULL && strcmp(proto, "https") == 0;
    autofree char *text = xasprintf(COOKIE_NAME "=%s; Path=/; HttpOnly; SameSite=Lax; Max-Age=%d%s",
                                    value, max_age_s, is_tls ? "; Secure" : "");
    reply_header(r, "Set-Cookie", text);
}

static cJSON *ok_json(void)
{
    cJSON *out = cJSON_CreateObject();
    return json_add_bool(out, "ok", true);
}

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
    struct daemon *d = r->d;
    const char *secret = d->config->web_ui_enabled ? d->config->web_ui_secret : NULL;
    uint64_t now = clock_now_ms();
    if (now - d->login_window_ms > ATTEMPTS_MS) {
        d->login_window_ms = now;
        d->login_failures = 0;
    }
    if (d->login_failures >= ATTEMPTS_MAX) {
        reply_error(r, 429, "too-many-attempts", "too many wrong secrets; wait a minute", NULL);
        return;
    }
    if (secret == NULL || !secret_is(secret, json_get_str(r->body, "secret", ""))) {
        d->login_failures++;
        reply_error(r, 401, "unauthorized", "wrong secret", NULL);
        return;
    }
    autofree char *token = login_token(secret, clock_wall_ms());
    set_cookie(r, token, LOGIN_MAX_AGE_S);
    reply_json(r, HTTP_STATUS_OK, ok_json());
}

static void handle_logout(struct api_request *r)
{
    set_cookie(r, "", 0);
    reply_json(r, HTTP_STATUS_OK, ok_json());
}

static void handle_session(struct api_request *r)
{
    bool is_in =
        !r->is_public || login_is_valid(r->d->config->web_ui_secret, request_header(r, "Cookie"));
    cJSON *out = cJSON_CreateObject();
    (void)json_add_bool(out, "authenticated", is_in);
    (void)json_add_bool(out, "requiresAuth", r->is_public);
    (void)json_add_int(out, "daemonStartedAt", r->d->started_ms);
    reply_json(r, HTTP_STATUS_OK, out);
}

const struct api_endpoint api_auth_endpoints[] = {
    {API_POST, "/auth/login", API_ANYONE, handle_login},
    {API_POST, "/auth/logout", API_ANYONE, handle_logout},
    {API_GET, "/auth/session", API_ANYONE, handle_session},
    {0, NULL, API_LOCAL, NULL},
};
