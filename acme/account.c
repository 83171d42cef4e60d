/* account: see account.h. Called by the order and by the renewer's own actions. */
#include "acme/account.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acme/account_file.h"
#include "acme/jws.h"
#include "base/auto.h"
#include "base/json.h"

enum { ACCOUNT_MAGIC = 0x61636374 };

static const char phase[] = "account";

struct account {
    uint32_t magic;
    struct acme_client *client;           /* borrowed */
    const struct acme_settings *settings; /* borrowed */
    const char *dir;                      /* borrowed */
    char *path;                           /* owned */
    struct account_file file;             /* key NULL: none yet */
    account_done_fn *done;                /* NULL: idle */
    void *arg;
    bool only_existing; /* the request under way asks for an account by its key */
    bool is_replaced;   /* a second key was made in this call: no third */
};

static void finish(struct account *a, const struct failure *failure)
{
    account_done_fn *done = a->done;
    a->done = NULL;
    done(a->arg, failure);
}

static void finish_err(struct account *a, const struct err *err)
{
    struct failure f;
    failure_set_err(&f, phase, err);
    finish(a, &f);
}

/* The client signs with what is there now. */
static void use(struct account *a)
{
    const char *url = a->file.url;
    acme_client_set_account(a->client, a->file.key, url == NULL || url[0] == '\0' ? NULL : url);
}

static int save(struct account *a, struct err *err)
{
    return account_file_save(a->path, a->settings->directory, a->settings->email, &a->file, err);
}

static int key_make(struct account *a, struct err *err)
{
    struct account_file fresh = {.url = xstrdup(""), .created_at = clock_wall_ms() / 1000};
    fresh.key = jws_key_new(err);
    if (fresh.key == NULL) {
        free(fresh.url);
        return -1;
    }
    account_file_fini(&a->file);
    a->file = fresh;
    return save(a, err);
}

static void register_account(struct account *a, bool only_existing);

/* What a CA says of an account that it does not have or serve any more (RFC 8555 6.7, 7.3.6). */
static bool is_dead(const struct failure *failure)
{
    return strcmp(failure->type, "unauthorized") == 0 ||
           strcmp(failure->type, "accountDoesNotExist") == 0;
}

/* RFC 8555 7.3: the key may have an account we have forgotten the URL of. */
static bool account_recover(struct account *a, const struct acme_client_reply *reply)
{
    struct err err;
    if (a->only_existing && strcmp(reply->failure->type, "accountDoesNotExist") == 0) {
        register_account(a, false);
        return true;
    }
    if (!is_dead(reply->failure) || a->is_replaced) {
        return false;
    }
    a->is_replaced = true;
    if (key_make(a, &err) < 0) {
        finish_err(a, &err);
        return true;
    }
    register_account(a, false);
    return true;
}

static void account_on_registered(void *arg, const struct acme_client_reply *reply)
{
    struct account *a = arg;
    CHECK(a->magic == ACCOUNT_MAGIC);
    struct err err;
    if (reply->failure != NULL) {
        if (!account_recover(a, reply)) {
            finish(a, reply->failure);
        }
        return;
    }
    struct failure f;
    const char *status = json_get_str(reply->json, "status", "valid");
    if (strcmp(status, "valid") != 0) {
        failure_set(&f, phase, "the CA says the account is %.40s", status);
        (void)snprintf(f.type, sizeof f.type, "unauthorized");
        struct acme_client_reply refused = {.failure = &f, .status = reply->status};
        if (!account_recover(a, &refused)) {
            finish(a, &f);
        }
        return;
    }
    if (reply->location == NULL) {
        failure_set(&f, phase, "the CA made an account but did not say where (no Location)");
        finish(a, &f);
        return;
    }
    free(a->file.url);
    a->file.url = xstrdup(reply->location);
    use(a);
    if (save(a, &err) < 0) {
        finish_err(a, &err);
        return;
    }
    finish(a, NULL);
}

static cJSON *contact_of(const struct acme_settings *settings)
{
    cJSON *list = cJSON_CreateArray();
    autofree char *mail = xasprintf("mailto:%s", settings->email);
    CHECK(list != NULL && cJSON_AddItemToArray(list, cJSON_CreateString(mail)));
    return list;
}

/* Adds the external account binding; -1 with an error for a key that cannot be read. */
static int eab_add(struct account *a, cJSON *payload, struct err *err)
{
    struct buf eab = {0};
    const char *url = acme_client_url(a->client, CLIENT_NEW_ACCOUNT);
    int result =
        jws_sign_eab(a->file.key, a->settings->eab_kid, a->settings->eab_hmac_key, url, &eab, err);
    if (result == 0) {
        CHECK(cJSON_AddRawToObject(payload, "externalAccountBinding", buf_cstr(&eab)) != NULL);
    }
    buf_fini(&eab);
    return result;
}

