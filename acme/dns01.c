/* dns01: see dns01.h. Called by the order and the doctor; the loop's thread.
 *
 * Calls become jobs, begun in their order. Hooks run one at a time, since scripts of that
 * kind read, change and write; at Cloudflare jobs for different names run side by side. */
#include "acme/dns01.h"

#include <stdlib.h>
#include <string.h>

#include "acme/cloudflare.h"
#include "acme/hook.h"
#include "acme/journal.h"
#include "base/auto.h"

enum { DNS01_MAGIC = 0x646e7330, RUNNING_MAX = 4 };

struct sweep {
    struct sweep *next;     /* owned */
    size_t pending;         /* jobs that are left */
    struct failure failure; /* the first */
    dns01_done_fn *done;
    void *arg; /* borrowed */
};

struct job {
    struct job *next;    /* owned */
    struct dns01 *dns01; /* borrowed */
    bool is_withdrawal;
    bool is_running;
    char *record;                  /* owned */
    char *value;                   /* owned */
    struct hook *hook;             /* owned while running */
    struct cloudflare *cloudflare; /* owned while running */
    struct sweep *sweep;           /* borrowed; NULL: done is to be called */
    dns01_done_fn *done;
    void *arg; /* borrowed */
};

struct dns01 {
    uint32_t magic;
    struct loop *loop;                    /* borrowed */
    struct fetch_client *fetch;           /* borrowed */
    const struct acme_settings *settings; /* borrowed */
    struct journal *journal;              /* owned */
    char *listener_kind;                  /* owned */
    char *base_domain;                    /* owned */
    char **names;                         /* owned */
    size_t name_count;
    struct job *jobs;     /* owned, oldest first */
    struct sweep *sweeps; /* owned */
    struct loop_timer pump;
    char zone_record[256];        /* at Cloudflare the zone of this record … */
    char zone[CLOUDFLARE_ID_MAX]; /* … is this; "": none is known */
};

static void job_free(struct job *job)
{
    free(job->record);
    free(job->value);
    free(job);
}

/* Takes it out of the list of sweeps. */
static void sweep_end(struct dns01 *d, struct sweep *sweep)
{
    struct sweep **slot = &d->sweeps;
    while (*slot != sweep) {
        slot = &(*slot)->next;
    }
    *slot = sweep->next;
    struct sweep ended = *sweep;
    free(sweep);
    ended.done(ended.arg, failure_is_set(&ended.failure) ? &ended.failure : NULL);
}

/* The caller's function comes last: it may free d. */
static void job_end(struct job *job, const struct failure *failure)
{
    struct dns01 *d = job->dns01;
    struct job **slot = &d->jobs;
    while (*slot != job) {
        slot = &(*slot)->next;
    }
    *slot = job->next;
    loop_timer_set(&d->pump, 0);
    struct sweep *sweep = job->sweep;
    dns01_done_fn *done = job->done;
    void *arg = job->arg;
    job_free(job);
    if (sweep == NULL) {
        done(arg, failure);
        return;
    }
    if (failure != NULL && !failure_is_set(&sweep->failure)) {
        sweep->failure = *failure;
    }
    if (--sweep->pending == 0) {
        sweep_end(d, sweep);
    }
}

/* The provider has answered. */
static void job_answered(struct job *job, const struct failure *failure, bool was_asked)
{
    if (failure == NULL && job->is_withdrawal && was_asked) {
        /* A journal that cannot be written keeps the record, and it is withdrawn again later. */
        (void)journal_remove(job->dns01->journal, job->record, job->value, NULL);
    }
    job_end(job, failure);
}

static void dns01_on_hook(void *arg, const struct failure *failure)
{
    struct job *job = arg;
    CHECK(job->dns01->magic == DNS01_MAGIC);
    job->hook = NULL;
    job_answered(job, failure, true);
}

static void dns01_on_cloudflare(void *arg, const char *zone, const struct failure *failure)
{
    struct job *job = arg;
    struct dns01 *d = job->dns01;
    CHECK(d->magic == DNS01_MAGIC);
    job->cloudflare = NULL;
    d->zone[0] = '\0';
    if (zone != NULL && zone[0] != '\0' && strlen(job->record) < sizeof d->zone_record) {
        memcpy(d->zone_record, job->record, strlen(job->record) + 1);
        memcpy(d->zone, zone, strlen(zone) + 1);
    }
    job_answered(job, failure, d->settings->api_token != NULL);
}

static void job_run_hook(struct job *job)
{
    struct dns01 *d = job->dns01;
    const struct acme_settings *s = d->settings;
    struct hook_spec spec = {.command = job->is_withdrawal ? s->delete_command : s->create_command,
                             .phase = job->is_withdrawal ? HOOK_DELETE : HOOK_CREATE,
                             .record = job->record,
                             .value = job->value,
                             .base_domain = d->base_domain,
                             .listener_kind = d->listener_kind,
                             .names = (const char *const *)d->names,
                             .name_count = d->name_count,
                             .timeout_ms = s->hook_timeout_ms};
    job->hook = hook_run(d->loop, &spec, dns01_on_hook, job);
}

static void job_run_cloudflare(struct job *job)
{
    struct dns01 *d = job->dns01;
    struct cfapi_spec spec = {d->loop, d->fetch, d->settings};
    bool is_known = d->zone[0] != '\0' && strcmp(d->zone_record, job->record) == 0;
    const char *zone = is_known ? d->zone : NULL;
    job->cloudflare =
        job->is_withdrawal
            ? cloudflare_delete(&spec, zone, job->record, job->value, dns01_on_cloudflare, job)
            : cloudflare_create(&spec, zone, job->record, job->value, dns01_on_cloudflare, job);
}

