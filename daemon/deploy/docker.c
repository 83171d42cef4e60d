/* docker: see docker.h. Called by runner_compose and the container logs; loop thread. */
#include "daemon/deploy/docker.h"

#include <stdlib.h>
#include <sys/wait.h>

#include "base/auto.h"
#include "base/subprocess.h"
#include "daemon/deploy/initrun.h"
#include "daemon/deploy/shell.h"

#define COMMAND_MAGIC 0x444f434bu
#define SEARCH_MAGIC 0x44534541u
enum { STOP_GRACE_MS = 10000 };

struct docker_command {
    uint32_t magic;
    struct initrun *run; /* owned; NULL: could not be started */
    struct loop_timer timer;
    struct buf out;
    struct buf err_tail;
    docker_output_fn *on_output;
    docker_done_fn *on_done;
    void *arg; /* borrowed */
};

void docker_args_add(struct docker_args *args, const char *text)
{
    args->items = xrealloc(args->items, (args->count + 2) * sizeof(args->items[0]));
    args->items[args->count++] = xstrdup(text);
    args->items[args->count] = NULL;
}

void docker_args_add_all(struct docker_args *args, const char *const *list)
{
    for (size_t i = 0; list[i] != NULL; i++) {
        docker_args_add(args, list[i]);
    }
}

const char *const *docker_args_argv(const struct docker_args *args)
{
    return (const char *const *)args->items;
}

void docker_args_fini(struct docker_args *args)
{
    for (size_t i = 0; i < args->count; i++) {
        free(args->items[i]);
    }
    free(args->items);
    *args = (struct docker_args){0};
}

static void command_free(struct docker_command *c)
{
    initrun_cancel(c->run);
    loop_timer_fini(&c->timer);
    buf_fini(&c->out);
    buf_fini(&c->err_tail);
    c->magic = 0;
    free(c);
}

static void command_on_output(void *arg, bool is_stderr, struct str chunk)
{
    struct docker_command *c = arg;
    CHECK(c->magic == COMMAND_MAGIC);
    if (is_stderr) {
        buf_add_str(&c->err_tail, chunk);
        if (c->err_tail.len > DOCKER_TAIL_MAX) {
            buf_consume(&c->err_tail, c->err_tail.len - DOCKER_TAIL_MAX);
        }
    } else if (c->on_output == NULL && c->out.len + chunk.len <= DOCKER_OUTPUT_MAX) {
        buf_add_str(&c->out, chunk);
    }
    if (c->on_output != NULL) {
        c->on_output(c->arg, is_stderr, chunk);
    }
}

static void command_end(struct docker_command *c, int status)
{
    struct docker_command moved = *c;
    struct docker_result result = {
        .status = status, .out = buf_str(&c->out), .err_tail = buf_str(&c->err_tail)};
    c->out = (struct buf){0}; /* on_done may cancel or start anew; its texts live on here */
    c->err_tail = (struct buf){0};
    command_free(c);
    moved.on_done(moved.arg, &result);
    buf_fini(&moved.out);
    buf_fini(&moved.err_tail);
}

static void command_on_exit(void *arg, int status)
{
    struct docker_command *c = arg;
    CHECK(c->magic == COMMAND_MAGIC);
    c->run = NULL;
    command_end(c, status);
}

static void command_on_not_started(void *arg)
{
    struct docker_command *c = arg;
    CHECK(c->magic == COMMAND_MAGIC);
    command_end(c, -1);
}

static struct docker_command *command_new(struct loop *loop, const struct subprocess_spec *spec,
                                          docker_output_fn *on_output, docker_done_fn *on_done,
                                          void *arg)
{
    struct docker_command *c = xcalloc(1, sizeof(*c));
    *c = (struct docker_command){
        .magic = COMMAND_MAGIC, .on_output = on_output, .on_done = on_done, .arg = arg};
    loop_timer_init(&c->timer, loop, command_on_not_started, c);
    struct err err = {0};
    c->run = initrun_exec(loop, spec, command_on_output, command_on_exit, c, &err);
    if (c->run == NULL) {
        buf_add_text(&c->err_tail, err.msg);
        loop_timer_set(&c->timer, 0);
    }
    return c;
}

struct docker_command *docker_run(struct loop *loop, const char *const *argv,
                                  const char *const *env, const char *cwd,
                                  docker_output_fn *on_output, docker_done_fn *on_done, void *arg)
{
    const struct subprocess_spec spec = {.argv = argv, .env = env, .cwd = cwd, .stdin_fd = -1};
    return command_new(loop, &spec, on_output, on_done, arg);
}

struct docker_command *docker_ask(struct loop *loop, const char *const *argv,
                                  const char *const *env, const char *cwd,
                                  docker_output_fn *on_output, docker_done_fn *on_done, void *arg)
{
    const struct subprocess_spec spec = {
        .argv = argv, .env = env, .cwd = cwd, .stdin_fd = -1, .dies_with_us = true};
    return command_new(loop, &spec, on_output, on_done, arg);
}

void docker_command_stop(struct docker_command *c)
{
    CHECK(c->magic == COMMAND_MAGIC);
    if (c->run != NULL) {
        initrun_stop(c->run, STOP_GRACE_MS);
    }
}

void docker_command_cancel(struct docker_command *c)
{
    if (c != NULL) {
        CHECK(c->magic == COMMAND_MAGIC);
        command_free(c);
    }
}

