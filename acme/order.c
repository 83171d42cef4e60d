/* order: see order.h. Called by the renewer; the steps are in order_steps.c, order_dns.c and
 * order_issue.c. Here: the table, what moves along it, and cleanup.
 */
#include "acme/order.h"

#include <stdlib.h>

#include "acme/order_impl.h"
#include "base/json.h"
#include "certs/issue.h"

enum { POLL_MIN_MS = 500, POLL_MAX_MS = 10000, POLL_RETRY_MAX_SECONDS = 300 };

static void enter_cleanup(struct order *o);

static const struct {
    const char *name; /* as events have it */
    void (*enter)(struct order *o);
} steps[ORDER_STATES] = {
    [STATE_DIRECTORY] = {"directory", order_enter_directory},
    [STATE_ACCOUNT] = {"account", order_enter_account},
    [STATE_ORDER] = {"order", order_enter_order},
    [STATE_AUTHZ] = {"authorizations", order_enter_authz},
    [STATE_PRESENT] = {"dns", order_enter_present},
    [STATE_PROPAGATE] = {"propagation", order_enter_propagate},
    [STATE_RESPOND] = {"respond", order_enter_respond},
    [STATE_POLL] = {"validation", order_enter_poll},
    [STATE_FINALIZE] = {"finalize", order_enter_finalize},
    [STATE_ISSUANCE] = {"issuance", order_enter_issuance},
    [STATE_DOWNLOAD] = {"download", order_enter_download},
    [STATE_CLEANUP] = {"cleanup", enter_cleanup},
};

static void report(struct order *o, enum order_progress progress, const char *message)
{
    o->spec.on_step(o->spec.arg, steps[o->state].name, progress, message);
}

void order_note(struct order *o, const char *message)
{
    report(o, ORDER_RUNNING, message);
}

void order_forget_authz(struct order *o)
{
    for (size_t i = 0; i < o->authz_count; i++) {
        free(o->authz[i].url);
        free(o->authz[i].name);
        free(o->authz[i].challenge);
        free(o->authz[i].value);
        free(o->authz[i].record);
    }
    free(o->authz);
    o->authz = NULL;
    o->authz_count = 0;
}

static void order_destroy(struct order *o)
{
    acme_client_cancel(o->spec.client);
    account_cancel(o->spec.account);
    propagation_cancel(o->propagation);
    keygen_cancel(o->keygen);
    loop_timer_fini(&o->timer);
    order_forget_authz(o);
    pending_fini(&o->pending);
    free(o->finalize_url);
    free(o->certificate_url);
    buf_fini(&o->chain);
    for (size_t i = 0; i < o->alternate_count; i++) {
        free(o->alternates[i]);
    }
    o->magic = 0;
    free(o);
}

/* The last thing an order does: it is gone when its owner hears of it. */
static void order_end(struct order *o)
{
    struct buf key = {0};
    struct err err;
    if (!failure_is_set(&o->failure) && issue_key_pem(o->pending.key, &key, &err) < 0) {
        failure_set_err(&o->failure, "key", &err);
    }
    struct failure failure = o->failure;
    bool failed = failure_is_set(&failure);
    if (failed && o->is_dead && o->spec.pending_path != NULL) {
        pending_remove(o->spec.pending_path);
    }
    struct order_spec spec = o->spec;
    struct buf chain = o->chain;
    o->chain = (struct buf){.ptr = NULL};
    order_destroy(o);
    spec.on_done(spec.arg, failed ? &failure : NULL, failed ? STR_NONE : buf_str(&chain),
                 failed ? STR_NONE : buf_str(&key));
    issue_buf_wipe(&key);
    buf_fini(&chain);
}

void order_go(struct order *o, enum order_state next)
{
    CHECK(o->magic == ORDER_MAGIC);
    report(o, ORDER_DONE, NULL);
    o->state = next;
    o->at = 0;
    report(o, ORDER_RUNNING, NULL);
    steps[next].enter(o);
}

/* Failed or cancelled: report, then withdraw what was presented. */
void order_fail(struct order *o, const struct failure *failure)
{
    CHECK(o->magic == ORDER_MAGIC && o->state != STATE_CLEANUP);
    o->failure = *failure;
    report(o, ORDER_FAILED, o->failure.message);
    o->state = STATE_CLEANUP;
    o->at = 0;
    report(o, ORDER_RUNNING, NULL);
    enter_cleanup(o);
}

void order_fail_dead(struct order *o, const struct failure *failure)
{
    o->is_dead = true;
    order_fail(o, failure);
}

static void order_on_timer(void *arg)
{
    struct order *o = arg;
    CHECK(o->magic == ORDER_MAGIC);
    o->on_timer(o);
}

void order_poll_begin(struct order *o, uint64_t limit_ms)
{
    o->polls = 0;
    o->give_up_ms = loop_now_ms(o->spec.loop) + limit_ms;
}

