/* compose_caches: where the package caches of this machine are, for the init scripts. Called by
 * runner_compose.c before those run and by compose_plan.c; loop thread.
 *
 * Each tool is asked by a command of its own, in the user's home: in the worktree it might run
 * code of the repository, which belongs into the container. */
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "daemon/deploy/runner_compose.h"
#include "daemon/deploy/shell.h"

enum { CACHES_MAGIC = 0x43414348, ANSWER_MS = 10000 };

static const struct {
    const char *name;
    const char *variable;
    const char *places[2]; /* under the user's home, when the tool does not say */
} caches[CACHE_KINDS] = {
    [CACHE_NPM] = {"npm", "NPM_CONFIG_CACHE", {".npm", NULL}},
    [CACHE_YARN] = {"yarn", "YARN_CACHE_FOLDER", {".cache/yarn", ".yarn/berry/cache"}},
    [CACHE_BUN] = {"bun", "BUN_INSTALL_CACHE_DIR", {".bun/install/cache", NULL}},
};

static const struct {
    enum manifest_cache_kind kind;
    const char *words[5];
} questions[] = {
    {CACHE_NPM, {"npm", "config", "get", "cache", NULL}},
    {CACHE_YARN, {"yarn", "cache", "dir", NULL}}, /* version 1 */
    {CACHE_YARN, {"yarn", "config", "get", "cacheFolder", NULL}},
    {CACHE_BUN, {"bun", "pm", "cache", NULL}},
};

struct compose_caches {
    uint32_t magic;
    struct compose_run *c; /* borrowed: owner */
    size_t at;             /* in questions */
    struct envlist env;
    struct docker_command *command; /* owned */
    struct loop_timer timer;
    compose_fn *then;
};

/* --- asking ----------------------------------------------------------------------------- */

void compose_caches_cancel(struct compose_run *c)
{
    struct compose_caches *s = c->caches;
    if (s == NULL) {
        return;
    }
    CHECK(s->magic == CACHES_MAGIC);
    c->caches = NULL;
    docker_command_cancel(s->command);
    loop_timer_fini(&s->timer);
    envlist_fini(&s->env);
    s->magic = 0;
    free(s);
}

/* NULL: not given there. */
static const char *told_by_variable(const struct compose_run *c, enum manifest_cache_kind kind)
{
    const char *told = envlist_get(&c->d->up->base_env, caches[kind].variable);
    return told != NULL && told[0] == '/' ? told : NULL;
}

static bool is_asked(const struct compose_run *c, enum manifest_cache_kind kind)
{
    const struct manifest_cache *cache = &c->d->up->manifest->caches[kind];
    return cache->enabled && cache->path == NULL && c->cache_paths[kind] == NULL &&
           told_by_variable(c, kind) == NULL;
}

/* Its first line, if that can be the first half of a volume. The place is made, as the tool would
 * on its first use: Docker would make it as root. */
static void take_answer(struct compose_run *c, enum manifest_cache_kind kind, struct str out)
{
    struct str line;
    if (!str_next(&out, '\n', &line)) {
        return;
    }
    autofree char *path = str_dup(str_trim(line));
    if (path[0] != '/' || strchr(path, ':') != NULL || dir_make(path, 0755, NULL) < 0) {
        return;
    }
    autofree char *text = xasprintf("%s says that its cache is %s\n", caches[kind].name, path);
    event_log(c->d, "init", "stderr", str_of(text));
    c->cache_paths[kind] = path;
    path = NULL;
}

static void caches_next(struct compose_caches *s);

static void caches_on_done(void *arg, const struct docker_result *result)
{
    struct compose_caches *s = arg;
    CHECK(s->magic == CACHES_MAGIC);
    s->command = NULL;
    loop_timer_clear(&s->timer);
    if (compose_up_is_over(s->c->d)) {
        return; /* whoever ends it cancels this too */
    }
    if (result->status == 0) {
        take_answer(s->c, questions[s->at].kind, result->out);
    }
    s->at++;
    caches_next(s);
}

static void caches_on_timer(void *arg)
{
    struct compose_caches *s = arg;
    CHECK(s->magic == CACHES_MAGIC);
    docker_command_stop(s->command); /* caches_on_done goes on, without an answer */
}

/* Calls itself through caches_on_done only, once a command is over. */
static void caches_next(struct compose_caches *s)
{
    struct compose_run *c = s->c;
    const char *home = envlist_get(&s->env, "HOME");
    while (s->at < COUNT_OF(questions) && (home == NULL || !is_asked(c, questions[s->at].kind))) {
        s->at++;
    }
    if (s->at < COUNT_OF(questions)) {
        loop_timer_set(&s->timer, ANSWER_MS);
        s->command = docker_ask(c->d->env.loop, questions[s->at].words, envlist_array(&s->env),
                                home, NULL, caches_on_done, s);
        return;
    }
    compose_fn *then = s->then;
    compose_caches_cancel(c);
    then(c);
}

void compose_caches_find(struct compose_run *c, compose_fn *then)
{
    CHECK(c->caches == NULL);
    for (size_t i = 0; i < CACHE_KINDS; i++) {
        free(c->cache_paths[i]);
        c->cache_paths[i] = NULL;
    }
    if (c->d->up->manifest->init_count == 0) {
        then(c);
        return;
    }
    struct compose_caches *s = xcalloc(1, sizeof(*s));
    s->magic = CACHES_MAGIC;
    s->c = c;
    s->then = then;
    envlist_add_all(&s->env, envlist_array(&c->d->up->base_env));
    /* A stand-in for yarn that would first fetch it is no yarn to ask. */
    envlist_set(&s->env, STR("COREPACK_ENABLE_NETWORK"), STR("0"));
    loop_timer_init(&s->timer, c->d->env.loop, caches_on_timer, s);
    c->caches = s;
    caches_next(s);
}

/* --- using ------------------------------------------------------------------------------- */

/* malloc'ed; NULL: there is none. */
static char *cache_path(const struct compose_run *c, enum manifest_cache_kind kind)
{
    const struct manifest_cache *cache = &c->d->up->manifest->caches[kind];
    const char *home = envlist_get(&c->d->up->base_env, "HOME");
    if (!cache->enabled || (home == NULL && (cache->path == NULL || cache->path[0] == '~'))) {
        return NULL;
    }
    if (cache->path != NULL) {
        return cache->path[0] == '~' ? xasprintf("%s%s", home, cache->path + 1)
                                     : xstrdup(cache->path);
    }
    const char *told = told_by_variable(c, kind);
    told = told != NULL ? told : c->cache_paths[kind];
    if (told != NULL) {
        return xstrdup(told);
    }
    for (size_t i = 0; i < COUNT_OF(caches[kind].places) && caches[kind].places[i] != NULL; i++) {
        autofree char *path = path_join(home, caches[kind].places[i]);
        if (file_exists(path)) {
            return xstrdup(path);
        }
    }
    return NULL;
}

void compose_caches_add(const struct compose_run *c, struct compose_service *out, char **volumes)
{
    for (size_t i = 0; i < CACHE_KINDS && c->d->up->manifest->init_count > 0; i++) {
        autofree char *path = cache_path(c, (enum manifest_cache_kind)i);
        if (path != NULL) {
            autofree char *inside = xasprintf("/wos-cache/%s", caches[i].name);
            envlist_set(&out->environment, str_of(caches[i].variable), str_of(inside));
            volumes[out->volume_count++] = xasprintf("%s:%s", path, inside);
        }
    }
}
