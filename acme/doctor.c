/* doctor: see doctor.h. The daemon calls it for `wos doctor cert`; the loop's thread. */
#include "acme/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "acme/caa.h"
#include "acme/cloudflare.h"
#include "acme/dns01.h"
#include "acme/propagation.h"
#include "base/auto.h"
#include "base/str.h"

enum { DOCTOR_MAGIC = 0x646f6374, VALUE_MAX = 64, CHALLENGE_NAME_MAX = 300 };

struct doctor {
    uint32_t magic;
    struct doctor_spec spec; /* its lists point to the copies below */
    char **names;            /* owned */
    char **identities;       /* owned */
    char *account_uri;       /* owned */
    char record[256];        /* where the TXT record goes */
    char value[VALUE_MAX];
    size_t caa_name;              /* the name being asked about */
    struct failure token_failure; /* what was said of a token that may be an account's */
    bool is_ok;
    size_t step;
    struct cloudflare *cloudflare;   /* owned; NULL: nothing under way */
    struct caa *caa;                 /* owned */
    struct propagation *propagation; /* owned */
    struct dns01 *dns01;             /* owned */
    struct loop_timer timer;         /* the next step */
};

static void destroy(struct doctor *d)
{
    cloudflare_cancel(d->cloudflare);
    caa_cancel(d->caa);
    propagation_cancel(d->propagation);
    dns01_free(d->dns01);
    loop_timer_fini(&d->timer);
    for (size_t i = 0; i < d->spec.name_count; i++) {
        free(d->names[i]);
    }
    for (size_t i = 0; i < d->spec.ca_identity_count; i++) {
        free(d->identities[i]);
    }
    free(d->names);
    free(d->identities);
    free(d->account_uri);
    d->magic = 0;
    free(d);
}

static const char *shortest_name(const struct doctor *d)
{
    const char *shortest = NULL;
    for (size_t i = 0; i < d->spec.name_count; i++) {
        const char *name = d->names[i] + (strncmp(d->names[i], "*.", 2) == 0 ? 2 : 0);
        shortest = shortest == NULL || strlen(name) < strlen(shortest) ? name : shortest;
    }
    return shortest == NULL ? "" : shortest;
}

/* Without the CNAME that may stand there. */
static void challenge_name(const struct doctor *d, char out[CHALLENGE_NAME_MAX])
{
    (void)snprintf(out, CHALLENGE_NAME_MAX, "_acme-challenge.%s", shortest_name(d));
}

static void doctor_next(struct doctor *d)
{
    d->step++;
    loop_timer_set(&d->timer, 0);
}

static void doctor_stop(struct doctor *d);

/* Reports a step; a failed one ends the walk. */
static void report(struct doctor *d, const char *step, const struct failure *failure,
                   const char *found)
{
    d->spec.on_step(d->spec.arg, step, failure == NULL, failure == NULL ? found : failure->message);
    if (failure == NULL) {
        doctor_next(d);
    } else {
        d->is_ok = false;
        doctor_stop(d);
    }
}

static void doctor_on_tried(void *arg, const char *zone, const struct failure *failure)
{
    (void)zone;
    struct doctor *d = arg;
    CHECK(d->magic == DOCTOR_MAGIC);
    d->cloudflare = NULL;
    if (failure == NULL || strcmp(failure->type, "noZone") == 0) {
        report(d, "token", NULL, "Cloudflare takes the API token; it belongs to an account.");
        return;
    }
    /* With zoneId it may be the zone that does not fit: that sentence says which. */
    bool is_token = failure->is_permanent && d->spec.settings->zone_id == NULL;
    report(d, "token", is_token ? &d->token_failure : failure, NULL);
}

