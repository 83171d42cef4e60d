/* order_issue: FINALIZE, ISSUANCE and DOWNLOAD of an order (order_impl.h): the key, the
 * request, the wait for the certificate, and the chain people prefer, checked. */
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "acme/csr.h"
#include "acme/jws.h"
#include "acme/order_impl.h"
#include "acme/storage.h"
#include "base/json.h"
#include "certs/issue.h"

enum { READY_LIMIT_MS = 60 * 1000, ISSUANCE_LIMIT_MS = 10 * 60 * 1000 };

/* The order's own error, or its state. */
static void fail_order(struct order *o, const cJSON *json)
{
    struct failure f;
    const cJSON *error = json_get(json, "error");
    if (error != NULL) {
        acme_client_problem(&f, "issuance", 400, error);
    } else {
        failure_set(&f, "issuance", "the CA's order became %.40s",
                    json_get_str(json, "status", "something unknown"));
    }
    order_fail_dead(o, &f);
}

static void finalize_on_reply(void *arg, const struct acme_client_reply *reply)
{
    struct order *o = arg;
    CHECK(o->magic == ORDER_MAGIC);
    if (reply->failure == NULL) {
        order_go(o, STATE_ISSUANCE);
        return;
    }
    bool may_be_taken = strcmp(reply->failure->type, "orderNotReady") == 0;
    bool passing = reply->status == 0 || reply->status == 429 || reply->status >= 500;
    if (may_be_taken) {
        /* Perhaps an answer got lost and it was taken the first time: the order tells. */
        order_go(o, STATE_ISSUANCE);
    } else if (passing) {
        order_fail(o, reply->failure);
    } else {
        order_fail_dead(o, reply->failure);
    }
}

static void finalize(struct order *o)
{
    struct err err;
    struct failure f;
    struct buf der = {0};
    struct buf text = {0};
    if (csr_make(o->pending.key, o->spec.names, o->spec.name_count, &der, &err) < 0) {
        failure_set_err(&f, "key", &err);
        buf_fini(&der);
        order_fail(o, &f);
        return;
    }
    b64url_encode(buf_str(&der), &text);
    buf_fini(&der);
    autojson cJSON *payload = cJSON_CreateObject();
    CHECK(payload != NULL);
    json_add_str(payload, "csr", buf_cstr(&text));
    buf_fini(&text);
    struct acme_client_post post = {.phase = "issuance",
                                    .url = o->finalize_url,
                                    .signer = CLIENT_BY_ACCOUNT,
                                    .payload = payload};
    acme_client_post(o->spec.client, &post, finalize_on_reply, o);
}

static void finalize_on_key(void *arg, EVP_PKEY *key, const struct err *key_err)
{
    struct order *o = arg;
    CHECK(o->magic == ORDER_MAGIC);
    struct failure f;
    struct err err;
    o->keygen = NULL;
    if (key == NULL) {
        failure_set_err(&f, "key", key_err);
        order_fail(o, &f);
        return;
    }
    EVP_PKEY_free(o->pending.key);
    o->pending.key = key;
    if (order_keep(o, &err) < 0) {
        failure_set_err(&f, "storage", &err);
        order_fail(o, &f);
        return;
    }
    finalize(o);
}

static void ready_next(struct order *o);

static void ready_on_reply(void *arg, const struct acme_client_reply *reply)
{
    struct order *o = arg;
    CHECK(o->magic == ORDER_MAGIC);
    struct failure f;
    struct err err;
    const char *status = json_get_str(reply->json, "status", "");
    if (reply->failure != NULL) {
        order_fail(o, reply->failure);
    } else if (strcmp(status, "pending") == 0) {
        if (!order_poll_later(o, reply->retry_at, ready_next)) {
            failure_set(&f, "issuance", "the CA's order did not get ready");
            order_fail_dead(o, &f);
        }
    } else if (o->pending.key != NULL &&
               (strcmp(status, "processing") == 0 || strcmp(status, "valid") == 0)) {
        order_go(o, STATE_ISSUANCE);
    } else if (strcmp(status, "ready") != 0) {
        fail_order(o, reply->json);
    } else if (o->pending.key != NULL && keygen_fits(o->pending.key, o->spec.settings->key_type)) {
        finalize(o); /* a key of before a restart */
    } else {
        o->keygen =
            keygen_start(o->spec.loop, o->spec.settings->key_type, finalize_on_key, o, &err);
        if (o->keygen == NULL) {
            failure_set_err(&f, "key", &err);
            order_fail(o, &f);
        }
    }
}

/* Authorizations can be valid a moment before the order is ready. */
static void ready_next(struct order *o)
{
    order_read(o, o->pending.order_url, "issuance", ready_on_reply);
}

void order_enter_finalize(struct order *o)
{
    order_poll_begin(o, READY_LIMIT_MS);
    ready_next(o);
}

static void issuance_next(struct order *o);

