/* terminal_internal: what terminal.c (one terminal), terminal_attachment.c (one client of it) and
 * terminals.c (all terminals) share. */
#ifndef WOS_DAEMON_TERMINAL_INTERNAL_H
#define WOS_DAEMON_TERMINAL_INTERNAL_H

#include "daemon/scrollback.h"
#include "daemon/terminal.h"
#include "daemon/terminal_hangup.h"

#define TERMINAL_MAGIC 0x7465726du
#define ATTACHMENT_MAGIC 0x61747463u

struct event;
struct subprocess;

struct terminal_attachment {
    uint32_t magic;
    struct terminal *terminal; /* borrowed: its owner */
    struct terminal_ops ops;
    void *arg; /* borrowed */
    uint64_t seq;
    uint64_t acted;      /* the terminal's count when its client did something last */
    uint16_t cols, rows; /* what on_size was told */
    bool answers;        /* what on_answers was told, if it was */
    bool answers_told;
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
    char *run_id;  /* owned: what its processes carry (deploy/runid.h); the id above opens it */
    char *session; /* owned or NULL */
    bool use_pipes;
    struct subprocess *process; /* owned; NULL once it ended */
    struct hangup hangup;
    int status;
    bool drained; /* ended, and all it wrote is in replay */
    struct source sources[2];
    int input_fd;              /* owned with pipes; else that of sources[0] */
    struct event *input_event; /* owned: writable */
    struct buf input;
    uint64_t input_taken; /* bytes, since the start */
    bool input_closing;
    struct scrollback replay;
    struct terminal_attachment *attachments[TERMINAL_ATTACHMENTS_MAX];
    uint64_t acts; /* what clients did, counted */
    uint16_t cols, rows;
    bool was_attached;
    bool is_resting; /* until the timer: nothing is read */
    uint32_t linger_ms;
    uint32_t keep_ms;
    struct loop_timer pump;
    struct loop_timer linger;
    struct loop_timer rest;
    struct loop_timer retell; /* … its size to a container */
    uint32_t retell_ms;
};

struct terminals {
    struct loop *loop;           /* borrowed */
    char *dir;                   /* owned: of terminal_left.h, or NULL */
    struct terminals_left *left; /* owned; NULL without dir */
    struct terminal *items[TERMINALS_MAX];
    terminal_change_fn *on_change;
    void *arg; /* borrowed */
};

/* SIGHUP to the program's session, and what spec.hangup reaches; only while it runs. */
void terminal_hang_up(struct terminal *t);
/* To who observes them all. */
void terminal_tell(struct terminal *t, enum terminal_change change);
/* What each attachment was not told yet. They may detach themselves. */
void terminal_attachments_pump(struct terminal *t);
/* One that gets every byte: the program goes at its pace. False for NULL. */
bool terminal_attachment_is_exact(const struct terminal_attachment *a);
/* Signals nobody. */
void terminal_free(struct terminal *t);

#endif
