/* subprocess_collect: see subprocess.h. Its own file, as it only uses the
 * public half of subprocess. The daemon's main thread. */
#include "base/subprocess.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"

enum {
    COLLECT_MAGIC = 0x636f6c6c,
    READ_SIZE = 16 * 1024,
    STOP_GRACE_MS = 500,
    /* A background process may hold the pipes open long after the leader's end. */
    LINGER_MS = 1000,
};

struct stream {
    struct collect *collect; /* borrowed: whose part this is */
    int fd;                  /* owned; -1: at its end */
    struct event *event;     /* owned */
    struct buf bytes;
};

struct collect {
    uint32_t magic;
    struct loop *loop;          /* borrowed */
    struct subprocess *process; /* owned; NULL: ended */
    struct stream out;
    struct stream err;
    size_t limit;
    struct loop_timer timer; /* the timeout, then the linger */
    subprocess_output_fn *on_done;
    void *arg; /* borrowed */
    int status;
    bool timed_out;
};

static void stream_close(struct stream *s)
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

static void destroy(struct collect *c)
{
    stream_close(&c->out);
    stream_close(&c->err);
    buf_fini(&c->out.bytes);
    buf_fini(&c->err.bytes);
    loop_timer_fini(&c->timer);
    subprocess_release(c->process);
    c->magic = 0;
    free(c);
}

static void collect_on_loop_free(void *arg)
{
    destroy(arg);
}

static void finish(struct collect *c)
{
    loop_at_free_cancel(c->loop, collect_on_loop_free, c);
    struct subprocess_output output = {.status = c->status,
                                       .out = buf_str(&c->out.bytes),
                                       .err = buf_str(&c->err.bytes),
                                       .timed_out = c->timed_out};
    c->on_done(c->arg, &output);
    destroy(c);
}

static bool finish_if_done(struct collect *c)
{
    if (c->process != NULL || c->out.fd >= 0 || c->err.fd >= 0) {
        return false;
    }
    finish(c);
    return true;
}

static void collect_on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct stream *s = arg;
    struct collect *c = s->collect;
    CHECK(c->magic == COLLECT_MAGIC);
    char piece[READ_SIZE];
    ssize_t got = read(fd, piece, sizeof piece);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got > 0) {
        size_t room = c->limit - s->bytes.len;
        buf_add(&s->bytes, piece, (size_t)got < room ? (size_t)got : room);
        return;
    }
    stream_close(s);
    (void)finish_if_done(c);
}

static void collect_on_exit(void *arg, int status)
{
    struct collect *c = arg;
    CHECK(c->magic == COLLECT_MAGIC);
    c->status = status;
    subprocess_release(c->process);
    c->process = NULL;
    if (!finish_if_done(c)) {
        loop_timer_set(&c->timer, LINGER_MS);
    }
}

static void collect_on_timer(void *arg)
{
    struct collect *c = arg;
    CHECK(c->magic == COLLECT_MAGIC);
    if (c->process == NULL) {
        finish(c);
        return;
    }
    c->timed_out = true;
    subprocess_stop(c->process, STOP_GRACE_MS);
}

static void stream_watch(struct stream *s, struct collect *c)
{
    s->collect = c;
    s->event = event_new(loop_base(c->loop), s->fd, EV_READ | EV_PERSIST, collect_on_readable, s);
    CHECK(s->event != NULL && event_add(s->event, NULL) == 0);
}

static int make_pipe(int *out_read, int *out_write, struct err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return err_set_sys(err, "cannot make a pipe");
    }
    *out_read = ends[0];
    *out_write = ends[1];
    return fd_set_nonblock(ends[0], err); /* ours only: the child's end blocks */
}

int subprocess_collect(struct loop *loop, const struct subprocess_spec *spec, uint32_t timeout_ms,
                       size_t limit, subprocess_output_fn *on_done, void *arg, struct err *err)
{
    struct collect *c = xcalloc(1, sizeof *c);
    c->magic = COLLECT_MAGIC;
    c->loop = loop;
    c->limit = limit;
    c->on_done = on_done;
    c->arg = arg;
    c->out.fd = -1;
    c->err.fd = -1;
    loop_timer_init(&c->timer, loop, collect_on_timer, c);
    autoclose int out = -1;
    autoclose int errors = -1;
    struct subprocess_spec own = *spec;
    if (make_pipe(&c->out.fd, &out, err) == 0 && make_pipe(&c->err.fd, &errors, err) == 0) {
        own.stdout_fd = out;
        own.stderr_fd = errors;
        c->process = subprocess_start(loop, &own, collect_on_exit, c, err);
    }
    if (c->process == NULL) {
        destroy(c);
        return -1;
    }
    stream_watch(&c->out, c);
    stream_watch(&c->err, c);
    if (timeout_ms > 0) {
        loop_timer_set(&c->timer, timeout_ms);
    }
    loop_at_free(loop, collect_on_loop_free, c);
    return 0;
}
