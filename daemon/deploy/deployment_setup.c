/* deployment_setup: what happens around the init scripts of a first run (or --force):
 * clone_volumes are copied and caches restored before them, caches saved after them. Called by
 * deployment_up.c; loop thread. One copy at a time: the disk is shared anyway.
 *
 * A clone that cannot be made fails the up. A cache is a help only: trouble with it is said
 * in the log, and the up goes on. */
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/deploy/cache.h"
#include "daemon/deploy/deployment_internal.h"
#include "daemon/deploy/treecopy.h"

#define SETUP_MAGIC 0x53455455u

enum job_kind {
    JOB_CLONE,
    JOB_RESTORE,
    JOB_SAVE,     /* one path into a new entry */
    JOB_SAVE_END, /* the entry is complete */
};

struct setup_job {
    enum job_kind kind;
    char *from;        /* owned; of JOB_SAVE_END the new entry */
    char *to;          /* owned */
    const char *label; /* borrowed: manifest, or `paths` of an entry */
    size_t index;      /* of a clone: 1, 2, …; else of the cache */
};

struct setup {
    uint32_t magic;
    struct deployment *d; /* borrowed: its owner */
    struct setup_job *jobs;
    size_t job_count;
    size_t next;
    struct treecopy *copy; /* owned while under way */
    size_t cache_count;
    struct cache_paths *paths; /* owned: one list per cache */
    bool *broken;              /* owned: caches whose new entry is given up */
};

static void setup_next(struct setup *s);

void setup_free(struct setup *s)
{
    if (s == NULL) {
        return;
    }
    CHECK(s->magic == SETUP_MAGIC);
    treecopy_cancel(s->copy);
    for (size_t i = s->next; i < s->job_count; i++) {
        if (s->jobs[i].kind == JOB_SAVE_END) {
            tree_remove_later(s->d->env.loop, s->jobs[i].from);
        }
    }
    for (size_t i = 0; i < s->job_count; i++) {
        free(s->jobs[i].from);
        free(s->jobs[i].to);
    }
    for (size_t i = 0; i < s->cache_count; i++) {
        cache_paths_fini(&s->paths[i]);
    }
    free(s->jobs);
    free(s->paths);
    free(s->broken);
    s->magic = 0;
    free(s);
}

static struct setup *setup_new(struct deployment *d)
{
    struct setup *s = xcalloc(1, sizeof(*s));
    size_t caches = d->up->manifest->kept_count;
    s->magic = SETUP_MAGIC;
    s->d = d;
    s->cache_count = caches;
    s->paths = xcalloc(caches + 1, sizeof(s->paths[0]));
    s->broken = xcalloc(caches + 1, sizeof(s->broken[0]));
    d->up->setup = s;
    return s;
}

/* Takes from and to. */
static void setup_add(struct setup *s, enum job_kind kind, char *from, char *to, const char *label,
                      size_t index)
{
    s->jobs = xrealloc(s->jobs, (s->job_count + 1) * sizeof(s->jobs[0]));
    s->jobs[s->job_count++] = (struct setup_job){kind, from, to, label, index};
}

static void setup_say(struct setup *s, const char *stream, const char *text)
{
    autofree char *line = xasprintf("%s\n", text);
    event_log(s->d, "deployment", stream, str_of(line));
}

static void cache_warn(struct setup *s, size_t index, const char *what, const struct err *err)
{
    autofree char *text = xasprintf("cache[%zu] is not %s: %s", index, what, err->msg);
    setup_say(s, "stderr", text);
}

static void clone_event(struct setup *s, const struct setup_job *job, const char *phase)
{
    cJSON *event = cJSON_CreateObject();
    json_add_str(event, "type", "volume-clone");
    json_add_str(event, "phase", phase);
    json_add_str(event, "path", job->label);
    json_add_int(event, "index", (int64_t)job->index);
    json_add_int(event, "total", (int64_t)s->d->up->manifest->clone_count);
    event_send(s->d, event);
}

static void setup_finish(struct setup *s)
{
    struct deployment *d = s->d;
    setup_free(s);
    d->up->setup = NULL;
    up_step_done(d);
}

static void setup_on_continue(void *arg)
{
    struct deployment *d = arg;
    CHECK(d->magic == DEPLOYMENT_MAGIC && d->up != NULL && d->up->setup != NULL);
    setup_next(d->up->setup);
}

static void setup_on_copied(void *arg, const struct err *err)
{
    struct setup *s = arg;
    CHECK(s->magic == SETUP_MAGIC);
    struct setup_job *job = &s->jobs[s->next++];
    s->copy = NULL;
    if (err != NULL && job->kind == JOB_CLONE) {
        autofree char *message = xasprintf("clone_volumes[%zu]: %s", job->index - 1, err->msg);
        up_fail(s->d, ERR_FAILED, message);
        return;
    }
    if (err != NULL) {
        cache_warn(s, job->index, job->kind == JOB_SAVE ? "saved" : "fully restored", err);
        s->broken[job->index] = true;
    } else if (job->kind == JOB_CLONE) {
        clone_event(s, job, "complete");
    }
    deployment_continue(s->d, setup_on_continue, 0);
}

static void setup_save_end(struct setup *s, struct setup_job *job)
{
    struct err err = {0};
    if (!s->broken[job->index]) {
        bool ok = cache_write_manifest(job->from, &s->paths[job->index], &err) == 0 &&
                  cache_replace(job->from, job->to, &err) == 0;
        if (!ok) {
            cache_warn(s, job->index, "saved", &err);
        } else {
            autofree char *text =
                xasprintf("cache[%zu] saved: %zu paths", job->index, s->paths[job->index].count);
            setup_say(s, "stdout", text);
        }
    }
    tree_remove_later(s->d->env.loop, job->from); /* by now the entry that was replaced */
    s->next++;
    deployment_continue(s->d, setup_on_continue, 0);
}

