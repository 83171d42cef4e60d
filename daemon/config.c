/* config: see config.h. Reads the file by the table of config_keys.c, then hands over to
 * config_rules.c for what concerns several keys. Called at the daemon's start and by `wos config`.
 */
#include "daemon/config.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/config_keys.h"
#include "daemon/config_rules.h"

enum { PATH_MAX_BYTES = 256 };

/* Where the last "; " begins; the text's length when there is none. */
static size_t last_clause(const char *text)
{
    size_t at = strlen(text);
    for (const char *p = strstr(text, "; "); p != NULL; p = strstr(p + 1, "; ")) {
        at = (size_t)(p - text);
    }
    return at;
}

__attribute__((format(printf, 4, 0))) static void
problem_add(struct config *c, bool is_warning, const char *key, const char *fmt, va_list args)
{
    char text[768];
    (void)vsnprintf(text, sizeof text, fmt, args);
    /* What was found may hold a "; " too, but stands before that of the format. */
    bool has_clause = last_clause(fmt) < strlen(fmt);
    c->problems = xrealloc(c->problems, (c->problem_count + 1) * sizeof *c->problems);
    c->problems[c->problem_count++] =
        (struct config_problem){.key = xstrdup(key),
                                .message = xstrdup(text),
                                .fault_len = has_clause ? last_clause(text) : strlen(text),
                                .is_warning = is_warning};
}

void config_problem(struct config *c, const char *key, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    problem_add(c, false, key, fmt, args);
    va_end(args);
}

void config_follow_up(struct config *c, const char *key, const char *message)
{
    config_problem(c, key, "%s", message);
    c->problems[c->problem_count - 1].is_follow_up = true;
}

void config_warning(struct config *c, const char *key, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    problem_add(c, true, key, fmt, args);
    va_end(args);
}

bool config_has_problem(const struct config *c, const char *key)
{
    for (size_t i = 0; i < c->problem_count; i++) {
        if (!c->problems[i].is_warning && strcmp(c->problems[i].key, key) == 0) {
            return true;
        }
    }
    return false;
}

size_t config_error_count(const struct config *c)
{
    size_t count = 0;
    for (size_t i = 0; i < c->problem_count; i++) {
        count += c->problems[i].is_warning ? 0 : 1;
    }
    return count;
}

/* --- one value ------------------------------------------------------------ */

static void *slot_of(struct config *c, const struct config_key *key)
{
    return (char *)c + key->offset;
}

static bool word_index(const char *words, struct str word, uint32_t *out)
{
    struct str rest = str_of(words);
    struct str part;
    for (uint32_t i = 0; str_next(&rest, '|', &part); i++) {
        if (str_eq(part, word)) {
            *out = i;
            return true;
        }
    }
    return false;
}

/* "1.5s", "200ms", "3m", "250": milliseconds, rounded. */
static bool duration_parse(struct str text, double *out_ms)
{
    text = str_trim(text);
    size_t i = 0;
    double value = 0;
    while (i < text.len && ascii_is_digit(text.ptr[i])) {
        value = value * 10 + (text.ptr[i++] - '0');
    }
    if (i == 0) {
        return false;
    }
    if (i < text.len && text.ptr[i] == '.') {
        size_t start = ++i;
        double scale = 0.1;
        while (i < text.len && ascii_is_digit(text.ptr[i])) {
            value += (text.ptr[i++] - '0') * scale;
            scale /= 10;
        }
        if (i == start) {
            return false;
        }
    }
    struct str unit = {text.ptr + i, text.len - i};
    if (str_eq_nocase(unit, STR("s"))) {
        value *= 1000;
    } else if (str_eq_nocase(unit, STR("m"))) {
        value *= 60000;
    } else if (unit.len != 0 && !str_eq_nocase(unit, STR("ms"))) {
        return false;
    }
    /* No libm for this; huge values are out of range anyway. */
    *out_ms = value < 1e15 ? (double)(int64_t)(value + 0.5) : value;
    return true;
}

