/* acme_client: see acme_client.h. Called by account.c, the order's steps, ari.c and the renewer;
 * the loop's thread.
 *
 * One request is a small walk: directory if unknown, a nonce if there is none, the signed POST,
 * and again from the nonce when the server refuses it. Everything that ends goes through
 * acme_client_finish, which forgets the request before it calls back.
 */
#include "acme/acme_client.h"

#include <stdio.h>
#include <stdlib.h>

#include "acme/jws.h"
#include "base/auto.h"
#include "base/json.h"

enum {
    CLIENT_MAGIC = 0x61636d65,
    NONCES_MAX = 8,
    NONCE_LENGTH_MAX = 512,
    BAD_NONCES_MAX = 10,
    RETRIES_MAX = 2,
    RETRY_PAUSE_MS = 1000,
    RETRY_AFTER_WORTH_SECONDS = 1, /* a longer one is the schedule's */
    REQUEST_TIMEOUT_MS = 30000,
    BODY_LIMIT_BYTES = 256 * 1024,
    URL_MAX = 2048,
    DIRECTORY_AGE_MS = 24 * 3600 * 1000,
};

static const char *const resource_names[CLIENT_RESOURCES] = {
    [CLIENT_NEW_NONCE] = "newNonce",       [CLIENT_NEW_ACCOUNT] = "newAccount",
    [CLIENT_NEW_ORDER] = "newOrder",       [CLIENT_REVOKE_CERT] = "revokeCert",
    [CLIENT_RENEWAL_INFO] = "renewalInfo",
};

enum stage { STAGE_IDLE, STAGE_DIRECTORY, STAGE_NONCE, STAGE_REQUEST };

struct acme_client {
    uint32_t magic;
    struct loop *loop;                    /* borrowed */
    struct fetch_client *fetch;           /* borrowed */
    const struct acme_settings *settings; /* borrowed */
    cJSON *directory;                     /* owned; NULL: not known */
    uint64_t directory_at_ms;
    char *nonces[NONCES_MAX]; /* owned; the newest is used first */
    size_t nonce_count;
    EVP_PKEY *key; /* owned reference; NULL: none */
    char *kid;     /* owned; NULL: none */

    /* The request under way. */
    enum stage stage;
    struct fetch *fetching; /* NULL between two fetches */
    struct loop_timer pause;
    acme_client_done_fn *done;
    void *arg;
    const char *phase;
    char *url; /* owned; NULL: resource */
    enum acme_client_resource resource;
    enum acme_client_signer signer;
    struct str payload; /* owned bytes; ptr NULL: POST-as-GET */
    bool is_get;        /* unsigned */
    bool directory_only;
    int bad_nonces;
    int retries;
};

static void acme_client_step(struct acme_client *c);

static void request_forget(struct acme_client *c)
{
    fetch_cancel(c->fetching);
    c->fetching = NULL;
    loop_timer_clear(&c->pause);
    free(c->url);
    c->url = NULL;
    free((char *)(uintptr_t)c->payload.ptr);
    c->payload = STR_NONE;
    c->stage = STAGE_IDLE;
}

static void acme_client_finish(struct acme_client *c, const struct acme_client_reply *reply)
{
    acme_client_done_fn *done = c->done;
    void *arg = c->arg;
    c->fetching = NULL;
    request_forget(c);
    c->done = NULL;
    done(arg, reply);
}

static void acme_client_fail(struct acme_client *c, const struct failure *failure)
{
    struct acme_client_reply reply = {.failure = failure};
    acme_client_finish(c, &reply);
}

/* As the directory: https must stay https. */
static bool url_is_fine(const struct acme_client *c, const char *url)
{
    const char *own = c->settings->directory_url;
    bool wants_tls = strncmp(own, "http://", 7) != 0;
    return strlen(url) < URL_MAX &&
           (strncmp(url, "https://", 8) == 0 || (!wants_tls && strncmp(url, "http://", 7) == 0));
}

static void host_of(const char *url, char *out, size_t size)
{
    const char *start = strstr(url, "://");
    start = start == NULL ? url : start + 3;
    (void)snprintf(out, size, "%.*s", (int)strcspn(start, "/?#"), start);
}

static void keep_nonce(struct acme_client *c, const struct fetch *f)
{
    struct str nonce = fetch_header(f, "replay-nonce");
    if (nonce.len == 0 || nonce.len > NONCE_LENGTH_MAX || c->nonce_count == NONCES_MAX) {
        return;
    }
    c->nonces[c->nonce_count++] = str_dup(nonce);
}

