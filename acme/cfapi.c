/* cfapi: see cfapi.h. Called by cloudflare.c; the loop's thread. */
#include "acme/cfapi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"

enum {
    CFAPI_MAGIC = 0x63666170,
    TRIES_MAX = 5,
    TIMEOUT_MS = 30000,
    CONNECT_TIMEOUT_MS = 10000,
    FIRST_PAUSE_MS = 1000,
    LONGEST_WAIT_MS = 60000,
    BODY_LIMIT = 4 * 1024 * 1024,
    TOKEN_MAX = 1024,
    MESSAGE_MAX = 200
};

struct cfapi {
    uint32_t magic;
    struct cfapi_spec spec;
    const char *method;  /* constant */
    const char *phase;   /* constant */
    char *url;           /* owned */
    char *body;          /* owned; NULL: none */
    char *what;          /* owned */
    struct fetch *fetch; /* owned; NULL between tries */
    struct loop_timer timer;
    unsigned tries;
    struct failure failure;
    cfapi_done_fn *done;
    void *arg; /* borrowed */
};

static void destroy(struct cfapi *c)
{
    if (c->fetch != NULL) {
        fetch_cancel(c->fetch);
    }
    loop_timer_fini(&c->timer);
    free(c->url);
    free(c->body);
    free(c->what);
    c->magic = 0;
    free(c);
}

static void finish(struct cfapi *c, const cJSON *json, int status, int code)
{
    struct cfapi_answer answer = {json, code, status,
                                  failure_is_set(&c->failure) ? &c->failure : NULL};
    c->done(c->arg, &answer);
    destroy(c);
}

/* What to do about it, for the errors that people make. */
static const char *advice(int status, int code)
{
    switch (code) {
    case 1000:
    case 6003:
    case 6111:
    case 10001:
        return " Check that the API token is copied whole and not expired.";
    case 7000:
    case 7003:
        return " Check zoneId.";
    case 9109: /* a token that is none, or one that lacks a permission */
        return " Check that the API token is copied whole and not expired, and that it has "
               "Zone:Read "
               "and DNS:Edit for this zone.";
    case 10000:
        return " Check the API token: it needs Zone:Read and DNS:Edit for this zone.";
    default:
        return status == 401 || status == 403
                   ? " Check the API token: it needs Zone:Read and DNS:Edit for this zone."
                   : "";
    }
}

/* Fills the failure from an answer that is no success. */
static void read_error(struct cfapi *c, const struct fetch_response *response, const cJSON *json,
                       int code)
{
    if (response->status == 0) {
        failure_set(&c->failure, c->phase, "Cloudflare could not be asked about %s: %s.", c->what,
                    response->error);
    } else if (json == NULL) {
        failure_set(&c->failure, c->phase, "Cloudflare, %s: the answer (HTTP %d) is not JSON.",
                    c->what, response->status);
    } else if (code != 0) {
        const cJSON *first = cJSON_GetArrayItem(json_get(json, "errors"), 0);
        const char *message = json_get_str(first, "message", "");
        size_t len = strlen(message);
        bool has_end = len > 0 && len <= MESSAGE_MAX && strchr(".?!", message[len - 1]) != NULL;
        failure_set(&c->failure, c->phase, "Cloudflare, %s: code=%d %.*s%s%s", c->what, code,
                    MESSAGE_MAX, message, has_end ? "" : ".", advice(response->status, code));
    } else {
        failure_set(&c->failure, c->phase, "Cloudflare, %s: HTTP %d.%s", c->what, response->status,
                    advice(response->status, 0));
    }
    c->failure.is_permanent = response->status >= 400 && response->status < 500 &&
                              response->status != 408 && response->status != 429;
    if (response->status == 429) {
        (void)snprintf(c->failure.type, sizeof c->failure.type, "rateLimited");
    }
}

/* Sets the timer for another try; false when this was the last. */
static bool try_again_later(struct cfapi *c, const struct fetch_response *response)
{
    if (response->status != 0 && response->status != 429 && response->status < 500) {
        return false;
    }
    uint64_t wait_ms = (uint64_t)FIRST_PAUSE_MS << (c->tries - 1);
    uint64_t retry_after = 0;
    if (response->status != 0 &&
        str_to_u64(str_trim(fetch_header(response->fetch, "Retry-After")), &retry_after)) {
        wait_ms = retry_after < UINT32_MAX ? retry_after * 1000 : UINT32_MAX;
        if (wait_ms > LONGEST_WAIT_MS || c->tries == TRIES_MAX) {
            c->failure.retry_at = clock_wall_ms() / 1000 + (int64_t)(wait_ms / 1000);
            return false;
        }
    }
    if (c->tries == TRIES_MAX) {
        return false;
    }
    loop_timer_set(&c->timer, wait_ms);
    return true;
}