static bool number_read(const struct config_key *key, const cJSON *node, uint32_t *out)
{
    double value;
    if (cJSON_IsNumber(node)) {
        value = node->valuedouble;
    } else if (key->type != KEY_DURATION || !cJSON_IsString(node) ||
               !duration_parse(str_of(node->valuestring), &value)) {
        return false;
    }
    if (!(value >= key->min && value <= key->max) || value != (double)(int64_t)value) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

static bool is_blank(const char *text)
{
    for (; *text != '\0'; text++) {
        if (!isspace((unsigned char)*text)) {
            return false;
        }
    }
    return true;
}

static bool ips_read(struct config *c, const struct config_key *key, const cJSON *node)
{
    struct config_ips list = {NULL, 0};
    const cJSON *item;
    int at = 0;
    if (!cJSON_IsArray(node)) {
        return false;
    }
    if ((uint32_t)cJSON_GetArraySize(node) > key->max) {
        config_problem(c, key->path, "has %d entries, more than the %u there may be",
                       cJSON_GetArraySize(node), key->max);
        return true; /* as below */
    }
    cJSON_ArrayForEach(item, node)
    {
        struct err err = {.msg = ""};
        struct ip_prefix prefix;
        if (!cJSON_IsString(item)) {
            config_problem(c, key->path, "entry %d must be a text with an address", at + 1);
        } else if (ip_prefix_parse(str_of(item->valuestring), &prefix, &err) < 0) {
            config_problem(c, key->path, "entry %d: %s", at + 1, err.msg);
        } else {
            list.items = xrealloc(list.items, (list.count + 1) * sizeof *list.items);
            list.items[list.count++] = prefix;
        }
        at++;
    }
    if (config_has_problem(c, key->path)) {
        free(list.items);
        return true; /* named already; the rules switch the block off */
    }
    struct config_ips *slot = slot_of(c, key);
    free(slot->items); /* a key may stand twice; the last one counts */
    *slot = list;
    return true;
}

static void texts_free(struct config_texts *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        free(list->items[i]);
    }
    free(list->items);
    *list = (struct config_texts){NULL, 0};
}

static bool texts_read(struct config_texts *slot, const cJSON *node)
{
    struct config_texts list = {NULL, 0};
    const cJSON *item;
    if (!cJSON_IsArray(node)) {
        return false;
    }
    cJSON_ArrayForEach(item, node)
    {
        if (!cJSON_IsString(item) || is_blank(item->valuestring)) {
            texts_free(&list);
            return false;
        }
        list.items = xrealloc(list.items, (list.count + 1) * sizeof *list.items);
        list.items[list.count++] = xstrdup(item->valuestring);
    }
    texts_free(slot); /* a key may stand twice; the last one counts */
    *slot = list;
    return true;
}

/* What was found, for a message; never the value of a secret. */
static void found_text(const struct config_key *key, const cJSON *node, char *out, size_t size)
{
    autofree char *text = key->is_secret ? xstrdup("that") : json_print(node);
    (void)snprintf(out, size, "%.60s%s", text, strlen(text) > 60 ? "…" : "");
}

static bool value_read(struct config *c, const struct config_key *key, const cJSON *node)
{
    void *slot = slot_of(c, key);
    switch (key->type) {
    case KEY_BOOL:
        if (!cJSON_IsBool(node)) {
            return false;
        }
        *(bool *)slot = cJSON_IsTrue(node);
        return true;
    case KEY_INT:
    case KEY_DURATION:
        return number_read(key, node, slot);
    case KEY_STRING:
        if (!cJSON_IsString(node) || is_blank(node->valuestring)) {
            return false;
        }
        free(*(char **)slot);
        *(char **)slot = xstrdup(node->valuestring);
        return true;
    case KEY_WORD:
        return cJSON_IsString(node) && word_index(key->words, str_of(node->valuestring), slot);
    case KEY_IPS:
        return ips_read(c, key, node);
    case KEY_TEXTS:
        return texts_read(slot, node);
    case KEY_OTHER:
        return true;
    }
    return false;
}

static void value_default(struct config *c, const struct config_key *key)
{
    if (key->fallback == NULL) {
        return;
    }
    void *slot = slot_of(c, key);
    uint64_t number = 0;
    switch (key->type) {
    case KEY_BOOL:
        *(bool *)slot = strcmp(key->fallback, "true") == 0;
        break;
    case KEY_INT:
    case KEY_DURATION:
        CHECK(str_to_u64(str_of(key->fallback), &number));
        *(uint32_t *)slot = (uint32_t)number;
        break;
    case KEY_STRING:
        *(char **)slot = xstrdup(key->fallback);
        break;
    case KEY_WORD:
        CHECK(word_index(key->words, str_of(key->fallback), slot));
        break;
    case KEY_IPS:
    case KEY_TEXTS:
    case KEY_OTHER:
        break;
    }
}

/* --- the file --------------------------------------------------------------- */

static void key_take(struct config *c, const struct config_key *key, const cJSON *node)
{
    if (cJSON_IsNull(node) || value_read(c, key, node)) {
        return;
    }
    /* An empty text unsets what has no default. */
    if (key->type == KEY_STRING && key->fallback == NULL && cJSON_IsString(node) &&
        strcmp(key->path, "editorCommand") == 0) {
        return;
    }
    char allowed[256];
    char found[80];
    config_key_allowed(key, allowed, sizeof allowed);
    found_text(key, node, found, sizeof found);
    if (key->fallback != NULL && strcmp(key->path, "tunnel.serviceTunnels.access") == 0) {
        config_problem(c, key->path, "must be %s, not %s; nothing is published until then", allowed,
                       found); /* the default would be the widest */
        return;
    }
    config_problem(c, key->path, "must be %s, not %s; %s%s", allowed, found,
                   key->fallback == NULL ? "ignored" : "using ",
                   key->fallback == NULL ? "" : key->fallback);
}

