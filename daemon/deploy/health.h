/* health: does a port answer? One check is a loop of HTTP GETs.
 *
 * http://127.0.0.1:<port><path> is tried, then http://[::1]:<port> when
 * nothing listens on the first; redirects are followed. What the port's backend
 * says is spoken: TLS with any certificate, or HTTP/2 in cleartext from the first byte.
 * A check runs until an answer matches, `timeout_ms` passes, or `retries` tries failed after
 * `start_period_ms` (tries before do not count). HEALTH_ONCE makes one try of
 * at most two seconds, for status and monitoring.
 */
#ifndef WOS_DAEMON_DEPLOY_HEALTH_H
#define WOS_DAEMON_DEPLOY_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fetch.h"
#include "base/loop.h"
#include "daemon/deploy/manifest.h"

/* config.json's healthcheck block. Zero fields mean the built-in default
 * (180000, 15000, 5000, 10000, 20), except start_period where start_period_set tells. */
struct health_settings {
    uint32_t timeout_ms;
    uint32_t start_period_ms;
    bool start_period_set;
    uint32_t interval_ms;
    uint32_t request_timeout_ms;
    uint32_t retries;
};

/* A port's own values over the configured over the built-in ones. */
struct health_settings health_effective(const struct manifest_health *own,
                                        const struct health_settings *configured);

enum health_mode { HEALTH_UNTIL, HEALTH_ONCE };

struct health_attempt {
    unsigned attempt; /* 1, 2, … */
    unsigned max_attempts;
    const char *url;
    int status;        /* 0: no answer */
    const char *error; /* NULL if there was an answer */
    bool matched;
    bool is_silent;  /* nothing listens on the port */
    bool is_counted; /* the start period is over */
};

struct health_check;

/* After every try. */
typedef void health_attempt_fn(void *arg, const struct health_attempt *attempt);
/* Once, last; message NULL when healthy: "got 500", "timeout", "nothing listens on port 20017" or
 * what the HTTP client says. Not after health_cancel. */
typedef void health_done_fn(void *arg, bool healthy, int status, const char *message);

struct health_target {
    const char *path; /* copied */
    uint16_t port;
    enum route_backend backend; /* what is spoken there */
    int expect;                 /* 0: anything below 500 */
    struct health_settings settings;
    const char *hint; /* copied; behind "nothing listens on port N: ", or NULL */
};

struct health_check *health_start(struct loop *loop, struct fetch_client *client,
                                  const struct health_target *target, enum health_mode mode,
                                  health_attempt_fn *on_attempt, health_done_fn *on_done,
                                  void *arg);
/* NULL is allowed. */
void health_cancel(struct health_check *check);

#endif
