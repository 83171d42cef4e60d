/* gitfacts: see gitfacts.h. Asked by the API for lists of worktrees. */
#include "daemon/gitfacts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "base/map.h"
#include "daemon/git.h"

enum { FACTS_MAGIC = 0x67697466 };

struct facts {
    uint32_t magic;
    struct gitfacts *all; /* borrowed; NULL: freed while git ran */
    char *root;           /* owned */
    char *base;           /* owned; NULL: none */
    cJSON *known;         /* owned; NULL: nothing yet */
    cJSON *next;          /* owned: being put together */
    uint64_t known_ms;
    uint64_t asked_ms;
    bool is_queued;
    bool is_running;
};

struct gitfacts {
    struct loop *loop;  /* borrowed */
    struct map by_root; /* → struct facts, owned */
    unsigned running;
    gitfacts_change_fn *on_change;
    void *arg; /* borrowed */
};

static void facts_free(struct facts *f)
{
    cJSON_Delete(f->known);
    cJSON_Delete(f->next);
    free(f->root);
    free(f->base);
    f->magic = 0;
    free(f);
}

struct gitfacts *gitfacts_new(struct loop *loop, gitfacts_change_fn *on_change, void *arg)
{
    struct gitfacts *g = xcalloc(1, sizeof *g);
    *g = (struct gitfacts){.loop = loop, .on_change = on_change, .arg = arg};
    return g;
}

void gitfacts_free(struct gitfacts *g)
{
    if (g == NULL) {
        return;
    }
    size_t at = 0;
    const struct map_entry *entry;
    while ((entry = map_next(&g->by_root, &at)) != NULL) {
        struct facts *f = entry->value;
        if (f->is_running) {
            f->all = NULL; /* freed when git is done */
        } else {
            facts_free(f);
        }
    }
    map_fini(&g->by_root);
    free(g);
}

/* --- parsing ------------------------------------------------------------------------------- */

struct counts {
    int64_t total, staged, unstaged, untracked, unmerged;
};

/* "1 XY …", "2 XY …", "u XY …", "? path" */
static void count_entry(struct counts *c, struct str line)
{
    c->total++;
    if (line.ptr[0] == '?') {
        c->untracked++;
    } else if (line.ptr[0] == 'u') {
        c->unmerged++;
    } else if (line.len > 3) {
        c->staged += line.ptr[2] != '.';
        c->unstaged += line.ptr[3] != '.';
    }
}

/* "# branch.ab +2 -1" */
static void add_distance(cJSON *out, struct str line)
{
    struct str rest = line;
    struct str word;
    while (str_next(&rest, ' ', &word)) {
        uint64_t count;
        struct str digits = {word.ptr + 1, word.len - 1};
        if (word.len > 1 && word.ptr[0] == '+' && str_to_u64(digits, &count)) {
            (void)json_add_int(out, "aheadCount", (int64_t)count);
        } else if (word.len > 1 && word.ptr[0] == '-' && str_to_u64(digits, &count)) {
            (void)json_add_int(out, "behindCount", (int64_t)count);
        }
    }
}

cJSON *gitfacts_parse_status(const char *text, size_t len)
{
    cJSON *out = cJSON_CreateObject();
    struct counts counts = {0};
    struct str rest = {text, len};
    struct str line;
    while (len > 0 && str_next(&rest, '\n', &line)) {
        if (str_starts(line, STR("# branch.ab "))) {
            add_distance(out, line);
        } else if (line.len > 1 && strchr("12u?", line.ptr[0]) != NULL && line.ptr[1] == ' ') {
            count_entry(&counts, line);
        }
    }
    (void)json_add_int(out, "uncommittedCount", counts.total);
    cJSON *changes = cJSON_AddObjectToObject(out, "changes");
    (void)json_add_int(changes, "total", counts.total);
    (void)json_add_int(changes, "staged", counts.staged);
    (void)json_add_int(changes, "unstaged", counts.unstaged);
    (void)json_add_int(changes, "untracked", counts.untracked);
    (void)json_add_int(changes, "unmerged", counts.unmerged);
    return out;
}

/* hash NUL subject NUL time */
static void add_commit(cJSON *out, struct str text)
{
    static const char *const names[] = {"lastCommitHash", "lastCommitSubject", "lastCommitTime"};
    struct str rest = text;
    struct str part;
    for (size_t i = 0; i < COUNT_OF(names) && str_next(&rest, '\0', &part); i++) {
        while (part.len > 0 && part.ptr[part.len - 1] == '\n') {
            part.len--;
        }
        (void)json_add_slice(out, names[i], part);
    }
}

/* --- running -------------------------------------------------------------------------------- */

static void start_next(struct gitfacts *g);

