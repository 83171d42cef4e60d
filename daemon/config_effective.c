/* config_effective: see config_effective.h. Called by the API; config_docs.c uses the tree. */
#include "daemon/config_effective.h"

#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/config_keys.h"

void config_tree_add(cJSON *root, const char *path, cJSON *value)
{
    cJSON *at = root;
    struct str rest = str_of(path);
    struct str part;
    while (str_next(&rest, '.', &part)) {
        autofree char *name = str_dup(part);
        if (rest.ptr == NULL) {
            (void)cJSON_AddItemToObject(at, name, value);
            return;
        }
        cJSON *next = cJSON_GetObjectItemCaseSensitive(at, name);
        at = next != NULL ? next : cJSON_AddObjectToObject(at, name);
    }
}

static cJSON *ips_json(const struct config_ips *ips)
{
    cJSON *list = cJSON_CreateArray();
    for (uint32_t i = 0; i < ips->count; i++) {
        char text[IP_PREFIX_TEXT];
        ip_prefix_format(&ips->items[i], text);
        (void)cJSON_AddItemToArray(list, cJSON_CreateString(text));
    }
    return list;
}

/* The word number `index` of "a|b|c". */
static cJSON *word_json(const char *words, uint32_t index)
{
    struct str rest = str_of(words);
    struct str word;
    for (uint32_t i = 0; str_next(&rest, '|', &word); i++) {
        if (i == index) {
            autofree char *text = str_dup(word);
            return cJSON_CreateString(text);
        }
    }
    return cJSON_CreateNull();
}

static cJSON *modules_json(const struct config_log_modules *modules)
{
    const struct config_key *level = config_key_find("logging.level");
    cJSON *out = cJSON_CreateObject();
    for (uint32_t i = 0; i < modules->count; i++) {
        (void)cJSON_AddItemToObject(out, modules->items[i].name,
                                    word_json(level->words, modules->items[i].level));
    }
    return out;
}

/* NULL: unset. */
static cJSON *value_json(const struct config *c, const struct config_key *key)
{
    const void *at = (const char *)c + key->offset;
    switch (key->type) {
    case KEY_BOOL:
        return cJSON_CreateBool(*(const bool *)at);
    case KEY_INT:
    case KEY_DURATION: {
        uint32_t number = *(const uint32_t *)at;
        bool is_unset = key->fallback == NULL && number == 0;
        return is_unset ? NULL : cJSON_CreateNumber(number);
    }
    case KEY_STRING: {
        const char *text = *(char *const *)at;
        return text == NULL ? NULL : cJSON_CreateString(text);
    }
    case KEY_WORD:
        return word_json(key->words, *(const uint32_t *)at);
    case KEY_IPS:
        return ips_json(at);
    case KEY_TEXTS: {
        const struct config_texts *texts = at;
        return cJSON_CreateStringArray((const char *const *)texts->items, (int)texts->count);
    }
    case KEY_OTHER:
        return config_key_is_used(key) ? modules_json(&c->log_modules) : NULL;
    }
    return NULL;
}

cJSON *config_effective_json(const struct config *c)
{
    cJSON *out = cJSON_CreateObject();
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        cJSON *value = key->is_secret ? NULL : value_json(c, key);
        if (value != NULL) {
            config_tree_add(out, key->path, value);
        }
    }
    return out;
}
