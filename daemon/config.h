/* config: H/config.json, read fail-soft.
 *
 * Missing file: all defaults, nothing is created. Text that is no JSON: one
 * problem, all defaults. Every wrong value is one problem that names its key,
 * what was found and what is allowed; the key takes its default or its block is
 * switched off (config_keys.c says which), and everything else works. Unknown
 * keys are ignored, and named with the nearest known key. config_adopt takes over what applies
 * without a restart (daemon/config_edit.h changes the file).
 *
 * The keys are rows of one table (config_keys.h): the reader, the check, the
 * defaults and docs/CONFIG.md come from it.
 */
#ifndef WOS_DAEMON_CONFIG_H
#define WOS_DAEMON_CONFIG_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/str.h"
#include "routing/policy.h"
#include "routing/snapshot.h"

enum { CONFIG_SIZE_MAX = 1 << 20 };

enum config_ssl_source { SSL_SELF_SIGNED, SSL_FILES, SSL_LETSENCRYPT };
enum config_key_type { KEY_TYPE_P256, KEY_TYPE_P384, KEY_TYPE_RSA_2048, KEY_TYPE_RSA_4096 };
enum config_terminal { TERMINAL_DEFAULT, TERMINAL_TMUX };
enum config_provider { PROVIDER_NONE, PROVIDER_HOOK, PROVIDER_CLOUDFLARE };

struct config_texts {
    char **items; /* owned, like the texts */
    uint32_t count;
};

struct config_ssl {
    bool enabled;
    bool has_source;      /* given in the file */
    uint32_t source;      /* enum config_ssl_source */
    char *cert;           /* owned; NULL unless given */
    char *key;            /* owned */
    char *rsa_cert;       /* owned; a second pair for the same names; NULL unless given */
    char *rsa_key;        /* owned */
    char *email;          /* owned; letsencrypt.email */
    bool accept_terms;    /* letsencrypt.acceptTerms */
    char *directory;      /* owned: "staging", "production" or an URL */
    char *challenge_type; /* owned */
    uint32_t provider;    /* enum config_provider */
    char *create_command; /* owned */
    char *delete_command; /* owned */
    char *api_token;      /* owned; secret */
    char *api_token_env;  /* owned */
    char *zone_id;        /* owned */
    uint32_t propagation_seconds;
    uint32_t propagation_timeout_seconds;
    char *ca_file;                 /* owned: PEM trusted for the directory; NULL: the system's */
    char *profile;                 /* owned or NULL */
    char *preferred_chain;         /* owned or NULL */
    uint32_t key_type;             /* enum config_key_type */
    char *eab_kid;                 /* owned or NULL */
    char *eab_hmac_key;            /* owned or NULL; secret */
    struct config_texts resolvers; /* "address:port", "name:port" */
    char *api_token_file;          /* owned or NULL */
    char *api_base_url;            /* owned */
    uint32_t hook_timeout_seconds;
};

struct config_ips {
    struct ip_prefix *items; /* owned */
    uint32_t count;
};

struct config_log_modules {
    struct config_log_module {
        char *name;     /* owned */
        uint32_t level; /* as config.log_level */
    } * items;          /* owned */
    uint32_t count;
};

struct config_problem {
    char *key;         /* owned: "tunnel.port", or "" for the file as a whole */
    char *message;     /* owned: one sentence */
    size_t fault_len;  /* of it without "; " and what is done about it */
    bool is_warning;   /* every value is in force; still, a person should know */
    bool is_follow_up; /* no fault of its own: what comes of another one */
};

struct config {
    char *home; /* owned */
    char *path; /* owned: H/config.json */
    bool exists;

    uint32_t web_port;
    uint32_t web_connections_max;
    uint32_t web_request_timeout_ms;
    char *web_host;      /* owned */
    bool web_is_exposed; /* web.host is no loopback address: everything there needs the login */
    char *web_fault;     /* owned; why the web listener may not be opened; NULL: it may */
    char *service_bind;  /* owned; NULL = unset */

