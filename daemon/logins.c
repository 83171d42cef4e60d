/* logins: see logins.h. Called by the supervisor (events) and the API, on the daemon's loop. */
#include "daemon/logins.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/accesskey.h"
#include "daemon/operations.h"
#include "routing/host.h"

enum { LOGINS_MAGIC = 0x6c6f6769, FILE_MAX = 64 << 20, ID_DIGITS = 16, ADDRESS_MAX = 46 };

static const int64_t LIFE_MS = (int64_t)LOGINS_DAYS * 24 * 3600 * 1000;

struct login {
    uint64_t id;
    char *host; /* owned, like the other texts */
    char *address;
    char *agent;
    int64_t created_ms; /* wall clock */
    int64_t seen_ms;
};

struct revoked {
    uint64_t id;
    int64_t until_ms; /* wall clock: its cookie has ended by then */
};

struct logins {
    uint32_t magic;
    struct publisher *publisher; /* borrowed */
    char *dir;                   /* owned: H/access */
    char *path;                  /* owned: its logins.json */
    struct login *items;         /* owned; oldest first */
    size_t count;
    struct revoked *revoked; /* owned; ids ascending */
    uint32_t revoked_count;
    bool has_key;
    uint8_t key[SNAPSHOT_ACCESS_KEY]; /* secret */
    char *error;                      /* owned; NULL: there is a key */
    struct loop_timer save_timer;
};

/* --- the lists ------------------------------------------------------------------ */

static bool id_parse(const char *text, uint64_t *out)
{
    uint64_t id = 0;
    if (strlen(text) != ID_DIGITS) {
        return false;
    }
    for (const char *p = text; *p != '\0'; p++) {
        bool is_digit = ascii_is_digit(*p);
        if (!is_digit && (*p < 'a' || *p > 'f')) {
            return false;
        }
        id = id << 4 | (uint64_t)(is_digit ? *p - '0' : *p - 'a' + 10);
    }
    *out = id;
    return true;
}

static void id_format(uint64_t id, char out[ID_DIGITS + 1])
{
    (void)snprintf(out, ID_DIGITS + 1, "%016" PRIx64, id);
}

static void login_drop(struct logins *l, size_t index)
{
    struct login *login = &l->items[index];
    free(login->host);
    free(login->address);
    free(login->agent);
    memmove(login, login + 1, (l->count - index - 1) * sizeof *login);
    l->count--;
}

static struct login *login_find(const struct logins *l, uint64_t id)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->items[i].id == id) {
            return &l->items[i];
        }
    }
    return NULL;
}

static void login_remove(struct logins *l, uint64_t id)
{
    struct login *login = login_find(l, id);
    if (login != NULL) {
        login_drop(l, (size_t)(login - l->items));
    }
}

/* Printable ASCII of at most `max` bytes; a peer chose it. */
static char *text_clean(const char *text, size_t max)
{
    char *out = xstrndup(text, strnlen(text, max));
    for (char *p = out; *p != '\0'; p++) {
        *p = *p >= ' ' && *p < 0x7f ? *p : '?';
    }
    return out;
}

static void login_add(struct logins *l, const struct login *from)
{
    login_remove(l, from->id);
    if (l->count == LOGINS_MAX) {
        login_drop(l, 0);
    }
    l->items = xrealloc(l->items, (l->count + 1) * sizeof *l->items);
    l->items[l->count++] = (struct login){
        .id = from->id,
        .host = text_clean(from->host, HOST_MAX),
        .address = text_clean(from->address, ADDRESS_MAX),
        .agent = text_clean(from->agent, LOGINS_AGENT_MAX),
        .created_ms = from->created_ms,
        .seen_ms = from->seen_ms,
    };
}

