/* certsource: see certsource.h. Made by certkeeper.c, one for each listener with TLS. */
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "certs/issue.h"
#include "certs/localca.h"
#include "daemon/certsource_private.h"
#include "daemon/lastgood.h"

enum { CERTSOURCE_MAGIC = 0x63737263, CA_LOOK_S = 3600 };

static int64_t wall_seconds(void)
{
    return clock_wall_ms() / 1000;
}

static enum config_ssl_source source_of(const struct certsource *s)
{
    return (enum config_ssl_source)s->spec.ssl->source;
}

bool certsource_is_own(const struct certsource *s)
{
    return s->served == SERVED_OWN || s->served == SERVED_KEPT ||
           (s->served == SERVED_CA && source_of(s) == SSL_SELF_SIGNED);
}

static void source_fail(struct certsource *s, const char *phase, const char *message)
{
    char *copy = xstrdup(message);
    free(s->error);
    s->error = copy;
    s->error_phase = phase;
    s->error_at = wall_seconds();
    log_error("certificate",
              s->cert != NULL ? "the old certificate stays in use"
                              : "nothing new to serve from the configured source",
              LOG_STR("listener", s->spec.kind), LOG_STR("source-error", message));
}

static void source_succeed(struct certsource *s)
{
    s->success_at = wall_seconds();
    free(s->error);
    s->error = NULL;
}

/* Takes the pair (the buffers too) as what is served from now on. */
static void serve(struct certsource *s, enum certsource_served served, struct cert *cert,
                  struct buf *chain, struct buf *key)
{
    cert_free(s->cert);
    buf_fini(&s->chain_pem);
    issue_buf_wipe(&s->key_pem);
    s->served = served;
    s->cert = cert;
    s->chain_pem = *chain;
    s->key_pem = *key;
    *chain = (struct buf){0};
    *key = (struct buf){0};
}

/* --- sources ---------------------------------------------------------------------- */

static int load_memory(struct certsource *s, int64_t now, struct err *err)
{
    struct buf chain = {0};
    struct buf key = {0};
    if (issue_self_signed(s->spec.domain, now, &chain, &key, err) < 0) {
        return -1;
    }
    struct cert *cert = cert_parse(buf_str(&chain), err);
    if (cert == NULL) {
        buf_fini(&chain);
        issue_buf_wipe(&key);
        return -1;
    }
    serve(s, SERVED_MEMORY, cert, &chain, &key);
    return 0;
}

/* web.host beyond loopback, where it is one address: browsers ask for it by that. */
static const char *own_address(const struct certsource *s)
{
    const struct config *c = s->spec.config;
    bool is_one = strcmp(c->web_host, "0.0.0.0") != 0 && strcmp(c->web_host, "::") != 0;
    return strcmp(s->spec.kind, "web") == 0 && c->web_is_exposed && is_one ? c->web_host : NULL;
}

static int load_ca(struct certsource *s, struct err *err)
{
    struct localca_leaf leaf = {0};
    int64_t now = wall_seconds();
    s->ca_looked_at = now;
    if (localca_ensure_at(s->dir, s->spec.kind, s->spec.domain, own_address(s), now, &leaf, err) <
        0) {
        return -1;
    }
    struct cert *cert = cert_parse(buf_str(&leaf.chain_pem), err);
    if (cert == NULL) {
        localca_leaf_fini(&leaf);
        return -1;
    }
    if (leaf.ca_made) {
        log_info("certificate", "made a local CA; import it once where browsers shall trust it",
                 LOG_STR("directory", s->dir));
    }
    s->has_issued = s->has_issued || leaf.reissued;
    if (leaf.reissued) {
        log_info("certificate", "made a certificate of the local CA",
                 LOG_STR("reason", leaf.reissue_reason == NULL ? "" : leaf.reissue_reason));
    }
    serve(s, SERVED_CA, cert, &leaf.chain_pem, &leaf.key_pem);
    localca_leaf_fini(&leaf);
    return 0;
}

/* The last good pair of the files, when they are bad from the daemon's start on. */
static int load_kept(struct certsource *s, int64_t now)
{
    struct err err = {.msg = ""};
    struct buf chain = {0};
    struct buf key = {0};
    struct cert *cert =
        lastgood_load(s->dir, s->spec.kind, s->spec.domain, now, &chain, &key, &err);
    if (cert == NULL) {
        if (err.code != ERR_NOT_FOUND) {
            log_warn("certificate", "the kept pair is of no use", LOG_STR("error", err.msg));
        }
        return -1;
    }
    serve(s, SERVED_KEPT, cert, &chain, &key);
    log_warn("certificate", "serving the last good pair of the files",
             LOG_STR("subject", cert->subject));
    return 0;
}

