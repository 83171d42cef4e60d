/* config_keys: the table of config.json's keys, and questions about it. Used by config.c
 * (reading) and config_docs.c (printing). Constant data; any thread. */
#include "daemon/config_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "daemon/config.h"

enum {
    HOUR_MS = 3600000,
    WHITELIST_MAX = 100000, /* entries; each is looked at for each request */
};

#define AT(field) offsetof(struct config, field)
#define BOOL(key, field, def, text)                                                                \
    {                                                                                              \
        .path = (key), .type = KEY_BOOL, .offset = AT(field), .fallback = (def), .doc = text       \
    }
#define INT(key, field, low, high, def, text)                                                      \
    {                                                                                              \
        .path = (key), .type = KEY_INT, .offset = AT(field), .min = (low), .max = (high),          \
        .fallback = (def), .doc = text                                                             \
    }
#define DURATION(key, field, def, text)                                                            \
    {                                                                                              \
        .path = (key), .type = KEY_DURATION, .offset = AT(field), .min = 1, .max = 24 * HOUR_MS,   \
        .fallback = (def), .doc = text                                                             \
    }
/* As DURATION, but 0 is allowed: no limit. */
#define DURATION0(key, field, def, text)                                                           \
    {                                                                                              \
        .path = (key), .type = KEY_DURATION, .offset = AT(field), .min = 0, .max = 24 * HOUR_MS,   \
        .fallback = (def), .doc = text                                                             \
    }
#define STRING(key, field, def, text)                                                              \
    {                                                                                              \
        .path = (key), .type = KEY_STRING, .offset = AT(field), .fallback = (def), .doc = text     \
    }
#define SECRET(key, field, text)                                                                   \
    {                                                                                              \
        .path = (key), .type = KEY_STRING, .offset = AT(field), .is_secret = true, .doc = text     \
    }
#define WORD(key, field, list, def, text)                                                          \
    {                                                                                              \
        .path = (key), .type = KEY_WORD, .offset = AT(field), .words = (list), .fallback = (def),  \
        .doc = text                                                                                \
    }
#define IPS(key, field, most, text)                                                                \
    {                                                                                              \
        .path = (key), .type = KEY_IPS, .offset = AT(field), .max = (most), .doc = text            \
    }
#define TEXTS(key, field, form, text)                                                              \
    {                                                                                              \
        .path = (key), .type = KEY_TEXTS, .offset = AT(field), .words = (form), .doc = text        \
    }
#define OTHER(key, form, text)                                                                     \
    {                                                                                              \
        .path = (key), .type = KEY_OTHER, .words = (form), .doc = text                             \
    }

