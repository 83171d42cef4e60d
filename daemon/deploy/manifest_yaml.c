/* manifest_yaml: YAML nodes as typed values, with complaints that carry line
 * and column. Called by the other manifest files only. Scalars follow the YAML
 * 1.2 core schema; text between quotes is always a string. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/slip.h"
#include "daemon/deploy/manifest_reader.h"

enum {
    DEPTH_MAX = 32,
    VISITS_MAX = 20000,
    BYTES_MAX = 4 * 1024 * 1024,
    DURATION_MAX_MS = 0x7fffffff
};

static void reader_problem(struct reader *r, struct manifest_problems *list,
                           const yaml_node_t *node, const char *text)
{
    int line = node == NULL ? 1 : (int)node->start_mark.line + 1;
    int column = node == NULL ? 1 : (int)node->start_mark.column + 1;
    manifest_add_problem(r->m, list, line, column, text);
}

void reader_error(struct reader *r, const yaml_node_t *node, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    reader_problem(r, &r->m->errors, node, text);
}

const char *reader_path(struct reader *r, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return arena_strdup(&r->m->arena, text);
}

/* Aliases make the tree larger than the file, or endless: this walk counts it
 * as it will be read, and ends early. Recursion is bounded by DEPTH_MAX. */
// NOLINTNEXTLINE(misc-no-recursion)
static bool reader_check_node(struct reader *r, const yaml_node_t *node, int depth)
{
    if (depth > DEPTH_MAX) {
        reader_error(r, node, "nested deeper than %d levels", DEPTH_MAX);
        return false;
    }
    if (++r->visits > VISITS_MAX) {
        reader_error(r, node, "more than %d values once aliases are followed", VISITS_MAX);
        return false;
    }
    if (node->type == YAML_SCALAR_NODE) {
        r->bytes += node->data.scalar.length;
        if (r->bytes > BYTES_MAX) {
            reader_error(r, node, "more than 4 MiB of text once aliases are followed");
            return false;
        }
    } else if (node->type == YAML_SEQUENCE_NODE) {
        for (size_t i = 0; i < reader_item_count(node); i++) {
            if (!reader_check_node(r, reader_item(r, node, i), depth + 1)) {
                return false;
            }
        }
    } else if (node->type == YAML_MAPPING_NODE) {
        for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
             p < node->data.mapping.pairs.top; p++) {
            if (!reader_check_node(r, yaml_document_get_node(r->doc, p->key), depth + 1) ||
                !reader_check_node(r, yaml_document_get_node(r->doc, p->value), depth + 1)) {
                return false;
            }
        }
    }
    return true;
}

bool reader_check_bounds(struct reader *r, const yaml_node_t *root)
{
    return reader_check_node(r, root, 1);
}

static struct str node_text(const yaml_node_t *node)
{
    return (struct str){(const char *)node->data.scalar.value, node->data.scalar.length};
}

static bool text_is_one_of(struct str text, const char *const *words)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        if (str_eq(text, str_of(words[i]))) {
            return true;
        }
    }
    return false;
}

static bool text_is_number(struct str text, bool *out_is_int)
{
    size_t at = 0;
    size_t digits = 0;
    bool fraction = false;
    if (at < text.len && (text.ptr[at] == '-' || text.ptr[at] == '+')) {
        at++;
    }
    for (; at < text.len; at++) {
        if (ascii_is_digit(text.ptr[at])) {
            digits++;
        } else if (text.ptr[at] == '.' && !fraction) {
            fraction = true;
        } else {
            return false;
        }
    }
    *out_is_int = !fraction;
    return digits > 0;
}

enum node_kind reader_kind(const yaml_node_t *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const bools[] = {"true", "True", "TRUE", "false", "False", "FALSE", NULL};
    if (node == NULL) {
        return NODE_NULL;
    }
    if (node->type == YAML_SEQUENCE_NODE) {
        return NODE_LIST;
    }
    if (node->type == YAML_MAPPING_NODE) {
        return NODE_MAP;
    }
    if (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
        return NODE_STRING;
    }
    struct str text = node_text(node);
    bool is_int;
    if (text_is_one_of(text, nulls)) {
        return NODE_NULL;
    }
    if (text_is_one_of(text, bools)) {
        return NODE_BOOL;
    }
    if (text_is_number(text, &is_int)) {
        return is_int ? NODE_INT : NODE_FLOAT;
    }
    return NODE_STRING;
}