/* Where the id is, or has to go, in the ascending list. */
static uint32_t revoked_place(const struct logins *l, uint64_t id)
{
    uint32_t low = 0;
    uint32_t high = l->revoked_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (l->revoked[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void revoked_add(struct logins *l, uint64_t id, int64_t until_ms)
{
    uint32_t at = revoked_place(l, id);
    if (at < l->revoked_count && l->revoked[at].id == id) {
        return;
    }
    l->revoked = xrealloc(l->revoked, ((size_t)l->revoked_count + 1) * sizeof *l->revoked);
    memmove(&l->revoked[at + 1], &l->revoked[at], (l->revoked_count - at) * sizeof *l->revoked);
    l->revoked[at] = (struct revoked){.id = id, .until_ms = until_ms};
    l->revoked_count++;
}

/* Forgets what has ended by itself. */
static void prune(struct logins *l)
{
    int64_t now = clock_wall_ms();
    uint32_t kept = 0;
    for (uint32_t i = 0; i < l->revoked_count; i++) {
        if (l->revoked[i].until_ms > now) {
            l->revoked[kept++] = l->revoked[i];
        }
    }
    l->revoked_count = kept;
    while (l->count > 0 && l->items[0].created_ms + LIFE_MS <= now) {
        login_drop(l, 0);
    }
}

static void lists_clear(struct logins *l)
{
    while (l->count > 0) {
        login_drop(l, l->count - 1);
    }
    l->revoked_count = 0;
}

/* --- the file --------------------------------------------------------------------- */

static int save(struct logins *l, struct err *err)
{
    loop_timer_clear(&l->save_timer);
    prune(l);
    autojson cJSON *root = cJSON_CreateObject();
    cJSON *list = cJSON_AddArrayToObject(root, "logins");
    char id[ID_DIGITS + 1];
    for (size_t i = 0; i < l->count; i++) {
        cJSON *row = cJSON_CreateObject();
        id_format(l->items[i].id, id);
        (void)json_add_str(row, "id", id);
        (void)json_add_str(row, "host", l->items[i].host);
        (void)json_add_str(row, "address", l->items[i].address);
        (void)json_add_str(row, "userAgent", l->items[i].agent);
        (void)json_add_int(row, "createdMs", l->items[i].created_ms);
        (void)json_add_int(row, "lastSeenMs", l->items[i].seen_ms);
        (void)cJSON_AddItemToArray(list, row);
    }
    list = cJSON_AddArrayToObject(root, "revoked");
    for (uint32_t i = 0; i < l->revoked_count; i++) {
        cJSON *row = cJSON_CreateObject();
        id_format(l->revoked[i].id, id);
        (void)json_add_str(row, "id", id);
        (void)json_add_int(row, "untilMs", l->revoked[i].until_ms);
        (void)cJSON_AddItemToArray(list, row);
    }
    autofree char *text = json_print(root);
    return file_write_atomic(l->path, str_of(text), 0600, err);
}

static void logins_on_save(void *arg)
{
    struct logins *l = arg;
    struct err err = {.msg = ""};
    CHECK(l->magic == LOGINS_MAGIC);
    if (save(l, &err) < 0) {
        log_error("access", "the list of logins is not written", LOG_STR("error", err.msg));
    }
}

static void save_soon(struct logins *l)
{
    if (!loop_timer_is_set(&l->save_timer)) {
        loop_timer_set(&l->save_timer, LOGINS_SAVE_MS);
    }
}

static void load_logins(struct logins *l, const cJSON *list)
{
    const cJSON *row;
    cJSON_ArrayForEach(row, list)
    {
        struct login login = {
            .host = (char *)(uintptr_t)json_get_str(row, "host", ""),
            .address = (char *)(uintptr_t)json_get_str(row, "address", ""),
            .agent = (char *)(uintptr_t)json_get_str(row, "userAgent", ""),
            .created_ms = json_get_int(row, "createdMs", 0),
            .seen_ms = json_get_int(row, "lastSeenMs", 0),
        };
        if (id_parse(json_get_str(row, "id", ""), &login.id)) {
            login_add(l, &login); /* copies */
        }
    }
}

/* -1 when a revocation cannot be read. */
static int load_revoked(struct logins *l, const cJSON *list, struct err *err)
{
    const cJSON *row;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > SNAPSHOT_REVOKED_MAX) {
        return err_set(err, ERR_FAILED, "%s has no usable list of revoked logins", l->path);
    }
    cJSON_ArrayForEach(row, list)
    {
        uint64_t id;
        int64_t until_ms = json_get_int(row, "untilMs", -1);
        if (!id_parse(json_get_str(row, "id", ""), &id) || until_ms < 0) {
            return err_set(err, ERR_FAILED, "%s has a revoked login that makes no sense", l->path);
        }
        revoked_add(l, id, until_ms);
    }
    return 0;
}

/* -1 when there may be revocations that are not known. */
static int load(struct logins *l, struct err *err)
{
    struct buf text = {0};
    if (file_read(l->path, FILE_MAX, &text, err) < 0) {
        buf_fini(&text);
        return err->code == ERR_NOT_FOUND ? 0 : -1;
    }
    autojson cJSON *root = json_parse(buf_str(&text), l->path, err);
    buf_fini(&text);
    if (root == NULL || load_revoked(l, json_get(root, "revoked"), err) < 0) {
        return -1;
    }
    load_logins(l, json_get(root, "logins"));
    return 0;
}

/* --- life --------------------------------------------------------------------------- */

static void publish(struct logins *l)
{
    if (!l->has_key) {
        return;
    }
    autofree uint64_t *ids = xcalloc((size_t)l->revoked_count + 1, sizeof *ids);
    for (uint32_t i = 0; i < l->revoked_count; i++) {
        ids[i] = l->revoked[i].id;
    }
    publisher_set_access(l->publisher, l->key, ids, l->revoked_count);
}

static void take_key(struct logins *l, int rc, const struct err *err)
{
    free(l->error);
    l->error = rc < 0 ? xstrdup(err->msg) : NULL;
    l->has_key = l->has_key || rc == 0;
    if (rc < 0) {
        log_error("access", "routes of access secret are closed: there is no key",
                  LOG_STR("error", err->msg));
    }
}

struct logins *logins_new(struct loop *loop, const char *home, struct publisher *publisher)
{
    struct logins *l = xcalloc(1, sizeof *l);
    struct err err = {.msg = ""};
    l->magic = LOGINS_MAGIC;
    l->publisher = publisher;
    l->dir = path_join(home, "access");
    l->path = path_join(l->dir, "logins.json");
    loop_timer_init(&l->save_timer, loop, logins_on_save, l);
    if (load(l, &err) < 0) {
        log_warn("access", "the list of logins cannot be read: everybody has to log in again",
                 LOG_STR("error", err.msg));
        lists_clear(l);
        take_key(l, accesskey_renew(l->dir, l->key, &err), &err);
        if (l->has_key) {
            logins_on_save(l);
        }
    } else {
        take_key(l, accesskey_load(l->dir, l->key, &err), &err);
    }
    prune(l);
    publish(l);
    return l;
}

void logins_free(struct logins *l)
{
    if (l == NULL) {
        return;
    }
    CHECK(l->magic == LOGINS_MAGIC);
    if (loop_timer_is_set(&l->save_timer)) {
        logins_on_save(l);
    }
    loop_timer_fini(&l->save_timer);
    lists_clear(l);
    OPENSSL_cleanse(l->key, sizeof l->key);
    free(l->items);
    free(l->revoked);
    free(l->dir);
    free(l->path);
    free(l->error);
    l->magic = 0;
    free(l);
}

/* --- changes --------------------------------------------------------------------------- */

/* The id is revoked and published; -1 when there are too many or it is not written. */
static int revoke_id(struct logins *l, uint64_t id, struct err *err)
{
    prune(l);
    if (l->revoked_count == SNAPSHOT_REVOKED_MAX) {
        return err_set(err, ERR_REFUSED,
                       "there are %d revoked logins already; `wos access revoke --all` ends every "
                       "login with a new key",
                       SNAPSHOT_REVOKED_MAX);
    }
    login_remove(l, id);
    revoked_add(l, id, clock_wall_ms() + LIFE_MS);
    publish(l);
    if (save(l, err) < 0) {
        return err_wrap(err, "revoked until the daemon ends, but not written");
    }
    return 0;
}

static void take_seen(struct logins *l, const cJSON *ids)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, ids)
    {
        uint64_t id;
        struct login *known =
            cJSON_IsString(item) && id_parse(item->valuestring, &id) ? login_find(l, id) : NULL;
        if (known != NULL) {
            known->seen_ms = clock_wall_ms();
            save_soon(l);
        }
    }
}

