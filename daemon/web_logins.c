/* web_logins: see web_logins.h. Called by api/login.c on the daemon's loop. */
#include "daemon/web_logins.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/accesskey.h"
#include "daemon/operations.h"

enum {
    LOGINS_MAGIC = 0x776c6f67,
    TOKEN_BYTES = 32,
    FILE_MAX = 1 << 20,
    ADDRESS_MAX = 46,
    SEEN_MS = 60000, /* how exact "last seen" is */
    SAVE_MS = 1000,
};

#define TOKEN_START "v2."

static const int64_t LIFE_MS = (int64_t)WEB_LOGINS_DAYS * 24 * 3600 * 1000;

struct web_login {
    char id[WEB_LOGIN_ID + 1];                 /* the digest's first digits */
    char digest[SHA256_DIGEST_LENGTH * 2 + 1]; /* of the cookie's value */
    char *address;                             /* owned, as the next */
    char *agent;
    int64_t created_ms; /* wall clock */
    int64_t seen_ms;
};

struct web_logins {
    uint32_t magic;
    char *dir;               /* owned: H/web */
    char *path;              /* owned: its logins.json */
    struct web_login *items; /* owned; oldest first */
    size_t count;
    bool has_key; /* to tell whether the secret is still the same without keeping it */
    uint8_t key[SNAPSHOT_ACCESS_KEY];
    char *secret_digest; /* owned; hex; NULL: nobody signed in yet */
    struct loop_timer save_timer;
};

/* --- texts -------------------------------------------------------------------------------- */

static void hex(const uint8_t *bytes, size_t count, char *out)
{
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(out + i * 2, 3, "%02x", bytes[i]);
    }
}

/* Printable ASCII of at most `max` bytes; a peer chose it. */
static char *text_clean(const char *text, size_t max)
{
    char *out = xstrndup(text == NULL ? "" : text, text == NULL ? 0 : strnlen(text, max));
    for (char *p = out; *p != '\0'; p++) {
        *p = *p >= ' ' && *p < 0x7f ? *p : '?';
    }
    return out;
}

static void token_digest(struct str token, char out[SHA256_DIGEST_LENGTH * 2 + 1])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    (void)SHA256((const uint8_t *)token.ptr, token.len, digest);
    hex(digest, sizeof digest, out);
}

/* --- the list ------------------------------------------------------------------------------- */

static void drop(struct web_logins *l, size_t index)
{
    struct web_login *login = &l->items[index];
    free(login->address);
    free(login->agent);
    memmove(login, login + 1, (l->count - index - 1) * sizeof *login);
    l->count--;
}

static void drop_all(struct web_logins *l)
{
    while (l->count > 0) {
        drop(l, l->count - 1);
    }
}

static void append(struct web_logins *l, const char *digest, const char *address, const char *agent,
                   int64_t created_ms, int64_t seen_ms)
{
    if (l->count == WEB_LOGINS_MAX) {
        drop(l, 0);
    }
    l->items = xrealloc(l->items, (l->count + 1) * sizeof *l->items);
    struct web_login *login = &l->items[l->count++];
    *login = (struct web_login){
        .address = text_clean(address, ADDRESS_MAX),
        .agent = text_clean(agent, WEB_LOGIN_AGENT_MAX),
        .created_ms = created_ms,
        .seen_ms = seen_ms,
    };
    (void)snprintf(login->digest, sizeof login->digest, "%s", digest);
    (void)snprintf(login->id, sizeof login->id, "%.*s", WEB_LOGIN_ID, digest);
}

/* --- the file ------------------------------------------------------------------------------- */