size_t reader_item_count(const yaml_node_t *list)
{
    return (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
}

const yaml_node_t *reader_item(const struct reader *r, const yaml_node_t *list, size_t index)
{
    return yaml_document_get_node(r->doc, list->data.sequence.items.start[index]);
}

static struct reader_pair *map_find(const struct reader_map *map, const char *key)
{
    for (size_t i = 0; i < map->count; i++) {
        if (strcmp(map->pairs[i].key, key) == 0) {
            return &map->pairs[i];
        }
    }
    return NULL;
}

static void map_add(struct reader *r, struct reader_map *map, size_t *cap, struct reader_pair pair)
{
    if (map->count == *cap) {
        *cap = *cap == 0 ? 8 : *cap * 2;
        struct reader_pair *grown = arena_alloc(&r->m->arena, *cap * sizeof(*grown));
        if (map->count > 0) {
            memcpy(grown, map->pairs, map->count * sizeof(*grown));
        }
        map->pairs = grown;
    }
    map->pairs[map->count++] = pair;
}

static bool map_add_node(struct reader *r, struct reader_map *map, size_t *cap,
                         const yaml_node_t *node, const char *path, bool is_merge);

/* "<<: *base" or "<<: [*a, *b]": keys that are there win. */
// NOLINTNEXTLINE(misc-no-recursion)
static bool map_merge(struct reader *r, struct reader_map *map, size_t *cap,
                      const yaml_node_t *value, const char *path)
{
    if (value->type == YAML_MAPPING_NODE) {
        return map_add_node(r, map, cap, value, path, true);
    }
    bool ok = value->type == YAML_SEQUENCE_NODE;
    for (size_t i = 0; ok && i < reader_item_count(value); i++) {
        const yaml_node_t *item = reader_item(r, value, i);
        ok = item->type == YAML_MAPPING_NODE && map_add_node(r, map, cap, item, path, true);
    }
    if (!ok) {
        reader_error(r, value, "%s: \"<<\" must be a mapping or a list of mappings", path);
    }
    return ok;
}

/* Recursive through merges of merges only; bounded by reader_check_bounds. */
// NOLINTNEXTLINE(misc-no-recursion)
static bool map_add_node(struct reader *r, struct reader_map *map, size_t *cap,
                         const yaml_node_t *node, const char *path, bool is_merge)
{
    bool ok = true;
    const yaml_node_pair_t *start = node->data.mapping.pairs.start;
    const yaml_node_pair_t *top = node->data.mapping.pairs.top;
    for (const yaml_node_pair_t *p = start; p < top; p++) {
        const yaml_node_t *key = yaml_document_get_node(r->doc, p->key);
        const yaml_node_t *value = yaml_document_get_node(r->doc, p->value);
        if (key->type != YAML_SCALAR_NODE ||
            memchr(node_text(key).ptr, '\0', node_text(key).len) != NULL) {
            reader_error(r, key, "%s: a key must be a plain text", path);
            ok = false;
            continue;
        }
        const char *name = (const char *)key->data.scalar.value;
        if (strcmp(name, "<<") == 0) {
            continue;
        }
        if (map_find(map, name) == NULL) {
            map_add(r, map, cap, (struct reader_pair){name, key, value});
        } else if (!is_merge) {
            reader_error(r, key, "%s: key \"%s\" is there twice", path, name);
            ok = false;
        }
    }
    for (const yaml_node_pair_t *p = start; p < top; p++) {
        const yaml_node_t *key = yaml_document_get_node(r->doc, p->key);
        if (key->type == YAML_SCALAR_NODE && str_eq(node_text(key), STR("<<"))) {
            ok = map_merge(r, map, cap, yaml_document_get_node(r->doc, p->value), path) && ok;
        }
    }
    return ok;
}

bool reader_read_map(struct reader *r, const yaml_node_t *node, const char *path,
                     struct reader_map *out)
{
    *out = (struct reader_map){.node = node};
    if (reader_kind(node) != NODE_MAP) {
        reader_error(r, node, "%s must be a mapping", path);
        return false;
    }
    size_t cap = 0;
    /* A broken key is reported, the others are still read: all errors at once. */
    (void)map_add_node(r, out, &cap, node, path, false);
    return true;
}

const yaml_node_t *reader_get(const struct reader_map *map, const char *key)
{
    const struct reader_pair *pair = map_find(map, key);
    return pair == NULL ? NULL : pair->value;
}

static void reader_warn_key(struct reader *r, const struct reader_pair *pair, const char *path,
                            const char *const *known)
{
    const char *nearest = NULL;
    unsigned best = SLIP_MAX + 1;
    for (size_t i = 0; known[i] != NULL; i++) {
        slip_offer(pair->key, known[i], &nearest, &best);
    }
    struct buf text = {0};
    buf_printf(&text, "%s%sunknown key \"%s\" is ignored; ", path, path[0] == '\0' ? "" : ": ",
               pair->key);
    if (nearest != NULL) {
        buf_printf(&text, "did you mean \"%s\"?", nearest);
    } else {
        buf_add_text(&text, "allowed:");
        for (size_t i = 0; known[i] != NULL; i++) {
            buf_printf(&text, "%s %s", i == 0 ? "" : ",", known[i]);
        }
    }
    reader_problem(r, &r->m->warnings, pair->key_node, buf_cstr(&text));
    buf_fini(&text);
}

void reader_check_keys(struct reader *r, const struct reader_map *map, const char *path,
                       const char *const *known, const struct reader_refusal *refused)
{
    for (size_t i = 0; i < map->count; i++) {
        const struct reader_pair *pair = &map->pairs[i];
        const struct reader_refusal *refusal = refused;
        while (refusal->key != NULL && strcmp(refusal->key, pair->key) != 0) {
            refusal++;
        }
        if (refusal->key != NULL) {
            reader_error(r, pair->key_node, "%s%s%s %s", path, path[0] == '\0' ? "" : ".",
                         pair->key, refusal->why);
        } else if (!text_is_one_of(str_of(pair->key), known)) {
            reader_warn_key(r, pair, path, known);
        }
    }
}

static bool reader_copy_text(struct reader *r, const yaml_node_t *node, const char *path,
                             const char **out)
{
    struct str text = node_text(node);
    if (memchr(text.ptr, '\0', text.len) != NULL) {
        reader_error(r, node, "%s must not hold a NUL byte", path);
        return false;
    }
    *out = arena_strdup(&r->m->arena, text.ptr);
    return true;
}

bool reader_read_string(struct reader *r, const yaml_node_t *node, const char *path,
                        const char **out)
{
    if (reader_kind(node) != NODE_STRING || node->data.scalar.length == 0) {
        reader_error(r, node, "%s must be a non-empty string", path);
        return false;
    }
    return reader_copy_text(r, node, path, out);
}

bool reader_read_scalar(struct reader *r, const yaml_node_t *node, const char *path,
                        const char **out)
{
    enum node_kind kind = reader_kind(node);
    if (kind == NODE_BOOL) {
        char first = ascii_lower((char)node->data.scalar.value[0]);
        *out = first == 't' ? "true" : "false";
        return true;
    }
    if (kind != NODE_STRING && kind != NODE_INT && kind != NODE_FLOAT) {
        reader_error(r, node, "%s must be a string, a number or a boolean", path);
        return false;
    }
    return reader_copy_text(r, node, path, out);
}

bool reader_read_bool(struct reader *r, const yaml_node_t *node, const char *path, bool *out)
{
    if (reader_kind(node) != NODE_BOOL) {
        reader_error(r, node, "%s must be true or false", path);
        return false;
    }
    *out = ascii_lower((char)node->data.scalar.value[0]) == 't';
    return true;
}

bool reader_read_int(struct reader *r, const yaml_node_t *node, const char *path, int64_t min,
                     int64_t max, int64_t *out)
{
    uint64_t value;
    if (reader_kind(node) != NODE_INT || !str_to_u64(node_text(node), &value) ||
        value > (uint64_t)max || value < (uint64_t)min) {
        reader_error(r, node, "%s must be an integer from %lld to %lld", path, (long long)min,
                     (long long)max);
        return false;
    }
    *out = (int64_t)value;
    return true;
}

static bool duration_parse(struct str text, bool unit_allowed, double *out_ms)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"", 1}};

    text = str_trim(text);
    char number[32];
    size_t at = 0;
    size_t dots = 0;
    while (at < text.len && at + 1 < sizeof(number) &&
           (ascii_is_digit(text.ptr[at]) || (text.ptr[at] == '.' && at > 0 && dots == 0))) {
        dots += text.ptr[at] == '.';
        number[at] = text.ptr[at];
        at++;
    }
    number[at] = '\0';
    struct str unit = {text.ptr + at, text.len - at};
    if (at == 0 || number[at - 1] == '.' || (!unit_allowed && (unit.len > 0 || dots > 0))) {
        return false;
    }
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (str_eq_nocase(unit, str_of(units[i].unit))) {
            *out_ms = strtod(number, NULL) * units[i].factor;
            return true;
        }
    }
    return false;
}

