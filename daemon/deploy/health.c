/* health: HTTP checks of loopback ports. Called by deployment (during `up`) and
 * by its monitor; loop thread. */
#include "daemon/deploy/health.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"

#define HEALTH_MAGIC 0x484c5448u

enum {
    DEFAULT_TIMEOUT_MS = 180000,
    DEFAULT_START_PERIOD_MS = 15000,
    DEFAULT_INTERVAL_MS = 5000,
    DEFAULT_REQUEST_TIMEOUT_MS = 10000,
    DEFAULT_RETRIES = 20,
    ONCE_TIMEOUT_MS = 2000,
    EARLY_DELAY_MS = 100, /* while a service starts, its port is looked at more often */
    EARLY_DELAY_MAX_MS = 1000,
};

struct health_check {
    uint32_t magic;
    struct loop *loop;           /* borrowed */
    struct fetch_client *client; /* borrowed */
    char *path;                  /* owned */
    uint16_t port;
    enum route_backend backend;
    int expect;
    struct health_settings settings;
    enum health_mode mode;
    health_attempt_fn *on_attempt;
    health_done_fn *on_done;
    void *arg;           /* borrowed */
    struct fetch *fetch; /* owned while under way */
    struct loop_timer timer;
    uint64_t started;
    char *hint;           /* owned; may be NULL */
    bool is_v6;           /* the second half of a try: ::1 */
    bool first_unreached; /* nothing listens on 127.0.0.1 */
    unsigned attempt;
    unsigned failures; /* those that count */
    uint32_t early_delay_ms;
    char url[64 + 1024];
    char first_error[256]; /* what 127.0.0.1 said */
};

struct health_settings health_effective(const struct manifest_health *own,
                                        const struct health_settings *configured)
{
    static const struct health_settings nothing = {0};
    const struct health_settings *c = configured == NULL ? &nothing : configured;
    struct health_settings out = {
        .timeout_ms = c->timeout_ms != 0 ? c->timeout_ms : DEFAULT_TIMEOUT_MS,
        .start_period_ms = c->start_period_set || c->start_period_ms != 0 ? c->start_period_ms
                                                                          : DEFAULT_START_PERIOD_MS,
        .start_period_set = true,
        .interval_ms = c->interval_ms != 0 ? c->interval_ms : DEFAULT_INTERVAL_MS,
        .request_timeout_ms =
            c->request_timeout_ms != 0 ? c->request_timeout_ms : DEFAULT_REQUEST_TIMEOUT_MS,
        .retries = c->retries != 0 ? c->retries : DEFAULT_RETRIES,
    };
    if (own != NULL) {
        out.timeout_ms = own->timeout_ms != 0 ? own->timeout_ms : out.timeout_ms;
        out.interval_ms = own->interval_ms != 0 ? own->interval_ms : out.interval_ms;
        out.retries = own->retries != 0 ? own->retries : out.retries;
        if (own->start_period_set) {
            out.start_period_ms = own->start_period_ms;
        }
    }
    return out;
}

static void health_free(struct health_check *check)
{
    loop_timer_fini(&check->timer);
    free(check->path);
    free(check->hint);
    check->magic = 0;
    free(check);
}

static void health_finish(struct health_check *check, bool healthy, int status, const char *message)
{
    health_done_fn *on_done = check->on_done;
    void *arg = check->arg;
    char copy[384];
    (void)snprintf(copy, sizeof(copy), "%s", message == NULL ? "" : message);
    health_free(check);
    on_done(arg, healthy, status, healthy ? NULL : copy);
}

static uint64_t health_total_ms(const struct health_check *check)
{
    return check->mode == HEALTH_ONCE ? ONCE_TIMEOUT_MS : check->settings.timeout_ms;
}

static uint64_t health_elapsed_ms(const struct health_check *check)
{
    return clock_now_ms() - check->started;
}

/* The page itself is of no interest, however long it is. */
static bool health_on_data(void *arg, struct str piece)
{
    (void)arg;
    (void)piece;
    return true;
}

static void health_on_response(void *arg, const struct fetch_response *response);

static void health_make_url(struct health_check *check, bool is_v6)
{
    (void)snprintf(check->url, sizeof(check->url), "%s://%s:%u%s",
                   publish_backend_scheme(check->backend), is_v6 ? "[::1]" : "127.0.0.1",
                   (unsigned)check->port, check->path);
}

static void health_fetch(struct health_check *check)
{
    uint64_t total = health_total_ms(check);
    uint64_t elapsed = health_elapsed_ms(check);
    uint64_t left = elapsed >= total ? 1 : total - elapsed;
    uint64_t limit = check->settings.request_timeout_ms;
    char host[64];
    (void)snprintf(host, sizeof(host), "Host: localhost:%u", (unsigned)check->port);
    health_make_url(check, check->is_v6);
    const char *const headers[] = {host, "Accept: */*", NULL};
    struct fetch_request request = {.method = "GET",
                                    .url = check->url,
                                    .headers = headers,
                                    .timeout_ms = (uint32_t)(left < limit ? left : limit),
                                    .follow_redirects = true,
                                    .insecure = true,
                                    .http2_known = check->backend == BACKEND_H2C,
                                    .on_data = health_on_data};
    check->fetch = fetch_start(check->client, &request, health_on_response, check);
}

