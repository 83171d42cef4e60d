/* renewer_actions: what a renewer does at the CA besides orders (renewer_impl.h): asking for
 * the suggested window, revoking, deactivating the account. */
#include <stdio.h>
#include <stdlib.h>
#include <openssl/x509.h>

#include "acme/jws.h"
#include "acme/pending.h"
#include "acme/renewer_impl.h"
#include "base/json.h"

enum { ASK_AGAIN_SECONDS = 3600, ASK_NEVER_SECONDS = 86400 };

static int64_t wall(void)
{
    return clock_wall_ms() / 1000;
}

/* --- ask (RFC 9773) --- */

/* Answers are never a failure of the certificate: dates decide then. */
static void ask_end(struct renewer *r, int64_t again_at)
{
    r->ask_at = again_at;
    renewer_end(r, NULL);
}

static void ask_on_window(void *arg, const struct acme_client_reply *reply)
{
    struct renewer *r = arg;
    CHECK(r->magic == RENEWER_MAGIC);
    int64_t now = wall();
    int64_t old_start = r->state.ari.start;
    int64_t old_end = r->state.ari.end;
    if (reply->failure != NULL ||
        ari_read(&r->state.ari, r->cert_id, reply->json, reply->retry_at, now, NULL) < 0) {
        int64_t at = reply->retry_at > now ? reply->retry_at : now + ASK_AGAIN_SECONDS;
        ask_end(r, at < now + ASK_NEVER_SECONDS ? at : now + ASK_NEVER_SECONDS);
        return;
    }
    renewer_save(r);
    if (r->state.ari.start != old_start || r->state.ari.end != old_end) {
        char when[32];
        cert_time_format(r->state.ari.selected_at, when, sizeof when);
        autofree char *text = xasprintf("the CA suggests to renew on %s%s%s", when,
                                        r->state.ari.explanation[0] == '\0' ? "" : "; see ",
                                        r->state.ari.explanation);
        renewer_step(r, "renewal-info", ORDER_DONE, text);
    }
    ask_end(r, r->state.ari.ask_at);
}

static void ask_on_directory(void *arg, const struct acme_client_reply *reply)
{
    struct renewer *r = arg;
    CHECK(r->magic == RENEWER_MAGIC);
    const char *base = acme_client_url(r->client, CLIENT_RENEWAL_INFO);
    if (reply->failure != NULL) {
        ask_end(r, wall() + ASK_AGAIN_SECONDS);
        return;
    }
    if (base == NULL) {
        ask_end(r, wall() + ASK_NEVER_SECONDS);
        return;
    }
    size_t len = strlen(base);
    autofree char *url = xasprintf("%s%s%s", base, base[len - 1] == '/' ? "" : "/", r->cert_id);
    acme_client_get(r->client, url, ask_on_window, r);
}

void renewer_run_ask(struct renewer *r)
{
    r->client = acme_client_new(r->spec.loop, r->spec.fetch, r->settings);
    acme_client_directory(r->client, ask_on_directory, r);
}

/* --- revoke (RFC 8555 section 7.6) --- */

static void revoke_on_reply(void *arg, const struct acme_client_reply *reply)
{
    struct renewer *r = arg;
    CHECK(r->magic == RENEWER_MAGIC);
    struct err err;
    struct failure f;
    bool done = reply->failure == NULL || strcmp(reply->failure->type, "alreadyRevoked") == 0;
    if (!done) {
        renewer_step(r, "revoke", ORDER_FAILED, reply->failure->message);
        renewer_end(r, reply->failure);
        return;
    }
    if (storage_remove(r->spec.dir, r->spec.kind, &err) < 0) {
        failure_set_err(&f, "storage", &err);
        renewer_step(r, "revoke", ORDER_FAILED, f.message);
        renewer_end(r, &f);
        return;
    }
    renewer_step(r, "revoke", ORDER_DONE, NULL);
    pending_remove(r->pending_path);
    renewer_drop(r);
    renewer_end(r, NULL);
}

/* Signed with the certificate's own key: no account is needed for that. */
static void revoke_begin(struct renewer *r)
{
    struct err err;
    struct failure f;
    uint8_t *der = NULL;
    struct buf text = {0};
    EVP_PKEY *key = cert_key_parse(buf_str(&r->bundle.key_pem), &err);
    int len = key == NULL ? -1 : i2d_X509(r->bundle.cert->leaf, &der);
    if (len < 0) {
        EVP_PKEY_free(key);
        failure_set(&f, "key", "the stored certificate or its key cannot be used");
        renewer_end(r, &f);
        return;
    }
    b64url_encode((struct str){(const char *)der, (size_t)len}, &text);
    OPENSSL_free(der);
    autojson cJSON *payload = cJSON_CreateObject();
    CHECK(payload != NULL);
    json_add_str(payload, "certificate", buf_cstr(&text));
    buf_fini(&text);
    acme_client_set_account(r->client, key, NULL);
    EVP_PKEY_free(key);
    struct acme_client_post post = {.phase = "order",
                                    .resource = CLIENT_REVOKE_CERT,
                                    .signer = CLIENT_BY_KEY,
                                    .payload = payload};
    acme_client_post(r->client, &post, revoke_on_reply, r);
}

void renewer_run_revoke(struct renewer *r)
{
    struct failure f;
    renewer_step(r, "revoke", ORDER_RUNNING, NULL);
    if (r->bundle.cert == NULL || strcmp(r->bundle.directory, r->spec.settings->directory) != 0) {
        failure_set(&f, "resolve",
                    r->bundle.cert == NULL
                        ? "there is no stored certificate to revoke"
                        : "the stored certificate is of another directory than the configured one");
        renewer_step(r, "revoke", ORDER_FAILED, f.message);
        renewer_end(r, &f);
        return;
    }
    r->client = acme_client_new(r->spec.loop, r->spec.fetch, r->settings);
    revoke_begin(r);
}

/* --- deactivate the account (RFC 8555 section 7.3.6) --- */

static void deactivate_on_done(void *arg, const struct failure *failure)
{
    struct renewer *r = arg;
    CHECK(r->magic == RENEWER_MAGIC);
    renewer_step(r, "deactivate", failure == NULL ? ORDER_DONE : ORDER_FAILED,
                 failure == NULL ? NULL : failure->message);
    renewer_end(r, failure);
}

void renewer_run_deactivate(struct renewer *r)
{
    struct failure f;
    renewer_step(r, "deactivate", ORDER_RUNNING, NULL);
    r->client = acme_client_new(r->spec.loop, r->spec.fetch, r->settings);
    r->account = account_new(r->client, r->settings, r->spec.dir);
    if (account_url(r->account)[0] == '\0') {
        failure_set(&f, "account", "there is no account at this directory to deactivate");
        deactivate_on_done(r, &f);
        return;
    }
    account_deactivate(r->account, deactivate_on_done, r);
}
