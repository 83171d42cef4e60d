/* terminal: see terminal.h. Called by shells.c and the API's exec and attach endpoints; loop
 * thread.
 *
 * Output goes into `replay`, and from there to each attachment (terminal_attachment.c).
 * Nothing is read before there was an attachment, or while one is paused that may lose nothing. */
#include "daemon/terminal.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "daemon/deploy/envlist.h"
#include "daemon/deploy/runid.h"
#include "daemon/terminal_ends.h"
#include "daemon/terminal_internal.h"
#include "daemon/terminal_left.h"

enum {
    READ_MAX = 16384,
    READS_PER_TURN = 8,
    REST_MS = 5, /* between full turns, where no reader's pace holds the program */
    END_GRACE_MS = 2000,
    RETELL_FIRST_MS = 500, /* doubled each time */
    RETELL_LAST_MS = 32000,
};

void terminal_tell(struct terminal *t, enum terminal_change change)
{
    if (t->owner->on_change != NULL) {
        t->owner->on_change(t->owner->arg, t, change);
    }
}

static bool may_read(const struct terminal *t)
{
    for (size_t i = 0; i < TERMINAL_ATTACHMENTS_MAX; i++) {
        if (terminal_attachment_is_exact(t->attachments[i]) && t->attachments[i]->paused) {
            return false;
        }
    }
    /* With nobody there the program goes on, into replay. */
    return t->was_attached;
}

static void source_close(struct source *source)
{
    if (source->event != NULL) {
        event_free(source->event);
        source->event = NULL;
    }
    if (source->fd >= 0) {
        (void)close(source->fd);
        source->fd = -1;
    }
}

static void input_close(struct terminal *t)
{
    if (t->input_event != NULL) {
        event_free(t->input_event);
        t->input_event = NULL;
    }
    if (t->use_pipes && t->input_fd >= 0) {
        (void)close(t->input_fd);
    }
    t->input_fd = -1;
    buf_consume(&t->input, t->input.len);
}

void terminal_hang_up(struct terminal *t)
{
    if (t->process == NULL) {
        return;
    }
    (void)subprocess_signal(t->process, SIGHUP, NULL); /* where it fails, a stop reaches all */
    (void)hangup_run(&t->hangup, t->owner->loop);      /* it has said so */
}

void terminal_free(struct terminal *t)
{
    terminal_left_remove(t);
    for (size_t i = 0; i < TERMINALS_MAX; i++) {
        if (t->owner->items[i] == t) {
            terminal_tell(t, TERMINAL_REMOVED);
            t->owner->items[i] = NULL;
        }
    }
    for (size_t i = 0; i < TERMINAL_ATTACHMENTS_MAX; i++) {
        free(t->attachments[i]);
    }
    input_close(t);
    source_close(&t->sources[0]);
    source_close(&t->sources[1]);
    subprocess_release(t->process);
    loop_timer_fini(&t->pump);
    loop_timer_fini(&t->linger);
    loop_timer_fini(&t->rest);
    loop_timer_fini(&t->retell);
    buf_fini(&t->input);
    scrollback_fini(&t->replay);
    hangup_fini(&t->hangup);
    free(t->session);
    free(t->run_id);
    t->magic = 0;
    free(t);
}

/* Those who may lose nothing have had theirs before it is forgotten. */
static void replay_trim(struct terminal *t)
{
    uint64_t keep_from = UINT64_MAX;
    for (size_t i = 0; i < TERMINAL_ATTACHMENTS_MAX; i++) {
        const struct terminal_attachment *a = t->attachments[i];
        keep_from = terminal_attachment_is_exact(a) && a->seq < keep_from ? a->seq : keep_from;
    }
    scrollback_trim(&t->replay, keep_from);
}

/* A program that writes without end, watched by those who may skip: the daemon has other work. */
static void rest_after_full_turn(struct terminal *t)
{
    for (size_t i = 0; i < TERMINAL_ATTACHMENTS_MAX; i++) {
        if (terminal_attachment_is_exact(t->attachments[i])) {
            return;
        }
    }
    t->is_resting = true;
    loop_timer_set(&t->rest, REST_MS);
}

