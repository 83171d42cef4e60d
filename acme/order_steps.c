/* order_steps: DIRECTORY, ACCOUNT, ORDER and AUTHZ of an order (order_impl.h). */
#include <stdio.h>
#include <stdlib.h>

#include "acme/jws.h"
#include "acme/order_impl.h"
#include "base/json.h"

/* True when the profile is one the CA offers, or it offers none to choose from. */
static bool profile_is_fine(struct order *o, struct failure *f)
{
    const char *profile = o->spec.settings->profile;
    const cJSON *profiles = json_get(acme_client_meta(o->spec.client), "profiles");
    if (profile == NULL || (profiles != NULL && json_get(profiles, profile) != NULL)) {
        return true;
    }
    struct buf names = {0};
    const cJSON *item;
    cJSON_ArrayForEach(item, profiles)
    {
        if (item->string != NULL && names.len < 200) {
            buf_printf(&names, "%s%.60s", names.len == 0 ? "" : ", ", item->string);
        }
    }
    failure_set(f, "order", "the CA has no profile \"%.60s\"; it has: %s", profile,
                names.len == 0 ? "none (remove letsencrypt.profile)" : buf_cstr(&names));
    f->is_permanent = true;
    buf_fini(&names);
    return false;
}

static void directory_on_reply(void *arg, const struct acme_client_reply *reply)
{
    struct order *o = arg;
    CHECK(o->magic == ORDER_MAGIC);
    struct failure f;
    if (reply->failure != NULL) {
        order_fail(o, reply->failure);
    } else if (!profile_is_fine(o, &f)) {
        order_fail(o, &f);
    } else {
        order_go(o, STATE_ACCOUNT);
    }
}

void order_enter_directory(struct order *o)
{
    acme_client_directory(o->spec.client, directory_on_reply, o);
}

static void account_on_done(void *arg, const struct failure *failure)
{
    struct order *o = arg;
    CHECK(o->magic == ORDER_MAGIC);
    if (failure != NULL) {
        order_fail(o, failure);
    } else {
        order_go(o, STATE_ORDER);
    }
}

void order_enter_account(struct order *o)
{
    account_ensure(o->spec.account, o->is_verified, account_on_done, o);
}

/* The list of authorizations; false with a failure when the answer is not an order. */
static bool order_take(struct order *o, const cJSON *json, struct failure *f)
{
    const cJSON *list = json_get(json, "authorizations");
    const char *finalize = json_get_str(json, "finalize", NULL);
    int count = cJSON_GetArraySize(list);
    if (finalize == NULL || count < 1 || count > ORDER_AUTHZ_MAX) {
        failure_set(f, "order", "the CA's order cannot be understood: %s",
                    finalize == NULL ? "no finalize URL" : "no or too many authorizations");
        return false;
    }
    order_forget_authz(o);
    free(o->finalize_url);
    o->finalize_url = xstrdup(finalize);
    o->authz = xcalloc((size_t)count, sizeof *o->authz);
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        const char *url = cJSON_GetStringValue(item);
        if (url != NULL) {
            o->authz[o->authz_count++].url = xstrdup(url);
        }
    }
    return true;
}

/* A resumed order or one just made: on to where it stands. */
static void order_dispatch(struct order *o, const struct acme_client_reply *reply)
{
    struct failure f;
    const char *status = json_get_str(reply->json, "status", "");
    if (!order_take(o, reply->json, &f)) {
        order_fail_dead(o, &f);
    } else if (strcmp(status, "pending") == 0) {
        order_go(o, STATE_AUTHZ);
    } else if (strcmp(status, "ready") == 0) {
        order_go(o, STATE_FINALIZE);
    } else if (o->pending.key != NULL &&
               (strcmp(status, "processing") == 0 || strcmp(status, "valid") == 0)) {
        order_go(o, STATE_ISSUANCE);
    } else {
        failure_set(&f, "order", "the CA's new order is %.40s", status);
        order_fail_dead(o, &f);
    }
}

