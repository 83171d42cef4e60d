/* worktree_seen: see worktree_seen.h. Called by changes.c. */
#include "daemon/worktree_seen.h"

#include <stdlib.h>

#include "base/auto.h"
#include "base/map.h"
#include "daemon/deploy/worktree.h"

/* The paths are keys; the value is the round of the list in which each was there. */
struct known {
    struct map paths;
    size_t round;
};

struct worktree_seen {
    struct map projects; /* id → struct known, owned */
};

struct worktree_seen *worktree_seen_new(void)
{
    return xcalloc(1, sizeof(struct worktree_seen));
}

static void known_free(struct known *known)
{
    size_t at = 0;
    const struct map_entry *entry;
    if (known == NULL) {
        return;
    }
    while ((entry = map_next(&known->paths, &at)) != NULL) {
        free(entry->value);
    }
    map_fini(&known->paths);
    free(known);
}

void worktree_seen_free(struct worktree_seen *w)
{
    size_t at = 0;
    const struct map_entry *entry;
    if (w == NULL) {
        return;
    }
    while ((entry = map_next(&w->projects, &at)) != NULL) {
        known_free(entry->value);
    }
    map_fini(&w->projects);
    free(w);
}

/* True when it was not known before. */
static bool known_mark(struct known *known, struct str path)
{
    size_t *round = map_get(&known->paths, path);
    bool is_new = round == NULL;
    if (is_new) {
        round = xcalloc(1, sizeof *round);
        (void)map_set(&known->paths, path, round);
    }
    *round = known->round;
    return is_new;
}

static struct known *known_of(struct worktree_seen *w, const char *project_id, bool *out_is_first)
{
    struct known *known = map_get(&w->projects, str_of(project_id));
    *out_is_first = known == NULL;
    if (known == NULL) {
        known = xcalloc(1, sizeof *known);
        (void)map_set(&w->projects, str_of(project_id), known);
    }
    return known;
}

/* One that is in the map and was not in this round's list, malloc'ed; or NULL. */
static char *known_missing(const struct known *known)
{
    size_t at = 0;
    const struct map_entry *entry;
    while ((entry = map_next(&known->paths, &at)) != NULL) {
        if (*(const size_t *)entry->value != known->round) {
            return xstrdup(entry->key);
        }
    }
    return NULL;
}

void worktree_seen_look(struct worktree_seen *w, const char *project_id, struct str porcelain,
                        worktree_seen_fn *on_news, void *arg)
{
    bool is_first;
    struct worktree_entry entry;
    struct known *known = known_of(w, project_id, &is_first);
    known->round++;
    while (worktree_entry_next(&porcelain, &entry)) {
        if (!entry.bare && known_mark(known, entry.path) && !is_first) {
            autofree char *path = str_dup(entry.path);
            on_news(arg, path, true);
        }
    }
    for (char *path; (path = known_missing(known)) != NULL; free(path)) {
        free(map_del(&known->paths, str_of(path)));
        on_news(arg, path, false);
    }
}

void worktree_seen_note(struct worktree_seen *w, const char *project_id, const char *path,
                        bool exists)
{
    struct known *known = map_get(&w->projects, str_of(project_id));
    if (known == NULL) {
        return;
    }
    if (exists) {
        (void)known_mark(known, str_of(path));
    } else {
        free(map_del(&known->paths, str_of(path)));
    }
}

void worktree_seen_forget(struct worktree_seen *w, const char *project_id)
{
    known_free(map_del(&w->projects, str_of(project_id)));
}
