/* logs_container: see logs_container.h. Called by logs.c. */
#include "daemon/api/logs_container.h"

#include <stdlib.h>

#include "base/auto.h"
#include "base/loop.h"
#include "daemon/deploy/compose_exec.h"
#include "daemon/sessions.h"

enum {
    CONTAINER_LOG_MAGIC = 0x636c6f67,
    TAIL_LINES = 1000,
    TAIL_LINES_MAX = 10000,
    LINE_MAX_BYTES = 32 << 10, /* a longer line is cut */
    NEXT_RUN_MS = 500,         /* between looks for the service's next run */
};

struct container_log {
    uint32_t magic;
    struct daemon *d; /* borrowed */
    char *session;    /* owned */
    char *service;    /* owned */
    unsigned tail_lines;
    bool follow;
    char *run;                      /* owned: which run was read last, or NULL */
    struct docker_command *command; /* owned while under way */
    struct buf rest[2];             /* of stdout and stderr: an unfinished line */
    struct loop_timer timer;
    container_log_lines_fn *on_lines;
    container_log_end_fn *on_end;
    void *arg; /* borrowed */
};

static void flush(struct container_log *log, bool is_stderr, size_t len)
{
    struct buf *rest = &log->rest[is_stderr];
    if (len > 0) {
        log->on_lines(log->arg, log->service, is_stderr ? "stderr" : "stdout",
                      (struct str){buf_cstr(rest), len});
        buf_consume(rest, len);
    }
}

static void log_on_output(void *arg, bool is_stderr, struct str chunk)
{
    struct container_log *log = arg;
    CHECK(log->magic == CONTAINER_LOG_MAGIC);
    struct buf *rest = &log->rest[is_stderr];
    buf_add_str(rest, chunk);
    struct str all = buf_str(rest);
    const char *newline = all.len == 0 ? NULL : memrchr(all.ptr, '\n', all.len);
    if (newline != NULL) {
        flush(log, is_stderr, (size_t)(newline - all.ptr) + 1);
    } else if (all.len > LINE_MAX_BYTES) {
        flush(log, is_stderr, all.len);
    }
}

static void log_on_done(void *arg, const struct docker_result *result)
{
    struct container_log *log = arg;
    (void)result;
    CHECK(log->magic == CONTAINER_LOG_MAGIC);
    log->command = NULL;
    flush(log, false, log->rest[0].len);
    flush(log, true, log->rest[1].len);
    if (log->follow) {
        loop_timer_set(&log->timer, NEXT_RUN_MS);
    } else {
        log->on_end(log->arg);
    }
}

static void log_on_timer(void *arg)
{
    struct container_log *log = arg;
    CHECK(log->magic == CONTAINER_LOG_MAGIC);
    const struct session *session = sessions_find(log->d->sessions, log->session);
    struct docker_args argv = {0};
    struct docker_args env = {0};
    char *run = NULL;
    int rc = -1;
    if (session != NULL) {
        rc = compose_logs_plan(session_deployment(session), log->service,
                               log->run == NULL ? log->tail_lines : 0, log->follow,
                               log->run != NULL, &argv, &env, &run, NULL);
    }
    if (rc == 0 && (log->run == NULL || strcmp(log->run, run) != 0)) {
        free(log->run);
        log->run = run;
        run = NULL;
        log->command = docker_ask(log->d->loop, docker_args_argv(&argv), docker_args_argv(&env),
                                  NULL, log_on_output, log_on_done, log);
    } else if (log->follow) {
        loop_timer_set(&log->timer, NEXT_RUN_MS);
    } else {
        log->on_end(log->arg); /* frees it */
    }
    free(run);
    docker_args_fini(&argv);
    docker_args_fini(&env);
}

struct container_log *container_log_new(struct daemon *d, const char *session, const char *service,
                                        size_t tail_lines, bool follow,
                                        container_log_lines_fn *on_lines,
                                        container_log_end_fn *on_end, void *arg)
{
    struct container_log *log = xcalloc(1, sizeof *log);
    size_t lines = tail_lines == 0               ? TAIL_LINES
                   : tail_lines > TAIL_LINES_MAX ? TAIL_LINES_MAX
                                                 : tail_lines;
    *log = (struct container_log){.magic = CONTAINER_LOG_MAGIC,
                                  .d = d,
                                  .session = xstrdup(session),
                                  .service = xstrdup(service),
                                  .tail_lines = (unsigned)lines,
                                  .follow = follow,
                                  .on_lines = on_lines,
                                  .on_end = on_end,
                                  .arg = arg};
    loop_timer_init(&log->timer, d->loop, log_on_timer, log);
    loop_timer_set(&log->timer, 0);
    return log;
}

void container_log_free(struct container_log *log)
{
    if (log == NULL) {
        return;
    }
    CHECK(log->magic == CONTAINER_LOG_MAGIC);
    docker_command_cancel(log->command);
    loop_timer_fini(&log->timer);
    buf_fini(&log->rest[0]);
    buf_fini(&log->rest[1]);
    free(log->run);
    free(log->session);
    free(log->service);
    log->magic = 0;
    free(log);
}