static void new_order(struct order *o);

/* Refusals that can be helped at once; true: under way again. */
static bool order_mend(struct order *o, const struct acme_client_reply *reply)
{
    const struct failure *f = reply->failure;
    bool account_gone = strcmp(f->type, "accountDoesNotExist") == 0 ||
                        (strcmp(f->type, "unauthorized") == 0 && reply->status != 0);
    if (account_gone && !o->is_verified) {
        o->is_verified = true;
        order_go(o, STATE_ACCOUNT);
        return true;
    }
    bool about_replaces = strcmp(f->type, "alreadyReplaced") == 0 || reply->status == 409 ||
                          strcmp(f->type, "malformed") == 0;
    if (about_replaces && o->spec.replaces != NULL && !o->no_replaces) {
        o->no_replaces = true;
        new_order(o);
        return true;
    }
    return false;
}

static void new_order_on_reply(void *arg, const struct acme_client_reply *reply)
{
    struct order *o = arg;
    CHECK(o->magic == ORDER_MAGIC);
    struct failure f;
    struct err err;
    if (reply->failure != NULL) {
        if (!order_mend(o, reply)) {
            order_fail(o, reply->failure);
        }
        return;
    }
    if (reply->location == NULL) {
        failure_set(&f, "order", "the CA made an order but did not say where (no Location)");
        order_fail(o, &f);
        return;
    }
    pending_fini(&o->pending);
    o->pending = (struct pending){
        .directory = xstrdup(o->spec.settings->directory),
        .account_url = xstrdup(account_url(o->spec.account)),
        .order_url = xstrdup(reply->location),
        .names = pending_names(o->spec.names, o->spec.name_count),
        .created_at = clock_wall_ms() / 1000,
    };
    if (order_keep(o, &err) < 0) {
        failure_set_err(&f, "storage", &err);
        order_fail(o, &f);
        return;
    }
    order_dispatch(o, reply);
}

static void new_order(struct order *o)
{
    const char *profile = o->spec.settings->profile;
    autojson cJSON *payload = cJSON_CreateObject();
    cJSON *list = cJSON_AddArrayToObject(payload, "identifiers");
    for (size_t i = 0; i < o->spec.name_count; i++) {
        cJSON *item = cJSON_CreateObject();
        CHECK(item != NULL && cJSON_AddItemToArray(list, item));
        json_add_str(item, "type", "dns");
        json_add_str(item, "value", o->spec.names[i]);
    }
    if (profile != NULL) {
        json_add_str(payload, "profile", profile);
    }
    /* RFC 9773 section 5: only where the CA knows what it means. */
    if (o->spec.replaces != NULL && !o->no_replaces &&
        acme_client_url(o->spec.client, CLIENT_RENEWAL_INFO) != NULL) {
        json_add_str(payload, "replaces", o->spec.replaces);
    }
    struct acme_client_post post = {.phase = "order",
                                    .resource = CLIENT_NEW_ORDER,
                                    .signer = CLIENT_BY_ACCOUNT,
                                    .payload = payload};
    acme_client_post(o->spec.client, &post, new_order_on_reply, o);
}

static void resumed_on_reply(void *arg, const struct acme_client_reply *reply)
{
    struct order *o = arg;
    CHECK(o->magic == ORDER_MAGIC);
    const char *status = json_get_str(reply->json, "status", "");
    bool known = reply->failure == NULL;
    if (!known && (reply->status == 0 || reply->status >= 500 || reply->status == 429)) {
        order_fail(o, reply->failure); /* the order may be fine: kept for the next attempt */
        return;
    }
    bool has_key = o->pending.key != NULL;
    if (!known || strcmp(status, "invalid") == 0 ||
        (!has_key && (strcmp(status, "valid") == 0 || strcmp(status, "processing") == 0))) {
        order_forget(o);
        new_order(o);
        return;
    }
    order_note(o, "taking up the order that was under way");
    order_dispatch(o, reply);
}

