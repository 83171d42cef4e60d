/* renewer_order: the renewal and the dry run of a renewer (renewer_impl.h): lock, order,
 * installation, and what is remembered of how it went. */
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

#include "acme/pending.h"
#include "acme/renewer_impl.h"
#include "base/file.h"
#include "base/json.h"

enum {
    BUSY_PAUSE_SECONDS = 60,
    CANCELLED_PAUSE_SECONDS = 3600,
    PERMANENT_PAUSE_SECONDS = SCHEDULE_BACKOFF_MAX_SECONDS,
};

static const char staging_url[] = "https://acme-staging-v02.api.letsencrypt.org/directory";

static void order_on_step(void *arg, const char *step, enum order_progress progress,
                          const char *message)
{
    struct renewer *r = arg;
    CHECK(r->magic == RENEWER_MAGIC);
    lockfile_touch(r->lock);
    renewer_step(r, step, progress, message);
}

static void pause_after(struct renewer *r, const struct failure *failure, int64_t now)
{
    uint32_t random;
    CHECK(RAND_bytes((uint8_t *)&random, sizeof random) == 1);
    int64_t pause;
    if (strcmp(failure->type, "busy") == 0) {
        pause = BUSY_PAUSE_SECONDS; /* somebody else's success or failure */
    } else if (strcmp(failure->phase, "cancelled") == 0) {
        pause = CANCELLED_PAUSE_SECONDS;
    } else {
        r->state.failures += r->state.failures < 1000 ? 1 : 0;
        pause = failure->is_permanent ? PERMANENT_PAUSE_SECONDS
                                      : schedule_backoff(r->state.failures, random);
    }
    r->state.ca_until = failure->retry_at > now ? failure->retry_at : 0;
    r->state.not_until = now + pause > failure->retry_at ? now + pause : failure->retry_at;
}

static void add_hostnames(cJSON *event, const struct renewer *r)
{
    cJSON *list = cJSON_AddArrayToObject(event, "hostnames");
    for (size_t i = 0; i < r->spec.name_count; i++) {
        CHECK(cJSON_AddItemToArray(list, cJSON_CreateString(r->spec.names[i])));
    }
}

void renewer_note_result(struct renewer *r, const struct failure *failure)
{
    int64_t now = clock_wall_ms() / 1000;
    if (failure == NULL) {
        r->state.last_success_at = now;
        r->state.failures = 0;
        r->state.not_until = 0;
        r->state.ca_until = 0;
        r->state.last_error = (struct failure){.phase = NULL};
        r->state.ari = (struct ari){.ask_at = 0};
        renewer_save(r);
        return;
    }
    pause_after(r, failure, now);
    r->state.last_error = *failure;
    r->state.last_error_at = now;
    renewer_save(r);
    char when[32];
    cert_time_format(renewer_schedule(r, now).at, when, sizeof when);
    cJSON *event = renewer_event(r, "certificate.failed");
    add_hostnames(event, r);
    json_add_str(event, "phase", failure->phase);
    json_add_str(event, "errorType", failure->type);
    json_add_str(event, "message", failure->message);
    json_add_str(event, "nextAt", when);
    r->spec.on_event(r->spec.arg, event);
}

static void report_issued(struct renewer *r, bool is_renewal)
{
    char when[32];
    cJSON *event = renewer_event(r, is_renewal ? "certificate.renewed" : "certificate.issued");
    add_hostnames(event, r);
    cert_time_format(r->bundle.cert->not_after, when, sizeof when);
    json_add_str(event, "notAfter", when);
    r->spec.on_event(r->spec.arg, event);
}

/* All files or none; then the daemon hears of it. */
static int install(struct renewer *r, struct str chain_pem, struct str key_pem, struct err *err)
{
    struct bundle bundle = {.cert = NULL};
    int64_t now = clock_wall_ms() / 1000;
    renewer_step(r, "install", ORDER_RUNNING, NULL);
    bundle.cert = storage_check(chain_pem, key_pem, r->spec.names, r->spec.name_count, now, err);
    if (bundle.cert == NULL) {
        return -1;
    }
    buf_add_str(&bundle.chain_pem, chain_pem);
    buf_add_str(&bundle.key_pem, key_pem);
    bundle.directory = xstrdup(r->settings->directory);
    bundle.issued_at = now;
    if (storage_install(r->spec.dir, r->spec.kind, &bundle, r->spec.names, r->spec.name_count,
                        err) < 0) {
        bundle_fini(&bundle);
        return -1;
    }
    bool is_renewal = r->bundle.cert != NULL;
    renewer_step(r, "install", ORDER_DONE, NULL);
    pending_remove(r->pending_path);
    renewer_take(r, &bundle);
    report_issued(r, is_renewal);
    return 0;
}

static void order_on_done(void *arg, const struct failure *failure, struct str chain_pem,
                          struct str key_pem)
{
    struct renewer *r = arg;
    CHECK(r->magic == RENEWER_MAGIC);
    struct failure f;
    struct err err;
    r->order = NULL;
    if (failure == NULL && r->action == ACTION_RENEW && install(r, chain_pem, key_pem, &err) < 0) {
        failure_set_err(&f, "storage", &err);
        renewer_step(r, "install", ORDER_FAILED, f.message);
        failure = &f;
    }
    if (r->action == ACTION_RENEW) {
        renewer_note_result(r, failure);
    }
    renewer_end(r, failure);
}