static int save(struct web_logins *l, struct err *err)
{
    loop_timer_clear(&l->save_timer);
    autojson cJSON *root = cJSON_CreateObject();
    (void)json_add_str(root, "secretDigest", l->secret_digest);
    cJSON *list = cJSON_AddArrayToObject(root, "logins");
    for (size_t i = 0; i < l->count; i++) {
        const struct web_login *login = &l->items[i];
        cJSON *item = cJSON_CreateObject();
        (void)json_add_str(item, "digest", login->digest);
        (void)json_add_str(item, "address", login->address);
        (void)json_add_str(item, "userAgent", login->agent);
        (void)json_add_int(item, "createdMs", login->created_ms);
        (void)json_add_int(item, "seenMs", login->seen_ms);
        (void)cJSON_AddItemToArray(list, item);
    }
    autofree char *text = json_print(root);
    return dir_make(l->dir, 0700, err) < 0 ? -1
                                           : file_write_atomic(l->path, str_of(text), 0600, err);
}

static void on_save_timer(void *arg)
{
    struct web_logins *l = arg;
    CHECK(l->magic == LOGINS_MAGIC);
    struct err err = {.msg = ""};
    if (save(l, &err) < 0) {
        log_warn("web", "who was seen when is not kept", LOG_STR("error", err.msg));
    }
}

static bool is_digest(const char *text)
{
    return strlen(text) == SHA256_DIGEST_LENGTH * 2 &&
           strspn(text, "0123456789abcdef") == SHA256_DIGEST_LENGTH * 2;
}

static void load(struct web_logins *l)
{
    struct buf text = {0};
    struct err err = {.msg = ""};
    if (file_read(l->path, FILE_MAX, &text, &err) < 0) {
        if (err.code != ERR_NOT_FOUND) {
            log_warn("web", "nobody is signed in any more", LOG_STR("error", err.msg));
        }
        buf_fini(&text);
        return;
    }
    autojson cJSON *root = json_parse(buf_str(&text), l->path, NULL);
    buf_fini(&text);
    const char *digest = json_get_str(root, "secretDigest", NULL);
    l->secret_digest = digest == NULL ? NULL : xstrdup(digest);
    const cJSON *item;
    cJSON_ArrayForEach(item, json_get(root, "logins"))
    {
        const char *of = json_get_str(item, "digest", "");
        if (is_digest(of)) {
            append(l, of, json_get_str(item, "address", ""), json_get_str(item, "userAgent", ""),
                   json_get_int(item, "createdMs", 0), json_get_int(item, "seenMs", 0));
        }
    }
}

/* --- life ------------------------------------------------------------------------------------ */

struct web_logins *web_logins_new(struct loop *loop, const char *home)
{
    struct web_logins *l = xcalloc(1, sizeof *l);
    struct err err = {.msg = ""};
    l->magic = LOGINS_MAGIC;
    l->dir = path_join(home, "web");
    l->path = path_join(l->dir, "logins.json");
    loop_timer_init(&l->save_timer, loop, on_save_timer, l);
    l->has_key = accesskey_load(l->dir, l->key, &err) == 0;
    if (!l->has_key) {
        log_warn("web", "nobody can sign in to the web UI", LOG_STR("error", err.msg));
    } else {
        load(l);
    }
    return l;
}

void web_logins_free(struct web_logins *l)
{
    if (l == NULL) {
        return;
    }
    CHECK(l->magic == LOGINS_MAGIC);
    if (loop_timer_is_set(&l->save_timer)) {
        on_save_timer(l);
    }
    loop_timer_fini(&l->save_timer);
    drop_all(l);
    OPENSSL_cleanse(l->key, sizeof l->key);
    free(l->items);
    free(l->secret_digest);
    free(l->dir);
    free(l->path);
    l->magic = 0;
    free(l);
}

