/* initrun: runs init scripts and passes on what they print. Called by
 * deployment; loop thread. */
#include "daemon/deploy/initrun.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/auto.h"

#define INITRUN_MAGIC 0x494e4954u
enum { READ_MAX = 16384, READS_PER_TURN = 8 };

struct initrun_stream {
    struct initrun *run; /* borrowed: its owner */
    struct event *event; /* owned */
    int fd;              /* owned */
    bool is_stderr;
};

struct initrun {
    uint32_t magic;
    struct subprocess *process; /* owned */
    struct initrun_stream streams[2];
    initrun_output_fn *on_output;
    initrun_done_fn *on_done;
    void *arg; /* borrowed */
};

static void stream_close(struct initrun_stream *s)
{
    if (s->event != NULL) {
        event_free(s->event);
        s->event = NULL;
    }
    if (s->fd >= 0) {
        (void)close(s->fd);
        s->fd = -1;
    }
}

static void initrun_free(struct initrun *run)
{
    stream_close(&run->streams[0]);
    stream_close(&run->streams[1]);
    if (run->process != NULL) {
        subprocess_release(run->process);
    }
    run->magic = 0;
    free(run);
}

/* Reads what is there, at most `rounds` pieces. */
static void stream_drain(struct initrun_stream *s, int rounds)
{
    char piece[READ_MAX];
    for (int i = 0; i < rounds && s->fd >= 0; i++) {
        ssize_t got = read(s->fd, piece, sizeof(piece));
        if (got > 0) {
            s->run->on_output(s->run->arg, s->is_stderr, (struct str){piece, (size_t)got});
            continue;
        }
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            stream_close(s);
        }
        return;
    }
}

static void initrun_on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct initrun_stream *s = arg;
    CHECK(s->run->magic == INITRUN_MAGIC);
    stream_drain(s, READS_PER_TURN);
}

static void initrun_on_exit(void *arg, int status)
{
    struct initrun *run = arg;
    CHECK(run->magic == INITRUN_MAGIC);
    /* A pipe holds at most 64 KiB (1 MiB where raised): enough rounds for all of it. What a
     * process left in the background still writes is not waited for. */
    stream_drain(&run->streams[0], 128);
    stream_drain(&run->streams[1], 128);
    initrun_done_fn *on_done = run->on_done;
    void *on_done_arg = run->arg;
    initrun_free(run);
    on_done(on_done_arg, status);
}

static int stream_open(struct initrun *run, struct loop *loop, size_t index, int read_end,
                       struct err *err)
{
    struct initrun_stream *s = &run->streams[index];
    s->fd = read_end;
    if (fcntl(read_end, F_SETFL, O_NONBLOCK) < 0) {
        return err_set_sys(err, "pipe");
    }
    s->event = event_new(loop_base(loop), read_end, EV_READ | EV_PERSIST, initrun_on_readable, s);
    CHECK(s->event != NULL && event_add(s->event, NULL) == 0);
    return 0;
}

struct initrun *initrun_exec(struct loop *loop, const struct subprocess_spec *spec,
                             initrun_output_fn *on_output, initrun_done_fn *on_done, void *arg,
                             struct err *err)
{
    int out[2];
    int errors[2];
    if (pipe2(out, O_CLOEXEC) < 0) {
        (void)err_set_sys(err, "pipe");
        return NULL;
    }
    if (pipe2(errors, O_CLOEXEC) < 0) {
        (void)err_set_sys(err, "pipe");
        (void)close(out[0]);
        (void)close(out[1]);
        return NULL;
    }
    struct initrun *run = xcalloc(1, sizeof(*run));
    *run = (struct initrun){
        .magic = INITRUN_MAGIC,
        .on_output = on_output,
        .on_done = on_done,
        .arg = arg,
        .streams = {{.run = run, .fd = -1}, {.run = run, .fd = -1, .is_stderr = true}}};
    int rc = stream_open(run, loop, 0, out[0], err);
    rc = stream_open(run, loop, 1, errors[0], err) < 0 ? -1 : rc;
    if (rc == 0) {
        struct subprocess_spec own = *spec;
        own.stdout_fd = out[1];
        own.stderr_fd = errors[1];
        run->process = subprocess_start(loop, &own, initrun_on_exit, run, err);
    }
    (void)close(out[1]);
    (void)close(errors[1]);
    if (run->process == NULL) {
        initrun_free(run);
        return NULL;
    }
    return run;
}

struct initrun *initrun_start(struct loop *loop, const char *script, const char *cwd,
                              const char *const *env, initrun_output_fn *on_output,
                              initrun_done_fn *on_done, void *arg, struct err *err)
{
    const char *const argv[] = {"sh", "-lc", script, NULL};
    const struct subprocess_spec spec = {.argv = argv, .env = env, .cwd = cwd, .stdin_fd = -1};
    return initrun_exec(loop, &spec, on_output, on_done, arg, err);
}

void initrun_stop(struct initrun *run, uint32_t grace_ms)
{
    CHECK(run->magic == INITRUN_MAGIC);
    subprocess_stop(run->process, grace_ms);
}

pid_t initrun_pid(const struct initrun *run, uint64_t *out_start_ticks)
{
    *out_start_ticks = subprocess_start_ticks(run->process);
    return subprocess_pid(run->process);
}

void initrun_cancel(struct initrun *run)
{
    if (run == NULL) {
        return;
    }
    CHECK(run->magic == INITRUN_MAGIC);
    (void)subprocess_signal(run->process, SIGKILL, NULL); /* gone already is as good */
    initrun_free(run);
}