#define SSL(at, field)                                                                             \
    BOOL(at ".enabled", field.enabled, "false", "Whether the listener speaks TLS."),               \
        WORD(at ".source", field.source, "self-signed|files|letsencrypt", NULL,                    \
             "Where the certificate comes from: the local CA under H/certs, two files, or Let's "  \
             "Encrypt. Without it: files when cert or key is given, else self-signed."),           \
        STRING(at ".cert", field.cert, NULL,                                                       \
               "For files: the certificate chain in PEM, leaf first; relative to H."),             \
        STRING(at ".key", field.key, NULL, "For files: the private key in PEM; relative to H."),   \
        STRING(at ".rsaCert", field.rsa_cert, NULL,                                                \
               "For files: a second chain with another kind of key (RSA beside ECDSA) and the "    \
               "same names, for old clients."),                                                    \
        STRING(at ".rsaKey", field.rsa_key, NULL, "For files: the private key of rsaCert."),       \
        STRING(at ".letsencrypt.email", field.email, NULL, "The ACME account's contact."),         \
        BOOL(at ".letsencrypt.acceptTerms", field.accept_terms, "false",                           \
             "Must be true: agreement to the CA's terms of service."),                             \
        STRING(at ".letsencrypt.directory", field.directory, "staging",                            \
               "Who issues: Let's Encrypt's staging or production directory, or the URL of "       \
               "another ACME directory."),                                                         \
        STRING(at ".letsencrypt.caFile", field.ca_file, NULL,                                      \
               "CA certificates in PEM that the directory's own certificate is checked with, "     \
               "for a private CA; relative to H."),                                                \
        STRING(at ".letsencrypt.profile", field.profile, NULL,                                     \
               "The certificate profile asked for, where the CA offers several."),                 \
        STRING(at ".letsencrypt.preferredChain", field.preferred_chain, NULL,                      \
               "Common name of an issuer: the chain that has it is taken, if the CA offers one."), \
        WORD(at ".letsencrypt.keyType", field.key_type, "ecdsa-p256|ecdsa-p384|rsa-2048|rsa-4096", \
             "ecdsa-p256", "The kind of key certificates are made for."),                          \
        STRING(at ".letsencrypt.eab.kid", field.eab_kid, NULL,                                     \
               "External account binding: the key id your CA gave you."),                          \
        SECRET(at ".letsencrypt.eab.hmacKey", field.eab_hmac_key,                                  \
               "External account binding: the MAC key, base64url."),                               \
        TEXTS(at ".letsencrypt.resolvers", field.resolvers,                                        \
              "a list of \"address:port\" or \"name:port\"",                                       \
              "Name servers to look for the records at; without them, the zone's own. Names are "  \
              "looked up as by every program of this machine."),                                   \
        INT(at ".letsencrypt.propagationTimeoutSeconds", field.propagation_timeout_seconds, 1,     \
            86400, "120", "How long a record may take to be seen by those."),                      \
        STRING(at ".letsencrypt.challenge.type", field.challenge_type, NULL, "Must be dns-01."),   \
        WORD(at ".letsencrypt.challenge.provider", field.provider, "none|hook|cloudflare", "none", \
             "Who writes the TXT records: commands of yours, or Cloudflare's API."),               \
        STRING(at ".letsencrypt.challenge.createCommand", field.create_command, NULL,              \
               "For hook: the shell command that creates a record."),                              \
        STRING(at ".letsencrypt.challenge.deleteCommand", field.delete_command, NULL,              \
               "For hook: the shell command that deletes it."),                                    \
        SECRET(at ".letsencrypt.challenge.apiToken", field.api_token,                              \
               "For cloudflare: the API token; apiTokenEnv is the better place."),                 \
        STRING(at ".letsencrypt.challenge.apiTokenEnv", field.api_token_env, NULL,                 \
               "For cloudflare: the environment variable with the API token."),                    \
        STRING(at ".letsencrypt.challenge.zoneId", field.zone_id, NULL,                            \
               "For cloudflare: the zone; looked up by name without it."),                         \
        STRING(at ".letsencrypt.challenge.apiTokenFile", field.api_token_file, NULL,               \
               "For cloudflare: a file that holds the API token; relative to H, mode 0600."),      \
        STRING(at ".letsencrypt.challenge.apiBaseUrl", field.api_base_url,                         \
               "https://api.cloudflare.com/client/v4", "For cloudflare: where its API is."),       \
        INT(at ".letsencrypt.challenge.hookTimeoutSeconds", field.hook_timeout_seconds, 1, 3600,   \
            "60", "For hook: how long a command may run."),                                        \
        INT(at ".letsencrypt.challenge.propagationSeconds", field.propagation_seconds, 0, 86400,   \
            "0", "How long to wait after a record was seen.")