static void drop_nonces(struct acme_client *c)
{
    while (c->nonce_count > 0) {
        free(c->nonces[--c->nonce_count]);
    }
}

static void acme_client_on_pause(void *arg)
{
    struct acme_client *c = arg;
    CHECK(c->magic == CLIENT_MAGIC);
    acme_client_step(c);
}

/* True when the request will be made again after a pause. */
static bool try_again(struct acme_client *c)
{
    if (c->retries == RETRIES_MAX) {
        return false;
    }
    c->retries++;
    loop_timer_set(&c->pause, (uint64_t)RETRY_PAUSE_MS << (c->retries - 1));
    return true;
}

static void fail_transport(struct acme_client *c, const struct fetch_response *response)
{
    struct failure f;
    char host[128];
    host_of(c->url != NULL ? c->url : c->settings->directory_url, host, sizeof host);
    failure_set(&f, c->phase, "cannot reach the CA at %s: %s", host, response->error);
    acme_client_fail(c, &f);
}

static bool is_problem_of(const cJSON *json, const char *type)
{
    const char *text = json_get_str(json, "type", "");
    size_t len = strlen(text);
    size_t tail = strlen(type);
    return len > tail && text[len - tail - 1] == ':' && strcmp(text + len - tail, type) == 0;
}

/* A server's moment of weakness, not its opinion. */
static bool is_passing(int status, int64_t retry_at, int64_t now)
{
    return (status == 500 || status == 502 || status == 503 || status == 504) &&
           retry_at - now <= RETRY_AFTER_WORTH_SECONDS;
}

static void reply_fill(struct acme_client *c, const struct fetch_response *response,
                       const cJSON *json, char *location, struct acme_client_reply *reply)
{
    struct str where = fetch_header(response->fetch, "location");
    *reply = (struct acme_client_reply){
        .status = response->status, .body = response->body, .json = json, .fetch = response->fetch};
    if (where.len > 0 && where.len < URL_MAX) {
        (void)snprintf(location, URL_MAX, "%.*s", STR_ARG(where));
        reply->location = url_is_fine(c, location) ? location : NULL;
    }
    reply->retry_at = acme_client_retry_after(fetch_header(response->fetch, "retry-after"),
                                              clock_wall_ms() / 1000);
}

static void acme_client_on_reply(void *arg, const struct fetch_response *response)
{
    struct acme_client *c = arg;
    CHECK(c->magic == CLIENT_MAGIC);
    c->fetching = NULL;
    if (response->status == 0) {
        if (!try_again(c)) {
            fail_transport(c, response);
        }
        return;
    }
    keep_nonce(c, response->fetch);
    autojson cJSON *json = response->body.len == 0 || response->body.ptr[0] != '{'
                               ? NULL
                               : json_parse(response->body, "answer", NULL);
    char location[URL_MAX];
    struct acme_client_reply reply;
    struct failure failure;
    reply_fill(c, response, json, location, &reply);
    if (response->status >= 200 && response->status < 300) {
        acme_client_finish(c, &reply);
        return;
    }
    if (!c->is_get && is_problem_of(json, "badNonce") && c->bad_nonces < BAD_NONCES_MAX) {
        c->bad_nonces++;
        if (c->bad_nonces > 1 && c->nonce_count > 1) {
            drop_nonces(c); /* old ones have expired: ask for a fresh one */
        }
        acme_client_step(c);
        return;
    }
    if (is_passing(response->status, reply.retry_at, clock_wall_ms() / 1000) && try_again(c)) {
        return;
    }
    acme_client_problem(&failure, c->phase, response->status, json);
    failure.retry_at = reply.retry_at;
    reply.failure = &failure;
    acme_client_finish(c, &reply);
}

static void acme_client_on_nonce(void *arg, const struct fetch_response *response)
{
    struct acme_client *c = arg;
    CHECK(c->magic == CLIENT_MAGIC);
    c->fetching = NULL;
    if (response->status != 0) {
        keep_nonce(c, response->fetch);
    }
    if (c->nonce_count > 0) {
        acme_client_step(c);
        return;
    }
    if (try_again(c)) {
        return;
    }
    if (response->status == 0) {
        fail_transport(c, response);
        return;
    }
    struct failure f;
    acme_client_problem(&f, c->phase, response->status, NULL);
    f.retry_at = acme_client_retry_after(fetch_header(response->fetch, "retry-after"),
                                         clock_wall_ms() / 1000);
    if (response->status < 300) {
        failure_set(&f, c->phase, "the CA's newNonce answers without a Replay-Nonce header");
    }
    acme_client_fail(c, &f);
}

