/* repo_scan: what a repository looks like it needs to run; for `wos init`.
 *
 * Looks at package.json (with workspaces), Procfile, manage.py, pyproject.toml, bin/rails, go.mod,
 * Cargo.toml, Makefile, index.html and compose files of one folder; runs nothing. What it
 * saw and what it made of that is told in `notes`, a sentence each. Small blocking file I/O.
 */
#ifndef WOS_CLI_REPO_SCAN_H
#define WOS_CLI_REPO_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { REPO_SERVICES_MAX = 32, REPO_NOTES_MAX = 64, REPO_FILE_MAX = 1024 * 1024 };

struct repo_service {
    char *name;     /* owned: fits deploy.yaml; in mode compose the compose file's */
    char *command;  /* owned: one shell line; NULL in mode compose */
    char *cwd;      /* owned, relative; NULL: the worktree */
    uint16_t port;  /* declared; 0: it listens nowhere */
    bool sets_port; /* the program reads PORT */
};

struct repo_plan {
    struct repo_service services[REPO_SERVICES_MAX];
    size_t service_count;
    char *notes[REPO_NOTES_MAX]; /* owned */
    size_t note_count;
    char *install;      /* owned: init script, or NULL */
    char *lock_file;    /* owned: key of a cache of node_modules, or NULL */
    char *compose_file; /* owned: set in mode compose */
    bool has_env_file;  /* .env is there: worktrees want a copy */
};

/* Zero-initialised is empty. */
void repo_scan(const char *root, struct repo_plan *out);
void repo_plan_fini(struct repo_plan *plan);

/* For repo_scan_*.c. */
void repo_note(struct repo_plan *plan, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* NULL when there are too many. Copies the strings; the name is made to fit and unique. */
struct repo_service *repo_add(struct repo_plan *plan, const char *name, const char *command,
                              const char *cwd, uint16_t port);
/* The file's text, malloc'ed, or NULL. */
char *repo_read(const char *root, const char *name);
bool repo_has(const char *root, const char *name);
/* repo_scan_node.c, repo_scan_compose.c */
void repo_scan_node(const char *root, struct repo_plan *plan);
void repo_scan_compose(const char *root, struct repo_plan *plan);

#endif
