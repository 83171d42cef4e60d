/* renewer: see renewer.h. Owned by the daemon's certificate keeper. Here: life, schedule and
 * who waits for what; the actions are in renewer_order.c and renewer_actions.c.
 */
#include "acme/renewer.h"

#include <stdio.h>
#include <stdlib.h>

#include "acme/pending.h"
#include "acme/renewer_impl.h"
#include "acme/when.h"
#include "base/file.h"
#include "base/json.h"

enum {
    BUSY_LOOK_MS = 60000, /* while an action runs: the lock is kept young */
    LOOK_SECONDS = 600,   /* the wall clock is looked at again: it can jump, and machines sleep */
};

static int64_t wall(void)
{
    return clock_wall_ms() / 1000;
}

cJSON *renewer_event(const struct renewer *r, const char *type)
{
    cJSON *event = cJSON_CreateObject();
    CHECK(event != NULL);
    json_add_str(event, "type", type);
    json_add_str(event, "kind", r->spec.kind);
    return event;
}

void renewer_step(struct renewer *r, const char *step, enum order_progress progress,
                  const char *message)
{
    static const char *const words[] = {"running", "done", "failed"};
    cJSON *event = renewer_event(r, "certificate.step");
    json_add_str(event, "step", step);
    json_add_str(event, "state", words[progress]);
    json_add_str(event, "message", message);
    r->spec.on_event(r->spec.arg, event);
}

void renewer_warn(struct renewer *r, const char *message)
{
    cJSON *event = renewer_event(r, "certificate.warning");
    json_add_str(event, "message", message);
    r->spec.on_event(r->spec.arg, event);
}

bool renewer_is_usable(const struct renewer *r, int64_t now)
{
    return r->bundle.cert != NULL && now <= r->bundle.cert->not_after &&
           strcmp(r->bundle.directory, r->spec.settings->directory) == 0 &&
           bundle_covers(&r->bundle, r->spec.names, r->spec.name_count);
}

struct schedule renewer_schedule(const struct renewer *r, int64_t now)
{
    struct schedule_input in = {
        .is_usable = renewer_is_usable(r, now),
        .not_until = r->state.not_until,
        .is_resumable = r->is_resumable,
    };
    if (in.is_usable) {
        in.not_before = r->bundle.cert->not_before;
        in.not_after = r->bundle.cert->not_after;
        in.issued_at = r->bundle.issued_at > now ? now : r->bundle.issued_at;
    }
    if (r->cert_id[0] != '\0' && strcmp(r->state.ari.cert_id, r->cert_id) == 0) {
        in.ari_start = r->state.ari.start;
        in.ari_end = r->state.ari.end;
        in.ari_selected = r->state.ari.selected_at;
    }
    return schedule_next(&in, now);
}

void renewer_save(struct renewer *r)
{
    struct err err;
    if (acme_state_save(&r->state, r->state_path, &err) < 0) {
        renewer_warn(r, err.msg); /* goes on: only a restart would forget */
    }
}

void renewer_note_account(struct renewer *r, const struct account *account)
{
    char *url = xstrdup(account_url(account));
    free(r->account_url);
    r->account_url = url;
}

static void cert_id_set(struct renewer *r)
{
    r->cert_id[0] = '\0';
    r->ask_at = 0;
    if (r->bundle.cert != NULL &&
        ari_cert_id(r->bundle.cert->leaf, r->cert_id, sizeof r->cert_id, NULL) == 0 &&
        strcmp(r->state.ari.cert_id, r->cert_id) == 0) {
        r->ask_at = r->state.ari.ask_at;
    }
}

void renewer_take(struct renewer *r, struct bundle *bundle)
{
    struct bundle old = r->bundle;
    r->bundle = *bundle;
    *bundle = (struct bundle){.cert = NULL};
    cert_id_set(r);
    r->was_usable = renewer_is_usable(r, wall());
    r->spec.on_certificate(r->spec.arg);
    bundle_fini(&old); /* the owner has the new one now */
}

void renewer_drop(struct renewer *r)
{
    struct bundle none = {.cert = NULL};
    renewer_take(r, &none);
}

/* --- actions and who waits for them --- */

static void waiter_add(struct renewer *r, const struct waiter *waiter)
{
    r->waiters = xrealloc(r->waiters, (r->waiter_count + 1) * sizeof *r->waiters);
    r->waiters[r->waiter_count++] = *waiter;
}