void order_enter_order(struct order *o)
{
    const char *path = o->spec.pending_path;
    autofree char *names = pending_names(o->spec.names, o->spec.name_count);
    struct pending found = {.key = NULL};
    if (path != NULL && o->redone == 0 && pending_load(path, clock_wall_ms() / 1000, &found)) {
        if (strcmp(found.directory, o->spec.settings->directory) == 0 &&
            strcmp(found.names, names) == 0 &&
            strcmp(found.account_url, account_url(o->spec.account)) == 0) {
            pending_fini(&o->pending);
            o->pending = found;
            order_read(o, o->pending.order_url, "order", resumed_on_reply);
            return;
        }
        pending_fini(&found);
    }
    order_forget(o);
    new_order(o);
}

static const cJSON *dns01_of(const cJSON *json)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, json_get(json, "challenges"))
    {
        if (strcmp(json_get_str(item, "type", ""), "dns-01") == 0) {
            return item;
        }
    }
    return NULL;
}

/* What an open authorization needs. */
static bool challenge_take(struct order *o, struct authz *z, const cJSON *challenge,
                           struct failure *f)
{
    const char *token = json_get_str(challenge, "token", "");
    const char *url = json_get_str(challenge, "url", NULL);
    struct buf value = {0};
    struct err err;
    if (url == NULL || token[0] == '\0' || strlen(token) > 256) {
        failure_set(f, "order", "the CA offers no DNS-01 challenge for %.200s", z->name);
        return false;
    }
    if (jws_dns01_value(acme_client_key(o->spec.client), token, &value, &err) < 0) {
        failure_set_err(f, "account", &err);
        return false;
    }
    z->challenge = xstrdup(url);
    z->value = buf_take(&value);
    z->is_pending = strcmp(json_get_str(challenge, "status", ""), "pending") == 0;
    return true;
}

static bool authz_take(struct order *o, struct authz *z, const cJSON *json, struct failure *f)
{
    const char *status = json_get_str(json, "status", "");
    const char *name = json_get_str(json_get(json, "identifier"), "value", NULL);
    if (name == NULL || strlen(name) > 255) {
        failure_set(f, "order", "the CA's authorization names no host");
        return false;
    }
    free(z->name);
    z->name = xstrdup(name);
    if (strcmp(status, "valid") == 0) {
        return true;
    }
    if (strcmp(status, "pending") != 0) {
        failure_set(f, "validation", "the CA's authorization for %.200s is %.40s", name, status);
        return false;
    }
    z->is_open = true;
    return challenge_take(o, z, dns01_of(json), f);
}

static void authz_on_reply(void *arg, const struct acme_client_reply *reply)
{
    struct order *o = arg;
    CHECK(o->magic == ORDER_MAGIC);
    struct failure f;
    if (reply->failure != NULL) {
        order_fail(o, reply->failure);
        return;
    }
    if (!authz_take(o, &o->authz[o->at], reply->json, &f)) {
        if (o->redone++ < ORDER_REDO_MAX && o->pending.order_url != NULL) {
            order_forget(o); /* a stale one: order anew */
            order_go(o, STATE_ORDER);
        } else {
            order_fail_dead(o, &f);
        }
        return;
    }
    o->at++;
    order_enter_authz(o);
}

void order_enter_authz(struct order *o)
{
    if (o->at < o->authz_count) {
        order_read(o, o->authz[o->at].url, "order", authz_on_reply);
        return;
    }
    for (size_t i = 0; i < o->authz_count; i++) {
        if (o->authz[i].is_open) {
            order_go(o, STATE_PRESENT);
            return;
        }
    }
    order_note(o, "all names are authorized already");
    order_go(o, STATE_FINALIZE);
}
