/* certkeeper: see certkeeper.h. Made by daemon.c when tunnel.ssl is on. */
#include "daemon/certkeeper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "certs/cert.h"
#include "certs/certfiles.h"
#include "certs/issue.h"
#include "certs/localca.h"
#include "certs/ticket.h"
#include "daemon/lastgood.h"
#include "daemon/second_pair.h"

enum {
    CERTKEEPER_MAGIC = 0x63657274,
    LOOK_MS = 2000,
    CA_LOOK_S = 3600,
    TICKET_FILE_MAX = 4096,
    EXPIRES_SOON_S = 14 * 86400,
};

struct certkeeper {
    uint32_t magic;
    const struct config *config; /* borrowed */
    struct publisher *publisher; /* borrowed */
    struct loop_timer timer;
    char *dir;                 /* owned: H/certs */
    char *ticket_path;         /* owned */
    struct ticket_set tickets; /* secret */
    struct certfiles files;    /* source files only */
    struct second_pair second;
    struct cert *cert;    /* owned: what is served; NULL: nothing */
    struct buf chain_pem; /* owned */
    struct buf key_pem;   /* owned; secret */
    bool is_own;          /* served: the source's own, not a stand-in */
    bool is_from_ca;      /* served: a leaf of the local CA */
    bool is_kept;         /* served: the pair of H/certs, not what the files hold now */
    int64_t ca_looked_at;
    char *error; /* owned; NULL: the source is fine */
    const char *error_phase;
    int64_t error_at;
    int64_t attempt_at;
    int64_t success_at;
};

static int64_t wall_seconds(void)
{
    return clock_wall_ms() / 1000;
}

static void keeper_fail(struct certkeeper *k, const char *phase, const char *message)
{
    char *copy = xstrdup(message);
    free(k->error);
    k->error = copy;
    k->error_phase = phase;
    k->error_at = wall_seconds();
    log_error("certificate",
              k->cert != NULL ? "the old certificate stays in use"
                              : "nothing new to serve from the configured source",
              LOG_STR("source-error", message));
}

static void keeper_publish(struct certkeeper *k)
{
    struct publisher_tls tls = {
        .chain_pem = buf_str(&k->chain_pem),
        .key_pem = buf_str(&k->key_pem),
        .second_chain_pem = buf_str(&k->second.chain_pem),
        .second_key_pem = buf_str(&k->second.key_pem),
        .ticket_keys = (const uint8_t(*)[80])k->tickets.keys,
        .ticket_key_count = k->tickets.count,
    };
    publisher_set_tls(k->publisher, &tls);
}

/* Takes the pair (the buffers too) as what is served from now on. */
static void keeper_serve(struct certkeeper *k, struct cert *cert, struct buf *chain,
                         struct buf *key, bool is_own)
{
    cert_free(k->cert);
    buf_fini(&k->chain_pem);
    issue_buf_wipe(&k->key_pem);
    k->cert = cert;
    k->chain_pem = *chain;
    k->key_pem = *key;
    k->is_own = is_own;
    k->is_kept = false;
    *chain = (struct buf){0};
    *key = (struct buf){0};
}

/* --- sources ---------------------------------------------------------------------- */

static int load_memory(struct certkeeper *k, int64_t now, struct err *err)
{
    struct buf chain = {0};
    struct buf key = {0};
    if (issue_self_signed(k->config->tunnel_domain, now, &chain, &key, err) < 0) {
        return -1;
    }
    struct cert *cert = cert_parse(buf_str(&chain), err);
    if (cert == NULL) {
        buf_fini(&chain);
        issue_buf_wipe(&key);
        return -1;
    }
    k->is_from_ca = false;
    keeper_serve(k, cert, &chain, &key, false);
    return 0;
}

static int load_ca(struct certkeeper *k, bool is_own, struct err *err)
{
    struct localca_leaf leaf = {0};
    int64_t now = wall_seconds();
    k->ca_looked_at = now;
    if (localca_ensure(k->dir, k->config->tunnel_domain, now, &leaf, err) < 0) {
        return -1;
    }
    struct cert *cert = cert_parse(buf_str(&leaf.chain_pem), err);
    if (cert == NULL) {
        localca_leaf_fini(&leaf);
        return -1;
    }
    if (leaf.ca_made) {
        log_info("certificate", "made a local CA; import it once where browsers shall trust it",
                 LOG_STR("directory", k->dir));
    }
    if (leaf.reissued) {
        log_info("certificate", "made a certificate of the local CA",
                 LOG_STR("reason", leaf.reissue_reason == NULL ? "" : leaf.reissue_reason));
    }
    k->is_from_ca = true;
    keeper_serve(k, cert, &leaf.chain_pem, &leaf.key_pem, is_own);
    localca_leaf_fini(&leaf);
    return 0;
}