static void source_read(struct source *source)
{
    char piece[READ_MAX];
    struct terminal *t = source->terminal;
    for (int i = 0; i < READS_PER_TURN && source->fd >= 0 && may_read(t); i++) {
        ssize_t got = read(source->fd, piece, sizeof(piece));
        if (got > 0) {
            scrollback_add(&t->replay, source->stream, (struct str){piece, (size_t)got});
            continue;
        }
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0 && errno == EAGAIN && t->process != NULL) {
            return;
        }
        /* The end (a terminal says EIO), or all that one wrote who has ended. */
        if (!t->use_pipes) {
            input_close(t);
        }
        source_close(source);
        return;
    }
    rest_after_full_turn(t);
}

static void sources_update(struct terminal *t)
{
    bool wanted = may_read(t) && !t->is_resting;
    for (size_t i = 0; i < COUNT_OF(t->sources); i++) {
        if (t->sources[i].event != NULL) {
            CHECK((wanted ? event_add(t->sources[i].event, NULL)
                          : event_del(t->sources[i].event)) == 0);
        }
    }
}

static void terminal_pump(struct terminal *t)
{
    bool over = t->process == NULL;
    for (size_t i = 0; over && i < COUNT_OF(t->sources); i++) {
        source_read(&t->sources[i]);
    }
    bool was_drained = t->drained;
    t->drained = over && t->sources[0].fd < 0 && t->sources[1].fd < 0;
    if (t->drained && !was_drained) {
        terminal_tell(t, TERMINAL_EXITED);
    }
    terminal_attachments_pump(t);
    replay_trim(t);
    sources_update(t);
    if (over && !t->drained && may_read(t)) {
        loop_timer_set(&t->pump, 0); /* more than one turn's reading is left */
    }
    if (terminal_viewers(t) == 0 && t->drained && (!was_drained || t->keep_ms == 0) &&
        t->was_attached) {
        loop_timer_set(&t->linger, t->keep_ms);
    }
}

static void terminal_on_pump(void *arg)
{
    struct terminal *t = arg;
    CHECK(t->magic == TERMINAL_MAGIC);
    terminal_pump(t);
}

static void terminal_on_rest(void *arg)
{
    struct terminal *t = arg;
    CHECK(t->magic == TERMINAL_MAGIC);
    t->is_resting = false;
    sources_update(t);
}

static void terminal_on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct source *source = arg;
    CHECK(source->terminal->magic == TERMINAL_MAGIC);
    source_read(source);
    terminal_pump(source->terminal);
}

static void terminal_on_exit(void *arg, int status)
{
    struct terminal *t = arg;
    CHECK(t->magic == TERMINAL_MAGIC);
    t->status = status;
    subprocess_release(t->process);
    t->process = NULL;
    terminal_left_remove(t);
    loop_timer_set(&t->pump, 0);
}

/* `docker exec` tells a container the size while the program in it starts, and where that takes
 * long it gives up. SIGWINCH makes it tell the present size, which nobody notices who knows it. */
static void terminal_on_retell(void *arg)
{
    struct terminal *t = arg;
    CHECK(t->magic == TERMINAL_MAGIC);
    if (t->process == NULL) {
        return;
    }
    (void)subprocess_signal(t->process, SIGWINCH, NULL); /* a size is a nicety */
    if (t->retell_ms < RETELL_LAST_MS) {
        t->retell_ms *= 2;
        loop_timer_set(&t->retell, t->retell_ms);
    }
}

/* Nobody has been here for a while, or all is said. */
static void terminal_on_linger(void *arg)
{
    struct terminal *t = arg;
    CHECK(t->magic == TERMINAL_MAGIC && terminal_viewers(t) == 0);
    if (t->process == NULL) {
        terminal_free(t);
        return;
    }
    t->was_attached = true; /* what it still writes is read, so that it can end */
    t->keep_ms = 0;
    terminal_end(t);
    sources_update(t);
    loop_timer_set(&t->linger, END_GRACE_MS);
}

