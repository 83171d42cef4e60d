/* certjobs: see certjobs.h. Called by the API's certificate endpoints and by the certkeeper. */
#include "daemon/certjobs.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/certdoctor.h"
#include "daemon/certkeeper.h"
#include "daemon/certsource.h"
#include "daemon/daemon.h"
#include "daemon/events.h"

enum { CERTJOB_MAGIC = 0x636a6f62, LISTENERS = 2 };

/* What goes on at one listener. */
struct listener {
    uint32_t magic;
    struct certjobs *jobs; /* borrowed: owner */
    const char *kind;
    char *session;             /* owned */
    enum certjob what;         /* while op is there */
    struct operation *op;      /* NULL: nobody asked for anything */
    struct certdoctor *doctor; /* NULL: none */
    char *fault;               /* owned: the doctor's first failed step */
    cJSON *activating;         /* owned: the event to come when the gateway serves it; or NULL */
    bool is_ended;             /* the renewer is done; only the activation is waited for */
    struct failure failure;    /* then: phase NULL, it succeeded */
};

struct certjobs {
    struct daemon *d; /* borrowed */
    struct listener listeners[LISTENERS];
};

static const struct {
    const char *operation;
    bool needs_ca;
} whats[] = {
    [CERTJOB_RENEW] = {"certificate-renew", true},
    [CERTJOB_DRY_RUN] = {"certificate-dry-run", true},
    [CERTJOB_REVOKE] = {"certificate-revoke", true},
    [CERTJOB_DEACTIVATE] = {"certificate-account-deactivate", true},
    [CERTJOB_DOCTOR] = {"certificate-doctor", false},
};

static struct listener *listener_of(const struct certjobs *jobs, const char *kind)
{
    for (size_t i = 0; i < LISTENERS; i++) {
        const struct listener *l = &jobs->listeners[i];
        if (kind != NULL && strcmp(l->kind, kind) == 0) {
            return (struct listener *)l; /* ours: the registry hands out what it owns */
        }
    }
    return NULL;
}

/* --- events ---------------------------------------------------------------------------- */

static void log_event(const cJSON *event)
{
    const char *type = json_get_str(event, "type", "");
    const char *kind = json_get_str(event, "listenerKind", "");
    const char *message = json_get_str(event, "message", "");
    if (strcmp(type, "certificate.failed") == 0) {
        log_error("certificate", "a certificate could not be issued; what is served stays",
                  LOG_STR("listener", kind), LOG_STR("phase", json_get_str(event, "phase", "")),
                  LOG_STR("error", message), LOG_STR("next", json_get_str(event, "nextAt", "")));
    } else if (strcmp(type, "certificate.warning") == 0) {
        log_warn("certificate", message, LOG_STR("listener", kind));
    } else if (strcmp(type, "certificate.step") == 0) {
        log_debug("certificate", message, LOG_STR("listener", kind),
                  LOG_STR("step", json_get_str(event, "step", "")),
                  LOG_STR("state", json_get_str(event, "state", "")));
    } else {
        log_info("certificate", type, LOG_STR("listener", kind),
                 LOG_STR("until", json_get_str(event, "notAfter", "")));
    }
}

/* What the renewer says belongs to it; NULL: nobody asked. A doctor may wait for an order that the
 * schedule began, and has no part in it. */
static struct operation *renewer_operation(const struct listener *l)
{
    return l->what == CERTJOB_DOCTOR ? NULL : l->op;
}

/* To the log and whoever watches `op`, which may be NULL; takes the tree. */
static void listener_tell(struct listener *l, struct operation *op, cJSON *event)
{
    const struct event_about about = {.operation_id = op == NULL ? NULL : operation_id(op)};
    log_event(event);
    events_emit(l->jobs->d->events, &about, cJSON_Duplicate(event, 1));
    if (op != NULL) {
        operation_emit(op, event);
    } else {
        cJSON_Delete(event);
    }
}

static void listener_step(struct listener *l, const char *step, const char *state,
                          const char *message)
{
    cJSON *event = cJSON_CreateObject();
    (void)json_add_str(event, "type", "certificate.step");
    (void)json_add_str(event, "listenerKind", l->kind);
    (void)json_add_str(event, "step", step);
    (void)json_add_str(event, "state", state);
    (void)json_add_str(event, "message", message);
    listener_tell(l, l->op, event);
}

/* The renewer's failure as the operation's end: with what the schedule makes of it. */
static void listener_finish(struct listener *l)
{
    struct operation *op = l->op;
    l->op = NULL;
    l->is_ended = false;
    if (op == NULL) {
        return;
    }
    if (l->failure.phase == NULL) {
        operation_finish(op, NULL, NULL);
        return;
    }
    const char *type = l->failure.type;
    autofree char *text = xasprintf("%s%s%s%s", l->failure.message, *type == '\0' ? "" : " (", type,
                                    *type == '\0' ? "" : ")");
    operation_finish(op, l->failure.phase, text);
}

