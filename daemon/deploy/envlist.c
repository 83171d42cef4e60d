/* envlist: environments as "K=V" arrays. Called by deployment
 * when it starts a service; daemon thread. */
#include "daemon/deploy/envlist.h"

#include <stdlib.h>

#include "base/auto.h"

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
