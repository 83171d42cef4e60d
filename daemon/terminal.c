/* terminal: see terminal.h. Called by the API's exec and attach endpoints; loop thread.
 *
 * Output goes into `replay`, and from there to each attachment at its own position (pump).
 * Nothing is read while any attachment is paused or before there was one. */
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
#include "daemon/terminal_ends.h"

#define TERMINAL_MAGIC 0x7465726du
#define ATTACHMENT_MAGIC 0x61747463u

enum {
    READ_MAX = 16384,
    READS_PER_TURN = 8,
    SEGMENTS_MAX = 4096, /* changes between stdout and stderr that replay remembers */
    END_GRACE_MS = 2000,
};

/* From `seq` on, up to the next segment, bytes are of this stream. */
struct segment {
    uint64_t seq;
    enum terminal_stream stream;
};

struct terminal_attachment {
    uint32_t magic;
    struct terminal *terminal; /* borrowed: its owner */
    struct terminal_ops ops;
    void *arg; /* borrowed */
    uint64_t seq;
    bool paused;
    bool told; /* on_exit was called */
};

struct source {
    struct terminal *terminal; /* borrowed: its owner */
    int fd;                    /* owned; -1: at its end */
    struct event *event;       /* owned */
    enum terminal_stream stream;
};

struct terminal {
    uint32_t magic;
    struct terminals *owner; /* borrowed */
    char id[33];
    char *session; /* owned or NULL */
    bool use_pipes;
    struct subprocess *process; /* owned; NULL once it ended */
    int status;
    bool drained; /* ended, and all it wrote is in replay */
    struct source sources[2];
    int input_fd;              /* owned with pipes; else that of sources[0] */
    struct event *input_event; /* owned: writable */
    struct buf input;
    uint64_t input_taken; /* bytes, since the start */
    bool input_closing;
    struct buf replay;
    uint64_t replay_seq; /* of its first byte */
    struct segment *segments;
    size_t segment_count;
    struct terminal_attachment *attachments[TERMINAL_ATTACHMENTS_MAX];
    bool was_attached;
    uint32_t linger_ms;
    struct loop_timer pump;
    struct loop_timer linger;
};

struct terminals {
    struct loop *loop; /* borrowed */
    struct terminal *items[TERMINALS_MAX];
};

static void terminal_free(struct terminal *t);

struct terminals *terminals_new(struct loop *loop)
{
    struct terminals *ts = xcalloc(1, sizeof(*ts));
    ts->loop = loop;
    return ts;
}

void terminals_free(struct terminals *ts)
{
    if (ts == NULL) {
        return;
    }
    for (size_t i = 0; i < TERMINALS_MAX; i++) {
        if (ts->items[i] != NULL) {
            if (ts->items[i]->process != NULL) {
                (void)subprocess_signal(ts->items[i]->process, SIGKILL, NULL);
            }
            terminal_free(ts->items[i]);
        }
    }
    free(ts);
}

struct terminal *terminals_find(struct terminals *ts, const char *id)
{
    for (size_t i = 0; i < TERMINALS_MAX; i++) {
        if (ts->items[i] != NULL && strcmp(ts->items[i]->id, id) == 0) {
            return ts->items[i];
        }
    }
    return NULL;
}

void terminals_end_session(struct terminals *ts, const char *session)
{
    for (size_t i = 0; i < TERMINALS_MAX; i++) {
        struct terminal *t = ts->items[i];
        if (t != NULL && t->session != NULL && strcmp(t->session, session) == 0) {
            terminal_end(t);
        }
    }
}

static size_t attachment_count(const struct terminal *t)
{
    size_t count = 0;
    for (size_t i = 0; i < TERMINAL_ATTACHMENTS_MAX; i++) {
        count += t->attachments[i] != NULL ? 1 : 0;
    }
    return count;
}