const struct config_key config_keys[] = {
    INT("web.port", web_port, 1, 65535, "4949", "Port of the local web UI and its API."),
    STRING("web.host", web_host, "127.0.0.1",
           "Address the web listener binds. Beyond loopback everything there needs "
           "tunnel.webUi.secret; web.ssl encrypts it."),
    INT("web.connectionsMax", web_connections_max, 8, 65536, "512",
        "Connections to the web listener, of everybody; at most a quarter of the file descriptors "
        "that ulimit -Hn allows. Over it the one goes that has waited longest for a request, or "
        "the new one. The tunnel's are tunnel.limits.connectionsMax."),
    DURATION("web.requestTimeout", web_request_timeout_ms, "30000",
             "The web listener: for a request to come whole, and for an answer to go on being "
             "read."),
    SSL("web.ssl", web_ssl),
    OTHER("web.public", "an object", "Former name of tunnel.webUi; accepted with a warning."),
    STRING("serviceBind", service_bind, NULL,
           "A further address that service ports are published on, and the host that templates "
           "use for a service without a public name."),
    DURATION("healthcheck.timeout", health_timeout_ms, "180000",
             "How long a port's health check may take in all."),
    DURATION("healthcheck.start_period", health_start_period_ms, "15000",
             "Failed tries within this time do not count."),
    DURATION("healthcheck.interval", health_interval_ms, "5000", "Pause between two tries."),
    DURATION("healthcheck.request_timeout", health_request_timeout_ms, "10000",
             "How long one try may take."),
    INT("healthcheck.retries", health_retries, 1, 1000000, "20",
        "Failed tries, after the start period, that fail the check."),
    BOOL("tunnel.enabled", tunnel_enabled, "false",
         "Whether the gateway runs at all. Needs tunnel.domain."),
    INT("tunnel.port", tunnel_port, 1, 65535, "5858",
        "Port the gateway listens on, on every IPv4 and IPv6 address."),
    INT("tunnel.publicPort", tunnel_public_port, 1, 65535, NULL,
        "Port that URLs carry when something forwards another one to tunnel.port."),
    STRING("tunnel.domain", tunnel_domain, NULL,
           "The domain all public names end in: *.<domain> must lead to this machine."),
    INT("tunnel.workers", tunnel_workers, 1, 64, NULL,
        "Threads of the gateway; without it, one per core, at most 64."),
    INT("tunnel.drainSeconds", tunnel_drain_seconds, 0, 86400, "600",
        "How long a replaced gateway may go on serving the connections it has."),
    SSL("tunnel.ssl", tunnel_ssl),
    WORD("tunnel.tls.minVersion", tls_min, "1.2|1.3", "1.2", "The oldest TLS version spoken."),
    BOOL("tunnel.tls.sessionTickets", session_tickets, "true",
         "Whether clients get a ticket with which their next connection saves the exchange of "
         "certificates. Its keys change every 12 hours; without tickets no key outlives its "
         "connection."),
    INT("tunnel.redirectPort", redirect_port, 0, 65535, "0",
        "Port of a plain HTTP listener that answers requests for names of ours with a redirect "
        "(308) to https; 0: none. Needs tunnel.ssl."),
    INT("tunnel.hsts", hsts_seconds, 0, 63072000, "0",
        "Seconds browsers shall insist on https (Strict-Transport-Security on every answer over "
        "TLS, "
        "unless the service sends its own); 0: not sent."),
    IPS("tunnel.trustedProxies", trusted_proxies, SNAPSHOT_PEERS_MAX,
        "Whose X-Forwarded-* and Forwarded fields are believed: proxies in front of this one. They "
        "must set or append to X-Forwarded-For; the right-most address that is none of theirs is "
        "the client."),
    IPS("tunnel.proxyProtocol", proxy_protocol, SNAPSHOT_PEERS_MAX,
        "Who begins each connection with a PROXY protocol header (version 1 or 2); a connection of "
        "theirs without one is closed, and nobody else may send one."),
    BOOL("tunnel.accessLog.enabled", access_log_enabled, "true",
         "Whether each request leaves a line in H/logs/access.log."),
    INT("tunnel.accessLog.maxSize", access_log_size_max, 4096, 2000000000, "67108864",
        "Bytes of the access log before a new file is begun."),
    INT("tunnel.accessLog.keep", access_log_keep, 0, 1000, "5", "Older access logs kept."),
    BOOL("tunnel.serviceTunnels.enabled", service_tunnels_enabled, "false",
         "Whether services of worktrees get public names."),
    IPS("tunnel.serviceTunnels.whitelistIps", service_whitelist, WHITELIST_MAX,
        "Who may reach services and published ports; empty: everyone."),
    WORD("tunnel.serviceTunnels.host", service_host_mode, "preserve|rewrite", "preserve",
         "The Host a service sees: the public name, or localhost:<port>. deploy.yaml may say "
         "otherwise for a port."),
    WORD("tunnel.serviceTunnels.access", service_access, "public|secret|private", "public",
         "Who may see services: everyone, whoever knows tunnel.serviceTunnels.secret, or nobody "
         "(no public route). The widest that deploy.yaml and wos publish may ask for."),
    SECRET("tunnel.serviceTunnels.secret", service_secret,
           "What opens routes with access secret: typed in once per browser, or sent as "
           "X-Wos-Secret."),
    INT("tunnel.serviceTunnels.rateLimit.requestsPerSecond", service_rate, 0, 1000000, "0",
        "Requests a second to one route, from all clients; over it they get 429. 0: no limit."),
    INT("tunnel.serviceTunnels.rateLimit.burst", service_burst, 1, 1000000, "50",
        "Requests at once above that rate."),
    INT("tunnel.serviceTunnels.maxConcurrent", service_exchanges_max, 0, 1000000, "0",
        "Requests and WebSockets under way to one route; over it they get 429. 0: no limit."),
    BOOL("tunnel.webUi.enabled", web_ui_enabled, "false",
         "Whether the web UI has a public name, behind its secret."),
    STRING("tunnel.webUi.subdomain", web_ui_subdomain, NULL,
           "The UI's name: a label, or a full name under tunnel.domain."),
    SECRET("tunnel.webUi.secret", web_ui_secret, "What a person types in to see the public UI."),
    BOOL("tunnel.webUi.terminalEnabled", web_ui_terminal_enabled, "false",
         "Whether the public UI has terminals and files."),
    IPS("tunnel.webUi.whitelistIps", web_ui_whitelist, WHITELIST_MAX,
        "Who may reach the public UI; empty: everyone."),
    DURATION("tunnel.limits.handshakeTimeout", limits.handshake_timeout_ms, "10000",
             "From the TCP connection to the end of the TLS handshake."),
    DURATION("tunnel.limits.headerTimeout", limits.header_timeout_ms, "30000",
             "From the first byte of a request head to its last."),
    DURATION("tunnel.limits.idleTimeout", limits.idle_timeout_ms, "75000",
             "A kept-alive connection without a request."),
    DURATION("tunnel.limits.bodyTimeout", limits.body_timeout_ms, "60000",
             "A request body without a new byte before the answer began."),
    DURATION("tunnel.limits.writeTimeout", limits.write_timeout_ms, "60000",
             "A client that takes no byte of its answer, or opens no HTTP/2 window for it."),
    DURATION("tunnel.limits.connectTimeout", limits.connect_timeout_ms, "5000",
             "Connecting to the service."),
    DURATION0("tunnel.limits.responseTimeout", limits.response_timeout_ms, "0",
              "From the request's end to the answer's first byte; 0: none, for long polls."),
    DURATION("tunnel.limits.tunnelIdleTimeout", limits.tunnel_idle_timeout_ms, "3600000",
             "A WebSocket or stream without any byte."),
    DURATION("tunnel.limits.upstreamIdleTimeout", limits.upstream_idle_timeout_ms, "60000",
             "A pooled connection to a service."),
    INT("tunnel.limits.upstreamIdleMax", limits.upstream_idle_max, 0, 10000, "512",
        "Pooled connections per service and worker; 0: none is kept."),
    INT("tunnel.limits.upstreamStreamsMax", limits.upstream_streams_max, 1, 10000, "100",
        "Concurrent requests on one HTTP/2 connection to a service; at most what it allows."),
    INT("tunnel.limits.interimsMax", limits.interims_max, 1, 10000, "32",
        "1xx answers of a service to one request; with more it gets a 502."),
    DURATION("tunnel.limits.closeTimeout", limits.close_timeout_ms, "30000",
             "A connection that ends: for its last bytes to be taken, and for the client to stop "
             "sending."),
    INT("tunnel.limits.streamWindow", limits.stream_window, 16384, 16777216, "262144",
        "Bytes of an HTTP/2 request's body that may be under way; on connections to come."),
    INT("tunnel.limits.connectionWindow", limits.connection_window, 65535, 16777216, "1048576",
        "The same of all requests of a connection."),
    INT("tunnel.limits.loginBytesMax", limits.login_bytes_max, 256, 65536, "4096",
        "Bytes of the form with a secret."),
    INT("tunnel.limits.metricRoutesMax", limits.metric_routes_max, 0, 10000, "200",
        "Routes with numbers of their own in `wos metrics`: the first that were asked; those of "
        "all "
        "others are one row, `other`."),
    INT("tunnel.limits.headerBytesMax", limits.header_bytes_max, 1024, 1048576, "65536",
        "Bytes of a request or response head."),
    INT("tunnel.limits.headerCountMax", limits.header_count_max, 10, 10000, "200",
        "Fields of a head."),
    INT("tunnel.limits.uriBytesMax", limits.uri_bytes_max, 256, 1048576, "16384",
        "Bytes of a request target."),
    INT("tunnel.limits.streamsMax", limits.streams_max, 1, 10000, "128",
        "Concurrent HTTP/2 requests of a connection."),
    INT("tunnel.limits.connectionsMax", limits.connections_max, 1, 10000000, "16000",
        "Client connections of all workers; at most four fifths of the file descriptors that "
        "ulimit -Hn allows. Over it the longest idle connection goes, or clients wait."),
    INT("tunnel.limits.connectionsPerAddress", limits.connections_per_address, 1, 10000000, "12000",
        "Client connections of one address; of one /64 for IPv6. Over it the longest idle one of "
        "them goes, or the new one is reset."),
    INT("tunnel.limits.resetsMax", limits.resets_max, 1, 1000000, "200",
        "HTTP/2 streams a client may cancel, or have reset, in ten seconds of one connection."),
    INT("tunnel.limits.controlFramesMax", limits.control_frames_max, 10, 1000000, "1000",
        "HTTP/2 frames that carry nothing (PING, SETTINGS, …) in ten seconds of one connection."),
    INT("tunnel.limits.failedSecretsFree", limits.failed_secrets_free, 0, 1000, "5",
        "Wrong secrets of one address (IPv6: one /64) before it has to wait between tries."),
    DURATION("tunnel.limits.failedSecretsDelayMax", limits.failed_secrets_delay_max_ms, "900000",
             "The longest of those waits; the first is a second, each next twice as long."),
    INT("tunnel.limits.failedSecretsPerMinute", limits.failed_secrets_per_minute, 1, 1000000, "100",
        "Wrong secrets of all addresses in a minute before every address has to wait that was "
        "not right lately."),
    INT("terminals.max", terminals_max, 1, 48, "24",
        "Terminals of the web UI that are open at the same time, in all worktrees."),
    INT("terminals.scrollbackKb", terminals_scrollback_kb, 16, 16384, "256",
        "KiB of output that each of them keeps for those who come later. For new ones."),
    INT("terminals.idleMinutes", terminals_idle_minutes, 1, 43200, "1440",
        "How long one goes on that nobody looks at; then it is ended. For new ones."),
    WORD("terminalBackend", terminal_backend, "default|tmux", "default",
         "What terminals run in. Not used by this version."),
    STRING("editorCommand", editor_command, NULL,
           "Command that opens an editor; empty: none. Not used by this version."),
    OTHER("aiProviders", "a list of {type, apiKey, name?, baseUrl?, models?}",
          "Providers for generated commit messages. Checked, not used by this version."),
    OTHER("commitMessages", "{provider?, model?}",
          "Which of aiProviders writes commit messages. Checked, not used by this version."),
    OTHER("autoInjectAgentPlugins", "true or false",
          "Whether agent plug-ins are set up. Checked, not used by this version."),
    OTHER("firstRunCompleted", "a text that is not blank",
          "When the first run was completed. Checked, not used by this version."),
    BOOL("logging.enabled", log_enabled, "false",
         "Whether the daemon's events also go to logging.file, as JSON lines (docs/LOGS.md)."),
    WORD("logging.level", log_level, "off|error|warn|info|debug|trace", "info",
         "The least important events that do; trace is as debug."),
    OTHER("logging.modules", "{module: level}",
          "Other levels for single modules, as the lines name them."),
    STRING("logging.file", log_file, "logs/daemon.log", "The file; relative to H."),
    BOOL("logging.redactPrompts", log_redact, "true",
         "Whether people's own words become their length there."),
    INT("logging.maxSize", log_size_max, 4096, 2000000000, "16777216",
        "Bytes of that file before a new one is begun."),
    INT("logging.keep", log_keep, 0, 1000, "3", "Older ones kept."),
    OTHER("logging.perf", "{enabled?, stuckWatchdog?, slowMs?}",
          "Spans of time. Checked, not used by this version, which has no such lines."),
    OTHER("notifications", "{rules?, channels?, pushSubscriptions?}",
          "Notification rules and channels. Checked, not used by this version."),
};
const size_t config_key_count = COUNT_OF(config_keys);

