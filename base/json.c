/* json: see json.h. cJSON remembers the place of its last parse error in a
 * global, so only one thread of a process parses (the main thread does). */
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"

/* 2^53: up to here every integer is a double of its own. */
static const double INT_EXACT_MAX = 9007199254740992.0;

/* cJSON prints numbers with 15 digits; longer ones go in as text. */
static const int64_t PRINT_EXACT_MAX = 1000000000000000;

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static cJSON *fail_at(struct str text, size_t at, const char *name, const char *what,
                      struct err *err)
{
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i < at; i++) {
        if (text.ptr[i] == '\n') {
            line++;
            column = 1;
        } else {
            column++;
        }
    }
    (void)err_set(err, ERR_CONFIG, "%s:%zu:%zu: %s", name, line, column, what);
    return NULL;
}

/* A NUL, plain or escaped, would silently cut a C string short. */
static size_t find_nul(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\0') {
            return i;
        }
        if (text.ptr[i] == '\\') {
            if (str_starts((struct str){text.ptr + i, text.len - i}, STR("\\u0000"))) {
                return i;
            }
            i++;
        }
    }
    return text.len;
}

cJSON *json_parse(struct str text, const char *name, struct err *err)
{
    size_t start = 0;
    while (start < text.len && is_space(text.ptr[start])) {
        start++;
    }
    if (start == text.len) {
        return fail_at(text, text.len, name, "no JSON value", err);
    }
    size_t nul = find_nul(text);
    if (nul < text.len) {
        return fail_at(text, nul, name, "a NUL character is not allowed", err);
    }
    const char *end = text.ptr;
    cJSON *tree = cJSON_ParseWithLengthOpts(text.ptr, text.len, &end, false);
    size_t at = (size_t)(end - text.ptr);
    if (tree == NULL) {
        return fail_at(text, at, name, "not valid JSON", err);
    }
    while (at < text.len && is_space(text.ptr[at])) {
        at++;
    }
    if (at < text.len) {
        cJSON_Delete(tree);
        return fail_at(text, at, name, "more text after the end of the JSON value", err);
    }
    return tree;
}

char *json_print(const cJSON *value)
{
    char *text = cJSON_PrintUnformatted(value);
    CHECK(text != NULL);
    return text;
}

const cJSON *json_get(const cJSON *object, const char *name)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

const char *json_get_str(const cJSON *object, const char *name, const char *fallback)
{
    const cJSON *item = json_get(object, name);
    return cJSON_IsString(item) ? item->valuestring : fallback;
}

int64_t json_get_int(const cJSON *object, const char *name, int64_t fallback)
{
    const cJSON *item = json_get(object, name);
    if (cJSON_IsRaw(item)) {
        return strtoll(item->valuestring, NULL, 10); /* made by json_add_int only */
    }
    if (!cJSON_IsNumber(item)) {
        return fallback;
    }
    double value = item->valuedouble;
    if (!(value >= -INT_EXACT_MAX && value <= INT_EXACT_MAX) || (double)(int64_t)value != value) {
        return fallback;
    }
    return (int64_t)value;
}

bool json_get_bool(const cJSON *object, const char *name, bool fallback)
{
    const cJSON *item = json_get(object, name);
    return cJSON_IsBool(item) ? cJSON_IsTrue(item) != 0 : fallback;
}

static cJSON *add(cJSON *object, const char *name, cJSON *item)
{
    CHECK(item != NULL && cJSON_AddItemToObject(object, name, item));
    return object;
}

cJSON *json_add_str(cJSON *object, const char *name, const char *value)
{
    return add(object, name, value == NULL ? cJSON_CreateNull() : cJSON_CreateString(value));
}

cJSON *json_add_slice(cJSON *object, const char *name, struct str value)
{
    autofree char *copy = str_dup(value);
    return json_add_str(object, name, copy);
}

cJSON *json_add_int(cJSON *object, const char *name, int64_t value)
{
    if (value > -PRINT_EXACT_MAX && value < PRINT_EXACT_MAX) {
        return add(object, name, cJSON_CreateNumber((double)value));
    }
    char text[32];
    (void)snprintf(text, sizeof text, "%lld", (long long)value);
    return add(object, name, cJSON_CreateRaw(text));
}

cJSON *json_add_bool(cJSON *object, const char *name, bool value)
{
    return add(object, name, cJSON_CreateBool(value));
}

void auto_json_(cJSON **tree)
{
    cJSON_Delete(*tree);
    *tree = NULL;
}
