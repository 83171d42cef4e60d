/* terminal: a program behind a pseudo terminal (or pipes) that several clients may watch.
 *
 * The daemon keeps one `struct terminals`. An endpoint opens a terminal, gives its id away
 * (terminal_id: 32 hex digits, unguessable) and finds it again when a client attaches:
 *
 *     t = terminal_open(ts, &spec, &err) … terminal_id(t)
 *     t = terminals_find(ts, id); a = terminal_attach(t, 0, &ops, conn);
 *     on_output…  terminal_write / terminal_resize / terminal_pause …  on_exit
 *     terminal_detach(a);
 *
 * Nothing is read from the program before the first attachment, so a client that attaches
 * once gets every byte. The newest replay_bytes are kept for those who come later.
 * Output is numbered: `seq` is the number of bytes the program wrote before this chunk.
 * A paused attachment stops reading for all (the program blocks): nothing is dropped. Unless it
 * has on_skip: then the program goes on, and what this one missed beyond the replay is skipped.
 *
 * Of several clients one answers what the program asks of its terminal: who attached, typed or
 * resized last (terminal_act). The others are told that it is not theirs (on_answers).
 *
 * A terminal ends by itself: keep_ms after its program has ended and nobody is attached any more,
 * or after linger_ms without any attachment (SIGHUP to its session, later SIGKILL). Then
 * its id is unknown. The next daemon ends what runs when this one is killed. Clients never free it.
 * All on the loop's thread; callbacks come from the loop, never from inside a call, and
 * terminal_detach may be called in them.
 */
#ifndef WOS_DAEMON_TERMINAL_H
#define WOS_DAEMON_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"

enum {
    TERMINAL_REPLAY = 256 * 1024,    /* bytes */
    TERMINAL_INPUT_MAX = 256 * 1024, /* bytes not yet taken by the program */
    TERMINAL_SIZE_MAX = 1000,        /* columns, rows */
    TERMINAL_COLS = 80,              /* where none are asked for */
    TERMINAL_ROWS = 24,
    TERMINALS_MAX = 64,                /* at the same time */
    TERMINAL_ATTACHMENTS_MAX = 16,     /* per terminal */
    TERMINAL_LINGER_DEFAULT_MS = 10000 /* without anybody attached */
};

struct terminals;
struct terminal;
struct terminal_attachment;

struct terminal_spec {
    const char *const *argv;   /* argv[0] is looked up in PATH of env */
    const char *const *env;    /* "K=V"; NULL: the daemon's */
    const char *cwd;           /* NULL: the daemon's */
    const char *const *hangup; /* or NULL: run beside each SIGHUP that ends it; written down. The
                                * program is elsewhere then, and argv brings it the terminal */
    const char *session;       /* whose it is; copied; may be NULL */
    uint16_t cols;             /* 0: TERMINAL_COLS */
    uint16_t rows;             /* 0: TERMINAL_ROWS */
    bool use_pipes;            /* no terminal: stdout and stderr apart, an end of input exists */
    uint32_t linger_ms;        /* 0: the default */
    uint32_t keep_ms;          /* how long its end can be seen by those who come later */
    size_t replay_bytes;       /* 0: TERMINAL_REPLAY */
};

enum terminal_stream { TERMINAL_STDOUT, TERMINAL_STDERR }; /* STDERR with use_pipes only */

struct terminal_ops {
    /* Borrowed for the call. */
    void (*on_output)(void *arg, uint64_t seq, enum terminal_stream stream, struct str data);
    /* Once, after all output: status as waitpid's, -1 if it cannot be known. */
    void (*on_exit)(void *arg, int status);
    /* The program has taken all that terminal_write was given: `total` bytes since it began.
     * May be NULL. */
    void (*on_taken)(void *arg, uint64_t total);
    /* The size, at first and when anybody changed it. May be NULL. */
    void (*on_size)(void *arg, uint16_t cols, uint16_t rows);
    /* Output goes on at `seq`: what is between is gone. NULL: nothing may be skipped. */
    void (*on_skip)(void *arg, uint64_t seq);
    /* Whether what the program asks from now on is this one's to answer, at first and when it
     * changes. May be NULL: that one answers always. */
    void (*on_answers)(void *arg, bool yours);
};

enum terminal_change { TERMINAL_ATTACHED, TERMINAL_DETACHED, TERMINAL_EXITED, TERMINAL_REMOVED };
/* REMOVED: the last time t is seen. Nothing may be done to t in it. */
typedef void terminal_change_fn(void *arg, const struct terminal *t, enum terminal_change change);

/* With a home, what a daemon that was killed left in its terminals is ended (terminal_left.h). */
struct terminals *terminals_new(struct loop *loop, const char *home);
/* Ends every program: those with a terminal have 300 ms after SIGHUP. */
void terminals_free(struct terminals *ts);
/* At most one observer; NULL ends it. */
void terminals_observe(struct terminals *ts, terminal_change_fn *on_change, void *arg);
/* NULL when there is none of that id (any more). */
struct terminal *terminals_find(struct terminals *ts, const char *id);
/* Ends those of a session. */
void terminals_end_session(struct terminals *ts, const char *session);

/* NULL with ERR_BUSY at the limit, else why it cannot be started. Everything is copied. */
struct terminal *terminal_open(struct terminals *ts, const struct terminal_spec *spec,
                               struct err *err);
const char *terminal_id(const struct terminal *t);
const char *terminal_session(const struct terminal *t); /* or NULL */
bool terminal_uses_pipes(const struct terminal *t);
/* False once it ended and all it wrote was read. */
bool terminal_is_running(const struct terminal *t);
int terminal_status(const struct terminal *t); /* then; as waitpid's, -1 if unknown */
size_t terminal_viewers(const struct terminal *t);
/* Bytes of output read from it so far: what somebody attaches for before that is replay. */
uint64_t terminal_output(const struct terminal *t);
void terminal_size(const struct terminal *t, uint16_t *out_cols, uint16_t *out_rows);
/* SIGHUP to the session, SIGKILL two seconds later. It is not kept when nobody is attached. */
void terminal_end(struct terminal *t);

/* What is kept from `since` on comes first, from the loop. NULL with ERR_BUSY at the limit. */
struct terminal_attachment *terminal_attach(struct terminal *t, uint64_t since,
                                            const struct terminal_ops *ops, void *arg,
                                            struct err *err);
void terminal_detach(struct terminal_attachment *a); /* NULL is allowed */
/* Its client typed or resized: what the program asks is its to answer, as after terminal_attach. */
void terminal_act(struct terminal_attachment *a);
/* No on_output until resumed. */
void terminal_pause(struct terminal_attachment *a, bool paused);

/* Bytes typed; false when they do not fit into TERMINAL_INPUT_MAX: nothing of it is taken. */
bool terminal_write(struct terminal *t, struct str data);
/* End of input: with pipes the program reads the end after what was written. */
void terminal_close_input(struct terminal *t);
/* Clamped to 1..TERMINAL_SIZE_MAX; the program gets SIGWINCH. Nothing without a terminal. */
void terminal_resize(struct terminal *t, uint16_t cols, uint16_t rows);

#endif