static bool status_matches(int expect, int status)
{
    return expect != 0 ? status == expect : status >= 100 && status < 500;
}

static void health_begin_try(void *arg)
{
    struct health_check *check = arg;
    CHECK(check->magic == HEALTH_MAGIC);
    check->is_v6 = false;
    check->first_unreached = false;
    check->attempt++;
    health_fetch(check);
}

static uint32_t health_delay_ms(struct health_check *check, int status)
{
    uint32_t delay = check->settings.interval_ms;
    if (status == 0 && health_elapsed_ms(check) < check->settings.start_period_ms &&
        check->early_delay_ms < delay) {
        delay = check->early_delay_ms;
        check->early_delay_ms *= 2;
        if (check->early_delay_ms > EARLY_DELAY_MAX_MS) {
            check->early_delay_ms = EARLY_DELAY_MAX_MS;
        }
    }
    return delay;
}

/* A whole try (both addresses) failed: wait for the next or give up. */
static void health_on_failed_try(struct health_check *check, int status, const char *message)
{
    uint64_t elapsed = health_elapsed_ms(check);
    if (elapsed >= check->settings.start_period_ms) {
        check->failures++;
    }
    uint32_t delay = health_delay_ms(check, status);
    if (check->mode == HEALTH_ONCE || check->failures >= check->settings.retries ||
        elapsed + delay >= health_total_ms(check)) {
        health_finish(check, false, status, message);
        return;
    }
    loop_timer_set(&check->timer, delay);
}

static void health_on_response(void *arg, const struct fetch_response *response)
{
    struct health_check *check = arg;
    CHECK(check->magic == HEALTH_MAGIC);
    check->fetch = NULL;
    if (response->status == 0 && !check->is_v6 && !response->timed_out) {
        (void)snprintf(check->first_error, sizeof(check->first_error), "%s",
                       response->error == NULL ? "no answer" : response->error);
        check->first_unreached = response->unreached;
        check->is_v6 = true;
        health_fetch(check);
        return;
    }
    bool matched = response->status != 0 && status_matches(check->expect, response->status);
    bool is_silent = check->first_unreached && response->unreached;
    char message[320];
    if (response->status != 0) {
        (void)snprintf(message, sizeof(message), "got %d", response->status);
    } else if (response->timed_out) {
        (void)snprintf(message, sizeof(message), "timeout");
    } else if (is_silent) {
        (void)snprintf(message, sizeof(message), "nothing listens on port %u%s%s",
                       (unsigned)check->port, check->hint == NULL ? "" : ": ",
                       check->hint == NULL ? "" : check->hint);
    } else {
        (void)snprintf(message, sizeof(message), "%s", check->first_error);
    }
    if (response->status == 0 && check->is_v6) {
        health_make_url(check, false);
    }
    if (check->on_attempt != NULL) {
        struct health_attempt attempt = {.attempt = check->attempt,
                                         .max_attempts = check->settings.retries,
                                         .url = check->url,
                                         .status = response->status,
                                         .error = response->status != 0 ? NULL : message,
                                         .matched = matched,
                                         .is_silent = is_silent,
                                         .is_counted = health_elapsed_ms(check) >=
                                                       check->settings.start_period_ms};
        check->on_attempt(check->arg, &attempt);
    }
    if (matched) {
        health_finish(check, true, response->status, NULL);
    } else {
        health_on_failed_try(check, response->status, message);
    }
}

struct health_check *health_start(struct loop *loop, struct fetch_client *client,
                                  const struct health_target *target, enum health_mode mode,
                                  health_attempt_fn *on_attempt, health_done_fn *on_done, void *arg)
{
    struct health_check *check = xcalloc(1, sizeof(*check));
    check->magic = HEALTH_MAGIC;
    check->loop = loop;
    check->client = client;
    check->path = xstrdup(target->path);
    check->hint = target->hint == NULL ? NULL : xstrdup(target->hint);
    check->port = target->port;
    check->backend = target->backend;
    check->expect = target->expect;
    check->settings = target->settings;
    check->mode = mode;
    check->on_attempt = on_attempt;
    check->on_done = on_done;
    check->arg = arg;
    check->started = clock_now_ms();
    check->early_delay_ms = EARLY_DELAY_MS;
    if (mode == HEALTH_ONCE && check->settings.request_timeout_ms > ONCE_TIMEOUT_MS) {
        check->settings.request_timeout_ms = ONCE_TIMEOUT_MS;
    }
    loop_timer_init(&check->timer, loop, health_begin_try, check);
    health_begin_try(check);
    return check;
}

void health_cancel(struct health_check *check)
{
    if (check == NULL) {
        return;
    }
    CHECK(check->magic == HEALTH_MAGIC);
    if (check->fetch != NULL) {
        fetch_cancel(check->fetch);
    }
    health_free(check);
}