static void object_take(struct config *c, const char *prefix, const cJSON *object, int depth)
{
    const cJSON *node;
    cJSON_ArrayForEach(node, object)
    {
        char path[PATH_MAX_BYTES];
        int len =
            snprintf(path, sizeof path, "%s%s%s", prefix, *prefix == '\0' ? "" : ".", node->string);
        if (len < 0 || (size_t)len >= sizeof path) {
            config_problem(c, prefix, "a member's name is too long; ignored");
            continue;
        }
        const struct config_key *key = config_key_find(path);
        if (key != NULL) {
            key_take(c, key, node);
        } else if (!config_key_is_block(path)) {
            const char *nearest = config_key_nearest(path);
            config_problem(c, path, "unknown key, ignored%s%s%s",
                           nearest == NULL ? "" : "; did you mean ", nearest == NULL ? "" : nearest,
                           nearest == NULL ? "" : "?");
        } else if (cJSON_IsObject(node) && depth < 8) {
            object_take(c, path, node, depth + 1);
        } else if (!cJSON_IsNull(node)) {
            config_problem(c, path, "must be an object; ignored");
        }
    }
}

static struct config *config_new(const char *home)
{
    struct config *c = xcalloc(1, sizeof *c);
    c->home = xstrdup(home);
    c->path = path_join(home, "config.json");
    for (size_t i = 0; i < config_key_count; i++) {
        value_default(c, &config_keys[i]);
    }
    return c;
}

static void config_take(struct config *c, struct str text)
{
    struct err err = {.msg = ""};
    autojson cJSON *root = json_parse(text, c->path, &err);
    c->exists = true;
    if (root == NULL) {
        config_problem(c, "", "%s; using all defaults", err.msg);
    } else if (!cJSON_IsObject(root)) {
        config_problem(c, "", "%s must hold an object { … }; using all defaults", c->path);
    } else {
        object_take(c, "", root, 0);
    }
    config_rules_apply(c, root);
}

struct config *config_parse(const char *home, struct str text)
{
    struct config *c = config_new(home);
    if (text.ptr != NULL) {
        config_take(c, text);
    }
    return c;
}

struct config *config_load(const char *home)
{
    struct config *c = config_new(home);
    struct err err = {.code = ERR_NONE, .msg = ""};
    struct buf text = {0};
    if (file_read(c->path, CONFIG_SIZE_MAX, &text, &err) == 0) {
        /* An empty file has no pointer; it is still a file, and no JSON. */
        config_take(c, text.ptr == NULL ? STR("") : buf_str(&text));
    } else if (err.code != ERR_NOT_FOUND) {
        c->exists = true;
        config_problem(c, "", "%s; using all defaults", err.msg);
    }
    buf_fini(&text);
    return c;
}

void config_free(struct config *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        char **text = slot_of(c, key);
        if (key->type == KEY_IPS) {
            free(((struct config_ips *)slot_of(c, key))->items);
        } else if (key->type == KEY_TEXTS) {
            texts_free(slot_of(c, key));
        } else if (key->type == KEY_STRING && *text != NULL) {
            if (key->is_secret) {
                explicit_bzero(*text, strlen(*text));
            }
            free(*text);
        }
    }
    for (uint32_t i = 0; i < c->log_modules.count; i++) {
        free(c->log_modules.items[i].name);
    }
    free(c->log_modules.items);
    for (size_t i = 0; i < c->problem_count; i++) {
        free(c->problems[i].key);
        free(c->problems[i].message);
    }
    free(c->problems);
    free(c->web_ui_hostname);
    free(c->web_fault);
    free(c->home);
    free(c->path);
    free(c);
}

const char *config_scheme(const struct config *c)
{
    return c->tunnel_ssl.enabled ? "https" : "http";
}

const char *config_web_scheme(const struct config *c)
{
    return c->web_ssl.enabled ? "https" : "http";
}

uint32_t config_public_port(const struct config *c)
{
    return c->tunnel_public_port != 0 ? c->tunnel_public_port : c->tunnel_port;
}

cJSON *config_problems_json(const struct config *c)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < c->problem_count; i++) {
        cJSON *item = cJSON_CreateObject();
        const char *key = c->problems[i].key;
        (void)json_add_str(item, "key", *key == '\0' ? "config.json" : key);
        (void)json_add_str(item, "message", c->problems[i].message);
        if (c->problems[i].is_warning) {
            (void)json_add_bool(item, "warning", true);
        }
        (void)cJSON_AddItemToArray(list, item);
    }
    return list;
}