/* The last good pair of the files, when they are bad from the daemon's start on. */
static int load_kept(struct certkeeper *k, int64_t now)
{
    struct err err = {.msg = ""};
    struct buf chain = {0};
    struct buf key = {0};
    struct cert *cert = lastgood_load(k->dir, k->config->tunnel_domain, now, &chain, &key, &err);
    if (cert == NULL) {
        if (err.code != ERR_NOT_FOUND) {
            log_warn("certificate", "the kept pair is of no use", LOG_STR("error", err.msg));
        }
        return -1;
    }
    k->is_from_ca = false;
    keeper_serve(k, cert, &chain, &key, true);
    k->is_kept = true;
    log_warn("certificate", "serving the last good pair of the files",
             LOG_STR("subject", cert->subject));
    return 0;
}

/* An own certificate that nothing replaces serves until it expires, and no longer. */
static bool is_spent(const struct certkeeper *k, int64_t now)
{
    return k->is_own && k->error != NULL && k->config->tunnel_ssl.source == SSL_FILES &&
           now > k->cert->not_after;
}

/* What is served when the source gives nothing and nothing is served yet. */
static void load_stand_in(struct certkeeper *k)
{
    struct err err = {.msg = ""};
    if (k->cert != NULL && !is_spent(k, wall_seconds())) {
        return;
    }
    if (k->cert == NULL && k->config->tunnel_ssl.source == SSL_FILES &&
        load_kept(k, wall_seconds()) == 0) {
        return;
    }
    if (load_ca(k, false, &err) == 0) {
        log_warn("certificate", "a certificate of the local CA stands in");
        return;
    }
    log_error("certificate", "the local CA cannot be used", LOG_STR("error", err.msg));
    if (load_memory(k, wall_seconds(), &err) < 0) {
        log_error("certificate", "no certificate can be made; nothing is published",
                  LOG_STR("error", err.msg));
    }
}

static void load_files(struct certkeeper *k)
{
    struct err err = {.msg = ""};
    struct buf chain = {0};
    struct buf key = {0};
    int64_t now = wall_seconds();
    k->attempt_at = now;
    struct cert *cert = certfiles_load(&k->files, now, &chain, &key, &err);
    if (cert == NULL) {
        keeper_fail(k, "files", err.msg);
        return;
    }
    k->is_from_ca = false;
    k->success_at = now;
    keeper_serve(k, cert, &chain, &key, true);
    free(k->error);
    k->error = NULL;
    if (lastgood_save(k->dir, buf_str(&k->chain_pem), buf_str(&k->key_pem), &err) < 0) {
        log_warn("certificate", "the pair is not kept for bad times", LOG_STR("error", err.msg));
    }
    log_info("certificate", "serving the pair from files", LOG_STR("cert", k->files.cert_path));
    autofree char *wildcard = xasprintf("x.%s", k->config->tunnel_domain);
    if (!cert_covers(cert, str_of(wildcard))) {
        log_warn("certificate", "the certificate does not cover the names under the domain",
                 LOG_STR("domain", k->config->tunnel_domain));
    }
}

static void load_source(struct certkeeper *k)
{
    struct err err = {.msg = ""};
    switch ((enum config_ssl_source)k->config->tunnel_ssl.source) {
    case SSL_FILES:
        load_files(k);
        break;
    case SSL_SELF_SIGNED:
        k->attempt_at = wall_seconds();
        if (load_ca(k, true, &err) < 0) {
            keeper_fail(k, "self-signed", err.msg);
        } else {
            k->success_at = k->attempt_at;
            free(k->error);
            k->error = NULL;
        }
        break;
    case SSL_LETSENCRYPT:
        keeper_fail(k, "issuance",
                    "this version cannot get certificates from Let's Encrypt yet; use source "
                    "files or self-signed");
        break;
    }
    load_stand_in(k);
}

/* --- ticket keys -------------------------------------------------------------------- */