/* True when nothing is to be copied: a destination that exists is kept. */
static bool setup_skips(struct setup *s, const struct setup_job *job)
{
    if (job->kind == JOB_SAVE) {
        return s->broken[job->index];
    }
    if (!file_exists(job->to)) {
        return false;
    }
    if (job->kind == JOB_CLONE) {
        autofree char *text = xasprintf("clone_volumes[%zu]: %s exists already; kept as it is",
                                        job->index - 1, job->to);
        setup_say(s, "stderr", text);
    }
    return true;
}

static void setup_next(struct setup *s)
{
    while (s->next < s->job_count && s->jobs[s->next].kind != JOB_SAVE_END &&
           setup_skips(s, &s->jobs[s->next])) {
        s->next++;
    }
    if (s->next == s->job_count) {
        setup_finish(s);
        return;
    }
    struct setup_job *job = &s->jobs[s->next];
    struct err err = {0};
    if (job->kind == JOB_SAVE_END) {
        setup_save_end(s, job);
        return;
    }
    if (job->kind == JOB_CLONE) {
        if (!file_exists(job->from)) {
            autofree char *message =
                xasprintf("clone_volumes[%zu]: %s does not exist in the source worktree",
                          job->index - 1, job->from);
            up_fail(s->d, ERR_CONFIG, message);
            return;
        }
        clone_event(s, job, "start");
    }
    s->copy = treecopy_start(s->d->env.loop, job->from, job->to, setup_on_copied, s, &err);
    if (s->copy == NULL) {
        setup_on_copied(s, &err);
    }
}

/* With --force what was cloned is moved out of the way first. */
static int add_clones(struct setup *s, struct err *err)
{
    struct deployment *d = s->d;
    const struct manifest *m = d->up->manifest;
    for (size_t i = 0; i < m->clone_count && !d->wt.is_source; i++) {
        autofree char *from = path_join(d->wt.source, m->clones[i].source);
        autofree char *to = path_join(d->wt.root, m->clones[i].destination);
        if (strcmp(from, to) == 0) {
            continue;
        }
        if (d->up->force && tree_trash(d->env.loop, to, err) < 0) {
            return err_wrap(err, "clone_volumes[%zu]", i);
        }
        setup_add(s, JOB_CLONE, xstrdup(from), xstrdup(to), m->clones[i].destination, i + 1);
    }
    return 0;
}

static void add_restores(struct setup *s)
{
    struct deployment *d = s->d;
    const struct manifest *m = d->up->manifest;
    for (size_t i = 0; i < m->kept_count; i++) {
        struct err err = {0};
        autofree char *key = cache_key(&m->kept[i], d->wt.root, &err);
        if (key == NULL) {
            cache_warn(s, i, "restored", &err);
            continue;
        }
        autofree char *dir = cache_dir(d->env.home, key);
        if (cache_read_manifest(dir, &s->paths[i], &err) < 0) {
            if (err.code != ERR_NOT_FOUND) {
                cache_warn(s, i, "restored", &err);
            }
            continue;
        }
        for (size_t j = 0; j < s->paths[i].count; j++) {
            const char *path = s->paths[i].items[j];
            setup_add(s, JOB_RESTORE, cache_item(dir, path), path_join(d->wt.root, path), path, i);
        }
        autofree char *text = xasprintf("cache[%zu] found: %zu paths", i, s->paths[i].count);
        setup_say(s, "stdout", text);
    }
}

void setup_begin(struct deployment *d)
{
    struct err err = {0};
    struct setup *s = setup_new(d);
    if (add_clones(s, &err) < 0) {
        up_fail(d, err.code, err.msg);
        return;
    }
    add_restores(s); /* keys are of the worktree as it was checked out, without clones */
    deployment_continue(d, setup_on_continue, 0);
}

static int add_save(struct setup *s, size_t index, struct err *err)
{
    struct deployment *d = s->d;
    const struct manifest_kept *cache = &d->up->manifest->kept[index];
    autofree char *key = cache_key(cache, d->wt.root, err);
    if (key == NULL || cache_expand(cache, d->wt.root, &s->paths[index], err) < 0) {
        return -1;
    }
    if (s->paths[index].count == 0) {
        return err_set(err, ERR_NOT_FOUND, "none of its paths exists");
    }
    autofree char *dir = cache_dir(d->env.home, key);
    autofree char *fresh = xasprintf("%s" TREECOPY_PARTIAL "%s", dir, d->wt.project_name);
    if (path_remove_all(fresh, err) < 0 || dir_make(fresh, 0700, err) < 0) {
        return -1;
    }
    for (size_t j = 0; j < s->paths[index].count; j++) {
        const char *path = s->paths[index].items[j];
        setup_add(s, JOB_SAVE, path_join(d->wt.root, path), cache_item(fresh, path), path, index);
    }
    setup_add(s, JOB_SAVE_END, xstrdup(fresh), xstrdup(dir), NULL, index);
    return 0;
}

void setup_save_begin(struct deployment *d)
{
    struct setup *s = setup_new(d);
    for (size_t i = 0; i < d->up->manifest->kept_count; i++) {
        struct err err = {0};
        if (add_save(s, i, &err) < 0) {
            cache_warn(s, i, "saved", &err);
        }
    }
    deployment_continue(d, setup_on_continue, 0);
}