static void action_start(struct renewer *r, enum action action)
{
    static void (*const runs[])(struct renewer *) = {
        [ACTION_SWEEP] = renewer_run_sweep,   [ACTION_ASK] = renewer_run_ask,
        [ACTION_RENEW] = renewer_run_order,   [ACTION_DRY_RUN] = renewer_run_order,
        [ACTION_REVOKE] = renewer_run_revoke, [ACTION_DEACTIVATE] = renewer_run_deactivate,
        [ACTION_HOLD] = renewer_run_hold,
    };
    CHECK(r->action == ACTION_NONE);
    r->action = action;
    r->is_cancelled = false;
    r->settings = r->spec.settings;
    for (size_t i = 0; i < r->waiter_count; i++) {
        r->waiters[i].is_running = r->waiters[i].action == action;
    }
    runs[action](r);
}

/* Everything the action held. Not from inside its callbacks. */
static void action_clear(struct renewer *r)
{
    dns01_free(r->dns); /* first: it must not call an order that is gone */
    r->dns = NULL;
    order_abandon(r->order);
    r->order = NULL;
    if (r->account != NULL && r->settings == r->spec.settings) {
        renewer_note_account(r, r->account);
    }
    account_free(r->account);
    r->account = NULL;
    acme_client_free(r->client);
    r->client = NULL;
    lockfile_release(r->lock);
    r->lock = NULL;
    r->action = ACTION_NONE;
}

static void tick_set(struct renewer *r);

/* True: something was started. */
static bool run_waiting(struct renewer *r)
{
    int64_t now = wall();
    if (r->waiter_count == 0) {
        return false;
    }
    const struct waiter *first = &r->waiters[0];
    if (first->action != ACTION_RENEW || first->is_forced) {
        action_start(r, first->action);
        return true;
    }
    struct schedule next = renewer_schedule(r, now);
    struct failure f = {.phase = NULL};
    char when[32];
    if (r->state.ca_until > now && r->state.ca_until <= now + SCHEDULE_WAIT_MAX_SECONDS) {
        cert_time_format(r->state.ca_until, when, sizeof when);
        failure_set(&f, "order", "the CA wants no attempt before %s", when);
        f.retry_at = r->state.ca_until;
    } else if (next.at > now && !next.is_waiting) {
        char text[96];
        cert_time_format(next.at, when, sizeof when);
        (void)snprintf(text, sizeof text, "not due before %s", when);
        renewer_step(r, "schedule", ORDER_DONE, text);
    } else {
        action_start(r, ACTION_RENEW);
        return true;
    }
    r->action = ACTION_RENEW; /* answered without an attempt */
    r->is_cancelled = false;
    for (size_t i = 0; i < r->waiter_count; i++) {
        r->waiters[i].is_running = r->waiters[i].action == ACTION_RENEW;
    }
    renewer_end(r, failure_is_set(&f) ? &f : NULL);
    return true;
}

/* Calls those whose action has ended; they may ask for more. */
static void answer_waiters(struct renewer *r, const struct failure *failure)
{
    struct waiter *done = r->waiters;
    size_t count = r->waiter_count;
    r->waiters = NULL;
    r->waiter_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!done[i].is_running) {
            waiter_add(r, &done[i]);
        }
    }
    r->answering = done;
    r->answering_count = count;
    for (size_t i = 0; i < count; i++) {
        if (done[i].is_running && done[i].done != NULL) {
            done[i].done(done[i].arg, failure);
        }
    }
    r->answering_count = 0;
    free(done);
}

static void renewer_on_end(void *arg)
{
    struct renewer *r = arg;
    CHECK(r->magic == RENEWER_MAGIC);
    struct failure result = r->result;
    action_clear(r);
    answer_waiters(r, failure_is_set(&result) ? &result : NULL);
    if (r->action == ACTION_NONE) {
        tick_set(r);
    }
}

void renewer_end(struct renewer *r, const struct failure *failure)
{
    CHECK(r->action != ACTION_NONE);
    r->result = failure == NULL ? (struct failure){.phase = NULL} : *failure;
    loop_timer_set(&r->end, 0);
}

/* --- schedule --- */

static void renewer_on_tick(void *arg)
{
    struct renewer *r = arg;
    CHECK(r->magic == RENEWER_MAGIC);
    int64_t now = wall();
    if (r->action != ACTION_NONE) {
        lockfile_touch(r->lock);
        loop_timer_set(&r->tick, BUSY_LOOK_MS);
        return;
    }
    r->spec.on_settings(r->spec.arg);
    renewer_look_config(r);
    bool usable = renewer_is_usable(r, now);
    if (usable != r->was_usable) {
        r->was_usable = usable;
        r->spec.on_certificate(r->spec.arg); /* it expired, or the clock was put right */
    }
    if (r->is_held) {
        tick_set(r);
        return;
    }
    if (run_waiting(r)) {
        loop_timer_set(&r->tick, BUSY_LOOK_MS);
        return;
    }
    if (r->is_started && usable && r->cert_id[0] != '\0' && now >= r->ask_at) {
        action_start(r, ACTION_ASK);
    } else if (r->is_started && renewer_schedule(r, now).at <= now) {
        action_start(r, ACTION_RENEW);
    }
    tick_set(r);
}