/* The run is over; `next` (taken) is what is known now, NULL when git failed. */
static void facts_done(struct facts *f, cJSON *next)
{
    struct gitfacts *g = f->all;
    f->next = NULL;
    f->is_running = false;
    g->running--;
    f->known_ms = loop_now_ms(g->loop);
    bool is_different = next != NULL && !cJSON_Compare(f->known, next, true);
    if (next != NULL) {
        cJSON_Delete(f->known);
        f->known = next;
    }
    if (is_different) {
        g->on_change(g->arg, f->root);
    }
    start_next(g);
}

static void facts_on_count(void *arg, const struct subprocess_output *output)
{
    struct facts *f = arg;
    CHECK(f->magic == FACTS_MAGIC);
    uint64_t count;
    struct str digits = {output->out.ptr, str_find(output->out, '\n')};
    if (f->all == NULL) {
        facts_free(f);
        return;
    }
    if (git_succeeded(output) && str_to_u64(digits, &count)) {
        (void)json_add_int(f->next, "commitsSinceBase", (int64_t)count);
    }
    facts_done(f, f->next);
}

static int count_start(struct facts *f)
{
    autofree char *range = xasprintf("%s..HEAD", f->base);
    const char *const argv[] = {"git", "rev-list", "--count", range, "--", NULL};
    return git_start(f->all->loop, f->root, argv, facts_on_count, f, NULL);
}

static void facts_on_log(void *arg, const struct subprocess_output *output)
{
    struct facts *f = arg;
    CHECK(f->magic == FACTS_MAGIC);
    if (f->all == NULL) {
        facts_free(f);
        return;
    }
    if (git_succeeded(output)) {
        add_commit(f->next, output->out);
    }
    if (f->base == NULL || count_start(f) < 0) {
        facts_done(f, f->next);
    }
}

static void facts_on_status(void *arg, const struct subprocess_output *output)
{
    static const char *const argv[] = {"git", "log", "-1", "--format=%H%x00%s%x00%cI", NULL};
    struct facts *f = arg;
    CHECK(f->magic == FACTS_MAGIC);
    if (f->all == NULL) {
        facts_free(f);
        return;
    }
    if (!git_succeeded(output)) {
        facts_done(f, NULL);
        return;
    }
    f->next = gitfacts_parse_status(output->out.ptr, output->out.len);
    if (git_start(f->all->loop, f->root, argv, facts_on_log, f, NULL) < 0) {
        facts_done(f, f->next);
    }
}

static void facts_start(struct facts *f)
{
    static const char *const argv[] = {"git", "status", "--porcelain=v2", "--branch", NULL};
    f->is_queued = false;
    f->is_running = true;
    f->all->running++;
    if (git_start(f->all->loop, f->root, argv, facts_on_status, f, NULL) < 0) {
        f->is_running = false; /* the directory is gone: the next list has it no more */
        f->all->running--;
        f->known_ms = loop_now_ms(f->all->loop);
    }
}

static void start_next(struct gitfacts *g)
{
    size_t at = 0;
    const struct map_entry *entry;
    uint64_t now = loop_now_ms(g->loop);
    while ((entry = map_next(&g->by_root, &at)) != NULL) {
        struct facts *f = entry->value;
        if (f->is_queued && g->running < GITFACTS_RUNS) {
            facts_start(f);
        } else if (!f->is_running && !f->is_queued && now - f->asked_ms > GITFACTS_KEEP_MS) {
            (void)map_del(&g->by_root, str_of(f->root));
            facts_free(f);
        }
    }
}

static struct facts *facts_of(struct gitfacts *g, const char *root)
{
    struct facts *f = map_get(&g->by_root, str_of(root));
    if (f == NULL) {
        f = xcalloc(1, sizeof *f);
        f->magic = FACTS_MAGIC;
        f->all = g;
        f->root = xstrdup(root);
        f->is_queued = true;
        (void)map_set(&g->by_root, str_of(root), f);
    }
    return f;
}

void gitfacts_set_base(struct gitfacts *g, const char *root, const char *base)
{
    struct facts *f = facts_of(g, root);
    /* Only what cannot be taken for an option. */
    bool is_commit = strspn(base, "0123456789abcdef") == strlen(base) && *base != '\0';
    if (is_commit && (f->base == NULL || strcmp(f->base, base) != 0)) {
        free(f->base);
        f->base = xstrdup(base);
        f->is_queued = f->is_queued || !f->is_running;
    }
}

const cJSON *gitfacts_get(struct gitfacts *g, const char *root)
{
    struct facts *f = facts_of(g, root);
    uint64_t now = loop_now_ms(g->loop);
    f->asked_ms = now;
    if (!f->is_running && !f->is_queued && now - f->known_ms >= GITFACTS_FRESH_MS) {
        f->is_queued = true;
    }
    if (f->is_queued) {
        start_next(g);
    }
    return f->known;
}