static void terminal_on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct terminal *t = arg;
    CHECK(t->magic == TERMINAL_MAGIC);
    while (t->input.len > 0) {
        ssize_t put = write(fd, t->input.ptr, t->input.len);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0 && errno == EAGAIN) {
            CHECK(event_add(t->input_event, NULL) == 0);
            return;
        }
        if (put < 0) {
            input_close(t); /* it does not read any more */
            return;
        }
        buf_consume(&t->input, (size_t)put);
        t->input_taken += (size_t)put;
    }
    if (t->input_closing) {
        input_close(t);
    }
    for (size_t i = 0; i < TERMINAL_ATTACHMENTS_MAX; i++) {
        const struct terminal_attachment *a = t->attachments[i];
        if (a != NULL && a->ops.on_taken != NULL) {
            a->ops.on_taken(a->arg, t->input_taken);
        }
    }
}

static void terminal_watch(struct terminal *t, const struct terminal_ends *ends)
{
    struct event_base *base = loop_base(t->owner->loop);
    t->input_fd = ends->ours[0];
    (void)fd_set_nonblock(t->input_fd, NULL); /* our own new descriptor: cannot fail */
    t->input_event = event_new(base, t->input_fd, EV_WRITE, terminal_on_writable, t);
    CHECK(t->input_event != NULL);
    for (size_t i = 0; i < COUNT_OF(t->sources); i++) {
        struct source *source = &t->sources[i];
        source->terminal = t;
        source->fd = ends->ours[i + 1];
        source->stream = i == 0 ? TERMINAL_STDOUT : TERMINAL_STDERR;
        if (source->fd >= 0) {
            (void)fd_set_nonblock(source->fd, NULL);
            source->event =
                event_new(base, source->fd, EV_READ | EV_PERSIST, terminal_on_readable, source);
            CHECK(source->event != NULL);
        }
    }
}

static struct terminal **free_slot(struct terminals *ts)
{
    for (size_t i = 0; i < TERMINALS_MAX; i++) {
        if (ts->items[i] == NULL) {
            return &ts->items[i];
        }
    }
    return NULL;
}

