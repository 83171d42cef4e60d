/* acme_settings: see acme_settings.h. Used by certsource.c and certdoctor.c. */
#include "daemon/acme_settings.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "certs/issue.h"

enum { TOKEN_FILE_MAX = 4096 };

static const char *directory_url(const char *directory)
{
    if (strcmp(directory, "production") == 0) {
        return "https://acme-v02.api.letsencrypt.org/directory";
    }
    if (strcmp(directory, "staging") == 0) {
        return "https://acme-staging-v02.api.letsencrypt.org/directory";
    }
    return directory;
}

/* Without the line's end, and blank lines before and after. */
static struct str trim_lines(struct str text)
{
    while (text.len > 0 && strchr(" \t\r\n", text.ptr[text.len - 1]) != NULL) {
        text.len--;
    }
    while (text.len > 0 && strchr(" \t\r\n", text.ptr[0]) != NULL) {
        text.ptr++;
        text.len--;
    }
    return text;
}

static void token_from_file(struct acme_config *c, const char *path)
{
    struct err err = {.msg = ""};
    struct buf text = {0};
    if (file_read(path, TOKEN_FILE_MAX, &text, &err) < 0) {
        c->token_problem = xasprintf("the API token cannot be read: %s", err.msg);
        return;
    }
    struct str token = trim_lines(buf_str(&text));
    if (token.len == 0) {
        c->token_problem = xasprintf("%s holds no API token", path);
    } else {
        c->token = str_dup(token);
    }
    issue_buf_wipe(&text);
}

/* The environment first, then the file, then the configuration itself. */
static void token_find(struct acme_config *c)
{
    const struct config_ssl *ssl = c->ssl;
    if (ssl->api_token_env != NULL) {
        const char *value = getenv(ssl->api_token_env);
        if (value != NULL && *value != '\0') {
            c->token = xstrdup(value);
        } else {
            c->token_problem =
                xasprintf("the environment variable %s, which shall hold the API token, is not set "
                          "in the daemon's environment",
                          ssl->api_token_env);
        }
    } else if (ssl->api_token_file != NULL) {
        autofree char *path = path_join(c->config->home, ssl->api_token_file);
        token_from_file(c, path);
    } else if (ssl->api_token != NULL) {
        c->token = xstrdup(ssl->api_token);
    } else {
        c->token_problem = xstrdup("no API token is configured");
    }
}

static void token_wipe(struct acme_config *c)
{
    if (c->token != NULL) {
        explicit_bzero(c->token, strlen(c->token));
    }
    free(c->token);
    free(c->token_problem);
    c->token = NULL;
    c->token_problem = NULL;
}

static void warn_of_readers(const struct acme_config *c)
{
    struct stat st;
    autofree char *path = path_join(c->config->home, c->ssl->api_token_file);
    if (stat(path, &st) == 0 && (st.st_mode & 077) != 0) {
        log_warn("certificate", "other users can read the API token's file; chmod it to 600",
                 LOG_STR("path", path));
    }
}

void acme_config_look(struct acme_config *c)
{
    if (c->ssl->provider != PROVIDER_CLOUDFLARE) {
        return;
    }
    struct acme_config old = *c;
    c->token = NULL;
    c->token_problem = NULL;
    token_find(c);
    bool is_other = c->token != NULL && (old.token == NULL || strcmp(c->token, old.token) != 0);
    if (is_other && c->ssl->api_token_env == NULL && c->ssl->api_token_file != NULL) {
        warn_of_readers(c); /* once for each token */
    }
    c->settings.api_token = c->token;
    c->settings.token_problem = c->token_problem;
    token_wipe(&old);
}

void acme_config_init(struct acme_config *c, const struct config *config,
                      const struct config_ssl *ssl)
{
    enum { SECOND_MS = 1000 };
    *c = (struct acme_config){.config = config, .ssl = ssl};
    if (ssl->ca_file != NULL) {
        c->ca_file = path_join(config->home, ssl->ca_file);
    }
    c->settings = (struct acme_settings){
        .directory = ssl->directory,
        .directory_url = directory_url(ssl->directory),
        .ca_file = c->ca_file,
        .email = ssl->email,
        .profile = ssl->profile,
        .preferred_chain = ssl->preferred_chain,
        .key_type = (enum acme_key_type)ssl->key_type,
        .eab_kid = ssl->eab_kid,
        .eab_hmac_key = ssl->eab_hmac_key,
        .provider = ssl->provider == PROVIDER_HOOK ? ACME_PROVIDER_HOOK : ACME_PROVIDER_CLOUDFLARE,
        .create_command = ssl->create_command,
        .delete_command = ssl->delete_command,
        .hook_timeout_ms = ssl->hook_timeout_seconds * SECOND_MS,
        .api_base_url = ssl->api_base_url,
        .zone_id = ssl->zone_id,
        .resolvers = (const char *const *)ssl->resolvers.items,
        .resolver_count = ssl->resolvers.count,
        .propagation_ms = ssl->propagation_seconds * SECOND_MS,
        .propagation_timeout_ms = ssl->propagation_timeout_seconds * SECOND_MS,
    };
    acme_config_look(c);
}

void acme_config_fini(struct acme_config *c)
{
    token_wipe(c);
    free(c->ca_file);
    *c = (struct acme_config){.token = NULL};
}