/* Every resource that is there must be a URL we may follow, the needed ones must be there. */
static bool directory_is_fine(struct acme_client *c, const cJSON *json, struct failure *f)
{
    for (int i = 0; i < CLIENT_RESOURCES; i++) {
        const char *url = json_get_str(json, resource_names[i], NULL);
        bool needed = i != CLIENT_RENEWAL_INFO && i != CLIENT_REVOKE_CERT;
        if (url == NULL && !needed) {
            continue;
        }
        if (url == NULL || !url_is_fine(c, url)) {
            failure_set(f, c->phase,
                        "%s is no ACME directory: %s is %s; check letsencrypt.directory",
                        c->settings->directory_url, resource_names[i],
                        url == NULL ? "missing" : "not an https URL");
            return false;
        }
    }
    return true;
}

static void acme_client_on_directory(void *arg, const struct fetch_response *response)
{
    struct acme_client *c = arg;
    CHECK(c->magic == CLIENT_MAGIC);
    c->fetching = NULL;
    struct failure f;
    if (response->status == 0) {
        if (!try_again(c)) {
            fail_transport(c, response);
        }
        return;
    }
    int64_t now = clock_wall_ms() / 1000;
    int64_t retry_at = acme_client_retry_after(fetch_header(response->fetch, "retry-after"), now);
    if (is_passing(response->status, retry_at, now) && try_again(c)) {
        return;
    }
    cJSON *json = json_parse(response->body, "directory", NULL);
    if (response->status != 200) {
        acme_client_problem(&f, c->phase, response->status, json);
        f.retry_at = retry_at;
    } else if (directory_is_fine(c, json, &f)) {
        cJSON_Delete(c->directory);
        c->directory = json;
        c->directory_at_ms = loop_now_ms(c->loop);
        acme_client_step(c);
        return;
    }
    cJSON_Delete(json);
    acme_client_fail(c, &f);
}

static void start_fetch(struct acme_client *c, const char *method, const char *url,
                        const char *const *headers, struct str body, fetch_done_fn *done)
{
    struct fetch_request request = {.method = method,
                                    .url = url,
                                    .headers = headers,
                                    .body = body,
                                    .timeout_ms = REQUEST_TIMEOUT_MS,
                                    .connect_timeout_ms = REQUEST_TIMEOUT_MS / 2,
                                    .body_limit = BODY_LIMIT_BYTES,
                                    .ca_file = c->settings->ca_file};
    c->fetching = fetch_start(c->fetch, &request, done, c);
}

static void send_signed(struct acme_client *c)
{
    static const char *const headers[] = {"Content-Type: application/jose+json", NULL};
    struct err err = {.code = ERR_NONE};
    struct buf body = {0};
    char *nonce = c->nonces[--c->nonce_count];
    struct jws_head head = {
        .kid = c->signer == CLIENT_BY_ACCOUNT ? c->kid : NULL, .nonce = nonce, .url = c->url};
    if (c->key == NULL || (c->signer == CLIENT_BY_ACCOUNT && c->kid == NULL)) {
        (void)err_set(&err, ERR_FAILED, "there is no account to sign with");
    } else if (jws_sign(c->key, &head, c->payload, &body, &err) == 0) {
        start_fetch(c, "POST", c->url, headers, buf_str(&body), acme_client_on_reply);
    }
    free(nonce);
    buf_fini(&body);
    if (err.code != ERR_NONE) {
        struct failure f;
        failure_set_err(&f, c->phase, &err);
        acme_client_fail(c, &f);
    }
}