/* An own certificate that nothing replaces serves until it expires, and no longer. */
static bool is_spent(const struct certsource *s, int64_t now)
{
    return source_of(s) != SSL_SELF_SIGNED && certsource_is_own(s) && s->cert != NULL &&
           now > s->cert->not_after;
}

/* What is served when the source gives nothing and nothing is served yet. */
static void load_stand_in(struct certsource *s)
{
    struct err err = {.msg = ""};
    if (s->cert != NULL && !is_spent(s, wall_seconds())) {
        return;
    }
    if (s->cert == NULL && source_of(s) == SSL_FILES && load_kept(s, wall_seconds()) == 0) {
        return;
    }
    if (load_ca(s, &err) == 0) {
        log_warn("certificate", "a certificate of the local CA stands in",
                 LOG_STR("listener", s->spec.kind));
        return;
    }
    log_error("certificate", "the local CA cannot be used", LOG_STR("error", err.msg));
    if (load_memory(s, wall_seconds(), &err) < 0) {
        log_error("certificate", "no certificate can be made; nothing is published",
                  LOG_STR("error", err.msg));
    }
}

/* True when a pair of the source is served, or kept, that is valid and for the domain. */
static bool has_better(struct certsource *s)
{
    if (s->cert == NULL) {
        (void)load_kept(s, s->attempt_at); /* says why not */
    }
    return s->cert != NULL && certsource_is_own(s) && s->attempt_at <= s->cert->not_after &&
           lastgood_is_for(s->cert, s->spec.domain);
}

static void load_files(struct certsource *s)
{
    struct err err = {.msg = ""};
    struct buf chain = {0};
    struct buf key = {0};
    s->attempt_at = wall_seconds();
    struct cert *cert = certfiles_load(&s->files, s->attempt_at, &chain, &key, &err);
    if (cert == NULL) {
        source_fail(s, "files", err.msg);
        return;
    }
    /* Whoever swaps in a pair of other names did so by mistake: what works goes on. */
    bool is_for_us = lastgood_is_for(cert, s->spec.domain);
    if (!is_for_us && has_better(s)) {
        (void)err_set(&err, ERR_CONFIG, "%s: it has no name under %s", s->files.cert_path,
                      s->spec.domain); /* the message is what counts */
        source_fail(s, "files", err.msg);
        cert_free(cert);
        buf_fini(&chain);
        issue_buf_wipe(&key);
        return;
    }
    serve(s, SERVED_OWN, cert, &chain, &key);
    source_succeed(s);
    if (is_for_us && lastgood_save(s->dir, s->spec.kind, buf_str(&s->chain_pem),
                                   buf_str(&s->key_pem), &err) < 0) {
        log_warn("certificate", "the pair is not kept for bad times", LOG_STR("error", err.msg));
    }
    log_info("certificate", "serving the pair from files", LOG_STR("cert", s->files.cert_path));
}

/* Takes over what the renewer has; false when it has nothing. */
static bool load_renewed(struct certsource *s)
{
    struct err err = {.msg = ""};
    if (renewer_cert(s->renewer) == NULL) {
        return false;
    }
    struct buf chain = {0};
    struct buf key = {0};
    struct str secret = renewer_key(s->renewer);
    buf_add_str(&chain, renewer_chain(s->renewer));
    buf_reserve(&key, secret.len + 1); /* growing would leave a copy behind */
    buf_add_str(&key, secret);
    struct cert *cert = cert_parse(buf_str(&chain), &err);
    if (cert == NULL) {
        buf_fini(&chain);
        issue_buf_wipe(&key);
        log_error("certificate", "the stored certificate is of no use", LOG_STR("error", err.msg));
        return false;
    }
    serve(s, SERVED_OWN, cert, &chain, &key);
    return true;
}

static void renewer_on_certificate(void *arg)
{
    struct certsource *s = arg;
    CHECK(s->magic == CERTSOURCE_MAGIC);
    if (load_renewed(s)) {
        log_info("certificate", "serving a certificate from the CA",
                 LOG_STR("listener", s->spec.kind), LOG_STR("issuer", s->cert->issuer));
        s->spec.on_change(s->spec.arg);
    }
}

static void renewer_on_event(void *arg, cJSON *event)
{
    struct certsource *s = arg;
    CHECK(s->magic == CERTSOURCE_MAGIC);
    s->spec.on_event(s->spec.arg, event);
}

static void renewer_on_settings(void *arg)
{
    struct certsource *s = arg;
    CHECK(s->magic == CERTSOURCE_MAGIC);
    acme_config_look(&s->acme);
}