static bool may_read(const struct terminal *t)
{
    for (size_t i = 0; i < TERMINAL_ATTACHMENTS_MAX; i++) {
        if (t->attachments[i] != NULL && t->attachments[i]->paused) {
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

static void terminal_free(struct terminal *t)
{
    for (size_t i = 0; i < TERMINALS_MAX; i++) {
        if (t->owner->items[i] == t) {
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
    buf_fini(&t->input);
    buf_fini(&t->replay);
    free(t->segments);
    free(t->session);
    t->magic = 0;
    free(t);
}

/* Keeps the newest TERMINAL_REPLAY bytes; those who have not got the others come first. */
static void replay_trim(struct terminal *t)
{
    if (t->replay.len <= TERMINAL_REPLAY) {
        return;
    }
    uint64_t keep_from = t->replay_seq + t->replay.len - TERMINAL_REPLAY;
    for (size_t i = 0; i < TERMINAL_ATTACHMENTS_MAX; i++) {
        const struct terminal_attachment *a = t->attachments[i];
        keep_from = a != NULL && a->seq < keep_from ? a->seq : keep_from;
    }
    buf_consume(&t->replay, (size_t)(keep_from - t->replay_seq));
    t->replay_seq = keep_from;
    size_t first = 0;
    while (first + 1 < t->segment_count && t->segments[first + 1].seq <= keep_from) {
        first++;
    }
    t->segment_count -= first;
    memmove(t->segments, t->segments + first, t->segment_count * sizeof(t->segments[0]));
}

static void replay_add(struct terminal *t, enum terminal_stream stream, struct str data)
{
    if (t->segment_count == 0 || t->segments[t->segment_count - 1].stream != stream) {
        if (t->segment_count == SEGMENTS_MAX) {
            /* The oldest two become one: a late reader may take some stderr for stdout. */
            memmove(t->segments + 1, t->segments + 2,
                    (t->segment_count - 2) * sizeof(t->segments[0]));
            t->segment_count--;
        }
        t->segments = xrealloc(t->segments, (t->segment_count + 1) * sizeof(t->segments[0]));
        t->segments[t->segment_count++] = (struct segment){t->replay_seq + t->replay.len, stream};
    }
    buf_add_str(&t->replay, data);
}

/* One piece of one stream from `seq` on. */
static struct str replay_piece(const struct terminal *t, uint64_t seq,
                               enum terminal_stream *out_stream)
{
    uint64_t end = t->replay_seq + t->replay.len;
    *out_stream = TERMINAL_STDOUT;
    for (size_t i = 0; i < t->segment_count; i++) {
        if (t->segments[i].seq > seq) {
            end = t->segments[i].seq;
            break;
        }
        *out_stream = t->segments[i].stream;
    }
    uint64_t len = end - seq > READ_MAX ? READ_MAX : end - seq;
    return (struct str){t->replay.ptr + (seq - t->replay_seq), (size_t)len};
}

/* Everything this one has not got yet; it may detach itself meanwhile. */
static void attachment_pump(struct terminal *t, size_t index)
{
    struct terminal_attachment *a = t->attachments[index];
    while (a != NULL && t->attachments[index] == a && !a->paused) {
        CHECK(a->magic == ATTACHMENT_MAGIC);
        uint64_t seq = a->seq;
        if (seq == t->replay_seq + t->replay.len) {
            if (t->drained && !a->told) {
                a->told = true;
                a->ops.on_exit(a->arg, t->status);
            }
            return;
        }
        enum terminal_stream stream;
        struct str piece = replay_piece(t, seq, &stream);
        a->seq += piece.len;
        a->ops.on_output(a->arg, seq, stream, piece);
    }
}

static void source_read(struct source *source)
{
    char piece[READ_MAX];
    struct terminal *t = source->terminal;
    for (int i = 0; i < READS_PER_TURN && source->fd >= 0 && may_read(t); i++) {
        ssize_t got = read(source->fd, piece, sizeof(piece));
        if (got > 0) {
            replay_add(t, source->stream, (struct str){piece, (size_t)got});
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
}

static void sources_update(struct terminal *t)
{
    bool wanted = may_read(t);
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
    t->drained = over && t->sources[0].fd < 0 && t->sources[1].fd < 0;
    for (size_t i = 0; i < TERMINAL_ATTACHMENTS_MAX; i++) {
        attachment_pump(t, i);
    }
    replay_trim(t);
    sources_update(t);
    if (over && !t->drained && may_read(t)) {
        loop_timer_set(&t->pump, 0); /* more than one turn's reading is left */
    }
    if (attachment_count(t) == 0 && t->drained && t->was_attached) {
        loop_timer_set(&t->linger, 0);
    }
}

static void terminal_on_pump(void *arg)
{
    struct terminal *t = arg;
    CHECK(t->magic == TERMINAL_MAGIC);
    terminal_pump(t);
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
    loop_timer_set(&t->pump, 0);
}

/* Nobody has been here for a while, or all is said. */
static void terminal_on_linger(void *arg)
{
    struct terminal *t = arg;
    CHECK(t->magic == TERMINAL_MAGIC && attachment_count(t) == 0);
    if (t->process == NULL) {
        terminal_free(t);
        return;
    }
    t->was_attached = true; /* what it still writes is read, so that it can end */
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
                           .session = spec->session == NULL ? NULL : xstrdup(spec->session),
                           .use_pipes = spec->use_pipes,
                           .status = -1,
                           .linger_ms =
                               spec->linger_ms == 0 ? TERMINAL_LINGER_DEFAULT_MS : spec->linger_ms};
    make_id(t->id);
    loop_timer_init(&t->pump, ts->loop, terminal_on_pump, t);
    loop_timer_init(&t->linger, ts->loop, terminal_on_linger, t);
    terminal_watch(t, &ends);
    struct subprocess_spec sub = {.argv = spec->argv,
                                  .env = spec->env,
                                  .cwd = spec->cwd,
                                  .stdin_fd = ends.child[0],
                                  .stdout_fd = ends.child[1],
                                  .stderr_fd = ends.child[2],
                                  .stdin_is_terminal = !spec->use_pipes};
    t->process = subprocess_start(ts->loop, &sub, terminal_on_exit, t, err);
    terminal_ends_close(ends.child);
    if (t->process == NULL) {
        terminal_free(t);
        return NULL;
    }
    loop_timer_set(&t->linger, t->linger_ms);
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

void terminal_end(struct terminal *t)
{
    CHECK(t->magic == TERMINAL_MAGIC);
    if (t->process != NULL) {
        (void)subprocess_signal(t->process, SIGHUP, NULL); /* the stop below reaches all */
        subprocess_stop(t->process, END_GRACE_MS);
    }
}

struct terminal_attachment *terminal_attach(struct terminal *t, uint64_t since,
                                            const struct terminal_ops *ops, void *arg,
                                            struct err *err)
{
    CHECK(t->magic == TERMINAL_MAGIC);
    size_t slot = 0;
    while (slot < TERMINAL_ATTACHMENTS_MAX && t->attachments[slot] != NULL) {
        slot++;
    }
    if (slot == TERMINAL_ATTACHMENTS_MAX) {
        (void)err_set(err, ERR_BUSY, "%d clients are attached to this terminal already",
                      TERMINAL_ATTACHMENTS_MAX);
        return NULL;
    }
    uint64_t end = t->replay_seq + t->replay.len;
    struct terminal_attachment *a = xcalloc(1, sizeof(*a));
    *a = (struct terminal_attachment){.magic = ATTACHMENT_MAGIC,
                                      .terminal = t,
                                      .ops = *ops,
                                      .arg = arg,
                                      .seq = since < t->replay_seq ? t->replay_seq
                                                                   : (since > end ? end : since)};
    t->attachments[slot] = a;
    t->was_attached = true;
    loop_timer_clear(&t->linger);
    loop_timer_set(&t->pump, 0);
    return a;
}

void terminal_detach(struct terminal_attachment *a)
{
    if (a == NULL) {
        return;
    }
    CHECK(a->magic == ATTACHMENT_MAGIC);
    struct terminal *t = a->terminal;
    for (size_t i = 0; i < TERMINAL_ATTACHMENTS_MAX; i++) {
        if (t->attachments[i] == a) {
            t->attachments[i] = NULL;
        }
    }
    a->magic = 0;
    free(a);
    if (attachment_count(t) == 0) {
        loop_timer_set(&t->linger, t->drained ? 0 : t->linger_ms);
    }
    loop_timer_set(&t->pump, 0); /* reading may go on */
}

void terminal_pause(struct terminal_attachment *a, bool paused)
{
    CHECK(a->magic == ATTACHMENT_MAGIC);
    a->paused = paused;
    loop_timer_set(&a->terminal->pump, 0);
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

void terminal_resize(struct terminal *t, uint16_t cols, uint16_t rows)
{
    CHECK(t->magic == TERMINAL_MAGIC);
    if (!t->use_pipes && t->input_fd >= 0) {
        terminal_set_size(t->input_fd, cols, rows);
    }
}
