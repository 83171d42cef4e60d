/* cache: where an entry of deploy.yaml's `cache` is kept, and what is in it.
 *
 * <home>/cache/<key>/ holds one copy per path, under the SHA-256 of the path, and
 * _manifest.json, the list of paths. <key> is the SHA-256 of "literal:" and the key, or of
 * "files:" and, for each file, its path, NUL, its bytes, NUL. An entry is replaced as a whole: made
 * under another name, exchanged at the end. Small blocking file I/O; the copying itself is
 * treecopy's. Everything returned is malloc'ed.
 */
#ifndef WOS_DAEMON_DEPLOY_CACHE_H
#define WOS_DAEMON_DEPLOY_CACHE_H

#include <stddef.h>

#include "base/err.h"
#include "daemon/deploy/manifest.h"

enum {
    CACHE_FILE_MAX = 64 * 1024 * 1024, /* bytes of one file of a key */
    CACHE_PATHS_MAX = 10000            /* that the patterns of one entry may match */
};

/* A list of relative paths. Zero-initialised is empty. */
struct cache_paths {
    char **items; /* owned */
    size_t count;
};
void cache_paths_fini(struct cache_paths *paths);

/* 64 hex digits. ERR_NOT_FOUND names the file of the key that does not exist. */
char *cache_key(const struct manifest_kept *cache, const char *root, struct err *err);
char *cache_dir(const char *home, const char *key);
/* The place of one path in an entry's folder. */
char *cache_item(const char *dir, const char *path);

/* What the patterns match below root, sorted, each once, nothing that leads out of it. */
int cache_expand(const struct manifest_kept *cache, const char *root, struct cache_paths *out,
                 struct err *err);
/* ERR_NOT_FOUND: there is no such entry. */
int cache_read_manifest(const char *dir, struct cache_paths *out, struct err *err);
int cache_write_manifest(const char *dir, const struct cache_paths *paths, struct err *err);
/* Puts `fresh` in the place of `dir`; what was there is afterwards at `fresh`, if anything. */
int cache_replace(const char *fresh, const char *dir, struct err *err);

#endif