static void doctor_on_verified(void *arg, const char *zone, const struct failure *failure)
{
    (void)zone;
    struct doctor *d = arg;
    CHECK(d->magic == DOCTOR_MAGIC);
    d->cloudflare = NULL;
    if (failure == NULL || !failure->is_permanent || d->spec.settings->api_token == NULL) {
        report(d, "token", failure, "Cloudflare says the API token is active.");
        return;
    }
    /* A token of an account is not known there, and yet good: whether it shows zones decides. */
    struct cfapi_spec spec = {d->spec.loop, d->spec.fetch, d->spec.settings};
    char name[CHALLENGE_NAME_MAX];
    challenge_name(d, name);
    d->token_failure = *failure;
    d->cloudflare = cloudflare_find_zone(&spec, name, doctor_on_tried, d);
}

static void check_token(struct doctor *d)
{
    if (d->spec.settings->provider != ACME_PROVIDER_CLOUDFLARE) {
        doctor_next(d);
        return;
    }
    struct cfapi_spec spec = {d->spec.loop, d->spec.fetch, d->spec.settings};
    d->cloudflare = cloudflare_verify(&spec, doctor_on_verified, d);
}

/* Where the record goes: the challenge's name, or where its CNAME leads. */
static void doctor_on_delegate(void *arg, const char *text, const struct failure *failure)
{
    struct doctor *d = arg;
    CHECK(d->magic == DOCTOR_MAGIC);
    d->propagation = NULL;
    if (failure != NULL) {
        report(d, "txt", failure, NULL);
        return;
    }
    (void)snprintf(d->record, sizeof d->record, "%s", text);
    doctor_next(d);
}

static void find_record(struct doctor *d)
{
    char name[CHALLENGE_NAME_MAX];
    challenge_name(d, name);
    d->propagation =
        propagation_delegate(d->spec.loop, d->spec.settings, name, doctor_on_delegate, d);
}

static void doctor_on_zone(void *arg, const char *zone, const struct failure *failure)
{
    struct doctor *d = arg;
    CHECK(d->magic == DOCTOR_MAGIC);
    d->cloudflare = NULL;
    if (failure != NULL) {
        report(d, "zone", failure, NULL);
        return;
    }
    char found[400];
    (void)snprintf(found, sizeof found, "%s belongs to the zone %s.", d->record, zone);
    report(d, "zone", NULL, found);
}

static void check_zone(struct doctor *d)
{
    if (d->spec.settings->provider != ACME_PROVIDER_CLOUDFLARE) {
        doctor_next(d);
        return;
    }
    struct cfapi_spec spec = {d->spec.loop, d->spec.fetch, d->spec.settings};
    d->cloudflare = cloudflare_find_zone(&spec, d->record, doctor_on_zone, d);
}

static void check_caa(struct doctor *d);

static void doctor_on_caa(void *arg, const struct caa_result *result)
{
    struct doctor *d = arg;
    CHECK(d->magic == DOCTOR_MAGIC);
    d->caa = NULL;
    if (result->verdict != CAA_ALLOWED) {
        struct failure failure;
        failure_set(&failure, "validation", "%s: %s", d->names[d->caa_name], result->message);
        report(d, "caa", &failure, NULL);
    } else if (++d->caa_name < d->spec.name_count) {
        check_caa(d);
    } else {
        report(d, "caa", NULL, result->message);
    }
}

static void check_caa(struct doctor *d)
{
    if (d->spec.ca_identity_count == 0 || d->spec.name_count == 0) {
        doctor_next(d);
        return;
    }
    struct caa_query query = {d->names[d->caa_name], (const char *const *)d->identities,
                              d->spec.ca_identity_count, d->account_uri};
    d->caa = caa_check(d->spec.loop, d->spec.settings, &query, doctor_on_caa, d);
}

static void doctor_on_presented(void *arg, const struct failure *failure)
{
    struct doctor *d = arg;
    CHECK(d->magic == DOCTOR_MAGIC);
    char found[400];
    (void)snprintf(found, sizeof found, "A TXT record was written at %s.", d->record);
    report(d, "txt", failure, found);
}

static void write_record(struct doctor *d)
{
    dns01_present(d->dns01, d->record, d->value, doctor_on_presented, d);
}

