/* envlist: environments as "K=V" arrays, and env files. Called by deployment
 * when it starts a service; daemon thread. */
#include "daemon/deploy/envlist.h"

#include <stdlib.h>

#include "base/auto.h"
#include "base/file.h"

enum { ENVFILE_MAX = 1024 * 1024 };

static bool item_has_key(const char *item, struct str key)
{
    return strncmp(item, key.ptr, key.len) == 0 && item[key.len] == '=';
}

static void envlist_reserve(struct envlist *list)
{
    if (list->count + 2 > list->cap) {
        list->cap = list->cap == 0 ? 64 : list->cap * 2;
        list->items = xrealloc(list->items, list->cap * sizeof(char *));
    }
}

void envlist_set(struct envlist *list, struct str key, struct str value)
{
    struct buf item = {0};
    buf_add_str(&item, key);
    buf_add_char(&item, '=');
    buf_add_str(&item, value);
    for (size_t i = 0; i < list->count; i++) {
        if (item_has_key(list->items[i], key)) {
            free(list->items[i]);
            list->items[i] = buf_take(&item);
            return;
        }
    }
    envlist_reserve(list);
    list->items[list->count++] = buf_take(&item);
    list->items[list->count] = NULL;
}

void envlist_add_all(struct envlist *list, const char *const *env)
{
    for (size_t i = 0; env != NULL && env[i] != NULL; i++) {
        struct str item = str_of(env[i]);
        size_t at = str_find(item, '=');
        if (at == 0 || at == item.len) {
            continue;
        }
        envlist_set(list, (struct str){item.ptr, at},
                    (struct str){item.ptr + at + 1, item.len - at - 1});
    }
}

const char *envlist_get(const struct envlist *list, const char *key)
{
    struct str name = str_of(key);
    for (size_t i = 0; i < list->count; i++) {
        if (item_has_key(list->items[i], name)) {
            return list->items[i] + name.len + 1;
        }
    }
    return NULL;
}

const char *const *envlist_array(struct envlist *list)
{
    envlist_reserve(list);
    list->items[list->count] = NULL;
    return (const char *const *)list->items;
}

void envlist_fini(struct envlist *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i]);
    }
    free(list->items);
    *list = (struct envlist){0};
}

static bool key_is_valid(struct str key)
{
    if (key.len == 0 || ascii_is_digit(key.ptr[0])) {
        return false;
    }
    for (size_t i = 0; i < key.len; i++) {
        char c = ascii_lower(key.ptr[i]);
        if (!(c >= 'a' && c <= 'z') && !ascii_is_digit(c) && c != '_' && c != '.' && c != '-') {
            return false;
        }
    }
    return true;
}

static struct str value_unquote(struct str value)
{
    if (value.len >= 2 && (value.ptr[0] == '"' || value.ptr[0] == '\'') &&
        value.ptr[value.len - 1] == value.ptr[0]) {
        return (struct str){value.ptr + 1, value.len - 2};
    }
    return value;
}

int envfile_parse(struct str text, const char *file, struct envlist *list, struct err *err)
{
    if (text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL) {
        return err_set(err, ERR_CONFIG, "%s: holds a NUL byte; it must be text", file);
    }
    struct str line;
    for (unsigned number = 1; str_next(&text, '\n', &line); number++) {
        if (line.len > 0 && line.ptr[line.len - 1] == '\r') {
            line.len--;
        }
        line = str_trim(line);
        if (line.len == 0 || line.ptr[0] == '#') {
            continue;
        }
        size_t at = str_find(line, '=');
        struct str key = str_trim((struct str){line.ptr, at});
        if (at == line.len || !key_is_valid(key)) {
            return err_set(err, ERR_CONFIG,
                           "%s:%u: not a KEY=value line; blank lines and # comments are allowed",
                           file, number);
        }
        struct str value = str_trim((struct str){line.ptr + at + 1, line.len - at - 1});
        envlist_set(list, key, value_unquote(value));
    }
    return 0;
}

int envfile_load(const char *path, struct envlist *list, struct err *err)
{
    struct buf text = {0};
    int rc = file_read(path, ENVFILE_MAX, &text, err);
    if (rc == 0) {
        rc = envfile_parse(buf_str(&text), path, list, err);
    } else {
        err->code = ERR_CONFIG;
        (void)err_wrap(err, "env_file");
    }
    buf_fini(&text);
    return rc;
}

bool envfile_names(const char *path, const char *name)
{
    struct buf text = {0};
    bool is_named = false;
    if (file_read(path, ENVFILE_MAX, &text, NULL) == 0) {
        struct str rest = buf_str(&text);
        struct str line;
        while (str_next(&rest, '\n', &line)) {
            line = str_trim(line);
            line.len -= line.len > 0 && line.ptr[line.len - 1] == '\r';
            if (str_starts(line, STR("export "))) {
                line = str_trim((struct str){line.ptr + 7, line.len - 7});
            }
            struct str key = {line.ptr, str_find(line, '=')};
            is_named = is_named || str_eq(str_trim(key), str_of(name));
        }
    }
    buf_fini(&text);
    return is_named;
}
