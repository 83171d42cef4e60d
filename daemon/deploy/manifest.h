/* manifest: .wos/deploy.yaml as a checked, immutable structure.
 *
 * The reader never stops at the first mistake: every problem of the file is
 * collected as `file:line:column: what, and what is allowed`. A manifest with
 * a problem must not be deployed (manifest_ok); warnings (unknown keys) do not
 * stop anything. Bounds: 1 MiB of text, 32 levels, 20,000 nodes after aliases
 * are followed. Everything lives until manifest_free. Control plane, small file I/O.
 */
#ifndef WOS_DAEMON_DEPLOY_MANIFEST_H
#define WOS_DAEMON_DEPLOY_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "daemon/publish_options.h"

enum { MANIFEST_TEXT_MAX = 1024 * 1024 };

enum manifest_mode { MANIFEST_GENERATED, MANIFEST_COMPOSE, MANIFEST_SHELL };

struct manifest_health {
    bool enabled;
    const char *path;    /* begins with '/' */
    int status;          /* 0: anything below 500 */
    uint32_t timeout_ms; /* 0: the configured default; the same below */
    uint32_t start_period_ms;
    bool start_period_set;
    uint32_t interval_ms;
    uint32_t retries;
};

struct manifest_port {
    uint16_t port;
    bool allow_failure;
    struct publish_options options; /* of its public route; the whitelist is in the arena */
    struct manifest_health health;
    int line; /* where it was declared */
    int column;
};

struct manifest_pair {
    const char *key;
    const char *value;
    int line;
    int column;
};

/* A service of the application, one of `deps` (image, ports, environment and volumes only;
 * never published), or, in mode compose, an exposed service (ports only). */
struct manifest_service {
    const char *name;
    bool is_dep;
    struct manifest_port *ports;
    size_t port_count;
    const char **script; /* commands in order */
    size_t script_count;
    const char **init_script;
    size_t init_count;
    const char **dependencies; /* existing services */
    size_t dependency_count;
    const char *cwd;      /* NULL: the worktree's root */
    const char *env_file; /* NULL: none */
    const char *image;    /* generated: never NULL in a good manifest; else NULL */
    const char **volumes; /* generated: as Compose takes them */
    size_t volume_count;
    struct manifest_pair *environment;
    size_t environment_count;
    int line;
    int column;
};

struct manifest_target {
    const char *name;
    const char **services;
    size_t service_count;
};

/* Copied on the first run, from the source worktree to this one. */
struct manifest_clone {
    const char *source;      /* relative to the source worktree, or absolute */
    const char *destination; /* relative to the worktree, or absolute */
};

/* Files kept under <home>/cache between first runs. */
struct manifest_kept {
    const char *key;    /* NULL: the contents of `files` are the key */
    const char **files; /* relative, inside the worktree */
    size_t file_count;
    const char **paths; /* the same; each segment may have * ? [] {} */
    size_t path_count;
};

/* A package manager's cache, mounted where the init scripts run in mode generated. */
enum manifest_cache_kind { CACHE_NPM, CACHE_YARN, CACHE_BUN, CACHE_KINDS };

struct manifest_cache {
    bool enabled;
    const char *path; /* absolute, or with ~ in front; NULL: ask the tool */
};

/* Mode compose. */
struct manifest_compose {
    const char *config; /* the user's compose file; never NULL in a good manifest */
    int line;           /* where it is named */
    int column;
    const char **env_files;
    size_t env_file_count;
    struct manifest_pair *environment; /* of the command, for interpolation */
    size_t environment_count;
};

struct manifest_problem {
    int line; /* 1-based; 0 when the whole file is meant */
    int column;
    const char *text;
};

struct manifest_problems {
    struct manifest_problem *items; /* owned array, texts in the arena */
    size_t count;
    size_t cap;
};

struct manifest {
    struct arena arena;
    const char *file;
    enum manifest_mode mode;
    bool has_mode;                 /* the file says it */
    bool missing;                  /* manifest_load found no file */
    uint16_t port_start, port_end; /* host_ports.range */
    bool dynamic_ports;
    struct manifest_clone *clones; /* clone_volumes */
    size_t clone_count;
    struct manifest_kept *kept; /* cache */
    size_t kept_count;
    const char **arguments;
    size_t argument_count;
    const char **init_script; /* app.init_script */
    size_t init_count;
    const char *image; /* app.image or NULL */
    struct manifest_cache caches[CACHE_KINDS];
    struct manifest_compose compose;
    struct manifest_service *services; /* sorted by name; deps among them */
    size_t service_count;
    struct manifest_target *targets;
    size_t target_count;
    struct manifest_problems errors;
    struct manifest_problems warnings;
};

/* `<source>/.wos/deploy.yaml` for the source worktree, else
 * `<source>/.wos/deploy.worktree.yaml`. malloc'ed. */
char *manifest_path(const char *source, bool is_source);
/* Never NULL. `file` is used in messages only. */
struct manifest *manifest_parse(struct str text, const char *file);
/* Never NULL: an unreadable or missing file is a problem like others. */
struct manifest *manifest_load(const char *path);
void manifest_free(struct manifest *m);

bool manifest_ok(const struct manifest *m);
/* All problems, sorted by place, one a line, no newline at the end. malloc'ed. */
char *manifest_errors_text(const struct manifest *m);
char *manifest_warnings_text(const struct manifest *m);

/* "declared: a, b": for a sentence about a name that is not. */
void manifest_declared(const struct manifest *m, struct buf *out);
const struct manifest_service *manifest_find(const struct manifest *m, const char *name);
const struct manifest_port *manifest_service_port(const struct manifest_service *s, uint16_t port);
bool manifest_has_argument(const struct manifest *m, const char *name);
const char *manifest_mode_name(enum manifest_mode mode);

#endif