void logins_on_event(struct logins *l, const cJSON *event)
{
    uint64_t id;
    struct err err = {.msg = ""};
    CHECK(l->magic == LOGINS_MAGIC);
    const char *kind = json_get_str(event, "event", "");
    if (strcmp(kind, "seen") == 0) {
        take_seen(l, json_get(event, "ids"));
        return;
    }
    if (!id_parse(json_get_str(event, "id", ""), &id)) {
        return;
    }
    int64_t now = clock_wall_ms();
    if (strcmp(kind, "login") == 0) {
        const struct login login = {
            .id = id,
            .host = (char *)(uintptr_t)json_get_str(event, "host", ""),
            .address = (char *)(uintptr_t)json_get_str(event, "address", ""),
            .agent = (char *)(uintptr_t)json_get_str(event, "agent", ""),
            .created_ms = now,
            .seen_ms = now,
        };
        login_add(l, &login);
        log_info("access", "somebody has logged in", LOG_STR("host", login.host),
                 LOG_STR("address", login.address));
        save_soon(l);
    } else if (strcmp(kind, "logout") == 0 && revoke_id(l, id, &err) < 0) {
        log_error("access", "a logout is not complete", LOG_STR("error", err.msg));
    }
}

int logins_revoke(struct logins *l, const char *text, struct err *err)
{
    uint64_t id;
    if (!id_parse(text, &id)) {
        return err_set(err, ERR_USAGE, "\"%.40s\" is not a login's id: %d digits of 0-9 and a-f",
                       text, ID_DIGITS);
    }
    uint32_t at = revoked_place(l, id);
    if (at < l->revoked_count && l->revoked[at].id == id) {
        return 0;
    }
    if (login_find(l, id) == NULL) {
        return err_set(err, ERR_NOT_FOUND, "nobody is logged in as %.40s", text);
    }
    return revoke_id(l, id, err);
}

