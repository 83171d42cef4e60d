/* certsource_json: what a certsource serves and why, for status, API and people (docs/API.md). */
#include <stdio.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "certs/localca.h"
#include "daemon/certsource_private.h"

enum { EXPIRES_SOON_S = 14 * 86400, DAY_S = 86400 };

static void add_time(cJSON *out, const char *name, int64_t seconds)
{
    if (seconds != 0) {
        char text[32];
        cert_time_format(seconds, text, sizeof text);
        (void)json_add_str(out, name, text);
    }
}

static void add_path(cJSON *out, const char *name, const char *dir, const char *file)
{
    autofree char *path = path_join(dir, file);
    (void)json_add_str(out, name, path);
}

static void add_paths(const struct certsource *s, cJSON *out)
{
    char file[128];
    if (s->served == SERVED_CA) {
        (void)snprintf(file, sizeof file, "%s-self-signed.crt", s->spec.kind);
        add_path(out, "path", s->dir, file);
        (void)snprintf(file, sizeof file, "%s-self-signed.key", s->spec.kind);
        add_path(out, "keyPath", s->dir, file);
        autofree char *ca = localca_ca_path(s->dir);
        (void)json_add_str(out, "caPath", ca);
    } else if (s->renewer != NULL && s->served == SERVED_OWN) {
        (void)snprintf(file, sizeof file, "acme/live/%s/fullchain.pem", s->spec.kind);
        add_path(out, "path", s->dir, file);
        (void)snprintf(file, sizeof file, "acme/live/%s/key.pem", s->spec.kind);
        add_path(out, "keyPath", s->dir, file);
    } else if (certsource_is_own(s)) {
        (void)json_add_str(out, "path", s->files.cert_path);
        (void)json_add_str(out, "keyPath", s->files.key_path);
    }
}

static void add_cert(const struct certsource *s, cJSON *out)
{
    const struct cert *cert = s->cert;
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

/* A name that is asked for and that the certificate does not cover, or NULL. */
static const char *uncovered(const struct certsource *s, char *buf, size_t size)
{
    for (size_t i = 0; i < s->spec.name_count; i++) {
        const char *name = s->names[i];
        (void)snprintf(buf, size, "%s%s", name[0] == '*' ? "x" : "",
                       name[0] == '*' ? name + 1 : name);
        bool is_apex = i == 0 && s->spec.name_count > 1; /* services live below it */
        if (!is_apex && !cert_covers(s->cert, str_of(buf))) {
            return name;
        }
    }
    return NULL;
}

static void add_warning(const struct certsource *s, cJSON *out)
{
    char text[400];
    char name[300];
    int64_t left = s->cert->not_after - clock_wall_ms() / 1000;
    const char *missing = uncovered(s, name, sizeof name);
    if (!certsource_is_own(s)) {
        (void)snprintf(text, sizeof text, "%s is served instead of the configured certificate",
                       s->served == SERVED_CA ? "a certificate of the local CA"
                                              : "a certificate that nobody trusts");
    } else if (left <= 0) {
        (void)snprintf(text, sizeof text, "the certificate has expired");
    } else if (s->served == SERVED_KEPT) {
        (void)snprintf(text, sizeof text,
                       "the last good pair, kept in H/certs, is served: the files are bad");
    } else if (missing != NULL) {
        (void)snprintf(text, sizeof text, "the certificate does not cover %s", missing);
    } else if (left < EXPIRES_SOON_S && s->renewer == NULL) {
        (void)snprintf(text, sizeof text, "the certificate expires in %lld days",
                       (long long)(left / DAY_S));
    } else {
        return;
    }
    (void)json_add_str(out, "warning", text);
}

static const char *state_of(const struct certsource *s)
{
    if (s->cert == NULL || !certsource_is_own(s)) {
        return "failed";
    }
    return s->error != NULL || s->served == SERVED_KEPT ? "stale" : "active";
}

static void add_error(const struct certsource *s, cJSON *out)
{
    cJSON *error = cJSON_AddObjectToObject(out, "lastError");
    (void)json_add_str(error, "phase", s->error_phase);
    (void)json_add_str(error, "message", s->error);
    add_time(error, "at", s->error_at);
}

/* The renewer's members (state, next action, last error) beside those of the certificate; what it
 * says counts. */
static void add_renewer(const struct certsource *s, cJSON *out)
{
    cJSON *more = renewer_json(s->renewer);
    while (more != NULL && more->child != NULL) {
        cJSON *item = cJSON_DetachItemViaPointer(more, more->child);
        cJSON_DeleteItemFromObjectCaseSensitive(out, item->string);
        (void)cJSON_AddItemToObject(out, item->string, item);
    }
    cJSON_Delete(more);
    (void)json_add_str(out, "challengeProvider",
                       s->spec.ssl->provider == PROVIDER_HOOK ? "hook" : "cloudflare");
}

cJSON *certsource_json(const struct certsource *s, const char *kind)
{
    static const char *const sources[] = {"self-signed", "files", "letsencrypt"};
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "listenerKind", kind);
    (void)json_add_str(out, "source", s == NULL ? "disabled" : sources[s->spec.ssl->source]);
    if (s == NULL) {
        (void)json_add_str(out, "state", "disabled");
        (void)json_add_bool(out, "active", false);
        return out;
    }
    (void)json_add_str(out, "state", state_of(s));
    (void)json_add_bool(out, "active", s->cert != NULL);
    if (s->cert != NULL) {
        add_paths(s, out);
        add_cert(s, out);
        add_warning(s, out);
    }
    if (s->renewer != NULL) {
        add_renewer(s, out);
        return out;
    }
    add_time(out, "lastSuccessAt", s->success_at);
    add_time(out, "lastAttemptAt", s->attempt_at);
    if (s->error != NULL) {
        add_error(s, out);
    }
    return out;
}