/* newAccount. The directory is known here. */
static void register_account(struct account *a, bool only_existing)
{
    struct err err;
    autojson cJSON *payload = cJSON_CreateObject();
    CHECK(payload != NULL);
    a->only_existing = only_existing;
    if (only_existing) {
        json_add_bool(payload, "onlyReturnExisting", true);
    } else {
        json_add_bool(payload, "termsOfServiceAgreed", true);
        if (a->settings->email != NULL && a->settings->email[0] != '\0') {
            CHECK(cJSON_AddItemToObject(payload, "contact", contact_of(a->settings)));
        }
        if (a->settings->eab_kid != NULL && eab_add(a, payload, &err) < 0) {
            finish_err(a, &err);
            return;
        }
    }
    acme_client_set_account(a->client, a->file.key, NULL);
    struct acme_client_post post = {.phase = phase,
                                    .resource = CLIENT_NEW_ACCOUNT,
                                    .signer = CLIENT_BY_KEY,
                                    .payload = payload};
    acme_client_post(a->client, &post, account_on_registered, a);
}

/* The account was taken over from another address's file. */
static void account_on_contact(void *arg, const struct acme_client_reply *reply)
{
    struct account *a = arg;
    CHECK(a->magic == ACCOUNT_MAGIC);
    struct err err;
    if (reply->failure != NULL && is_dead(reply->failure)) {
        a->is_replaced = true;
        if (key_make(a, &err) < 0) {
            finish_err(a, &err);
            return;
        }
        register_account(a, false);
        return;
    }
    if (reply->failure != NULL) {
        /* It is still the other address's account, and tried again as that. An address that the
         * CA refuses (invalidContact) would be refused for a new account as well. */
        account_file_fini(&a->file);
        acme_client_set_account(a->client, NULL, NULL);
        finish(a, reply->failure);
        return;
    }
    if (save(a, &err) < 0) {
        finish_err(a, &err);
        return;
    }
    finish(a, NULL);
}

static void contact_update(struct account *a)
{
    autojson cJSON *payload = cJSON_CreateObject();
    CHECK(payload != NULL && cJSON_AddItemToObject(payload, "contact", contact_of(a->settings)));
    use(a);
    struct acme_client_post post = {
        .phase = phase, .url = a->file.url, .signer = CLIENT_BY_ACCOUNT, .payload = payload};
    acme_client_post(a->client, &post, account_on_contact, a);
}

static void account_on_directory(void *arg, const struct acme_client_reply *reply)
{
    struct account *a = arg;
    CHECK(a->magic == ACCOUNT_MAGIC);
    struct err err;
    if (reply->failure != NULL) {
        finish(a, reply->failure);
        return;
    }
    if (a->file.key == NULL) {
        /* Perhaps another renewer has made one since we looked. */
        (void)account_file_load(a->path, a->settings->directory, &a->file);
    }
    if (a->file.key != NULL && a->file.url[0] != '\0' && !a->only_existing) {
        use(a);
        finish(a, NULL);
        return;
    }
    if (a->file.key == NULL && account_file_find(a->dir, a->settings->directory, &a->file)) {
        contact_update(a);
        return;
    }
    if (a->file.key == NULL && key_make(a, &err) < 0) {
        finish_err(a, &err);
        return;
    }
    register_account(a, a->only_existing);
}

struct account *account_new(struct acme_client *client, const struct acme_settings *settings,
                            const char *dir)
{
    struct account *a = xcalloc(1, sizeof *a);
    a->magic = ACCOUNT_MAGIC;
    a->client = client;
    a->settings = settings;
    a->dir = dir;
    a->path = account_path(dir, settings->directory, settings->email);
    (void)account_file_load(a->path, settings->directory, &a->file);
    return a;
}

void account_free(struct account *a)
{
    if (a == NULL) {
        return;
    }
    CHECK(a->magic == ACCOUNT_MAGIC);
    account_cancel(a);
    account_file_fini(&a->file);
    free(a->path);
    a->magic = 0;
    free(a);
}

const char *account_url(const struct account *a)
{
    return a->file.url == NULL ? "" : a->file.url;
}

void account_ensure(struct account *a, bool verify, account_done_fn *done, void *arg)
{
    CHECK(a->magic == ACCOUNT_MAGIC && a->done == NULL);
    a->done = done;
    a->arg = arg;
    a->only_existing = verify;
    a->is_replaced = false;
    acme_client_directory(a->client, account_on_directory, a);
}

static void account_on_deactivated(void *arg, const struct acme_client_reply *reply)
{
    struct account *a = arg;
    CHECK(a->magic == ACCOUNT_MAGIC);
    if (reply->failure != NULL && strcmp(reply->failure->type, "accountDoesNotExist") != 0 &&
        reply->status != 401 && reply->status != 403) {
        finish(a, reply->failure);
        return;
    }
    account_file_delete(a->dir, a->file.url);
    account_file_fini(&a->file);
    acme_client_set_account(a->client, NULL, NULL);
    finish(a, NULL);
}

void account_deactivate(struct account *a, account_done_fn *done, void *arg)
{
    CHECK(a->magic == ACCOUNT_MAGIC && a->done == NULL);
    autojson cJSON *payload = cJSON_CreateObject();
    CHECK(payload != NULL);
    json_add_str(payload, "status", "deactivated");
    a->done = done;
    a->arg = arg;
    use(a);
    struct acme_client_post post = {
        .phase = phase, .url = account_url(a), .signer = CLIENT_BY_ACCOUNT, .payload = payload};
    acme_client_post(a->client, &post, account_on_deactivated, a);
}

void account_cancel(struct account *a)
{
    if (a->done != NULL) {
        a->done = NULL;
        acme_client_cancel(a->client);
    }
}