bool order_poll_later(struct order *o, int64_t retry_at, void (*fn)(struct order *o))
{
    if (loop_now_ms(o->spec.loop) >= o->give_up_ms) {
        return false;
    }
    uint64_t pause = (uint64_t)POLL_MIN_MS << (o->polls < 5 ? o->polls : 5);
    o->polls++;
    pause = pause > POLL_MAX_MS ? POLL_MAX_MS : pause;
    int64_t wait = retry_at - clock_wall_ms() / 1000;
    if (retry_at != 0 && wait > 0) {
        pause = (uint64_t)(wait > POLL_RETRY_MAX_SECONDS ? POLL_RETRY_MAX_SECONDS : wait) * 1000;
    }
    o->on_timer = fn;
    loop_timer_set(&o->timer, pause);
    return true;
}

void order_read(struct order *o, const char *url, const char *phase, acme_client_done_fn *done)
{
    struct acme_client_post post = {.phase = phase, .url = url, .signer = CLIENT_BY_ACCOUNT};
    acme_client_post(o->spec.client, &post, done, o);
}

int order_keep(struct order *o, struct err *err)
{
    return o->spec.pending_path == NULL ? 0 : pending_save(o->spec.pending_path, &o->pending, err);
}

void order_forget(struct order *o)
{
    pending_fini(&o->pending);
    free(o->finalize_url);
    o->finalize_url = NULL;
    order_forget_authz(o);
    if (o->spec.pending_path != NULL) {
        pending_remove(o->spec.pending_path);
    }
}

static void order_on_given_up(void *arg, const struct acme_client_reply *reply)
{
    (void)reply; /* best effort: an authorization expires by itself */
    struct order *o = arg;
    CHECK(o->magic == ORDER_MAGIC);
    o->at++;
    enter_cleanup(o);
}

/* Deactivates the next authorization of a dead order that is still open; false: none left. */
static bool give_up_next(struct order *o)
{
    size_t count = o->is_dead && !o->is_cancelled ? 2 * o->authz_count : 0;
    while (o->at < count && !o->authz[o->at - o->authz_count].is_open) {
        o->at++;
    }
    if (o->at >= count) {
        return false;
    }
    autojson cJSON *payload = cJSON_CreateObject();
    CHECK(payload != NULL);
    json_add_str(payload, "status", "deactivated");
    struct acme_client_post post = {.phase = "order",
                                    .url = o->authz[o->at - o->authz_count].url,
                                    .signer = CLIENT_BY_ACCOUNT,
                                    .payload = payload};
    acme_client_post(o->spec.client, &post, order_on_given_up, o);
    return true;
}

static void order_on_withdrawn(void *arg, const struct failure *failure)
{
    struct order *o = arg;
    CHECK(o->magic == ORDER_MAGIC);
    o->is_dns_busy = false;
    if (failure != NULL) {
        /* dns01's journal keeps it: the next sweep tries again. */
        report(o, ORDER_RUNNING, failure->message);
    }
    o->at++;
    enter_cleanup(o);
}

/* `at` runs over the records, then again over the authorizations. */
static void enter_cleanup(struct order *o)
{
    while (o->at < o->authz_count) {
        struct authz *z = &o->authz[o->at];
        if (z->is_presented) {
            z->is_presented = false;
            o->is_dns_busy = true;
            dns01_withdraw(o->spec.dns, z->record, z->value, order_on_withdrawn, o);
            return;
        }
        o->at++;
    }
    if (give_up_next(o)) {
        return;
    }
    report(o, ORDER_DONE, NULL);
    order_end(o);
}

struct order *order_start(const struct order_spec *spec)
{
    struct order *o = xcalloc(1, sizeof *o);
    o->magic = ORDER_MAGIC;
    o->spec = *spec;
    o->state = STATE_DIRECTORY;
    loop_timer_init(&o->timer, spec->loop, order_on_timer, o);
    report(o, ORDER_RUNNING, NULL);
    steps[STATE_DIRECTORY].enter(o);
    return o;
}

/* Nothing is under way any more: withdraw. */
static void order_on_cancelled(struct order *o)
{
    struct failure f;
    failure_set(&f, "cancelled", "getting the certificate was cancelled");
    order_fail(o, &f);
}

void order_cancel(struct order *o)
{
    CHECK(o->magic == ORDER_MAGIC);
    if (o->is_cancelled) {
        return;
    }
    o->is_cancelled = true;
    if (o->state == STATE_CLEANUP) {
        return; /* it ends there as it is */
    }
    acme_client_cancel(o->spec.client);
    account_cancel(o->spec.account);
    propagation_cancel(o->propagation);
    o->propagation = NULL;
    keygen_cancel(o->keygen);
    o->keygen = NULL;
    loop_timer_clear(&o->timer);
    if (!o->is_dns_busy) {
        o->on_timer = order_on_cancelled; /* not from inside this call */
        loop_timer_set(&o->timer, 0);
    }
}

void order_abandon(struct order *o)
{
    if (o != NULL) {
        CHECK(o->magic == ORDER_MAGIC);
        order_destroy(o);
    }
}

const char *order_step(const struct order *o)
{
    return steps[o->state].name;
}