pid_t docker_command_pid(const struct docker_command *c, uint64_t *out_start_ticks)
{
    return c == NULL || c->run == NULL ? 0 : initrun_pid(c->run, out_start_ticks);
}

/* --- finding the tools ------------------------------------------------------------ */

/* What is asked now: is there Compose, as a plugin or by itself; does the engine answer? */
enum search_stage { SEARCH_PLUGIN, SEARCH_V1, SEARCH_ENGINE };

struct docker_search {
    uint32_t magic;
    struct loop *loop;              /* borrowed */
    const char *const *env;         /* borrowed */
    struct docker_tool *tool;       /* borrowed */
    struct docker_command *command; /* owned */
    struct buf problems;
    char *docker; /* owned */
    enum search_stage stage;
    bool has_v1;
    docker_found_fn *on_found;
    void *arg; /* borrowed */
};

void docker_tool_fini(struct docker_tool *tool)
{
    free(tool->docker);
    free(tool->compose);
    *tool = (struct docker_tool){0};
}

void docker_tool_add_compose(const struct docker_tool *tool, struct docker_args *args)
{
    CHECK(tool->is_known);
    if (tool->compose != NULL) {
        docker_args_add(args, tool->compose);
        return;
    }
    docker_args_add(args, tool->docker);
    docker_args_add(args, "compose");
}

static void search_free(struct docker_search *s)
{
    docker_command_cancel(s->command);
    buf_fini(&s->problems);
    free(s->docker);
    s->magic = 0;
    free(s);
}

static void search_ask(struct docker_search *s);

static void search_note_problem(struct docker_search *s, const struct docker_result *result)
{
    char status[64];
    autofree char *said = shell_text_tail(result->err_tail, 3);
    buf_printf(&s->problems, "%s%s%s version: %s%s%s", s->problems.len == 0 ? "" : "; ",
               s->stage == SEARCH_V1 ? "docker-compose" : s->docker,
               s->stage == SEARCH_PLUGIN ? " compose" : "",
               result->status == -1
                   ? "cannot be run"
                   : subprocess_status_text(result->status, status, sizeof(status)),
               said[0] == '\0' ? "" : ": ", said);
}

static void search_finish(struct docker_search *s, const struct err *err)
{
    docker_found_fn *on_found = s->on_found;
    void *arg = s->arg;
    search_free(s);
    on_found(arg, err);
}

static void search_on_done(void *arg, const struct docker_result *result)
{
    struct docker_search *s = arg;
    CHECK(s->magic == SEARCH_MAGIC);
    s->command = NULL;
    if (result->status == 0 && s->stage == SEARCH_ENGINE) {
        docker_tool_fini(s->tool);
        *s->tool = (struct docker_tool){.docker = xstrdup(s->docker),
                                        .compose = s->has_v1 ? xstrdup("docker-compose") : NULL,
                                        .is_known = true};
        search_finish(s, NULL);
        return;
    }
    if (result->status == 0) {
        s->has_v1 = s->stage == SEARCH_V1;
        s->problems.len = 0; /* what the other program said does not matter any more */
        s->stage = SEARCH_ENGINE;
        search_ask(s);
        return;
    }
    search_note_problem(s, result);
    if (s->stage == SEARCH_PLUGIN) {
        s->stage = SEARCH_V1;
        search_ask(s);
        return;
    }
    struct err err = {0};
    if (s->stage == SEARCH_ENGINE) {
        (void)err_set(&err, ERR_FAILED, "the container engine does not answer: %s",
                      buf_cstr(&s->problems));
    } else {
        (void)err_set(&err, ERR_FAILED,
                      "Docker Compose is needed and was not found: %s. Install Docker with its "
                      "compose plugin, or name the program in WOS_DOCKER_BIN",
                      buf_cstr(&s->problems));
    }
    search_finish(s, &err);
}

static void search_ask(struct docker_search *s)
{
    const char *const plugin[] = {s->docker, "compose", "version", NULL};
    const char *const old[] = {"docker-compose", "version", NULL};
    const char *const engine[] = {s->docker, "version", "--format", "{{.Server.Version}}", NULL};
    const char *const *const questions[] = {
        [SEARCH_PLUGIN] = plugin, [SEARCH_V1] = old, [SEARCH_ENGINE] = engine};
    s->command = docker_ask(s->loop, questions[s->stage], s->env, NULL, NULL, search_on_done, s);
}

struct docker_search *docker_find(struct loop *loop, const char *const *env,
                                  struct docker_tool *tool, docker_found_fn *on_found, void *arg)
{
    struct docker_search *s = xcalloc(1, sizeof(*s));
    *s = (struct docker_search){.magic = SEARCH_MAGIC,
                                .loop = loop,
                                .env = env,
                                .tool = tool,
                                .on_found = on_found,
                                .arg = arg};
    static const char key[] = "WOS_DOCKER_BIN=";
    const char *given = NULL;
    for (size_t i = 0; env[i] != NULL; i++) {
        if (strncmp(env[i], key, sizeof(key) - 1) == 0) {
            given = env[i] + sizeof(key) - 1;
        }
    }
    s->docker = xstrdup(given == NULL || given[0] == '\0' ? "docker" : given);
    search_ask(s);
    return s;
}

void docker_search_cancel(struct docker_search *s)
{
    if (s != NULL) {
        CHECK(s->magic == SEARCH_MAGIC);
        search_free(s);
    }
}
