/* publish_options: what a port of deploy.yaml or a `wos publish` says of its route, and its
 * texts: in deploy.yaml, on the command line, in state.json, H/published.json and the API.
 *
 * Zero is all defaults. The whitelist belongs to whoever filled the struct in:
 * publish_options_copy makes one of its own, which publish_options_fini frees.
 */
#ifndef WOS_DAEMON_PUBLISH_OPTIONS_H
#define WOS_DAEMON_PUBLISH_OPTIONS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "routing/policy.h"
#include "routing/route.h"

enum {
    PUBLISH_WHITELIST_MAX = 1000,
    PUBLISH_RATE_MAX = 1000000, /* also of a burst and of concurrent requests */
};

/* What the service sees as Host. */
enum publish_host {
    PUBLISH_HOST_DEFAULT, /* tunnel.serviceTunnels.host */
    PUBLISH_HOST_PRESERVE,
    PUBLISH_HOST_REWRITE,
};

/* Who may see it, from the widest to the narrowest. The machine's tunnel.serviceTunnels.access is
 * the widest allowed: a route that asks for more is capped to that. A private one keeps its name
 * and is not published. */
enum publish_access {
    PUBLISH_ACCESS_DEFAULT, /* tunnel.serviceTunnels.access */
    PUBLISH_ACCESS_PUBLIC,
    PUBLISH_ACCESS_SECRET,
    PUBLISH_ACCESS_PRIVATE,
};

struct publish_options {
    enum publish_host host_mode;
    enum publish_access access;
    enum route_backend backend;
    const struct ip_prefix *whitelist; /* beside the class-wide one: a peer has to pass both */
    uint32_t whitelist_count;
    uint32_t rate_per_second; /* 0: tunnel.serviceTunnels.rateLimit */
    uint32_t rate_burst;      /* 0: tunnel.serviceTunnels.rateLimit.burst */
    uint32_t exchanges_max;   /* 0: tunnel.serviceTunnels.maxConcurrent */
};

/* "default", "preserve", "rewrite"; "default", "public", "secret", "private". */
const char *publish_host_name(enum publish_host host);
const char *publish_access_name(enum publish_access access);
/* The words a person may write ("default" is none); false for any other. */
bool publish_host_parse(const char *word, enum publish_host *out);
bool publish_access_parse(const char *word, enum publish_access *out);
/* "http", "https", "h2c"; `insecure` only with https. */
bool publish_backend_parse(const char *word, bool insecure, enum route_backend *out);
/* What a URL of the service itself begins with: "http" or "https". */
const char *publish_backend_scheme(enum route_backend backend);

void publish_options_copy(struct publish_options *out, const struct publish_options *from);
/* Same values; whitelists the same prefixes in the same order. */
bool publish_options_equal(const struct publish_options *a, const struct publish_options *b);
/* For copies, and for what publish_options_read filled in. */
void publish_options_fini(struct publish_options *options);

/* Adds host, access, backend, insecure, whitelistIps, rateLimit {requestsPerSecond, burst},
 * maxConcurrent; only host always, the others where they are not the default. */
void publish_options_add(const struct publish_options *options, cJSON *object);
/* Reads the same members; null and absent are defaults. ERR_USAGE names the member and what is
 * allowed; *out is untouched then. On success *out is the caller's, to publish_options_fini. */
int publish_options_read(const cJSON *object, struct publish_options *out, struct err *err);

#endif
