/* config_rules: see config_rules.h. Called by config.c once per file, in the order of the
 * contract: tunnel, web UI, service tunnels, certificates. A block that cannot work is switched
 * off by itself; where TLS was asked for it never becomes plaintext, but a certificate of the
 * local CA. */
#include "daemon/config_rules.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acme/lookup.h"
#include "base/auto.h"
#include "base/json.h"
#include "daemon/config_other.h"
#include "routing/host.h"
#include "routing/snapshot.h"

enum { ACCESS_SECRET = 1, ACCESS_PRIVATE = 2, SECRET_MIN = 12 };

static void lower_case(char *text)
{
    for (; *text != '\0'; text++) {
        *text = ascii_lower(*text);
    }
}

static void rules_tunnel(struct config *c)
{
    if (c->tunnel_domain != NULL) {
        lower_case(c->tunnel_domain);
        if (!host_is_domain(str_of(c->tunnel_domain))) {
            config_problem(c, "tunnel.domain",
                           "\"%.100s\" is not a domain name: letters, digits and hyphens in "
                           "labels separated by dots",
                           c->tunnel_domain);
            free(c->tunnel_domain);
            c->tunnel_domain = NULL;
        }
    }
    if (c->tunnel_enabled && c->tunnel_domain == NULL) {
        if (!config_has_problem(c, "tunnel.domain")) {
            config_problem(c, "tunnel.domain", "is needed when tunnel.enabled is true");
        }
        config_follow_up(c, "tunnel.enabled", "the tunnel is off: it has no usable domain");
        c->tunnel_enabled = false;
    }
}

/* The former web.public {enabled, hostname, secret}, where tunnel.webUi is not given. */
static void rules_web_public(struct config *c, const cJSON *root)
{
    const cJSON *old = json_get(json_get(root, "web"), "public");
    if (old == NULL || cJSON_IsNull(old)) {
        return;
    }
    if (json_get(json_get(root, "tunnel"), "webUi") != NULL) {
        config_warning(c, "web.public", "ignored: tunnel.webUi takes its place and is given");
        return;
    }
    config_warning(c, "web.public",
                   "is now tunnel.webUi (hostname is now subdomain); please rename it");
    c->web_ui_enabled = json_get_bool(old, "enabled", false);
    const char *name = json_get_str(old, "hostname", NULL);
    const char *secret = json_get_str(old, "secret", NULL);
    if (name != NULL && *name != '\0' && c->web_ui_subdomain == NULL) {
        c->web_ui_subdomain = xstrdup(name);
    }
    if (secret != NULL && *secret != '\0' && c->web_ui_secret == NULL) {
        c->web_ui_secret = xstrdup(secret);
    }
}

/* The full public name of the UI, or NULL with the problem named. */
static char *web_ui_host(struct config *c)
{
    struct str given = str_trim(str_of(c->web_ui_subdomain));
    autofree char *name = memchr(given.ptr, '.', given.len) != NULL
                              ? str_dup(given)
                              : xasprintf("%.*s.%s", STR_ARG(given), c->tunnel_domain);
    lower_case(name);
    autofree char *suffix = xasprintf(".%s", c->tunnel_domain);
    struct host host;
    if (!host_parse(str_of(name), &host) || host.port != 0 || host.len != strlen(name) ||
        strchr(name, '_') != NULL || !host_is_domain(str_of(name))) {
        config_problem(c, "tunnel.webUi.subdomain", "\"%.100s\" is not a host name",
                       c->web_ui_subdomain);
        return NULL;
    }
    if (!str_ends(str_of(name), str_of(suffix))) {
        config_problem(c, "tunnel.webUi.subdomain",
                       "\"%.100s\" must be a label or a name ending in %s", c->web_ui_subdomain,
                       suffix);
        return NULL;
    }
    return xstrdup(name);
}

static void rules_web_ui(struct config *c)
{
    if (config_has_problem(c, "tunnel.webUi.whitelistIps")) {
        c->web_ui_enabled = false; /* a list that cannot be read must not mean everyone */
    }
    if (!c->web_ui_enabled) {
        return;
    }
    c->web_ui_enabled = false;
    if (!c->tunnel_enabled) {
        config_problem(c, "tunnel.webUi.enabled", "needs tunnel.enabled; the public UI is off");
    } else if (c->web_ui_secret == NULL) {
        config_problem(c, "tunnel.webUi.secret", "is needed; the public UI is off");
    } else if (c->web_ui_subdomain == NULL) {
        config_problem(c, "tunnel.webUi.subdomain", "is needed; the public UI is off");
    } else {
        c->web_ui_hostname = web_ui_host(c);
        c->web_ui_enabled = c->web_ui_hostname != NULL;
    }
}