static void doctor_on_visible(void *arg, const struct failure *failure)
{
    struct doctor *d = arg;
    CHECK(d->magic == DOCTOR_MAGIC);
    d->propagation = NULL;
    report(d, "visible", failure,
           d->spec.settings->resolver_count > 0 ? "Every configured resolver shows it."
                                                : "Every name server of the zone shows it.");
}

static void wait_visible(struct doctor *d)
{
    struct propagation_record record = {d->record, d->value};
    d->propagation =
        propagation_wait(d->spec.loop, d->spec.settings, &record, 1, NULL, doctor_on_visible, d);
}

static void doctor_on_withdrawn(void *arg, const struct failure *failure)
{
    struct doctor *d = arg;
    CHECK(d->magic == DOCTOR_MAGIC);
    d->is_ok = d->is_ok && failure == NULL;
    d->spec.on_step(d->spec.arg, "withdraw", failure == NULL,
                    failure == NULL ? "It was taken away again." : failure->message);
    doctor_done_fn *done = d->spec.on_done;
    void *user = d->spec.arg;
    bool is_ok = d->is_ok;
    destroy(d);
    done(user, is_ok);
}

static void withdraw_record(struct doctor *d)
{
    dns01_withdraw(d->dns01, d->record, d->value, doctor_on_withdrawn, d);
}

/* In order. The last one also ends a walk that failed after something may have been written. */
enum { STEP_WRITE = 4, STEP_WITHDRAW = 6 };
static void (*const steps[])(struct doctor *d) = {
    check_token, find_record, check_zone, check_caa, write_record, wait_visible, withdraw_record};

static void doctor_on_timer(void *arg)
{
    struct doctor *d = arg;
    CHECK(d->magic == DOCTOR_MAGIC);
    if (!d->is_ok && d->step < STEP_WITHDRAW) {
        doctor_done_fn *done = d->spec.on_done;
        void *user = d->spec.arg;
        destroy(d);
        done(user, false);
        return;
    }
    steps[d->step](d);
}

static void doctor_stop(struct doctor *d)
{
    /* A create that failed may have written all the same. */
    d->step = d->step >= STEP_WRITE ? STEP_WITHDRAW : d->step;
    loop_timer_set(&d->timer, 0);
}

static char **copy_list(const char *const *list, size_t count)
{
    char **copy = xcalloc(count + 1, sizeof *copy);
    for (size_t i = 0; i < count; i++) {
        copy[i] = xstrdup(list[i]);
    }
    return copy;
}

static void make_value(char out[VALUE_MAX])
{
    unsigned char random[16] = {0};
    CHECK(getrandom(random, sizeof random, 0) == sizeof random); /* never short for so few bytes */
    (void)snprintf(out, VALUE_MAX, "wos-doctor-");
    for (size_t i = 0; i < sizeof random; i++) {
        (void)snprintf(out + 11 + 2 * i, VALUE_MAX - 11 - 2 * i, "%02x", random[i]);
    }
}

struct doctor *doctor_start(const struct doctor_spec *spec)
{
    struct doctor *d = xcalloc(1, sizeof *d);
    d->magic = DOCTOR_MAGIC;
    d->spec = *spec;
    d->is_ok = true;
    d->names = copy_list(spec->names, spec->name_count);
    d->identities = copy_list(spec->ca_identities, spec->ca_identity_count);
    d->account_uri = spec->account_uri == NULL ? NULL : xstrdup(spec->account_uri);
    make_value(d->value);
    struct dns01_spec dns01 = {.loop = spec->loop,
                               .fetch = spec->fetch,
                               .settings = spec->settings,
                               .journal_path = spec->journal_path,
                               .listener_kind = spec->listener_kind,
                               .base_domain = shortest_name(d),
                               .names = (const char *const *)d->names,
                               .name_count = spec->name_count};
    d->dns01 = dns01_new(&dns01);
    loop_timer_init(&d->timer, spec->loop, doctor_on_timer, d);
    loop_timer_set(&d->timer, 0);
    return d;
}

void doctor_cancel(struct doctor *d)
{
    if (d != NULL) {
        CHECK(d->magic == DOCTOR_MAGIC);
        destroy(d);
    }
}