/* The one place that decides what is next; from the loop only. */
static void acme_client_step(struct acme_client *c)
{
    bool is_old = c->directory != NULL &&
                  loop_now_ms(c->loop) - c->directory_at_ms > (uint64_t)DIRECTORY_AGE_MS;
    if (c->directory == NULL || (is_old && c->stage == STAGE_IDLE)) {
        c->stage = STAGE_DIRECTORY;
        start_fetch(c, "GET", c->settings->directory_url, NULL, STR_NONE, acme_client_on_directory);
        return;
    }
    if (c->directory_only) {
        struct acme_client_reply reply = {.status = 200, .json = c->directory};
        acme_client_finish(c, &reply);
        return;
    }
    if (c->url == NULL) {
        const char *url = acme_client_url(c, c->resource);
        c->url = url == NULL ? NULL : xstrdup(url);
    }
    struct failure f;
    if (c->url == NULL || !url_is_fine(c, c->url)) {
        failure_set(&f, c->phase, "the CA's directory has no %s, or an unsafe URL",
                    c->url == NULL ? resource_names[c->resource] : "such resource");
        acme_client_fail(c, &f);
        return;
    }
    c->stage = STAGE_REQUEST;
    if (c->is_get) {
        start_fetch(c, "GET", c->url, NULL, STR_NONE, acme_client_on_reply);
        return;
    }
    if (c->nonce_count == 0) {
        c->stage = STAGE_NONCE;
        start_fetch(c, "HEAD", acme_client_url(c, CLIENT_NEW_NONCE), NULL, STR_NONE,
                    acme_client_on_nonce);
        return;
    }
    send_signed(c);
}

static void request_begin(struct acme_client *c, const char *phase, acme_client_done_fn *done,
                          void *arg)
{
    CHECK(c->magic == CLIENT_MAGIC && c->done == NULL);
    c->stage = STAGE_IDLE;
    c->phase = phase;
    c->done = done;
    c->arg = arg;
    c->is_get = false;
    c->directory_only = false;
    c->bad_nonces = 0;
    c->retries = 0;
    c->payload = STR_NONE;
    /* Through the timer, so that no callback comes from inside the call. */
    loop_timer_set(&c->pause, 0);
}

struct acme_client *acme_client_new(struct loop *loop, struct fetch_client *fetch,
                                    const struct acme_settings *settings)
{
    struct acme_client *c = xcalloc(1, sizeof *c);
    c->magic = CLIENT_MAGIC;
    c->loop = loop;
    c->fetch = fetch;
    c->settings = settings;
    loop_timer_init(&c->pause, loop, acme_client_on_pause, c);
    return c;
}

void acme_client_cancel(struct acme_client *c)
{
    if (c == NULL) {
        return;
    }
    CHECK(c->magic == CLIENT_MAGIC);
    request_forget(c);
    c->done = NULL;
}

void acme_client_free(struct acme_client *c)
{
    if (c == NULL) {
        return;
    }
    acme_client_cancel(c);
    loop_timer_fini(&c->pause);
    drop_nonces(c);
    cJSON_Delete(c->directory);
    EVP_PKEY_free(c->key);
    free(c->kid);
    c->magic = 0;
    free(c);
}

void acme_client_set_account(struct acme_client *c, EVP_PKEY *key, const char *kid)
{
    if (key != NULL) {
        CHECK(EVP_PKEY_up_ref(key) == 1);
    }
    EVP_PKEY_free(c->key);
    c->key = key;
    char *copy = kid == NULL ? NULL : xstrdup(kid);
    free(c->kid);
    c->kid = copy;
}

EVP_PKEY *acme_client_key(const struct acme_client *c)
{
    return c->key;
}

const char *acme_client_kid(const struct acme_client *c)
{
    return c->kid;
}

void acme_client_directory(struct acme_client *c, acme_client_done_fn *done, void *arg)
{
    request_begin(c, "resolve", done, arg);
    c->directory_only = true;
}

const char *acme_client_url(const struct acme_client *c, enum acme_client_resource resource)
{
    return json_get_str(c->directory, resource_names[resource], NULL);
}

const cJSON *acme_client_meta(const struct acme_client *c)
{
    return json_get(c->directory, "meta");
}

void acme_client_get(struct acme_client *c, const char *url, acme_client_done_fn *done, void *arg)
{
    request_begin(c, "resolve", done, arg);
    c->is_get = true;
    c->url = xstrdup(url);
}

void acme_client_post(struct acme_client *c, const struct acme_client_post *post,
                      acme_client_done_fn *done, void *arg)
{
    request_begin(c, post->phase, done, arg);
    c->url = post->url == NULL ? NULL : xstrdup(post->url);
    c->resource = post->resource;
    c->signer = post->signer;
    if (post->payload != NULL) {
        char *text = json_print(post->payload);
        c->payload = str_of(text);
    }
}