static void make_id(char out[33])
{
    uint8_t bytes[16];
    CHECK(getrandom(bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
}

/* One without a terminal is told by no SIGHUP that the daemon is gone. */
static struct subprocess *program_start(struct terminal *t, const struct terminal_spec *spec,
                                        const int ends[3], struct err *err)
{
    struct envlist env = {0};
    envlist_add_all(&env, spec->env != NULL ? spec->env : (const char *const *)environ);
    envlist_set(&env, STR(RUNID_VARIABLE),
                str_of(t->run_id)); /* not that of the service beside it */
    const struct subprocess_spec sub = {.argv = spec->argv,
                                        .env = envlist_array(&env),
                                        .cwd = spec->cwd,
                                        .stdin_fd = ends[0],
                                        .stdout_fd = ends[1],
                                        .stderr_fd = ends[2],
                                        .dies_with_us = spec->use_pipes,
                                        .stdin_is_terminal = !spec->use_pipes};
    struct subprocess *process = subprocess_start(t->owner->loop, &sub, terminal_on_exit, t, err);
    envlist_fini(&env);
    return process;
}

struct terminal *terminal_open(struct terminals *ts, const struct terminal_spec *spec,
                               struct err *err)
{
    struct terminal **slot = free_slot(ts);
    struct terminal_ends ends;
    if (slot == NULL) {
        (void)err_set(err, ERR_BUSY, "%d terminals are open; close one first", TERMINALS_MAX);
        return NULL;
    }
    if ((spec->use_pipes ? terminal_open_pipes(&ends, err)
                         : terminal_open_pty(spec->cols, spec->rows, &ends, err)) < 0) {
        return NULL;
    }
    struct terminal *t = xcalloc(1, sizeof(*t));
    *t = (struct terminal){.magic = TERMINAL_MAGIC,
                           .owner = ts,
                           .run_id = runid_new(),
                           .session = spec->session == NULL ? NULL : xstrdup(spec->session),
                           .use_pipes = spec->use_pipes,
                           .status = -1,
                           .cols = spec->cols == 0 ? TERMINAL_COLS : spec->cols,
                           .rows = spec->rows == 0 ? TERMINAL_ROWS : spec->rows,
                           .linger_ms =
                               spec->linger_ms == 0 ? TERMINAL_LINGER_DEFAULT_MS : spec->linger_ms,
                           .keep_ms = spec->keep_ms};
    make_id(t->id);
    hangup_init(&t->hangup, spec->hangup, spec->env, spec->cwd);
    scrollback_init(&t->replay, spec->replay_bytes == 0 ? TERMINAL_REPLAY : spec->replay_bytes);
    loop_timer_init(&t->pump, ts->loop, terminal_on_pump, t);
    loop_timer_init(&t->linger, ts->loop, terminal_on_linger, t);
    loop_timer_init(&t->rest, ts->loop, terminal_on_rest, t);
    loop_timer_init(&t->retell, ts->loop, terminal_on_retell, t);
    terminal_watch(t, &ends);
    terminal_left_write(t);
    t->process = program_start(t, spec, ends.child, err);
    terminal_ends_close(ends.child);
    if (t->process == NULL) {
        terminal_free(t);
        return NULL;
    }
    terminal_left_write(t);
    loop_timer_set(&t->linger, t->linger_ms);
    if (spec->hangup != NULL && !spec->use_pipes) {
        t->retell_ms = RETELL_FIRST_MS;
        loop_timer_set(&t->retell, t->retell_ms);
    }
    *slot = t;
    return t;
}

const char *terminal_id(const struct terminal *t)
{
    return t->id;
}

const char *terminal_session(const struct terminal *t)
{
    return t->session;
}

bool terminal_uses_pipes(const struct terminal *t)
{
    return t->use_pipes;
}

bool terminal_is_running(const struct terminal *t)
{
    return !t->drained;
}

int terminal_status(const struct terminal *t)
{
    return t->status;
}

uint64_t terminal_output(const struct terminal *t)
{
    return scrollback_end(&t->replay);
}

void terminal_size(const struct terminal *t, uint16_t *out_cols, uint16_t *out_rows)
{
    *out_cols = t->cols;
    *out_rows = t->rows;
}

void terminal_end(struct terminal *t)
{
    CHECK(t->magic == TERMINAL_MAGIC);
    t->keep_ms = 0;
    t->was_attached = true; /* what it still writes is read, so that it can end */
    loop_timer_set(&t->pump, 0);
    if (t->process != NULL) {
        terminal_hang_up(t);
        subprocess_stop(t->process, END_GRACE_MS);
    }
}

bool terminal_write(struct terminal *t, struct str data)
{
    CHECK(t->magic == TERMINAL_MAGIC);
    if (t->input_fd < 0 || t->input_closing) {
        return true; /* nobody reads it: as typing into a closed window */
    }
    if (data.len > TERMINAL_INPUT_MAX - t->input.len) {
        return false;
    }
    buf_add_str(&t->input, data);
    event_active(t->input_event, EV_WRITE, 0);
    return true;
}

void terminal_close_input(struct terminal *t)
{
    CHECK(t->magic == TERMINAL_MAGIC);
    if (t->use_pipes && t->input_fd >= 0) {
        t->input_closing = true;
        event_active(t->input_event, EV_WRITE, 0);
    }
}

static uint16_t size_clamp(uint16_t size)
{
    return size < 1 ? 1 : size > TERMINAL_SIZE_MAX ? TERMINAL_SIZE_MAX : size;
}

void terminal_resize(struct terminal *t, uint16_t cols, uint16_t rows)
{
    CHECK(t->magic == TERMINAL_MAGIC);
    if (!t->use_pipes && t->input_fd >= 0) {
        t->cols = size_clamp(cols);
        t->rows = size_clamp(rows);
        terminal_set_size(t->input_fd, t->cols, t->rows);
        loop_timer_set(&t->pump, 0); /* the others are told */
    }
}