static const char leftovers[] = "withdrawing TXT records that were left behind";

static struct dns01 *dns_new(struct renewer *r, const char *journal_path)
{
    struct dns01_spec spec = {
        .loop = r->spec.loop,
        .fetch = r->spec.fetch,
        .settings = r->settings,
        .journal_path = journal_path,
        .listener_kind = r->spec.kind,
        .base_domain = r->base_domain,
        .names = r->spec.names,
        .name_count = r->spec.name_count,
    };
    return dns01_new(&spec);
}

/* The staging directory where the real one is production; another URL is asked as it is. */
static const struct acme_settings *dry_settings(struct renewer *r)
{
    r->dry = *r->spec.settings;
    if (strcmp(r->dry.directory, "production") == 0) {
        r->dry.directory = "staging";
        r->dry.directory_url = staging_url;
        r->dry.ca_file = NULL;
        r->dry.eab_kid = NULL;
        r->dry.eab_hmac_key = NULL;
    }
    return &r->dry;
}

static void order_begin(struct renewer *r)
{
    bool is_renewal = r->action == ACTION_RENEW;
    r->client = acme_client_new(r->spec.loop, r->spec.fetch, r->settings);
    r->account = account_new(r->client, r->settings, r->spec.dir);
    r->dns = dns_new(r, r->journal_path);
    bool same_ca = r->bundle.cert != NULL && r->bundle.directory != NULL &&
                   strcmp(r->bundle.directory, r->settings->directory) == 0;
    struct order_spec spec = {
        .loop = r->spec.loop,
        .client = r->client,
        .account = r->account,
        .dns = r->dns,
        .settings = r->settings,
        .names = r->spec.names,
        .name_count = r->spec.name_count,
        .replaces = is_renewal && same_ca && r->cert_id[0] != '\0' ? r->cert_id : NULL,
        .pending_path = is_renewal ? r->pending_path : NULL,
        .on_step = order_on_step,
        .on_done = order_on_done,
        .arg = r,
    };
    r->order = order_start(&spec);
}

/* What an earlier order could not withdraw; whether it can be now or not, this one goes on. */
static void order_on_swept(void *arg, const struct failure *failure)
{
    struct renewer *r = arg;
    CHECK(r->magic == RENEWER_MAGIC);
    struct failure f;
    renewer_step(r, "sweep", failure == NULL ? ORDER_DONE : ORDER_FAILED,
                 failure == NULL ? NULL : failure->message);
    dns01_free(r->dns);
    r->dns = NULL;
    if (!r->is_cancelled) {
        order_begin(r);
        return;
    }
    failure_set(&f, "cancelled", "getting the certificate was cancelled");
    if (r->action == ACTION_RENEW) {
        renewer_note_result(r, &f);
    }
    renewer_end(r, &f);
}

void renewer_run_order(struct renewer *r)
{
    struct err err;
    struct failure f;
    bool is_renewal = r->action == ACTION_RENEW;
    if (!is_renewal) {
        r->settings = dry_settings(r);
    }
    r->lock = lockfile_acquire(r->lock_path, &err);
    if (r->lock == NULL) {
        failure_set_err(&f, "storage", &err);
        if (err.code == ERR_BUSY) {
            (void)snprintf(f.type, sizeof f.type, "busy");
        }
        if (is_renewal) {
            renewer_note_result(r, &f);
        }
        renewer_end(r, &f);
        return;
    }
    if (is_renewal) {
        r->is_resumable = false;
        r->state.last_attempt_at = clock_wall_ms() / 1000;
        renewer_save(r);
    }
    if (!file_exists(r->journal_path)) {
        order_begin(r);
        return;
    }
    renewer_step(r, "sweep", ORDER_RUNNING, leftovers);
    r->dns = dns_new(r, r->journal_path);
    dns01_sweep(r->dns, order_on_swept, r);
}

static void sweep_end(struct renewer *r, const struct failure *failure)
{
    renewer_step(r, "sweep", failure == NULL ? ORDER_DONE : ORDER_FAILED,
                 failure == NULL ? NULL : failure->message);
    renewer_end(r, failure);
}

static void sweep_on_done(void *arg, const struct failure *failure)
{
    struct renewer *r = arg;
    CHECK(r->magic == RENEWER_MAGIC);
    sweep_end(r, failure);
}

/* The order's are withdrawn, or not; now the doctor's. */
static void sweep_on_order_swept(void *arg, const struct failure *failure)
{
    struct renewer *r = arg;
    CHECK(r->magic == RENEWER_MAGIC);
    if (failure != NULL || !file_exists(r->doctor_journal_path)) {
        sweep_end(r, failure);
        return;
    }
    dns01_free(r->dns);
    r->dns = dns_new(r, r->doctor_journal_path);
    dns01_sweep(r->dns, sweep_on_done, r);
}

void renewer_run_sweep(struct renewer *r)
{
    struct err err;
    struct failure f;
    renewer_step(r, "sweep", ORDER_RUNNING, leftovers);
    r->lock = lockfile_acquire(r->lock_path, &err);
    if (r->lock == NULL) {
        failure_set_err(&f, "storage", &err); /* they may be another daemon's, in use */
        sweep_end(r, &f);
        return;
    }
    r->dns = dns_new(r, r->journal_path);
    dns01_sweep(r->dns, sweep_on_order_swept, r);
}
