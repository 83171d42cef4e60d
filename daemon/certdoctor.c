/* certdoctor: see certdoctor.h. Started by certjobs.c. */
#include "daemon/certdoctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acme/account.h"
#include "acme/acme_client.h"
#include "acme/doctor.h"
#include "acme/renewer.h"
#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"

enum { CERTDOCTOR_MAGIC = 0x63646f63, IDENTITIES_MAX = 16 };

struct certdoctor {
    uint32_t magic;
    struct certdoctor_spec spec;
    struct acme_config acme;              /* with `settings` only */
    const struct acme_settings *settings; /* of the above; NULL: no CA */
    char *acme_dir;                       /* owned */
    char *journal_path;                   /* owned */
    struct acme_client *client;           /* owned */
    struct account *account;              /* owned; NULL: not looked at yet */
    struct doctor *doctor;                /* NULL: not running */
    struct failure ca_failure;            /* of the directory */
    bool is_failed;
    size_t step;
    struct loop_timer timer; /* the next step */
};

static void destroy(struct certdoctor *d)
{
    publisher_cancel(d->spec.publisher, d);
    doctor_cancel(d->doctor);
    account_free(d->account);
    acme_client_free(d->client);
    loop_timer_fini(&d->timer);
    if (d->settings != NULL) {
        acme_config_fini(&d->acme);
    }
    free(d->acme_dir);
    free(d->journal_path);
    d->magic = 0;
    free(d);
}

static void tell(struct certdoctor *d, const char *step, bool is_ok, const char *message)
{
    d->is_failed = d->is_failed || !is_ok;
    d->spec.on_step(d->spec.arg, step, is_ok, message);
}

static void next(struct certdoctor *d)
{
    d->step++;
    loop_timer_set(&d->timer, 0);
}

/* --- a CA's certificate ----------------------------------------------------------- */

static void on_directory(void *arg, const struct acme_client_reply *reply)
{
    struct certdoctor *d = arg;
    CHECK(d->magic == CERTDOCTOR_MAGIC);
    if (reply->failure != NULL) {
        d->ca_failure = *reply->failure;
    }
    next(d);
}

/* Asked first, because the CAA check needs what it says; told after it. */
static void step_directory(struct certdoctor *d)
{
    d->client = acme_client_new(d->spec.loop, d->spec.fetch, d->settings);
    acme_client_directory(d->client, on_directory, d);
}

static void on_dns_step(void *arg, const char *step, bool is_ok, const char *message)
{
    struct certdoctor *d = arg;
    CHECK(d->magic == CERTDOCTOR_MAGIC);
    tell(d, step, is_ok, message);
}

static void on_dns_done(void *arg, bool is_ok)
{
    struct certdoctor *d = arg;
    CHECK(d->magic == CERTDOCTOR_MAGIC);
    (void)is_ok; /* each step was told */
    d->doctor = NULL;
    next(d);
}

static void step_dns(struct certdoctor *d)
{
    const char *identities[IDENTITIES_MAX];
    size_t count = 0;
    const cJSON *meta = d->ca_failure.phase == NULL ? acme_client_meta(d->client) : NULL;
    const cJSON *identity = NULL;
    cJSON_ArrayForEach(identity, json_get(meta, "caaIdentities"))
    {
        if (cJSON_IsString(identity) && count < IDENTITIES_MAX) {
            identities[count++] = identity->valuestring;
        }
    }
    size_t name_count = 0;
    const char *const *names = certsource_names(d->spec.source, &name_count);
    d->account = account_new(d->client, d->settings, d->acme_dir);
    const char *url = account_url(d->account);
    const struct doctor_spec spec = {
        .loop = d->spec.loop,
        .fetch = d->spec.fetch,
        .settings = d->settings,
        .journal_path = d->journal_path,
        .listener_kind = d->spec.kind,
        .names = names,
        .name_count = name_count,
        .ca_identities = identities,
        .ca_identity_count = count,
        .account_uri = *url == '\0' ? NULL : url,
        .on_step = on_dns_step,
        .on_done = on_dns_done,
        .arg = d,
    };
    d->doctor = doctor_start(&spec);
}

static void step_ca(struct certdoctor *d)
{
    if (d->ca_failure.phase != NULL) {
        tell(d, "ca", false, d->ca_failure.message);
    } else {
        autofree char *text = xasprintf("%s answers", d->settings->directory_url);
        tell(d, "ca", true, text);
    }
    next(d);
}

static void on_account(void *arg, const struct failure *failure)
{
    struct certdoctor *d = arg;
    CHECK(d->magic == CERTDOCTOR_MAGIC);
    if (failure != NULL) {
        tell(d, "account", false, failure->message);
    } else {
        autofree char *text = xasprintf("%s is valid", account_url(d->account));
        tell(d, "account", true, text);
    }
    next(d);
}