bool reader_read_duration(struct reader *r, const yaml_node_t *node, const char *path,
                          uint32_t *out_ms)
{
    enum node_kind kind = reader_kind(node);
    double ms = 0;
    bool ok = (kind == NODE_INT || kind == NODE_STRING) &&
              duration_parse(node_text(node), kind == NODE_STRING, &ms);
    if (!ok || ms < 0.5 || ms > DURATION_MAX_MS) {
        reader_error(r, node,
                     "%s must be a positive integer (milliseconds) or a duration like 500ms, 90s, "
                     "1.5m",
                     path);
        return false;
    }
    *out_ms = (uint32_t)(ms + 0.5);
    return true;
}

bool reader_read_strings(struct reader *r, const yaml_node_t *node, const char *path,
                         const char ***out, size_t *out_count)
{
    enum node_kind kind = reader_kind(node);
    if (kind == NODE_NULL) {
        return true;
    }
    if (kind != NODE_LIST) {
        reader_error(r, node, "%s must be a list of strings", path);
        return false;
    }
    size_t count = reader_item_count(node);
    const char **items = arena_zalloc(&r->m->arena, (count + 1) * sizeof(*items));
    size_t good = 0;
    for (size_t i = 0; i < count; i++) {
        const char *item_path = reader_path(r, "%s[%zu]", path, i);
        if (reader_read_string(r, reader_item(r, node, i), item_path, &items[good])) {
            good++;
        }
    }
    *out = items;
    *out_count = good;
    return good == count;
}