static void load_source(struct certsource *s)
{
    struct err err = {.msg = ""};
    switch (source_of(s)) {
    case SSL_FILES:
        load_files(s);
        break;
    case SSL_SELF_SIGNED:
        s->attempt_at = wall_seconds();
        if (load_ca(s, &err) < 0) {
            source_fail(s, "self-signed", err.msg);
        } else {
            source_succeed(s);
        }
        break;
    case SSL_LETSENCRYPT:
        (void)load_renewed(s); /* without one the stand-in serves until it is issued */
        break;
    }
    load_stand_in(s);
}

/* --- life ----------------------------------------------------------------------------- */

static bool is_ca_old(const struct certsource *s)
{
    int64_t age = wall_seconds() - s->ca_looked_at;
    bool is_local = s->served == SERVED_CA || s->served == SERVED_MEMORY || s->cert == NULL;
    return is_local && (age >= CA_LOOK_S || age < 0);
}

bool certsource_look(struct certsource *s)
{
    struct err err = {.msg = ""};
    CHECK(s->magic == CERTSOURCE_MAGIC);
    if (source_of(s) == SSL_FILES && certfiles_changed(&s->files)) {
        load_source(s);
        return true;
    }
    if (is_spent(s, wall_seconds())) {
        load_stand_in(s);
        return true;
    }
    if (!is_ca_old(s)) {
        return false;
    }
    if (source_of(s) == SSL_SELF_SIGNED) {
        load_source(s);
    } else if (load_ca(s, &err) < 0) {
        log_warn("certificate", "the stand-in ages", LOG_STR("error", err.msg));
    }
    return true;
}

static void start_renewer(struct certsource *s)
{
    acme_config_init(&s->acme, s->spec.config, s->spec.ssl);
    s->acme_dir = path_join(s->dir, "acme");
    const struct renewer_spec spec = {
        .loop = s->spec.loop,
        .fetch = s->spec.fetch,
        .settings = &s->acme.settings,
        .dir = s->acme_dir,
        .kind = s->spec.kind,
        .names = (const char *const *)s->names,
        .name_count = s->spec.name_count,
        .on_settings = renewer_on_settings,
        .on_certificate = renewer_on_certificate,
        .on_event = renewer_on_event,
        .arg = s,
    };
    s->renewer = renewer_new(&spec);
}

struct certsource *certsource_new(const struct certsource_spec *spec)
{
    struct certsource *s = xcalloc(1, sizeof *s);
    s->magic = CERTSOURCE_MAGIC;
    s->spec = *spec;
    s->names = xcalloc(spec->name_count + 1, sizeof *s->names);
    for (size_t i = 0; i < spec->name_count; i++) {
        s->names[i] = xstrdup(spec->names[i]);
    }
    s->dir = path_join(spec->config->home, "certs");
    if (source_of(s) == SSL_FILES) {
        autofree char *cert = path_join(spec->config->home, spec->ssl->cert);
        autofree char *key = path_join(spec->config->home, spec->ssl->key);
        certfiles_init(&s->files, cert, key);
    } else if (source_of(s) == SSL_LETSENCRYPT) {
        start_renewer(s);
    }
    load_source(s);
    if (s->renewer != NULL) {
        renewer_start(s->renewer);
    }
    return s;
}

void certsource_free(struct certsource *s)
{
    if (s == NULL) {
        return;
    }
    CHECK(s->magic == CERTSOURCE_MAGIC);
    if (source_of(s) == SSL_FILES) {
        certfiles_fini(&s->files);
    } else if (source_of(s) == SSL_LETSENCRYPT) {
        renewer_free(s->renewer);
        acme_config_fini(&s->acme);
    }
    cert_free(s->cert);
    buf_fini(&s->chain_pem);
    issue_buf_wipe(&s->key_pem);
    for (size_t i = 0; i < s->spec.name_count; i++) {
        free(s->names[i]);
    }
    free(s->names);
    free(s->error);
    free(s->acme_dir);
    free(s->dir);
    s->magic = 0;
    free(s);
}

const struct cert *certsource_cert(const struct certsource *s)
{
    return s->cert;
}

struct str certsource_chain(const struct certsource *s)
{
    return buf_str(&s->chain_pem);
}

struct str certsource_key(const struct certsource *s)
{
    return buf_str(&s->key_pem);
}

struct renewer *certsource_renewer(const struct certsource *s)
{
    return s->renewer;
}

bool certsource_settings(const struct certsource *s, struct acme_config *out)
{
    if (s->renewer == NULL) {
        return false;
    }
    acme_config_init(out, s->spec.config, s->spec.ssl);
    return true;
}

const char *const *certsource_names(const struct certsource *s, size_t *out_count)
{
    *out_count = s->spec.name_count;
    return (const char *const *)s->names;
}

bool certsource_has_issued(const struct certsource *s)
{
    return s != NULL && s->has_issued;
}

bool certsource_is_standing_in(const struct certsource *s)
{
    return !certsource_is_own(s);
}