static void tickets_load(struct certkeeper *k)
{
    struct err err = {.msg = ""};
    struct buf bytes = {0};
    if (file_read(k->ticket_path, TICKET_FILE_MAX, &bytes, &err) < 0) {
        if (err.code != ERR_NOT_FOUND) {
            log_warn("certificate", "ticket keys start anew", LOG_STR("error", err.msg));
        }
    } else if (ticket_set_decode(buf_str(&bytes), &k->tickets, &err) < 0) {
        log_warn("certificate", "ticket keys start anew", LOG_STR("error", err.msg));
    }
    issue_buf_wipe(&bytes);
}

/* True when there are new keys to publish. */
static bool tickets_rotate(struct certkeeper *k)
{
    struct err err = {.msg = ""};
    int64_t now = wall_seconds();
    if (!ticket_set_is_due(&k->tickets, now)) {
        return false;
    }
    if (ticket_set_rotate(&k->tickets, now, &err) < 0) {
        log_warn("certificate", "no new ticket key", LOG_STR("error", err.msg));
        return false;
    }
    struct buf bytes = {0};
    ticket_set_encode(&k->tickets, &bytes);
    if (file_write_atomic(k->ticket_path, buf_str(&bytes), 0600, &err) < 0) {
        log_warn("certificate", "ticket keys are not kept", LOG_STR("error", err.msg));
    }
    issue_buf_wipe(&bytes);
    return true;
}

/* --- life ----------------------------------------------------------------------------- */

static bool is_due(const struct certkeeper *k)
{
    if (k->config->tunnel_ssl.source == SSL_FILES && certfiles_changed(&k->files)) {
        return true;
    }
    if (k->cert != NULL && is_spent(k, wall_seconds())) {
        return true;
    }
    int64_t age = wall_seconds() - k->ca_looked_at;
    return (k->is_from_ca || k->cert == NULL) && (age >= CA_LOOK_S || age < 0);
}

static void certkeeper_on_timer(void *arg)
{
    struct certkeeper *k = arg;
    CHECK(k->magic == CERTKEEPER_MAGIC);
    bool is_news = tickets_rotate(k);
    is_news = second_pair_look(&k->second, wall_seconds()) || is_news;
    if (is_due(k)) {
        if (k->config->tunnel_ssl.source == SSL_FILES && !certfiles_changed(&k->files)) {
            struct err err = {.msg = ""};
            if (k->is_own) {
                load_stand_in(k); /* the old pair has expired */
            } else {
                (void)load_ca(k, false, &err); /* the stand-in ages too */
            }
        } else {
            load_source(k);
        }
        is_news = true;
    }
    if (is_news) {
        keeper_publish(k);
    }
    loop_timer_set(&k->timer, LOOK_MS);
}

struct certkeeper *certkeeper_new(struct loop *loop, const struct config *config,
                                  struct publisher *publisher)
{
    struct certkeeper *k = xcalloc(1, sizeof *k);
    struct err err = {.msg = ""};
    k->magic = CERTKEEPER_MAGIC;
    k->config = config;
    k->publisher = publisher;
    k->dir = path_join(config->home, "certs");
    k->ticket_path = path_join(k->dir, "ticket.keys");
    if (dir_make(k->dir, 0700, &err) < 0) {
        log_error("certificate", "no place for certificates", LOG_STR("error", err.msg));
    }
    if (config->tunnel_ssl.source == SSL_FILES) {
        autofree char *cert = path_join(config->home, config->tunnel_ssl.cert);
        autofree char *key = path_join(config->home, config->tunnel_ssl.key);
        certfiles_init(&k->files, cert, key);
    }
    second_pair_init(&k->second, config);
    (void)second_pair_look(&k->second, wall_seconds()); /* published below, whatever it says */
    tickets_load(k);
    (void)tickets_rotate(k);
    load_source(k);
    keeper_publish(k);
    loop_timer_init(&k->timer, loop, certkeeper_on_timer, k);
    loop_timer_set(&k->timer, LOOK_MS);
    return k;
}

void certkeeper_free(struct certkeeper *k)
{
    if (k == NULL) {
        return;
    }
    CHECK(k->magic == CERTKEEPER_MAGIC);
    loop_timer_fini(&k->timer);
    if (k->config->tunnel_ssl.source == SSL_FILES) {
        certfiles_fini(&k->files);
    }
    second_pair_fini(&k->second);
    cert_free(k->cert);
    buf_fini(&k->chain_pem);
    issue_buf_wipe(&k->key_pem);
    ticket_set_wipe(&k->tickets);
    free(k->error);
    free(k->dir);
    free(k->ticket_path);
    k->magic = 0;
    free(k);
}