const struct config_key *config_key_find(const char *path)
{
    for (size_t i = 0; i < config_key_count; i++) {
        if (strcmp(config_keys[i].path, path) == 0) {
            return &config_keys[i];
        }
    }
    return NULL;
}

bool config_key_is_block(const char *path)
{
    size_t len = strlen(path);
    for (size_t i = 0; i < config_key_count; i++) {
        if (strncmp(config_keys[i].path, path, len) == 0 && config_keys[i].path[len] == '.') {
            return true;
        }
    }
    return false;
}

const char *const config_live_keys[] = {
    "tunnel.serviceTunnels.",
    "tunnel.limits.",
    "tunnel.accessLog.",
    "tunnel.trustedProxies",
    "tunnel.proxyProtocol",
    "tunnel.hsts",
    "tunnel.tls.minVersion",
    "tunnel.tls.sessionTickets",
    "tunnel.webUi.whitelistIps",
    "healthcheck.",
    "serviceBind",
    "terminals.",
    "tunnel.webUi.terminalEnabled",
    "logging.",
    "terminalBackend", /* not used yet, like the next */
    "editorCommand",
};
const size_t config_live_key_count = COUNT_OF(config_live_keys);

bool config_key_is_live(const char *path)
{
    for (size_t i = 0; i < config_live_key_count; i++) {
        const char *live = config_live_keys[i];
        size_t len = strlen(live);
        if (live[len - 1] == '.' ? strncmp(path, live, len) == 0 : strcmp(path, live) == 0) {
            return true;
        }
    }
    return false;
}

