/* docker_events: see docker_events.h. Called by compose_watch; loop thread. */
#include "daemon/deploy/docker_events.h"

#include <stdlib.h>

#include "base/auto.h"
#include "daemon/deploy/docker.h"
#include "daemon/deploy/envlist.h"

enum {
    STREAM_MAGIC = 0x64657673,
    AGAIN_MS = 5000,       /* after the end of a stream */
    LINE_MAX_BYTES = 4096, /* a project's name is shorter */
};

/* One engine. */
struct stream {
    uint32_t magic;
    struct docker_events *hub; /* borrowed: owner */
    struct stream *next;       /* owned */
    char *key;                 /* owned: program and engine */
    char *docker;              /* owned */
    struct envlist env;
    struct docker_command *command; /* owned; NULL: between two */
    struct loop_timer timer;
    struct buf line;
    struct docker_watch *watches; /* a list */
};

struct docker_events {
    struct loop *loop;      /* borrowed */
    struct stream *streams; /* owned */
};

struct docker_watch {
    struct stream *stream;     /* borrowed */
    struct docker_watch *next; /* of the stream's list */
    char *project;             /* owned */
    docker_change_fn *on_change;
    void *arg; /* borrowed */
};

static void tell(const struct stream *s, struct str project)
{
    for (const struct docker_watch *w = s->watches; w != NULL; w = w->next) {
        if (project.ptr == NULL || str_eq(project, str_of(w->project))) {
            w->on_change(w->arg);
        }
    }
}

static void stream_on_output(void *arg, bool is_stderr, struct str chunk)
{
    struct stream *s = arg;
    CHECK(s->magic == STREAM_MAGIC);
    if (is_stderr) {
        return;
    }
    buf_add_str(&s->line, chunk);
    for (;;) {
        struct str all = buf_str(&s->line);
        size_t len = all.len == 0 ? 0 : str_find(all, '\n');
        if (len == all.len) {
            break;
        }
        tell(s, str_trim((struct str){all.ptr, len}));
        buf_consume(&s->line, len + 1);
    }
    if (s->line.len > LINE_MAX_BYTES) {
        buf_consume(&s->line, s->line.len);
    }
}

static void stream_on_done(void *arg, const struct docker_result *result)
{
    struct stream *s = arg;
    (void)result;
    CHECK(s->magic == STREAM_MAGIC);
    s->command = NULL;
    buf_consume(&s->line, s->line.len);
    loop_timer_set(&s->timer, AGAIN_MS);
    tell(s, STR_NONE);
}

static void stream_begin(void *arg)
{
    struct stream *s = arg;
    CHECK(s->magic == STREAM_MAGIC);
    const char *const argv[] = {
        s->docker,  "events",
        "--filter", "type=container",
        "--filter", "label=com.docker.compose.project",
        "--filter", "event=start",
        "--filter", "event=die",
        "--filter", "event=destroy",
        "--filter", "event=pause",
        "--filter", "event=unpause",
        "--format", "{{index .Actor.Attributes \"com.docker.compose.project\"}}",
        NULL};
    s->command = docker_ask(s->hub->loop, argv, envlist_array(&s->env), NULL, stream_on_output,
                            stream_on_done, s);
    tell(s, STR_NONE); /* what happened before the events come */
}

static void stream_free(struct stream *s)
{
    docker_command_cancel(s->command);
    loop_timer_fini(&s->timer);
    buf_fini(&s->line);
    envlist_fini(&s->env);
    free(s->docker);
    free(s->key);
    s->magic = 0;
    free(s);
}

static char *stream_key(const char *docker, const char *const *env)
{
    struct buf text = {0};
    buf_add_text(&text, docker);
    for (size_t i = 0; env[i] != NULL; i++) {
        if (strncmp(env[i], "DOCKER_", 7) == 0) {
            buf_printf(&text, "\n%s", env[i]);
        }
    }
    return buf_take(&text);
}

static struct stream *stream_get(struct docker_events *hub, const char *docker,
                                 const char *const *env)
{
    autofree char *key = stream_key(docker, env);
    for (struct stream *s = hub->streams; s != NULL; s = s->next) {
        if (strcmp(s->key, key) == 0) {
            return s;
        }
    }
    struct stream *s = xcalloc(1, sizeof(*s));
    *s = (struct stream){.magic = STREAM_MAGIC,
                         .hub = hub,
                         .next = hub->streams,
                         .key = xstrdup(key),
                         .docker = xstrdup(docker)};
    envlist_add_all(&s->env, env);
    loop_timer_init(&s->timer, hub->loop, stream_begin, s);
    hub->streams = s;
    stream_begin(s);
    return s;
}

struct docker_events *docker_events_new(struct loop *loop)
{
    struct docker_events *hub = xcalloc(1, sizeof(*hub));
    hub->loop = loop;
    return hub;
}

void docker_events_free(struct docker_events *hub)
{
    if (hub != NULL) {
        CHECK(hub->streams == NULL);
        free(hub);
    }
}

struct docker_watch *docker_watch_new(struct docker_events *hub, const char *docker,
                                      const char *const *env, const char *project,
                                      docker_change_fn *on_change, void *arg)
{
    struct docker_watch *w = xcalloc(1, sizeof(*w));
    *w = (struct docker_watch){.stream = stream_get(hub, docker, env),
                               .project = xstrdup(project),
                               .on_change = on_change,
                               .arg = arg};
    w->next = w->stream->watches;
    w->stream->watches = w;
    return w;
}

void docker_watch_free(struct docker_watch *w)
{
    if (w == NULL) {
        return;
    }
    struct stream *s = w->stream;
    struct docker_watch **at = &s->watches;
    while (*at != w) {
        at = &(*at)->next;
    }
    *at = w->next;
    free(w->project);
    free(w);
    if (s->watches == NULL) {
        struct stream **slot = &s->hub->streams;
        while (*slot != s) {
            slot = &(*slot)->next;
        }
        *slot = s->next;
        stream_free(s);
    }
}

pid_t docker_watch_pid(const struct docker_watch *w, uint64_t *out_start_ticks)
{
    return w == NULL ? 0 : docker_command_pid(w->stream->command, out_start_ticks);
}