/* False when nobody can be signed in. With another secret than before, nobody is. */
static bool take_secret(struct web_logins *l, const char *secret)
{
    if (!l->has_key || secret == NULL || *secret == '\0') {
        return false;
    }
    uint8_t digest[SNAPSHOT_ACCESS_KEY];
    char text[SNAPSHOT_ACCESS_KEY * 2 + 1];
    accesskey_digest(l->key, secret, digest);
    hex(digest, sizeof digest, text);
    if (l->secret_digest == NULL || strcmp(l->secret_digest, text) != 0) {
        drop_all(l);
        free(l->secret_digest);
        l->secret_digest = xstrdup(text);
        loop_timer_set(&l->save_timer, SAVE_MS);
    }
    return true;
}

char *web_logins_add(struct web_logins *l, const char *secret, const char *address,
                     const char *agent, int64_t now_ms, struct err *err)
{
    uint8_t random[TOKEN_BYTES];
    char text[TOKEN_BYTES * 2 + 1];
    char digest[SHA256_DIGEST_LENGTH * 2 + 1];
    if (!take_secret(l, secret) || RAND_bytes(random, sizeof random) != 1) {
        (void)err_set(err, ERR_FAILED, "logins cannot be kept; see the daemon's log");
        return NULL;
    }
    hex(random, sizeof random, text);
    char *token = xasprintf(TOKEN_START "%s", text);
    OPENSSL_cleanse(random, sizeof random);
    OPENSSL_cleanse(text, sizeof text);
    token_digest(str_of(token), digest);
    append(l, digest, address, agent, now_ms, now_ms);
    if (save(l, err) < 0) {
        drop(l, l->count - 1);
        OPENSSL_cleanse(token, strlen(token));
        free(token);
        return NULL;
    }
    return token;
}

const char *web_logins_find(struct web_logins *l, const char *secret, struct str token,
                            int64_t now_ms)
{
    if (token.len != sizeof TOKEN_START - 1 + (size_t)TOKEN_BYTES * 2 || !take_secret(l, secret)) {
        return NULL;
    }
    char digest[SHA256_DIGEST_LENGTH * 2 + 1];
    token_digest(token, digest);
    for (size_t i = l->count; i > 0; i--) {
        struct web_login *login = &l->items[i - 1];
        if (CRYPTO_memcmp(login->digest, digest, sizeof digest) != 0) {
            continue;
        }
        if (now_ms - login->created_ms > LIFE_MS) {
            drop(l, i - 1);
            loop_timer_set(&l->save_timer, SAVE_MS);
            return NULL;
        }
        if (now_ms - login->seen_ms > SEEN_MS) {
            login->seen_ms = now_ms;
            loop_timer_set(&l->save_timer, SAVE_MS);
        }
        return login->id;
    }
    return NULL;
}

int web_logins_revoke(struct web_logins *l, const char *id, struct err *err)
{
    for (size_t i = 0; i < l->count; i++) {
        if (strcmp(l->items[i].id, id) == 0) {
            drop(l, i);
            return save(l, err);
        }
    }
    return err_set(err, ERR_NOT_FOUND, "no device is signed in with id %.40s", id);
}

int web_logins_revoke_all(struct web_logins *l, struct err *err)
{
    drop_all(l);
    return save(l, err);
}

cJSON *web_logins_json(const struct web_logins *l, const char *current)
{
    cJSON *out = cJSON_CreateArray();
    for (size_t i = l->count; i > 0; i--) {
        const struct web_login *login = &l->items[i - 1];
        autofree char *created = time_text(login->created_ms);
        autofree char *seen = time_text(login->seen_ms);
        autofree char *expires = time_text(login->created_ms + LIFE_MS);
        cJSON *item = cJSON_CreateObject();
        (void)json_add_str(item, "id", login->id);
        (void)json_add_str(item, "address", login->address);
        (void)json_add_str(item, "userAgent", login->agent);
        (void)json_add_str(item, "createdAt", created);
        (void)json_add_str(item, "lastSeenAt", seen);
        (void)json_add_str(item, "expiresAt", expires);
        (void)json_add_bool(item, "current", current != NULL && strcmp(current, login->id) == 0);
        (void)cJSON_AddItemToArray(out, item);
    }
    return out;
}