/* --- for people ------------------------------------------------------------------------ */

static void add_time(cJSON *out, const char *name, int64_t seconds)
{
    if (seconds != 0) {
        char text[32];
        cert_time_format(seconds, text, sizeof text);
        (void)json_add_str(out, name, text);
    }
}

static void add_paths(const struct certkeeper *k, cJSON *out)
{
    if (k->is_from_ca) {
        autofree char *chain = path_join(k->dir, "tunnel-self-signed.crt");
        autofree char *key = path_join(k->dir, "tunnel-self-signed.key");
        autofree char *ca = localca_ca_path(k->dir);
        (void)json_add_str(out, "path", chain);
        (void)json_add_str(out, "keyPath", key);
        (void)json_add_str(out, "caPath", ca);
    } else if (k->is_own) {
        (void)json_add_str(out, "path", k->files.cert_path);
        (void)json_add_str(out, "keyPath", k->files.key_path);
    }
}

static void add_cert(const struct certkeeper *k, cJSON *out)
{
    const struct cert *cert = k->cert;
    cJSON *names = cJSON_AddArrayToObject(out, "names");
    for (size_t i = 0; i < cert->name_count; i++) {
        (void)cJSON_AddItemToArray(names, cJSON_CreateString(cert->names[i]));
    }
    char hex[sizeof cert->fingerprint * 2 + 1];
    for (size_t i = 0; i < sizeof cert->fingerprint; i++) {
        (void)snprintf(hex + i * 2, 3, "%02x", cert->fingerprint[i]);
    }
    (void)json_add_str(out, "subject", cert->subject);
    (void)json_add_str(out, "issuer", cert->issuer);
    (void)json_add_str(out, "fingerprint", hex);
    add_time(out, "notBefore", cert->not_before);
    add_time(out, "notAfter", cert->not_after);
}

static void add_warning(const struct certkeeper *k, cJSON *out)
{
    char text[256];
    int64_t left = k->cert->not_after - wall_seconds();
    autofree char *wildcard = xasprintf("x.%s", k->config->tunnel_domain);
    if (!k->is_own) {
        (void)snprintf(text, sizeof text, "%s is served instead of the configured certificate",
                       k->is_from_ca ? "a certificate of the local CA"
                                     : "a certificate that nobody trusts");
    } else if (left <= 0) {
        (void)snprintf(text, sizeof text, "the certificate has expired");
    } else if (k->is_kept) {
        (void)snprintf(text, sizeof text,
                       "the last good pair, kept in H/certs, is served: the files are bad");
    } else if (!cert_covers(k->cert, str_of(wildcard))) {
        (void)snprintf(text, sizeof text, "the certificate does not cover *.%.200s",
                       k->config->tunnel_domain);
    } else if (left < EXPIRES_SOON_S) {
        (void)snprintf(text, sizeof text, "the certificate expires in %lld days",
                       (long long)(left / 86400));
    } else {
        return;
    }
    (void)json_add_str(out, "warning", text);
}

cJSON *certkeeper_json(const struct certkeeper *k)
{
    static const char *const sources[] = {"self-signed", "files", "letsencrypt"};
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "listenerKind", "tunnel");
    (void)json_add_str(out, "source",
                       k == NULL ? "disabled" : sources[k->config->tunnel_ssl.source]);
    if (k == NULL) {
        (void)json_add_str(out, "state", "disabled");
        (void)json_add_bool(out, "active", false);
        return out;
    }
    bool is_stale = k->is_own && k->error != NULL; /* an old pair, of memory or kept */
    const char *state = k->cert == NULL || !k->is_own ? "failed" : is_stale ? "stale" : "active";
    (void)json_add_str(out, "state", state);
    (void)json_add_bool(out, "active", k->cert != NULL);
    if (k->cert != NULL) {
        add_paths(k, out);
        add_cert(k, out);
        add_warning(k, out);
    }
    const char *second_fault = second_pair_fault(&k->second, k->cert);
    if (second_fault != NULL) {
        (void)json_add_str(out, "rsaError", second_fault);
    }
    add_time(out, "lastSuccessAt", k->success_at);
    add_time(out, "lastAttemptAt", k->attempt_at);
    if (k->error != NULL) {
        cJSON *error = cJSON_AddObjectToObject(out, "lastError");
        (void)json_add_str(error, "phase", k->error_phase);
        (void)json_add_str(error, "message", k->error);
        add_time(error, "at", k->error_at);
    }
    return out;
}