    uint32_t health_timeout_ms;
    uint32_t health_start_period_ms;
    uint32_t health_interval_ms;
    uint32_t health_request_timeout_ms;
    uint32_t health_retries;

    bool tunnel_enabled;
    uint32_t tunnel_port;
    uint32_t tunnel_public_port; /* 0 = as tunnel_port */
    char *tunnel_domain;         /* owned; lower-case; NULL = none */
    uint32_t tunnel_workers;     /* 0 = one per core */
    uint32_t tunnel_drain_seconds;
    struct config_ssl tunnel_ssl;
    struct config_ssl web_ssl;
    uint32_t tls_min; /* 0: TLS 1.2, 1: TLS 1.3 */
    bool session_tickets;
    uint32_t redirect_port; /* 0: no redirect listener */
    uint32_t hsts_seconds;  /* 0: no such field */
    struct config_ips trusted_proxies;
    struct config_ips proxy_protocol;
    bool access_log_enabled;
    uint32_t access_log_size_max; /* bytes of a file before it is rotated */
    uint32_t access_log_keep;     /* rotated files kept */
    struct limits limits;

    bool service_tunnels_enabled;
    struct config_ips service_whitelist;
    uint32_t service_host_mode; /* enum route_host_mode */
    /* enum publish_access less one: public, secret, private; private, whatever the file says, while
     * something about who may see services cannot be read. */
    uint32_t service_access;
    char *service_secret;  /* owned; secret */
    uint32_t service_rate; /* requests a second and route; 0: no limit */
    uint32_t service_burst;
    uint32_t service_exchanges_max; /* per route; 0: no limit */

    bool web_ui_enabled;
    char *web_ui_subdomain; /* owned; as written */
    char *web_ui_hostname;  /* owned; the full name, NULL unless enabled */
    char *web_ui_secret;    /* owned; secret */
    bool web_ui_terminal_enabled;
    struct config_ips web_ui_whitelist;

    uint32_t terminals_max;
    uint32_t terminals_scrollback_kb;
    uint32_t terminals_idle_minutes;
    uint32_t terminal_backend; /* enum config_terminal */
    char *editor_command;      /* owned; NULL = unset */

    bool log_enabled;
    uint32_t log_level; /* off, error, warn, info, debug, trace: 0 to 5 */
    char *log_file;     /* owned; relative to home */
    bool log_redact;
    uint32_t log_size_max; /* bytes of a file before it is rotated */
    uint32_t log_keep;     /* rotated files kept */
    struct config_log_modules log_modules;

    struct config_problem *problems; /* owned */
    size_t problem_count;
};

/* Reads home/config.json. Never fails: look at the problems. */
struct config *config_load(const char *home);
/* The same for a text already in memory (ptr NULL: no file). */
struct config *config_parse(const char *home, struct str text);
void config_free(struct config *c);
/* Warnings are no problems to these two. */
bool config_has_problem(const struct config *c, const char *key);
size_t config_error_count(const struct config *c);
/* Moves the values that apply without a restart (config_key_is_live) and the problems from
 * `fresh`, which gets the old ones and is then good for config_free only. */
void config_adopt(struct config *c, struct config *fresh);
/* The keys whose values differ in `fresh` and need a restart: ["tunnel.port"]. */
cJSON *config_restart_json(const struct config *c, const struct config *fresh);
/* "https" or "http", by tunnel.ssl. */
const char *config_scheme(const struct config *c);
/* The same of the local web listener, by web.ssl. */
const char *config_web_scheme(const struct config *c);
/* The port that URLs carry. */
uint32_t config_public_port(const struct config *c);

/* [{"key","message","warning"?}], the last one true for warnings. */
cJSON *config_problems_json(const struct config *c);
/* docs/CONFIG.md, from the table. */
void config_print_docs(FILE *out);
/* The defaults as JSON that could stand in config.json. */
void config_print_defaults(FILE *out);
/* Prints every problem of home/config.json, one line each, or "ok"; the number of problems that
 * are not warnings. */
size_t config_print_check(FILE *out, const char *home);

#endif