/* Beyond loopback everything needs the secret, so there has to be one. */
static void rules_web_host(struct config *c)
{
    struct in_addr v4;
    struct in6_addr v6;
    const char *host = c->web_host;
    bool is_v4 = inet_pton(AF_INET, host, &v4) == 1;
    if (strcmp(host, "localhost") == 0) {
        return;
    }
    if (!is_v4 && inet_pton(AF_INET6, host, &v6) != 1) {
        c->web_fault = xasprintf("\"%.60s\" is not an IP address; the web UI is off", host);
    } else if (is_v4 ? ntohl(v4.s_addr) >> 24 != 127 : !IN6_IS_ADDR_LOOPBACK(&v6)) {
        c->web_is_exposed = true;
        if (c->web_ui_secret == NULL) {
            c->web_fault =
                xasprintf("%.60s is no loopback address, where everything needs a login, "
                          "and tunnel.webUi.secret is not set; the web UI is off",
                          host);
        } else if (!c->web_ssl.enabled) {
            config_warning(c, "web.host",
                           "%.60s is no loopback address and web.ssl is off: who can read the "
                           "network reads the secret and all that is shown",
                           host);
        }
    }
    if (c->web_fault != NULL) {
        config_problem(c, "web.host", "%s", c->web_fault);
    }
}

/* Why the secret could never be given, by a form or as X-Wos-Secret; NULL: it could. */
static const char *secret_fault(const char *secret)
{
    size_t len = strlen(secret);
    if (len > SNAPSHOT_SECRET_MAX) {
        return "has more than 1024 bytes, which no login may have";
    }
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)secret[i];
        if (c < 0x20 || c == 0x7f) {
            return "has a control character, which neither a form nor a header can bring";
        }
    }
    if (len > 0 && (secret[0] == ' ' || secret[len - 1] == ' ')) {
        return "begins or ends with a space, which X-Wos-Secret cannot bring";
    }
    return NULL;
}

/* Whatever cannot be read of who may see services never becomes "everyone": published ports, too,
 * are of this block. */
static void rules_service_access(struct config *c)
{
    static const char *const keys[] = {"tunnel.serviceTunnels", "tunnel.serviceTunnels.access",
                                       "tunnel.serviceTunnels.whitelistIps"};
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        if (config_has_problem(c, keys[i])) {
            c->service_access = ACCESS_PRIVATE;
            return;
        }
    }
    if (c->service_secret != NULL && strlen(c->service_secret) < SECRET_MIN) {
        config_warning(c, "tunnel.serviceTunnels.secret",
                       "has less than %d characters and can be guessed", SECRET_MIN);
    }
    const char *fault = c->service_secret == NULL ? NULL : secret_fault(c->service_secret);
    if (fault != NULL) {
        config_warning(c, "tunnel.serviceTunnels.secret", "%s", fault);
    }
    if (c->service_secret == NULL && c->service_access == ACCESS_SECRET) {
        config_warning(c, "tunnel.serviceTunnels.access",
                       "is secret and tunnel.serviceTunnels.secret is not set: services are closed "
                       "to everyone");
    }
}

static void rules_service_tunnels(struct config *c)
{
    if (config_has_problem(c, "tunnel.serviceTunnels.whitelistIps") ||
        config_has_problem(c, "tunnel.serviceTunnels.enabled")) {
        if (c->service_tunnels_enabled) {
            config_follow_up(c, "tunnel.serviceTunnels",
                             "is off until its whitelist can be read: no service is published");
        }
        c->service_tunnels_enabled = false;
        free(c->service_whitelist.items);
        c->service_whitelist = (struct config_ips){NULL, 0};
    }
}

/* A name a public CA would certify. */
static bool is_public_name(const char *name)
{
    static const char *const private_suffixes[] = {"localhost", "local",   "test",
                                                   "example",   "invalid", "internal"};
    struct host host;
    if (name == NULL || strchr(name, '.') == NULL || strchr(name, '_') != NULL ||
        !host_parse(str_of(name), &host) || host.is_ip || host.port != 0) {
        return false;
    }
    for (size_t i = 0; i < COUNT_OF(private_suffixes); i++) {
        if (host_is_under(str_of(name), str_of(private_suffixes[i]))) {
            return false;
        }
    }
    return true;
}

/* "192.0.2.1:53", "[2001:db8::1]:53", "dns.example:53" */
static bool is_resolver(const char *text)
{
    struct host host;
    struct lookup_server server;
    return host_parse(str_of(text), &host) && host.port != 0 &&
           lookup_server_parse(str_of(text), 0, &server);
}