int logins_revoke_all(struct logins *l, struct err *err)
{
    if (accesskey_renew(l->dir, l->key, err) < 0) {
        return -1;
    }
    take_key(l, 0, NULL);
    lists_clear(l);
    publish(l);
    if (save(l, err) < 0) { /* the key has changed: what the file says of logins is history */
        log_warn("access", "the list of logins is not written", LOG_STR("error", err->msg));
        err_clear(err);
    }
    return 0;
}

cJSON *logins_json(const struct logins *l)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = l->count; i > 0; i--) {
        const struct login *login = &l->items[i - 1];
        char id[ID_DIGITS + 1];
        id_format(login->id, id);
        autofree char *created = time_text(login->created_ms);
        autofree char *seen = time_text(login->seen_ms);
        autofree char *expires = time_text(login->created_ms + LIFE_MS);
        cJSON *row = cJSON_CreateObject();
        (void)json_add_str(row, "id", id);
        (void)json_add_str(row, "host", login->host);
        (void)json_add_str(row, "address", login->address);
        (void)json_add_str(row, "userAgent", login->agent);
        (void)json_add_str(row, "createdAt", created);
        (void)json_add_str(row, "lastSeenAt", seen);
        (void)json_add_str(row, "expiresAt", expires);
        (void)cJSON_AddItemToArray(list, row);
    }
    return list;
}

const char *logins_error(const struct logins *l)
{
    return l->error;
}