/* True if the job list changed under the caller: the job failed at once. */
static bool job_start(struct job *job)
{
    struct dns01 *d = job->dns01;
    struct err err;
    if (!job->is_withdrawal && journal_add(d->journal, job->record, job->value, &err) < 0) {
        struct failure failure;
        failure_set(
            &failure, "storage",
            "The TXT record was not written, as it could not be noted for its withdrawal: %s.",
            err.msg);
        job_end(job, &failure);
        return true;
    }
    job->is_running = true;
    if (d->settings->provider == ACME_PROVIDER_HOOK) {
        job_run_hook(job);
    } else {
        job_run_cloudflare(job);
    }
    return false;
}

static bool job_may_start(const struct job *job)
{
    const struct dns01 *d = job->dns01;
    unsigned running = 0;
    for (const struct job *other = d->jobs; other != job; other = other->next) {
        running += other->is_running;
        if (d->settings->provider == ACME_PROVIDER_HOOK ||
            strcmp(other->record, job->record) == 0) {
            return false;
        }
    }
    for (const struct job *other = job->next; other != NULL; other = other->next) {
        running += other->is_running;
    }
    return running < RUNNING_MAX;
}

static void dns01_on_pump(void *arg)
{
    struct dns01 *d = arg;
    CHECK(d->magic == DNS01_MAGIC);
    for (struct sweep *s = d->sweeps; s != NULL; s = s->next) {
        if (s->pending == 0) {
            loop_timer_set(&d->pump, 0);
            sweep_end(d, s);
            return;
        }
    }
    for (struct job *job = d->jobs; job != NULL; job = job->next) {
        if (!job->is_running && job_may_start(job) && job_start(job)) {
            return; /* the timer is set again */
        }
    }
}

struct dns01 *dns01_new(const struct dns01_spec *spec)
{
    struct dns01 *d = xcalloc(1, sizeof *d);
    d->magic = DNS01_MAGIC;
    d->loop = spec->loop;
    d->fetch = spec->fetch;
    d->settings = spec->settings;
    d->journal = journal_new(spec->journal_path);
    d->listener_kind = xstrdup(spec->listener_kind == NULL ? "" : spec->listener_kind);
    d->base_domain = xstrdup(spec->base_domain == NULL ? "" : spec->base_domain);
    d->names = xcalloc(spec->name_count + 1, sizeof *d->names);
    d->name_count = spec->name_count;
    for (size_t i = 0; i < spec->name_count; i++) {
        d->names[i] = xstrdup(spec->names[i]);
    }
    loop_timer_init(&d->pump, d->loop, dns01_on_pump, d);
    return d;
}

void dns01_free(struct dns01 *d)
{
    if (d == NULL) {
        return;
    }
    CHECK(d->magic == DNS01_MAGIC);
    while (d->jobs != NULL) {
        struct job *job = d->jobs;
        d->jobs = job->next;
        hook_cancel(job->hook);
        cloudflare_cancel(job->cloudflare);
        job_free(job);
    }
    while (d->sweeps != NULL) {
        struct sweep *sweep = d->sweeps;
        d->sweeps = sweep->next;
        free(sweep);
    }
    loop_timer_fini(&d->pump);
    journal_free(d->journal);
    for (size_t i = 0; i < d->name_count; i++) {
        free(d->names[i]);
    }
    free(d->names);
    free(d->listener_kind);
    free(d->base_domain);
    d->magic = 0;
    free(d);
}

static struct job *add_job(struct dns01 *d, bool is_withdrawal, const char *record,
                           const char *value)
{
    struct job *job = xcalloc(1, sizeof *job);
    job->dns01 = d;
    job->is_withdrawal = is_withdrawal;
    job->record = xstrdup(record);
    job->value = xstrdup(value);
    struct job **slot = &d->jobs;
    while (*slot != NULL) {
        slot = &(*slot)->next;
    }
    *slot = job;
    loop_timer_set(&d->pump, 0);
    return job;
}

void dns01_present(struct dns01 *d, const char *record, const char *value, dns01_done_fn *done,
                   void *arg)
{
    struct job *job = add_job(d, false, record, value);
    job->done = done;
    job->arg = arg;
}

void dns01_withdraw(struct dns01 *d, const char *record, const char *value, dns01_done_fn *done,
                    void *arg)
{
    struct job *job = add_job(d, true, record, value);
    job->done = done;
    job->arg = arg;
}

void dns01_sweep(struct dns01 *d, dns01_done_fn *done, void *arg)
{
    struct sweep *sweep = xcalloc(1, sizeof *sweep);
    sweep->done = done;
    sweep->arg = arg;
    sweep->next = d->sweeps;
    d->sweeps = sweep;
    if (journal_problem(d->journal) != NULL) {
        failure_set(&sweep->failure, "storage",
                    "TXT records of an earlier order may be left in DNS, the note of them is not "
                    "readable: %s.",
                    journal_problem(d->journal));
    }
    for (size_t i = 0; i < journal_count(d->journal); i++) {
        const struct journal_record *r = journal_at(d->journal, i);
        add_job(d, true, r->name, r->value)->sweep = sweep;
        sweep->pending++;
    }
    loop_timer_set(&d->pump, 0);
}
