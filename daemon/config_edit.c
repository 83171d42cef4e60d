/* config_edit: see config_edit.h. Called by the settings endpoints on the daemon's loop, and by
 * `wos config`. */
#include "daemon/config_edit.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/config.h"
#include "daemon/config_keys.h"

struct config_edit {
    char *home;    /* owned */
    char *path;    /* owned: what is written, links resolved */
    cJSON *before; /* owned; an object */
    cJSON *root;   /* owned; the object with the changes */
};

/* --- paths in the tree ------------------------------------------------------------- */

/* The object that holds the path's last member, whose name goes to *out_name (malloc'ed); made on
 * the way with `make`. NULL when there is none. */
static cJSON *parent_of(cJSON *root, const char *path, bool make, char **out_name)
{
    cJSON *at = root;
    struct str rest = str_of(path);
    struct str part;
    while (str_next(&rest, '.', &part)) {
        autofree char *name = str_dup(part);
        if (rest.ptr == NULL) {
            *out_name = name;
            name = NULL;
            return at;
        }
        cJSON *next = cJSON_GetObjectItemCaseSensitive(at, name);
        if (!cJSON_IsObject(next)) {
            if (!make) {
                return NULL;
            }
            cJSON_DeleteItemFromObjectCaseSensitive(at, name);
            next = cJSON_AddObjectToObject(at, name);
        }
        at = next;
    }
    return NULL;
}

static cJSON *tree_get(cJSON *root, const char *path)
{
    autofree char *name = NULL;
    const cJSON *parent = parent_of(root, path, false, &name);
    return parent == NULL ? NULL : cJSON_GetObjectItemCaseSensitive(parent, name);
}

/* Removes every member of that name: JSON may hold one twice. */
static bool tree_remove(cJSON *root, const char *path)
{
    autofree char *name = NULL;
    bool found = false;
    cJSON *parent = parent_of(root, path, false, &name);
    while (parent != NULL && cJSON_GetObjectItemCaseSensitive(parent, name) != NULL) {
        cJSON_DeleteItemFromObjectCaseSensitive(parent, name);
        found = true;
    }
    return found;
}

/* Takes the value. */
static void tree_set(cJSON *root, const char *path, cJSON *value)
{
    autofree char *name = NULL;
    (void)tree_remove(root, path);
    cJSON *parent = parent_of(root, path, true, &name);
    CHECK(parent != NULL && cJSON_AddItemToObject(parent, name, value));
}

/* Objects are merged, anything else replaces; null removes. A draft is as deep as the parser
 * allows (1000), which this recursion can take. */
// NOLINTNEXTLINE(misc-no-recursion)
static void tree_merge(cJSON *into, const cJSON *draft)
{
    const cJSON *node;
    cJSON_ArrayForEach(node, draft)
    {
        cJSON *there = cJSON_GetObjectItemCaseSensitive(into, node->string);
        if (cJSON_IsObject(node) && cJSON_IsObject(there)) {
            tree_merge(there, node);
            continue;
        }
        cJSON_DeleteItemFromObjectCaseSensitive(into, node->string);
        if (!cJSON_IsNull(node)) {
            (void)cJSON_AddItemToObject(into, node->string, cJSON_Duplicate(node, true));
        }
    }
}

/* --- life ---------------------------------------------------------------------------- */

struct config_edit *config_edit_open(const char *home, struct err *err)
{
    autofree char *path = path_join(home, "config.json");
    struct buf text = {0};
    struct err why = {.code = ERR_NONE};
    cJSON *root = NULL;
    if (file_read(path, CONFIG_SIZE_MAX, &text, &why) == 0) {
        root = json_parse(text.ptr == NULL ? STR("") : buf_str(&text), path, &why);
    } else if (why.code == ERR_NOT_FOUND) {
        root = cJSON_CreateObject();
    }
    if (text.ptr != NULL) {
        explicit_bzero(text.ptr, text.len);
    }
    buf_fini(&text);
    if (!cJSON_IsObject(root)) {
        (void)err_set(err, ERR_CONFIG, "%s; repair the file first",
                      root == NULL ? why.msg : "config.json must hold an object { … }");
        cJSON_Delete(root);
        return NULL;
    }
    struct config_edit *e = xcalloc(1, sizeof *e);
    e->home = xstrdup(home);
    e->path = path_real(path, NULL);
    if (e->path == NULL) {
        e->path = xstrdup(path);
    }
    e->root = root;
    e->before = cJSON_Duplicate(root, true);
    return e;
}

static void secrets_wipe(cJSON *root)
{
    for (size_t i = 0; i < config_key_count; i++) {
        cJSON *node = config_keys[i].is_secret ? tree_get(root, config_keys[i].path) : NULL;
        if (node != NULL && cJSON_IsString(node)) {
            explicit_bzero(node->valuestring, strlen(node->valuestring));
        }
    }
}

void config_edit_close(struct config_edit *e)
{
    if (e == NULL) {
        return;
    }
    secrets_wipe(e->root);
    secrets_wipe(e->before);
    cJSON_Delete(e->root);
    cJSON_Delete(e->before);
    free(e->home);
    free(e->path);
    free(e);
}

/* --- changes ---------------------------------------------------------------------------- */

static int unknown_key(const char *key, struct err *err)
{
    const char *nearest = config_key_nearest(key);
    return err_set(err, ERR_USAGE, "%.100s is not a key of config.json%s%s%s", key,
                   nearest == NULL ? "" : "; did you mean ", nearest == NULL ? "" : nearest,
                   nearest == NULL ? "" : "?");
}

static bool is_known(const char *key)
{
    return config_key_find(key) != NULL || config_key_is_block(key);
}