bool config_key_is_used(const struct config_key *key)
{
    return key->type != KEY_OTHER || strcmp(key->path, "logging.modules") == 0; /* config_other.c */
}

/* Levenshtein's distance, ignoring case; `limit` when the lengths differ by that
 * much. */
static size_t edit_distance(const char *a, const char *b, size_t limit)
{
    size_t la = strlen(a);
    size_t lb = strlen(b);
    if (la > lb + limit || lb > la + limit || lb > 120) {
        return limit;
    }
    size_t row[128];
    for (size_t j = 0; j <= lb; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t above = row[j];
            size_t best = diagonal + (ascii_lower(a[i - 1]) == ascii_lower(b[j - 1]) ? 0 : 1);
            if (above + 1 < best) {
                best = above + 1;
            }
            if (row[j - 1] + 1 < best) {
                best = row[j - 1] + 1;
            }
            row[j] = best;
            diagonal = above;
        }
    }
    return row[lb];
}

const char *config_key_nearest(const char *path)
{
    enum { LIMIT = 4 };
    size_t best = LIMIT;
    const char *nearest = NULL;
    const char *last = strrchr(path, '.');
    for (size_t i = 0; i < config_key_count; i++) {
        const char *known = config_keys[i].path;
        size_t distance = edit_distance(path, known, LIMIT);
        const char *known_last = strrchr(known, '.');
        /* The right word in the wrong block is close too. */
        if (distance > 2 && strcmp(last == NULL ? path : last + 1,
                                   known_last == NULL ? known : known_last + 1) == 0) {
            distance = 3;
        }
        if (distance < best) {
            best = distance;
            nearest = known;
        }
    }
    return nearest;
}

void config_key_allowed(const struct config_key *key, char *out, size_t size)
{
    switch (key->type) {
    case KEY_BOOL:
        (void)snprintf(out, size, "true or false");
        break;
    case KEY_INT:
        (void)snprintf(out, size, "an integer from %u to %u", key->min, key->max);
        break;
    case KEY_DURATION:
        (void)snprintf(out, size, "a duration%s: milliseconds, or \"500ms\", \"5s\", \"3m\"",
                       key->min == 0 ? " or 0" : "");
        break;
    case KEY_STRING:
        (void)snprintf(out, size, "a text that is not blank");
        break;
    case KEY_WORD:
        (void)snprintf(out, size, "one of %s", key->words);
        break;
    case KEY_TEXTS:
        (void)snprintf(out, size, "%s", key->words);
        break;
    case KEY_IPS:
        (void)snprintf(out, size, "a list of at most %u addresses and CIDR prefixes", key->max);
        break;
    case KEY_OTHER:
        (void)snprintf(out, size, "%s", key->words);
        break;
    }
}