static void listener_on_served(void *arg, const char *error)
{
    struct listener *l = arg;
    CHECK(l->magic == CERTJOB_MAGIC);
    cJSON *event = l->activating;
    l->activating = NULL;
    bool is_web = strcmp(l->kind, "web") == 0; /* its listener is in this process */
    if (error != NULL && !is_web) {
        (void)cJSON_ReplaceItemInObjectCaseSensitive(event, "type",
                                                     cJSON_CreateString("certificate.failed"));
        (void)json_add_str(event, "phase", "activation");
        (void)json_add_str(event, "message", error);
        failure_set(&l->failure, "activation",
                    "it is installed, but the gateway does not show it yet: %s", error);
    } else {
        autofree char *now = time_text(clock_wall_ms());
        (void)cJSON_ReplaceItemInObjectCaseSensitive(event, "type",
                                                     cJSON_CreateString("certificate.activated"));
        (void)json_add_str(event, "activatedAt", now);
    }
    listener_tell(l, renewer_operation(l), event);
    if (l->is_ended) {
        listener_finish(l);
    }
}

/* A certificate was installed: it counts when it is served. */
static void listener_activate(struct listener *l, const cJSON *event)
{
    struct publisher *p = l->jobs->d->publisher;
    publisher_cancel(p, l);
    cJSON_Delete(l->activating);
    l->activating = cJSON_Duplicate(event, 1);
    publisher_await(p, listener_on_served, l);
}

/* The renewer's `kind` is our listenerKind. */
static void event_complete(const struct certjobs *jobs, cJSON *event)
{
    cJSON *kind = cJSON_DetachItemFromObjectCaseSensitive(event, "kind");
    if (kind == NULL) {
        return;
    }
    if (listener_of(jobs, kind->valuestring) != NULL) {
        (void)json_add_str(event, "source", "letsencrypt");
    }
    (void)cJSON_AddItemToObject(event, "listenerKind", kind);
}

void certjobs_on_event(struct certjobs *jobs, cJSON *event)
{
    event_complete(jobs, event);
    struct listener *l = listener_of(jobs, json_get_str(event, "listenerKind", NULL));
    if (l == NULL) {
        cJSON_Delete(event);
        return;
    }
    const char *type = json_get_str(event, "type", "");
    if (strcmp(type, "certificate.issued") == 0 || strcmp(type, "certificate.renewed") == 0) {
        listener_activate(l, event);
    }
    listener_tell(l, renewer_operation(l), event);
}

/* --- ends ------------------------------------------------------------------------------ */

static void listener_on_done(void *arg, const struct failure *failure)
{
    struct listener *l = arg;
    CHECK(l->magic == CERTJOB_MAGIC);
    l->failure = failure == NULL ? (struct failure){.phase = NULL} : *failure;
    l->is_ended = true;
    if (l->activating == NULL) {
        listener_finish(l);
    }
}

static void listener_on_check(void *arg, const char *step, bool is_ok, const char *message)
{
    struct listener *l = arg;
    CHECK(l->magic == CERTJOB_MAGIC);
    if (!is_ok && l->fault == NULL) {
        l->fault = xasprintf("%s: %s", step, message);
    }
    listener_step(l, step, is_ok ? "done" : "failed", message);
}

/* The doctor has the renewer's place, or waits for it: it gives that back. */
static void doctor_end(struct listener *l)
{
    struct renewer *renewer = certkeeper_renewer(l->jobs->d->certkeeper, l->kind);
    l->doctor = NULL;
    if (renewer != NULL) {
        renewer_forget(renewer, l);
        renewer_release(renewer);
    }
}

static void listener_on_checked(void *arg, bool is_ok)
{
    struct listener *l = arg;
    CHECK(l->magic == CERTJOB_MAGIC);
    doctor_end(l);
    autofree char *fault = l->fault;
    struct operation *op = l->op;
    l->fault = NULL;
    l->op = NULL;
    operation_finish(op, is_ok ? NULL : "certificate-fault", is_ok ? NULL : fault);
}

/* --- begin ----------------------------------------------------------------------------- */

static void doctor_begin(struct listener *l)
{
    struct daemon *d = l->jobs->d;
    const struct certdoctor_spec spec = {
        .loop = d->loop,
        .fetch = d->fetch,
        .publisher = d->publisher,
        .source = certkeeper_source(d->certkeeper, l->kind),
        .kind = l->kind,
        .home = d->home,
        .on_step = listener_on_check,
        .on_done = listener_on_checked,
        .arg = l,
    };
    l->doctor = certdoctor_start(&spec);
}

static void doctor_on_hold(void *arg, const struct failure *failure)
{
    struct listener *l = arg;
    CHECK(l->magic == CERTJOB_MAGIC);
    (void)failure; /* a hold cannot fail */
    doctor_begin(l);
}

/* Its hook commands and those of an order that the schedule began do not run at the same time. */
static void doctor_ask(struct listener *l, struct renewer *renewer)
{
    if (renewer == NULL) {
        doctor_begin(l);
        return;
    }
    if (renewer_is_busy(renewer)) {
        listener_step(l, "wait", "running",
                      "for the end of what the schedule began (`wos cert status` shows it)");
    }
    renewer_hold(renewer, doctor_on_hold, l);
}