static void step_account(struct certdoctor *d)
{
    if (d->ca_failure.phase != NULL) {
        next(d); /* it cannot be asked */
        return;
    }
    if (*account_url(d->account) != '\0') {
        account_ensure(d->account, true, on_account, d);
        return;
    }
    const cJSON *meta = acme_client_meta(d->client);
    if (json_get_bool(meta, "externalAccountRequired", false) && d->settings->eab_kid == NULL) {
        tell(d, "account", false,
             "this CA wants an account of its own first: set letsencrypt.eab.kid and hmacKey to "
             "what it gives you");
    } else {
        tell(d, "account", true, "there is none yet; the first certificate makes one");
    }
    next(d);
}

/* --- every source ------------------------------------------------------------------- */

static void step_source(struct certdoctor *d)
{
    autojson cJSON *json = certsource_json(d->spec.source, d->spec.kind);
    const char *source = json_get_str(json, "source", "");
    const char *error = json_get_str(json_get(json, "lastError"), "message", NULL);
    autofree char *text = NULL;
    if (error != NULL) {
        tell(d, "source", false, error);
    } else if (strcmp(source, "files") == 0) {
        text = xasprintf("%s and its key can be read and belong together",
                         json_get_str(json, "path", "the certificate"));
        tell(d, "source", true, text);
    } else {
        text = xasprintf("the local CA is %s", json_get_str(json, "caPath", "there"));
        tell(d, "source", true, text);
    }
    next(d);
}

static void step_certificate(struct certdoctor *d)
{
    autojson cJSON *json = certsource_json(d->spec.source, d->spec.kind);
    const char *warning = json_get_str(json, "warning", NULL);
    const char *error = json_get_str(json_get(json, "lastError"), "message", NULL);
    autofree char *text = NULL;
    if (!json_get_bool(json, "active", false)) {
        tell(d, "certificate", false, "there is none that could be served");
    } else if (d->settings != NULL && certsource_is_standing_in(d->spec.source)) {
        text = xasprintf("none from the CA yet: %s%s; `wos cert renew` tries now",
                         error == NULL ? "none was issued" : "the last attempt failed: ",
                         error == NULL ? "" : error);
        tell(d, "certificate", false, text);
    } else if (warning != NULL) {
        tell(d, "certificate", false, warning);
    } else {
        text = xasprintf("%s, from %s, until %s", json_get_str(json, "subject", "?"),
                         json_get_str(json, "issuer", "?"), json_get_str(json, "notAfter", "?"));
        tell(d, "certificate", true, text);
    }
    next(d);
}

static void on_served(void *arg, const char *error)
{
    struct certdoctor *d = arg;
    CHECK(d->magic == CERTDOCTOR_MAGIC);
    tell(d, "gateway", error == NULL, error == NULL ? "it shows this certificate" : error);
    next(d);
}

static void step_gateway(struct certdoctor *d)
{
    if (strcmp(d->spec.kind, "tunnel") == 0 && publisher_is_enabled(d->spec.publisher)) {
        publisher_await(d->spec.publisher, on_served, d);
    } else {
        next(d);
    }
}

static void step_done(struct certdoctor *d)
{
    d->spec.on_done(d->spec.arg, !d->is_failed);
    destroy(d);
}

static void step_disabled(struct certdoctor *d)
{
    autofree char *text =
        xasprintf("%s.ssl is off: set %s.ssl.enabled in config.json", d->spec.kind, d->spec.kind);
    tell(d, "source", false, text);
    next(d);
}

typedef void step_fn(struct certdoctor *d);

static void certdoctor_on_timer(void *arg)
{
    static step_fn *const ca_steps[] = {step_directory,   step_dns,     step_ca,  step_account,
                                        step_certificate, step_gateway, step_done};
    static step_fn *const own_steps[] = {step_source, step_certificate, step_gateway, step_done};
    static step_fn *const no_steps[] = {step_disabled, step_done};
    struct certdoctor *d = arg;
    CHECK(d->magic == CERTDOCTOR_MAGIC);
    step_fn *const *steps = d->spec.source == NULL ? no_steps
                            : d->settings != NULL  ? ca_steps
                                                   : own_steps;
    steps[d->step](d);
}

struct certdoctor *certdoctor_start(const struct certdoctor_spec *spec)
{
    struct certdoctor *d = xcalloc(1, sizeof *d);
    d->magic = CERTDOCTOR_MAGIC;
    d->spec = *spec;
    if (spec->source != NULL && certsource_settings(spec->source, &d->acme)) {
        d->settings = &d->acme.settings;
    }
    d->acme_dir = path_join(spec->home, "certs/acme");
    d->journal_path = renewer_doctor_journal(d->acme_dir, spec->kind);
    loop_timer_init(&d->timer, spec->loop, certdoctor_on_timer, d);
    loop_timer_set(&d->timer, 0);
    return d;
}

void certdoctor_cancel(struct certdoctor *d)
{
    if (d != NULL) {
        CHECK(d->magic == CERTDOCTOR_MAGIC);
        destroy(d);
    }
}
