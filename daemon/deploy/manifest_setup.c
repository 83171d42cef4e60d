/* manifest_setup: clone_volumes and cache of deploy.yaml. Called by manifest_top.c only. */
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "daemon/deploy/manifest_reader.h"

/* "./a//b/." becomes "a/b"; false if it is absolute, empty or leaves the worktree. */
static bool path_inside(struct reader *r, const char *text, const char **out)
{
    char *copy = arena_strdup(&r->m->arena, text);
    size_t used = 0;
    struct str rest = str_of(text);
    struct str part;
    if (text[0] == '/') {
        return false;
    }
    while (str_next(&rest, '/', &part)) {
        if (part.len == 0 || str_eq(part, STR("."))) {
            continue;
        }
        if (str_eq(part, STR(".."))) {
            return false;
        }
        if (used > 0) {
            copy[used++] = '/';
        }
        memmove(copy + used, part.ptr, part.len);
        used += part.len;
    }
    copy[used] = '\0';
    *out = copy;
    return used > 0;
}

/* Where a string "source:destination" is divided, or its end. The colon of "C:\x" is none. */
static size_t pair_split(const char *text)
{
    bool has_drive = ((text[0] >= 'A' && text[0] <= 'Z') || (text[0] >= 'a' && text[0] <= 'z')) &&
                     text[1] == ':' && (text[2] == '\\' || text[2] == '/');
    const char *colon = strchr(text + (has_drive ? 2 : 0), ':');
    return colon == NULL ? strlen(text) : (size_t)(colon - text);
}

static void read_clone_text(struct reader *r, const yaml_node_t *node, const char *path,
                            struct manifest_clone *out)
{
    const char *text = NULL;
    if (!reader_read_string(r, node, path, &text)) {
        return;
    }
    size_t at = pair_split(text);
    char *source = arena_strdup(&r->m->arena, text);
    out->destination = source;
    if (source[at] == ':') {
        source[at] = '\0';
        out->destination = source + at + 1;
    }
    out->source = source;
    if (out->source[0] == '\0' || out->destination[0] == '\0') {
        reader_error(r, node, "%s: \"%s\" needs a path on both sides of the colon", path, text);
    }
}

static void read_clone_map(struct reader *r, const yaml_node_t *node, const char *path,
                           struct manifest_clone *out)
{
    static const char *const known[] = {"source", "destination", NULL};
    static const struct reader_refusal none[] = {{NULL, NULL}};
    struct reader_map map;
    if (!reader_read_map(r, node, path, &map)) {
        return;
    }
    reader_check_keys(r, &map, path, known, none);
    const char **slots[] = {&out->source, &out->destination};
    for (size_t i = 0; i < COUNT_OF(slots); i++) {
        const yaml_node_t *value = reader_get(&map, known[i]);
        const char *inner = reader_path(r, "%s.%s", path, known[i]);
        if (reader_kind(value) == NODE_NULL) {
            reader_error(r, node, "%s is missing: a path", inner);
        } else if (reader_read_string(r, value, inner, slots[i]) && (*slots[i])[0] == '\0') {
            reader_error(r, value, "%s must not be empty", inner);
        }
    }
}

void manifest_read_clones(struct reader *r, const yaml_node_t *node)
{
    struct manifest *m = r->m;
    if (reader_kind(node) == NODE_NULL) {
        return;
    }
    if (reader_kind(node) != NODE_LIST) {
        reader_error(r, node,
                     "clone_volumes must be a list of paths, \"source:destination\" or "
                     "{source, destination}");
        return;
    }
    size_t count = reader_item_count(node);
    m->clones = arena_zalloc(&m->arena, (count + 1) * sizeof(m->clones[0]));
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item = reader_item(r, node, i);
        const char *path = reader_path(r, "clone_volumes[%zu]", i);
        struct manifest_clone *clone = &m->clones[m->clone_count++];
        if (reader_kind(item) == NODE_MAP) {
            read_clone_map(r, item, path, clone);
        } else {
            read_clone_text(r, item, path, clone);
        }
    }
}

static void read_inside(struct reader *r, const yaml_node_t *node, const char *path,
                        const char ***out, size_t *out_count)
{
    if (!reader_read_strings(r, node, path, out, out_count)) {
        *out_count = 0;
        return;
    }
    if (*out_count == 0) {
        reader_error(r, node, "%s must be a non-empty list of paths", path);
    }
    for (size_t i = 0; i < *out_count; i++) {
        if (!path_inside(r, (*out)[i], &(*out)[i])) {
            reader_error(r, reader_item(r, node, i),
                         "%s[%zu]: \"%s\" must be a relative path inside the worktree", path, i,
                         (*out)[i]);
        }
    }
}

static void read_key(struct reader *r, const yaml_node_t *node, const yaml_node_t *entry,
                     const char *path, struct manifest_kept *out)
{
    static const char *const known[] = {"files", NULL};
    static const struct reader_refusal none[] = {{NULL, NULL}};
    const char *inner = reader_path(r, "%s.key", path);
    enum node_kind kind = reader_kind(node);
    struct reader_map map;
    if (kind == NODE_STRING) {
        (void)reader_read_string(r, node, inner, &out->key);
        if (out->key != NULL && out->key[0] == '\0') {
            reader_error(r, node, "%s must not be empty", inner);
        }
    } else if (kind != NODE_MAP) {
        reader_error(r, kind == NODE_NULL ? entry : node,
                     "%s must be a non-empty string or {files: [path, …]}", inner);
    } else if (reader_read_map(r, node, inner, &map)) {
        reader_check_keys(r, &map, inner, known, none);
        const yaml_node_t *files = reader_get(&map, "files");
        read_inside(r, files == NULL ? node : files, reader_path(r, "%s.files", inner), &out->files,
                    &out->file_count);
    }
}

void manifest_read_caches(struct reader *r, const yaml_node_t *node)
{
    static const char *const known[] = {"key", "paths", NULL};
    static const struct reader_refusal none[] = {{NULL, NULL}};
    struct manifest *m = r->m;
    if (reader_kind(node) == NODE_NULL) {
        return;
    }
    if (reader_kind(node) != NODE_LIST) {
        reader_error(r, node, "cache must be a list of {key, paths}");
        return;
    }
    size_t count = reader_item_count(node);
    m->kept = arena_zalloc(&m->arena, (count + 1) * sizeof(m->kept[0]));
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item = reader_item(r, node, i);
        const char *path = reader_path(r, "cache[%zu]", i);
        struct manifest_kept *cache = &m->kept[m->kept_count++];
        struct reader_map map;
        if (!reader_read_map(r, item, path, &map)) {
            continue;
        }
        reader_check_keys(r, &map, path, known, none);
        read_key(r, reader_get(&map, "key"), item, path, cache);
        const yaml_node_t *paths = reader_get(&map, "paths");
        read_inside(r, paths == NULL ? item : paths, reader_path(r, "%s.paths", path),
                    &cache->paths, &cache->path_count);
    }
}