static void listener_begin(struct listener *l, struct renewer *renewer, bool force)
{
    l->failure = (struct failure){.phase = NULL};
    l->is_ended = false;
    switch (l->what) {
    case CERTJOB_RENEW:
        renewer_renew(renewer, force, listener_on_done, l);
        break;
    case CERTJOB_DRY_RUN:
        renewer_dry_run(renewer, listener_on_done, l);
        break;
    case CERTJOB_REVOKE:
        renewer_revoke(renewer, listener_on_done, l);
        break;
    case CERTJOB_DEACTIVATE:
        renewer_deactivate_account(renewer, listener_on_done, l);
        break;
    case CERTJOB_DOCTOR:
        doctor_ask(l, renewer);
        break;
    }
}

static int refuse_without_ca(const struct certjobs *jobs, const char *kind, struct err *err)
{
    autojson cJSON *cert = certkeeper_json(jobs->d->certkeeper, kind);
    const char *source = json_get_str(cert, "source", "disabled");
    if (strcmp(source, "disabled") == 0) {
        return err_set(err, ERR_CONFIG,
                       "%s.ssl is off; with source letsencrypt there would be a certificate of a "
                       "CA (docs/CERTIFICATES.md)",
                       kind);
    }
    return err_set(err, ERR_CONFIG,
                   "%s.ssl.source is %s: only certificates of a CA (letsencrypt) are issued, "
                   "renewed and revoked here",
                   kind, source);
}

struct operation *certjobs_start(struct certjobs *jobs, enum certjob what, const char *kind,
                                 bool force, bool *out_joined, struct err *err)
{
    struct listener *l = listener_of(jobs, kind);
    if (l == NULL) {
        (void)err_set(err, ERR_USAGE, "there is no listener %.40s: it is tunnel or web", kind);
        return NULL;
    }
    struct renewer *renewer = certkeeper_renewer(jobs->d->certkeeper, kind);
    if (whats[what].needs_ca && renewer == NULL) {
        (void)refuse_without_ca(jobs, kind, err);
        return NULL;
    }
    if (l->op != NULL && l->what == what) {
        *out_joined = true;
        return l->op;
    }
    if (l->op != NULL) {
        (void)err_set(err, ERR_BUSY, "the %s certificate is busy (active op %s, %s)", kind,
                      operation_id(l->op), operation_kind(l->op));
        return NULL;
    }
    l->op = operation_begin(jobs->d->operations, whats[what].operation, l->session, err);
    if (l->op == NULL) {
        return NULL;
    }
    l->what = what;
    *out_joined = false;
    listener_begin(l, renewer, force);
    return l->op;
}

struct operation *certjobs_active(const struct certjobs *jobs, const char *kind)
{
    const struct listener *l = listener_of(jobs, kind);
    return l == NULL ? NULL : l->op;
}

bool certjobs_cancel(struct certjobs *jobs, const char *kind)
{
    struct listener *l = listener_of(jobs, kind);
    struct renewer *renewer = l == NULL ? NULL : certkeeper_renewer(jobs->d->certkeeper, kind);
    if (l == NULL || l->op == NULL) {
        return renewer != NULL && renewer_cancel(renewer); /* what the schedule began */
    }
    if (l->what == CERTJOB_DOCTOR) { /* it runs, or it waits */
        certdoctor_cancel(l->doctor);
        if (renewer != NULL && l->doctor != NULL) {
            renewer_sweep(renewer); /* its record stays in DNS, and in its journal */
        }
        free(l->fault);
        l->fault = xstrdup("cancelled");
        listener_on_checked(l, false);
    } else if (!l->is_ended) {
        (void)renewer_cancel(renewer);
    }
    return true;
}

struct certjobs *certjobs_new(struct daemon *d)
{
    static const char *const kinds[LISTENERS] = {"tunnel", "web"};
    struct certjobs *jobs = xcalloc(1, sizeof *jobs);
    jobs->d = d;
    for (size_t i = 0; i < LISTENERS; i++) {
        jobs->listeners[i] = (struct listener){
            .magic = CERTJOB_MAGIC,
            .jobs = jobs,
            .kind = kinds[i],
            .session = xasprintf("certificate:%s", kinds[i]),
        };
    }
    return jobs;
}

void certjobs_free(struct certjobs *jobs)
{
    if (jobs == NULL) {
        return;
    }
    for (size_t i = 0; i < LISTENERS; i++) {
        struct listener *l = &jobs->listeners[i];
        struct renewer *renewer = certkeeper_renewer(jobs->d->certkeeper, l->kind);
        if (renewer != NULL) {
            renewer_forget(renewer, l);
        }
        publisher_cancel(jobs->d->publisher, l);
        certdoctor_cancel(l->doctor);
        cJSON_Delete(l->activating);
        free(l->fault);
        free(l->session);
        l->magic = 0;
    }
    free(jobs);
}
