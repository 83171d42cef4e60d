/* cache: see cache.h. Called by deployment_setup.c; loop thread. */
#include "daemon/deploy/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/deploy/digest.h"

enum { MANIFEST_JSON_MAX = 4 * 1024 * 1024 };

void cache_paths_fini(struct cache_paths *paths)
{
    for (size_t i = 0; i < paths->count; i++) {
        free(paths->items[i]);
    }
    free(paths->items);
    *paths = (struct cache_paths){0};
}

static char *sha256_hex(struct str bytes)
{
    uint8_t digest[DIGEST_SHA256_SIZE];
    digest_sha256(bytes, digest);
    return digest_hex(digest, (size_t)2 * DIGEST_SHA256_SIZE);
}

char *cache_key(const struct manifest_kept *cache, const char *root, struct err *err)
{
    struct buf text = {0};
    char *key = NULL;
    int rc = 0;
    buf_add_text(&text, cache->key != NULL ? "literal:" : "files:");
    if (cache->key != NULL) {
        buf_add_text(&text, cache->key);
    }
    for (size_t i = 0; cache->key == NULL && i < cache->file_count && rc == 0; i++) {
        autofree char *path = path_join(root, cache->files[i]);
        buf_add(&text, cache->files[i], strlen(cache->files[i]) + 1);
        rc = file_read(path, CACHE_FILE_MAX, &text, err);
        buf_add_char(&text, '\0');
    }
    if (rc == 0) {
        key = sha256_hex(buf_str(&text));
    }
    buf_fini(&text);
    return key;
}

char *cache_dir(const char *home, const char *key)
{
    return xasprintf("%s/cache/%s", home, key);
}

char *cache_item(const char *dir, const char *path)
{
    autofree char *name = sha256_hex(str_of(path));
    return path_join(dir, name);
}

static char *glob_quote(const char *text)
{
    struct buf out = {0};
    for (const char *p = text; *p != '\0'; p++) {
        if (strchr("*?[]{}\\", *p) != NULL) {
            buf_add_char(&out, '\\');
        }
        buf_add_char(&out, *p);
    }
    return buf_take(&out);
}

/* Does the folder that holds `path` lie in `real_root`, links followed? */
static bool parent_is_inside(const char *path, const char *real_root)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL || strcmp(slash, "/..") == 0 || strcmp(slash, "/.") == 0) {
        return false;
    }
    autofree char *parent = xstrndup(path, (size_t)(slash - path));
    autofree char *real = path_real(parent, NULL);
    size_t len = strlen(real_root);
    return real != NULL && strncmp(real, real_root, len) == 0 &&
           (real[len] == '\0' || real[len] == '/');
}

static int compare_text(const void *a, const void *b)
{
    const char *const *left = a;
    const char *const *right = b;
    return strcmp(*left, *right);
}

static void sort_unique(struct cache_paths *paths)
{
    if (paths->count == 0) {
        return;
    }
    qsort(paths->items, paths->count, sizeof(paths->items[0]), compare_text);
    size_t used = 1;
    for (size_t i = 1; i < paths->count; i++) {
        if (strcmp(paths->items[i], paths->items[used - 1]) == 0) {
            free(paths->items[i]);
        } else {
            paths->items[used++] = paths->items[i];
        }
    }
    paths->count = used;
}

static void add_path(struct cache_paths *paths, const char *path)
{
    paths->items = xrealloc(paths->items, (paths->count + 1) * sizeof(char *));
    paths->items[paths->count++] = xstrdup(path);
}

static int expand_one(const char *pattern, const char *root, const char *real_root,
                      struct cache_paths *out, struct err *err)
{
    autofree char *quoted = glob_quote(root);
    autofree char *full = xasprintf("%s/%s", quoted, pattern);
    glob_t found = {0};
    int rc = glob(full, GLOB_BRACE | GLOB_NOSORT, NULL, &found);
    if (rc != 0 && rc != GLOB_NOMATCH) {
        globfree(&found);
        return err_set(err, ERR_FAILED, "cache path %s cannot be expanded", pattern);
    }
    size_t skip = strlen(root) + 1;
    for (size_t i = 0; rc == 0 && i < found.gl_pathc && out->count < CACHE_PATHS_MAX; i++) {
        if (parent_is_inside(found.gl_pathv[i], real_root)) {
            add_path(out, found.gl_pathv[i] + skip);
        }
    }
    globfree(&found);
    if (out->count >= CACHE_PATHS_MAX) {
        return err_set(err, ERR_CONFIG, "cache path %s matches too much: at most %d paths", pattern,
                       CACHE_PATHS_MAX);
    }
    return 0;
}

int cache_expand(const struct manifest_kept *cache, const char *root, struct cache_paths *out,
                 struct err *err)
{
    struct cache_paths paths = {0};
    autofree char *real_root = path_real(root, err);
    int rc = real_root == NULL ? -1 : 0;
    for (size_t i = 0; i < cache->path_count && rc == 0; i++) {
        rc = expand_one(cache->paths[i], root, real_root, &paths, err);
    }
    if (rc < 0) {
        cache_paths_fini(&paths);
        return -1;
    }
    sort_unique(&paths);
    *out = paths;
    return 0;
}

/* A list from a file: only what cache_expand could have written is believed. */
static bool is_plain(const char *path)
{
    struct str rest = str_of(path);
    struct str part;
    while (str_next(&rest, '/', &part)) {
        if (part.len == 0 || str_eq(part, STR(".")) || str_eq(part, STR(".."))) {
            return false;
        }
    }
    return path[0] != '\0';
}

int cache_read_manifest(const char *dir, struct cache_paths *out, struct err *err)
{
    autofree char *path = path_join(dir, "_manifest.json");
    struct buf text = {0};
    autojson cJSON *list = NULL;
    if (file_read(path, MANIFEST_JSON_MAX, &text, err) == 0) {
        list = json_parse(buf_str(&text), path, err);
    }
    buf_fini(&text);
    if (list == NULL) {
        return -1;
    }
    struct cache_paths paths = {0};
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsString(item) || !is_plain(item->valuestring)) {
            cache_paths_fini(&paths);
            return err_set(err, ERR_CONFIG, "%s: not a list of relative paths", path);
        }
        add_path(&paths, item->valuestring);
    }
    *out = paths;
    return 0;
}

int cache_write_manifest(const char *dir, const struct cache_paths *paths, struct err *err)
{
    autojson cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < paths->count; i++) {
        cJSON_AddItemToArray(list, cJSON_CreateString(paths->items[i]));
    }
    autofree char *text = json_print(list);
    autofree char *path = path_join(dir, "_manifest.json");
    return file_write_atomic(path, str_of(text), 0600, err);
}

int cache_replace(const char *fresh, const char *dir, struct err *err)
{
    if (renameat2(AT_FDCWD, fresh, AT_FDCWD, dir, RENAME_NOREPLACE) == 0 ||
        (errno == EEXIST && renameat2(AT_FDCWD, fresh, AT_FDCWD, dir, RENAME_EXCHANGE) == 0)) {
        return 0;
    }
    return err_set_sys(err, "cannot put %s in place", dir);
}