static void issuance_on_reply(void *arg, const struct acme_client_reply *reply)
{
    struct order *o = arg;
    CHECK(o->magic == ORDER_MAGIC);
    struct failure f;
    const char *status = json_get_str(reply->json, "status", "");
    const char *url = json_get_str(reply->json, "certificate", NULL);
    if (reply->failure != NULL) {
        order_fail(o, reply->failure);
    } else if (strcmp(status, "valid") == 0 && url != NULL) {
        free(o->certificate_url);
        o->certificate_url = xstrdup(url);
        order_go(o, STATE_DOWNLOAD);
    } else if (strcmp(status, "processing") != 0 && strcmp(status, "valid") != 0) {
        fail_order(o, reply->json);
    } else if (!order_poll_later(o, reply->retry_at, issuance_next)) {
        failure_set(&f, "issuance",
                    "the CA has not made the certificate within %d minutes; the order is taken up "
                    "again with the next attempt",
                    ISSUANCE_LIMIT_MS / 60000);
        order_fail(o, &f);
    }
}

static void issuance_next(struct order *o)
{
    order_read(o, o->pending.order_url, "issuance", issuance_on_reply);
}

void order_enter_issuance(struct order *o)
{
    order_poll_begin(o, ISSUANCE_LIMIT_MS);
    issuance_next(o);
}

/* True when an issuer in the chain has the wanted common name in its own. */
static bool chain_is_preferred(struct str chain_pem, const char *wanted)
{
    struct cert *cert = cert_parse(chain_pem, NULL);
    bool found = false;
    for (int i = -1; cert != NULL && !found && i < sk_X509_num(cert->chain); i++) {
        X509 *x509 = i < 0 ? cert->leaf : sk_X509_value(cert->chain, i);
        char name[256] = "";
        (void)X509_NAME_get_text_by_NID(X509_get_issuer_name(x509), NID_commonName, name,
                                        sizeof name);
        found = strstr(name, wanted) != NULL;
    }
    cert_free(cert);
    return found;
}

static void check_and_finish(struct order *o)
{
    struct err err;
    struct failure f;
    struct buf key = {0};
    struct cert *cert = NULL;
    if (issue_key_pem(o->pending.key, &key, &err) == 0) {
        cert = storage_check(buf_str(&o->chain), buf_str(&key), o->spec.names, o->spec.name_count,
                             clock_wall_ms() / 1000, &err);
    }
    issue_buf_wipe(&key);
    if (cert == NULL) {
        failure_set(&f, "validate-cert", "the CA's certificate is refused: %s", err.msg);
        order_fail_dead(o, &f);
        return;
    }
    cert_free(cert);
    order_go(o, STATE_CLEANUP);
}

/* <url>;rel="alternate" (RFC 8555 section 7.4.2); others are passed over. */
static void alternates_read(struct order *o, const struct fetch *fetch)
{
    for (size_t i = 0; i < 64 && o->alternate_count < ORDER_ALTERNATES_MAX; i++) {
        struct str link = fetch_header_at(fetch, "link", i);
        if (link.ptr == NULL) {
            return;
        }
        struct str rest = str_trim(link);
        size_t end = str_find(rest, '>');
        if (rest.len < 3 || rest.ptr[0] != '<' || end == rest.len) {
            continue;
        }
        autofree char *parameters = str_dup((struct str){rest.ptr + end, rest.len - end});
        if (strstr(parameters, "rel=\"alternate\"") != NULL ||
            strstr(parameters, "rel=alternate") != NULL) {
            o->alternates[o->alternate_count++] = str_dup((struct str){rest.ptr + 1, end - 1});
        }
    }
}

static void alternate_on_reply(void *arg, const struct acme_client_reply *reply)
{
    struct order *o = arg;
    CHECK(o->magic == ORDER_MAGIC);
    const char *wanted = o->spec.settings->preferred_chain;
    if (reply->failure == NULL && chain_is_preferred(reply->body, wanted)) {
        buf_fini(&o->chain);
        buf_add_str(&o->chain, reply->body);
        check_and_finish(o);
        return;
    }
    o->at++;
    if (o->at < o->alternate_count) {
        order_read(o, o->alternates[o->at], "issuance", alternate_on_reply);
        return;
    }
    order_note(o, "the CA has no chain with letsencrypt.preferredChain; the first one is used");
    check_and_finish(o);
}

static void download_on_reply(void *arg, const struct acme_client_reply *reply)
{
    struct order *o = arg;
    CHECK(o->magic == ORDER_MAGIC);
    const char *wanted = o->spec.settings->preferred_chain;
    if (reply->failure != NULL) {
        order_fail(o, reply->failure);
        return;
    }
    buf_add_str(&o->chain, reply->body);
    if (wanted == NULL || chain_is_preferred(buf_str(&o->chain), wanted)) {
        check_and_finish(o);
        return;
    }
    alternates_read(o, reply->fetch);
    if (o->alternate_count == 0) {
        order_note(o, "the CA has no chain with letsencrypt.preferredChain; the first one is used");
        check_and_finish(o);
        return;
    }
    order_read(o, o->alternates[0], "issuance", alternate_on_reply);
}

void order_enter_download(struct order *o)
{
    order_read(o, o->certificate_url, "issuance", download_on_reply);
}
