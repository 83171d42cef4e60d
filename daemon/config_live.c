/* config_live: a running configuration takes over values of a newer reading of the file. Called
 * when settings were saved (daemon/api/endpoints_settings.c), on the daemon's loop. */
#include <string.h>

#include "base/auto.h"
#include "daemon/config.h"
#include "daemon/config_keys.h"

static size_t slot_size(enum config_type type)
{
    switch (type) {
    case KEY_BOOL:
        return sizeof(bool);
    case KEY_INT:
    case KEY_DURATION:
    case KEY_WORD:
        return sizeof(uint32_t);
    case KEY_STRING:
        return sizeof(char *);
    case KEY_IPS:
        return sizeof(struct config_ips);
    case KEY_TEXTS:
        return sizeof(struct config_texts);
    case KEY_OTHER:
        break;
    }
    return 0;
}

static void bytes_swap(void *a, void *b, size_t size)
{
    uint8_t copy[sizeof(struct config_ips) + sizeof(void *)];
    CHECK(size <= sizeof copy);
    memcpy(copy, a, size);
    memcpy(a, b, size);
    memcpy(b, copy, size);
}

void config_adopt(struct config *c, struct config *fresh)
{
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (config_key_is_live(key->path)) {
            bytes_swap((char *)c + key->offset, (char *)fresh + key->offset, slot_size(key->type));
        }
    }
    struct config_log_modules modules = c->log_modules; /* live, and no slot of the table */
    c->log_modules = fresh->log_modules;
    fresh->log_modules = modules;
    bytes_swap(&c->problems, &fresh->problems, sizeof c->problems);
    bytes_swap(&c->problem_count, &fresh->problem_count, sizeof c->problem_count);
    c->exists = fresh->exists;
}

static bool text_same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool texts_same(const struct config_texts *a, const struct config_texts *b)
{
    for (uint32_t i = 0; i < a->count && a->count == b->count; i++) {
        if (strcmp(a->items[i], b->items[i]) != 0) {
            return false;
        }
    }
    return a->count == b->count;
}

static bool value_same(const struct config_key *key, const void *a, const void *b)
{
    if (key->type == KEY_STRING) {
        return text_same(*(char *const *)a, *(char *const *)b);
    }
    if (key->type == KEY_IPS) {
        const struct config_ips *x = a;
        const struct config_ips *y = b;
        return x->count == y->count &&
               (x->count == 0 || memcmp(x->items, y->items, x->count * sizeof *x->items) == 0);
    }
    if (key->type == KEY_TEXTS) {
        return texts_same(a, b);
    }
    return memcmp(a, b, slot_size(key->type)) == 0;
}

cJSON *config_restart_json(const struct config *c, const struct config *fresh)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (key->type != KEY_OTHER && !config_key_is_live(key->path) &&
            !value_same(key, (const char *)c + key->offset, (const char *)fresh + key->offset)) {
            (void)cJSON_AddItemToArray(list, cJSON_CreateString(key->path));
        }
    }
    return list;
}