/* Why letsencrypt cannot work, or NULL. */
static const char *letsencrypt_fault(const struct config_ssl *ssl, const char *name)
{
    if (ssl->email == NULL) {
        return "letsencrypt.email is needed";
    }
    if (!ssl->accept_terms) {
        return "letsencrypt.acceptTerms must be true";
    }
    if (ssl->challenge_type == NULL || strcmp(ssl->challenge_type, "dns-01") != 0) {
        return "letsencrypt.challenge.type must be \"dns-01\"";
    }
    if (ssl->provider == PROVIDER_NONE) {
        return "letsencrypt.challenge.provider must be hook or cloudflare";
    }
    if (ssl->provider == PROVIDER_HOOK &&
        (ssl->create_command == NULL || ssl->delete_command == NULL)) {
        return "the hook needs createCommand and deleteCommand";
    }
    if (ssl->provider == PROVIDER_CLOUDFLARE && ssl->api_token == NULL &&
        ssl->api_token_env == NULL && ssl->api_token_file == NULL) {
        return "cloudflare needs apiTokenEnv, apiTokenFile or apiToken";
    }
    bool is_url = str_starts(str_of(ssl->directory), STR("https://"));
    if (!is_url && strcmp(ssl->directory, "staging") != 0 &&
        strcmp(ssl->directory, "production") != 0) {
        return "letsencrypt.directory must be staging, production or an https:// URL";
    }
    if ((ssl->eab_kid == NULL) != (ssl->eab_hmac_key == NULL)) {
        return "letsencrypt.eab needs both kid and hmacKey";
    }
    for (uint32_t i = 0; i < ssl->resolvers.count; i++) {
        if (!is_resolver(ssl->resolvers.items[i])) {
            return "letsencrypt.resolvers must be texts such as \"9.9.9.9:53\" or "
                   "\"dns.example:53\"";
        }
    }
    if (name == NULL) {
        return "needs a name to certify: tunnel.domain, or tunnel.webUi for web.ssl";
    }
    /* A private CA may certify what it likes. */
    return is_url || is_public_name(name) ? NULL : "needs a public DNS domain";
}

static void rules_ssl(struct config *c, const cJSON *block, const char *at, struct config_ssl *ssl,
                      const char *name)
{
    char key[64];
    (void)snprintf(key, sizeof key, "%s.source", at);
    bool bad_source = config_has_problem(c, key);
    ssl->has_source = json_get_str(block, "source", NULL) != NULL && !bad_source;
    if (!ssl->has_source) {
        bool has_file = ssl->cert != NULL || ssl->key != NULL;
        ssl->source = !bad_source && has_file ? SSL_FILES : SSL_SELF_SIGNED;
    }
    if (!ssl->enabled) {
        return;
    }
    const char *fault = NULL;
    if (ssl->source == SSL_FILES && (ssl->cert == NULL || ssl->key == NULL)) {
        fault = "source files needs both cert and key";
    } else if (ssl->source == SSL_LETSENCRYPT) {
        fault = letsencrypt_fault(ssl, name);
    } else if (bad_source) {
        fault = "the source is unknown";
    }
    if (fault != NULL) {
        config_problem(c, at, "%s; a certificate of the local CA is served instead", fault);
        ssl->source = SSL_SELF_SIGNED;
    }
    bool has_rsa = ssl->rsa_cert != NULL || ssl->rsa_key != NULL;
    if (has_rsa && (ssl->source != SSL_FILES || ssl->rsa_cert == NULL || ssl->rsa_key == NULL)) {
        config_problem(c, at, "rsaCert and rsaKey need each other and source files; not served");
        free(ssl->rsa_cert);
        free(ssl->rsa_key);
        ssl->rsa_cert = NULL;
        ssl->rsa_key = NULL;
    }
}

static void rules_ports(struct config *c)
{
    if (c->tunnel_enabled && c->web_port == c->tunnel_port) {
        config_problem(c, "web.port", "is tunnel.port already; only one of them can be had");
    }
}

static void rules_redirect(struct config *c)
{
    if (c->redirect_port == 0) {
        return;
    }
    const char *fault = !c->tunnel_ssl.enabled               ? "needs tunnel.ssl.enabled"
                        : c->redirect_port == c->tunnel_port ? "is tunnel.port already"
                        : c->redirect_port == c->web_port    ? "is web.port already"
                                                             : NULL;
    if (fault != NULL) {
        config_problem(c, "tunnel.redirectPort", "%s; nothing redirects to https", fault);
        c->redirect_port = 0;
    }
}

static void prefer_environment(struct config_ssl *ssl)
{
    if ((ssl->api_token_env != NULL || ssl->api_token_file != NULL) && ssl->api_token != NULL) {
        explicit_bzero(ssl->api_token, strlen(ssl->api_token));
        free(ssl->api_token);
        ssl->api_token = NULL;
    }
}

void config_rules_apply(struct config *c, const cJSON *root)
{
    rules_tunnel(c);
    rules_web_public(c, root);
    rules_web_ui(c);
    rules_service_access(c);
    rules_service_tunnels(c);
    config_other_check(c, root);
    const cJSON *tunnel = json_get(root, "tunnel");
    rules_ssl(c, json_get(tunnel, "ssl"), "tunnel.ssl", &c->tunnel_ssl, c->tunnel_domain);
    const cJSON *web = json_get(root, "web");
    rules_ssl(c, json_get(web, "ssl"), "web.ssl", &c->web_ssl, c->web_ui_hostname);
    rules_web_host(c);
    rules_ports(c);
    rules_redirect(c);
    prefer_environment(&c->tunnel_ssl);
    prefer_environment(&c->web_ssl);
}