static void tick_set(struct renewer *r)
{
    int64_t now = wall();
    if (r->action != ACTION_NONE || r->is_held) {
        loop_timer_set(&r->tick, BUSY_LOOK_MS);
        return;
    }
    if (r->waiter_count > 0) {
        loop_timer_set(&r->tick, 0);
        return;
    }
    if (!r->is_started) {
        loop_timer_clear(&r->tick);
        return;
    }
    int64_t at = renewer_schedule(r, now).at;
    if (r->cert_id[0] != '\0' && renewer_is_usable(r, now) && r->ask_at < at) {
        at = r->ask_at;
    }
    int64_t wait = at - now;
    wait = wait < 0 ? 0 : wait > LOOK_SECONDS ? LOOK_SECONDS : wait;
    loop_timer_set(&r->tick, (uint64_t)wait * 1000);
}

static void ask_for(struct renewer *r, enum action action, bool force, renewer_done_fn *done,
                    void *arg)
{
    CHECK(r->magic == RENEWER_MAGIC);
    struct waiter waiter = {
        .action = action,
        .is_forced = force,
        .is_running = r->action == action && !loop_timer_is_set(&r->end),
        .done = done,
        .arg = arg,
    };
    waiter_add(r, &waiter);
    if (r->action == ACTION_NONE) {
        loop_timer_set(&r->tick, 0);
    } else if (r->action == ACTION_ASK && !loop_timer_is_set(&r->end)) {
        acme_client_cancel(r->client); /* people first: it is asked again afterwards */
        renewer_end(r, NULL);
    }
}

static bool renewer_has_leftovers(const struct renewer *r)
{
    return file_exists(r->journal_path) || file_exists(r->doctor_journal_path);
}

void renewer_renew(struct renewer *r, bool force, renewer_done_fn *done, void *arg)
{
    ask_for(r, ACTION_RENEW, force, done, arg);
}

void renewer_dry_run(struct renewer *r, renewer_done_fn *done, void *arg)
{
    ask_for(r, ACTION_DRY_RUN, true, done, arg);
}

void renewer_revoke(struct renewer *r, renewer_done_fn *done, void *arg)
{
    ask_for(r, ACTION_REVOKE, true, done, arg);
}

void renewer_deactivate_account(struct renewer *r, renewer_done_fn *done, void *arg)
{
    ask_for(r, ACTION_DEACTIVATE, true, done, arg);
}

void renewer_sweep(struct renewer *r)
{
    if (renewer_has_leftovers(r)) {
        ask_for(r, ACTION_SWEEP, true, NULL, NULL);
    }
}

void renewer_hold(struct renewer *r, renewer_done_fn *begun, void *arg)
{
    ask_for(r, ACTION_HOLD, true, begun, arg);
}

/* Whoever asked may have gone while it waited: nobody would release it. */
void renewer_run_hold(struct renewer *r)
{
    for (size_t i = 0; i < r->waiter_count; i++) {
        r->is_held = r->is_held || (r->waiters[i].is_running && r->waiters[i].done != NULL);
    }
    renewer_end(r, NULL);
}

void renewer_release(struct renewer *r)
{
    CHECK(r->magic == RENEWER_MAGIC);
    r->is_held = false;
    tick_set(r);
}

bool renewer_is_busy(const struct renewer *r)
{
    return r->action != ACTION_NONE && r->action != ACTION_ASK;
}

static void forget(struct waiter *waiters, size_t count, const void *arg)
{
    for (size_t i = 0; i < count; i++) {
        if (waiters[i].arg == arg) {
            waiters[i].done = NULL;
        }
    }
}

void renewer_forget(struct renewer *r, const void *arg)
{
    forget(r->waiters, r->waiter_count, arg);
    forget(r->answering, r->answering_count, arg);
}

bool renewer_cancel(struct renewer *r)
{
    struct failure f;
    CHECK(r->magic == RENEWER_MAGIC);
    if (r->action == ACTION_NONE || loop_timer_is_set(&r->end)) {
        return false;
    }
    r->is_cancelled = true;
    if (r->order != NULL) {
        order_cancel(r->order);
        return true;
    }
    if (r->action == ACTION_SWEEP) {
        return false; /* it withdraws: what a cancel would do */
    }
    if (r->action == ACTION_RENEW || r->action == ACTION_DRY_RUN) {
        return true; /* it withdraws what was left behind, and does not go on from there */
    }
    failure_set(&f, "cancelled", "cancelled");
    acme_client_cancel(r->client);
    if (r->account != NULL) {
        account_cancel(r->account);
    }
    renewer_end(r, &f);
    return true;
}

char *renewer_doctor_journal(const char *dir, const char *kind)
{
    return xasprintf("%s/state/%s.doctor.json", dir, kind);
}

