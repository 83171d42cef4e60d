/* order_dns: PRESENT, PROPAGATE, RESPOND and POLL of an order (order_impl.h): TXT records
 * are written where the CA will look, seen there, and only then the CA is asked to look. */
#include <stdlib.h>

#include "acme/order_impl.h"
#include "base/json.h"

enum { VALIDATION_LIMIT_MS = 5 * 60 * 1000 };

/* The next open authorization at or after `at`; NULL: none. */
static struct authz *open_at(struct order *o)
{
    while (o->at < o->authz_count && !o->authz[o->at].is_open) {
        o->at++;
    }
    return o->at < o->authz_count ? &o->authz[o->at] : NULL;
}

static void cancelled(struct order *o)
{
    struct failure f;
    failure_set(&f, "cancelled", "getting the certificate was cancelled");
    order_fail(o, &f);
}

static void present_on_done(void *arg, const struct failure *failure)
{
    struct order *o = arg;
    CHECK(o->magic == ORDER_MAGIC);
    o->is_dns_busy = false;
    if (o->is_cancelled) {
        cancelled(o);
    } else if (failure != NULL) {
        order_fail(o, failure);
    } else {
        o->at++;
        order_enter_present(o);
    }
}

static void present(struct order *o)
{
    struct authz *z = &o->authz[o->at];
    z->is_presented = true; /* before it is: withdrawing what is not there does no harm */
    o->is_dns_busy = true;
    dns01_present(o->spec.dns, z->record, z->value, present_on_done, o);
}

static void delegate_on_name(void *arg, const char *text, const struct failure *failure)
{
    struct order *o = arg;
    CHECK(o->magic == ORDER_MAGIC);
    o->propagation = NULL;
    if (text == NULL) {
        order_fail(o, failure);
        return;
    }
    o->authz[o->at].record = xstrdup(text);
    present(o);
}

void order_enter_present(struct order *o)
{
    struct authz *z = open_at(o);
    if (z == NULL) {
        order_go(o, STATE_PROPAGATE);
        return;
    }
    autofree char *name = xasprintf("_acme-challenge.%s", z->name);
    /* A domain and its wildcard: the same name, asked once. */
    for (size_t i = 0; i < o->at; i++) {
        if (o->authz[i].record != NULL && strcmp(o->authz[i].name, z->name) == 0) {
            z->record = xstrdup(o->authz[i].record);
            present(o);
            return;
        }
    }
    o->propagation =
        propagation_delegate(o->spec.loop, o->spec.settings, name, delegate_on_name, o);
}

static void propagate_on_note(void *arg, const char *text)
{
    struct order *o = arg;
    CHECK(o->magic == ORDER_MAGIC);
    order_note(o, text);
}

static void propagate_on_done(void *arg, const struct failure *failure)
{
    struct order *o = arg;
    CHECK(o->magic == ORDER_MAGIC);
    o->propagation = NULL;
    if (failure != NULL) {
        order_fail(o, failure);
    } else {
        order_go(o, STATE_RESPOND);
    }
}

void order_enter_propagate(struct order *o)
{
    struct propagation_record records[ORDER_AUTHZ_MAX];
    size_t count = 0;
    for (size_t i = 0; i < o->authz_count; i++) {
        if (o->authz[i].is_open) {
            records[count++] = (struct propagation_record){o->authz[i].record, o->authz[i].value};
        }
    }
    o->propagation = propagation_wait(o->spec.loop, o->spec.settings, records, count,
                                      propagate_on_note, propagate_on_done, o);
}

static void respond_on_reply(void *arg, const struct acme_client_reply *reply)
{
    struct order *o = arg;
    CHECK(o->magic == ORDER_MAGIC);
    /* "malformed" is also said of one that was answered already: its state tells. */
    if (reply->failure != NULL && strcmp(reply->failure->type, "malformed") != 0 &&
        reply->status != 409) {
        order_fail(o, reply->failure);
        return;
    }
    o->at++;
    order_enter_respond(o);
}

void order_enter_respond(struct order *o)
{
    struct authz *z = open_at(o);
    while (z != NULL && !z->is_pending) {
        o->at++; /* answered before a restart */
        z = open_at(o);
    }
    if (z == NULL) {
        order_go(o, STATE_POLL);
        return;
    }
    autojson cJSON *payload = cJSON_CreateObject();
    struct acme_client_post post = {.phase = "validation",
                                    .url = z->challenge,
                                    .signer = CLIENT_BY_ACCOUNT,
                                    .payload = payload};
    acme_client_post(o->spec.client, &post, respond_on_reply, o);
}

/* The challenge's error says most. */
static void fail_validation(struct order *o, const struct authz *z, const cJSON *json)
{
    struct failure f;
    const cJSON *item;
    const cJSON *error = NULL;
    cJSON_ArrayForEach(item, json_get(json, "challenges"))
    {
        error = error == NULL ? json_get(item, "error") : error;
    }
    acme_client_problem(&f, "validation", 400, error);
    struct failure named;
    if (error == NULL) {
        failure_set(&named, "validation", "the CA's authorization for %.200s is %.40s", z->name,
                    json_get_str(json, "status", "unknown"));
    } else {
        failure_set(&named, "validation", "%.120s was not validated: %s", z->name, f.message);
        memcpy(named.type, f.type, sizeof named.type);
    }
    order_fail_dead(o, &named);
}

static void poll_next(struct order *o);

static void poll_on_reply(void *arg, const struct acme_client_reply *reply)
{
    struct order *o = arg;
    CHECK(o->magic == ORDER_MAGIC);
    struct authz *z = &o->authz[o->at];
    const char *status = json_get_str(reply->json, "status", "");
    struct failure f;
    if (reply->failure != NULL) {
        order_fail(o, reply->failure);
    } else if (strcmp(status, "valid") == 0) {
        z->is_open = false;
        o->at++;
        poll_next(o);
    } else if (strcmp(status, "pending") != 0 && strcmp(status, "processing") != 0) {
        z->is_open = false;
        fail_validation(o, z, reply->json);
    } else if (!order_poll_later(o, reply->retry_at, poll_next)) {
        failure_set(&f, "validation", "the CA has not validated %.200s within %d minutes", z->name,
                    VALIDATION_LIMIT_MS / 60000);
        order_fail(o, &f);
    }
}

static void poll_next(struct order *o)
{
    struct authz *z = open_at(o);
    if (z == NULL) {
        order_go(o, STATE_FINALIZE);
    } else {
        order_read(o, z->url, "validation", poll_on_reply);
    }
}

void order_enter_poll(struct order *o)
{
    order_poll_begin(o, VALIDATION_LIMIT_MS);
    poll_next(o);
}