int config_edit_set(struct config_edit *e, const char *key, const cJSON *value, struct err *err)
{
    if (!is_known(key)) {
        return unknown_key(key, err);
    }
    if (value == NULL || cJSON_IsNull(value)) {
        (void)tree_remove(e->root, key);
    } else {
        tree_set(e->root, key, cJSON_Duplicate(value, true));
    }
    return 0;
}

int config_edit_unset(struct config_edit *e, const char *key, struct err *err)
{
    return tree_remove(e->root, key) || is_known(key) ? 0 : unknown_key(key, err);
}

/* Pages of settings have no form for the log: what a draft leaves out of it stays. */
static bool is_carried(const char *path)
{
    return str_starts(str_of(path), STR("logging."));
}

void config_edit_replace(struct config_edit *e, const cJSON *draft)
{
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (!key->is_secret && key->type != KEY_OTHER && !is_carried(key->path)) {
            (void)tree_remove(e->root, key->path);
        }
    }
    tree_merge(e->root, draft);
}

/* --- checking and writing ------------------------------------------------------------------ */

static struct config *config_of(const struct config_edit *e, const cJSON *root)
{
    char *text = json_print(root);
    struct config *c = config_parse(e->home, str_of(text));
    explicit_bzero(text, strlen(text));
    free(text);
    return c;
}

static bool had_problem(const struct config *c, const struct config_problem *problem)
{
    for (size_t i = 0; i < c->problem_count; i++) {
        if (strcmp(c->problems[i].key, problem->key) == 0 &&
            strcmp(c->problems[i].message, problem->message) == 0) {
            return true;
        }
    }
    return false;
}

cJSON *config_edit_errors(const struct config_edit *e)
{
    struct config *before = config_of(e, e->before);
    struct config *now = config_of(e, e->root);
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < now->problem_count; i++) {
        const struct config_problem *problem = &now->problems[i];
        if (problem->is_warning || problem->is_follow_up || had_problem(before, problem)) {
            continue; /* nothing is written, so nothing comes of it */
        }
        autofree char *fault = xstrndup(problem->message, problem->fault_len);
        cJSON *row = cJSON_CreateObject();
        (void)json_add_str(row, "field", problem->key);
        (void)json_add_str(row, "message", fault);
        (void)cJSON_AddItemToArray(list, row);
    }
    config_free(before);
    config_free(now);
    return list;
}

int config_edit_save(struct config_edit *e, struct err *err)
{
    char *text = cJSON_Print(e->root);
    CHECK(text != NULL);
    size_t len = strlen(text);
    int rc = -1;
    if (len >= CONFIG_SIZE_MAX) {
        (void)err_set(err, ERR_USAGE, "config.json would be larger than %d bytes", CONFIG_SIZE_MAX);
    } else if (dir_make(e->home, 0700, err) == 0) {
        rc = file_write_atomic(e->path, (struct str){text, len}, 0600, err);
    }
    explicit_bzero(text, len);
    cJSON_free(text);
    return rc;
}

/* --- showing and reading values -------------------------------------------------------------- */

cJSON *config_edit_json(const struct config_edit *e)
{
    cJSON *out = cJSON_CreateObject();
    cJSON *shown = cJSON_AddObjectToObject(out, "config");
    cJSON *secrets = cJSON_AddArrayToObject(out, "secrets");
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        const cJSON *node = tree_get(e->root, key->path);
        if (node == NULL || cJSON_IsNull(node) || !config_key_is_used(key)) {
            continue;
        }
        if (key->is_secret) {
            (void)cJSON_AddItemToArray(secrets, cJSON_CreateString(key->path));
        } else {
            tree_set(shown, key->path, cJSON_Duplicate(node, true));
        }
    }
    return out;
}

/* "a, b" */
static cJSON *list_value(const char *text)
{
    cJSON *list = cJSON_CreateArray();
    struct str rest = str_of(text);
    struct str part;
    while (str_next(&rest, ',', &part)) {
        autofree char *item = str_dup(str_trim(part));
        if (*item != '\0') {
            (void)cJSON_AddItemToArray(list, cJSON_CreateString(item));
        }
    }
    return list;
}

cJSON *config_edit_value(const char *key, const char *text, struct err *err)
{
    const struct config_key *row = config_key_find(key);
    struct err why = {.msg = ""};
    if (row == NULL && !config_key_is_block(key)) {
        (void)unknown_key(key, err);
        return NULL;
    }
    bool is_list =
        row != NULL && (row->type == KEY_IPS || row->type == KEY_TEXTS) && text[0] != '[';
    if (row != NULL && (row->type == KEY_STRING || row->type == KEY_WORD)) {
        return cJSON_CreateString(text);
    }
    if (is_list) {
        return list_value(text);
    }
    cJSON *value = json_parse(str_of(text), key, &why);
    if (value == NULL && row != NULL && row->type == KEY_DURATION) {
        return cJSON_CreateString(text); /* "5s" */
    }
    if (value == NULL) {
        char allowed[256] = "a JSON object";
        if (row != NULL) {
            config_key_allowed(row, allowed, sizeof allowed);
        }
        (void)err_set(err, ERR_USAGE, "%s must be %s, not '%.80s'", key, allowed, text);
    }
    return value;
}

bool config_edit_is_secret(const char *key)
{
    size_t len = strlen(key);
    for (size_t i = 0; i < config_key_count; i++) {
        const char *path = config_keys[i].path;
        bool holds = strncmp(path, key, len) == 0 && (path[len] == '\0' || path[len] == '.');
        if (holds && config_keys[i].is_secret) {
            return true;
        }
    }
    return strcmp(key, "aiProviders") == 0 || strcmp(key, "notifications") == 0;
}
