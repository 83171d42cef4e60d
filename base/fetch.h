/* fetch: asynchronous HTTP(S) requests on a loop, by libcurl's multi interface.
 * The only file that touches libcurl. Used by health checks, the CLI (over the
 * daemon's Unix socket) and the ACME client.
 *
 *     struct fetch_request rq = {.method = "GET", .url = "http://127.0.0.1:3000/",
 *                                .timeout_ms = 2000, .follow_redirects = true};
 *     struct fetch *f = fetch_start(client, &rq, on_done, me);
 *
 * on_done is called exactly once per started fetch, always from the loop, never
 * from inside fetch_start, and not after fetch_cancel. The response is borrowed
 * for the call. A transport error has status 0 and a sentence in `error`.
 * No proxy is ever used, whatever the environment says. The process ignores
 * SIGPIPE. fetch_cancel and fetch_client_free may be called from any callback.
 */
#ifndef WOS_BASE_FETCH_H
#define WOS_BASE_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"

struct fetch_client; /* one per loop: connection cache and timers */
struct fetch;        /* one request under way */

struct fetch_request {
    const char *method;          /* "GET", "POST", … */
    const char *url;             /* http or https */
    const char *unix_socket;     /* NULL, or connect there instead of by the URL's host */
    const char *const *headers;  /* NULL, or "Name: value" strings ending in NULL */
    struct str body;             /* copied */
    uint32_t timeout_ms;         /* whole exchange; 0 = none (streams) */
    uint32_t connect_timeout_ms; /* 0 = 5000 */
    size_t body_limit;           /* larger answers fail; 0 = 1 MiB. Not applied with on_data */
    bool follow_redirects;       /* at most 10, http and https only */
    bool insecure;               /* no certificate check: only for health checks on loopback */
    bool http2_known;            /* http: HTTP/2 at once, without asking whether it is spoken */
    const char *ca_file;         /* NULL = the system's */
    /* NULL, or called with each piece of the body as it comes; then body in
     * the response stays empty. Return false to end the fetch (an error). */
    bool (*on_data)(void *arg, struct str piece);
};

struct fetch_response {
    int status;        /* 0: no answer, see error */
    struct str body;   /* borrowed */
    const char *error; /* NULL if there was an answer, even a 500 */
    bool timed_out;
    bool unreached;            /* no answer, because no connection came about */
    const struct fetch *fetch; /* for fetch_header */
};

typedef void fetch_done_fn(void *arg, const struct fetch_response *response);

struct fetch_client *fetch_client_new(struct loop *loop, struct err *err);
/* Cancels what is under way (no callbacks). */
void fetch_client_free(struct fetch_client *client);
struct fetch *fetch_start(struct fetch_client *client, const struct fetch_request *request,
                          fetch_done_fn *on_done, void *arg);
void fetch_cancel(struct fetch *f);
/* A header of the final answer, ignoring case, or STR_NONE. In on_done only. */
struct str fetch_header(const struct fetch *f, const char *name);
/* The same for headers that come several times: the one numbered `index`, from 0. */
struct str fetch_header_at(const struct fetch *f, const char *name, size_t index);

#endif