static void cfapi_on_response(void *arg, const struct fetch_response *response)
{
    struct cfapi *c = arg;
    CHECK(c->magic == CFAPI_MAGIC);
    c->fetch = NULL;
    autojson cJSON *json =
        response->status == 0 ? NULL : json_parse(response->body, "answer", NULL);
    if (!cJSON_IsObject(json)) {
        cJSON_Delete(json);
        json = NULL;
    }
    bool is_success =
        response->status >= 200 && response->status < 300 && json_get_bool(json, "success", false);
    const cJSON *error = cJSON_GetArrayItem(json_get(json, "errors"), 0);
    int64_t code = is_success ? 0 : json_get_int(error, "code", 0);
    code = code < 0 || code > 1000000 ? 0 : code;
    c->failure = (struct failure){.phase = NULL};
    if (!is_success) {
        read_error(c, response, json, (int)code);
        if (try_again_later(c, response)) {
            return;
        }
    }
    finish(c, json, response->status, (int)code);
}

static void send(struct cfapi *c)
{
    c->tries++;
    char authorization[TOKEN_MAX + 32];
    (void)snprintf(authorization, sizeof authorization, "Authorization: Bearer %s",
                   c->spec.settings->api_token);
    const char *headers[] = {authorization, "Accept: application/json",
                             c->body == NULL ? NULL : "Content-Type: application/json", NULL};
    struct fetch_request request = {.method = c->method,
                                    .url = c->url,
                                    .headers = headers,
                                    .body = str_of(c->body),
                                    .timeout_ms = TIMEOUT_MS,
                                    .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                    .body_limit = BODY_LIMIT};
    c->fetch = fetch_start(c->spec.fetch, &request, cfapi_on_response, c);
    explicit_bzero(authorization, sizeof authorization);
}

static void cfapi_on_timer(void *arg)
{
    struct cfapi *c = arg;
    CHECK(c->magic == CFAPI_MAGIC);
    if (failure_is_set(&c->failure) && c->tries == 0) {
        finish(c, NULL, 0, 0);
    } else {
        send(c);
    }
}

/* Visible ASCII without spaces, or the header would be something else. */
static bool token_is_plain(const char *token)
{
    size_t len = strlen(token);
    for (size_t i = 0; i < len; i++) {
        if (token[i] <= ' ' || token[i] > '~') {
            return false;
        }
    }
    return len > 0 && len <= TOKEN_MAX;
}

struct cfapi *cfapi_call(const struct cfapi_spec *spec, const char *method, const char *path,
                         const cJSON *body, const char *phase, const char *what,
                         cfapi_done_fn *done, void *arg)
{
    struct cfapi *c = xcalloc(1, sizeof *c);
    c->magic = CFAPI_MAGIC;
    c->spec = *spec;
    c->method = method;
    c->phase = phase;
    c->url = xasprintf("%s%s", spec->settings->api_base_url, path);
    c->body = body == NULL ? NULL : json_print(body);
    c->what = xstrdup(what);
    c->done = done;
    c->arg = arg;
    loop_timer_init(&c->timer, spec->loop, cfapi_on_timer, c);
    const char *token = spec->settings->api_token;
    if (token == NULL) {
        failure_set(&c->failure, phase, "Cloudflare: there is no API token: %s.",
                    spec->settings->token_problem == NULL ? "none is configured"
                                                          : spec->settings->token_problem);
    } else if (!token_is_plain(token)) {
        failure_set(&c->failure, phase,
                    "Cloudflare: the API token holds spaces or other characters that no token has: "
                    "copy it again.");
    }
    if (failure_is_set(&c->failure)) {
        c->failure.is_permanent = true;
        loop_timer_set(&c->timer, 0);
    } else {
        send(c);
    }
    return c;
}

void cfapi_cancel(struct cfapi *c)
{
    if (c != NULL) {
        CHECK(c->magic == CFAPI_MAGIC);
        destroy(c);
    }
}