/* --- life --- */

static void renewer_on_repaired(void *arg, const char *path, unsigned old_mode)
{
    struct renewer *r = arg;
    autofree char *text = xasprintf("%s could be read by others (mode %04o); repaired, but a key "
                                    "in it may be known to somebody",
                                    path, old_mode);
    renewer_warn(r, text);
}

static void state_read(struct renewer *r)
{
    acme_state_load(&r->state, r->state_path);
    if (r->state.last_phase[0] != '\0') {
        r->state.last_error.phase = r->state.last_phase; /* the struct was not moved since */
    }
    renewer_look_config(r);
}

/* An order that a crash interrupted: to be taken up, unless its certificate is installed. */
static void pending_look(struct renewer *r)
{
    struct pending found = {.key = NULL};
    autofree char *names = pending_names(r->spec.names, r->spec.name_count);
    if (!pending_load(r->pending_path, wall(), &found)) {
        return;
    }
    bool is_installed = found.key != NULL && r->bundle.cert != NULL &&
                        cert_check_key(r->bundle.cert, found.key, NULL) == 0;
    bool is_ours = strcmp(found.names, names) == 0 &&
                   strcmp(found.directory, r->spec.settings->directory) == 0;
    if (is_installed || !is_ours) {
        pending_remove(r->pending_path);
    } else {
        r->is_resumable = found.key != NULL || !renewer_is_usable(r, wall());
    }
    pending_fini(&found);
}

static void files_read(struct renewer *r)
{
    struct err err;
    struct bundle bundle = {.cert = NULL};
    if (storage_prepare(r->spec.dir, renewer_on_repaired, r, &err) < 0 ||
        storage_recover(r->spec.dir, r->spec.kind, &err) < 0) {
        renewer_warn(r, err.msg);
    }
    if (storage_load(r->spec.dir, r->spec.kind, &bundle, &err) < 0) {
        renewer_warn(r, err.msg); /* replaced by the next one */
    }
    state_read(r);
    r->bundle = bundle;
    cert_id_set(r);
    r->was_usable = renewer_is_usable(r, wall());
    pending_look(r);
}

struct renewer *renewer_new(const struct renewer_spec *spec)
{
    struct renewer *r = xcalloc(1, sizeof *r);
    r->magic = RENEWER_MAGIC;
    r->spec = *spec;
    const char *shortest = NULL;
    for (size_t i = 0; i < spec->name_count; i++) {
        const char *name = spec->names[i] + (strncmp(spec->names[i], "*.", 2) == 0 ? 2 : 0);
        shortest = shortest == NULL || strlen(name) < strlen(shortest) ? name : shortest;
    }
    r->base_domain = xstrdup(shortest == NULL ? "" : shortest);
    r->state_path = xasprintf("%s/state/%s.json", spec->dir, spec->kind);
    r->pending_path = xasprintf("%s/orders/%s.json", spec->dir, spec->kind);
    r->journal_path = xasprintf("%s/orders/%s.dns.json", spec->dir, spec->kind);
    r->doctor_journal_path = renewer_doctor_journal(spec->dir, spec->kind);
    r->lock_path = xasprintf("%s/locks/%s.lock", spec->dir, spec->kind);
    loop_timer_init(&r->tick, spec->loop, renewer_on_tick, r);
    loop_timer_init(&r->end, spec->loop, renewer_on_end, r);
    files_read(r);
    /* Only looked at: it needs no client for that. */
    struct account *account = account_new(NULL, spec->settings, spec->dir);
    renewer_note_account(r, account);
    account_free(account);
    return r;
}

void renewer_start(struct renewer *r)
{
    CHECK(r->magic == RENEWER_MAGIC);
    r->is_started = true;
    if (r->action == ACTION_NONE && renewer_has_leftovers(r)) {
        action_start(r, ACTION_SWEEP);
    }
    tick_set(r);
}

void renewer_free(struct renewer *r)
{
    if (r == NULL) {
        return;
    }
    CHECK(r->magic == RENEWER_MAGIC);
    action_clear(r);
    loop_timer_fini(&r->tick);
    loop_timer_fini(&r->end);
    bundle_fini(&r->bundle);
    free(r->waiters);
    free(r->base_domain);
    free(r->account_url);
    free(r->state_path);
    free(r->pending_path);
    free(r->journal_path);
    free(r->doctor_journal_path);
    free(r->lock_path);
    r->magic = 0;
    free(r);
}

const struct cert *renewer_cert(const struct renewer *r)
{
    return renewer_is_usable(r, wall()) ? r->bundle.cert : NULL;
}

struct str renewer_chain(const struct renewer *r)
{
    return buf_str(&r->bundle.chain_pem);
}

struct str renewer_key(const struct renewer *r)
{
    return buf_str(&r->bundle.key_pem);
}
