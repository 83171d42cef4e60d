/* attach: see attach.h. One object per WebSocket; the messages are daemon/terminal_protocol.h's. */
#include "daemon/api/attach.h"

#include <stdlib.h>

#include "base/auto.h"
#include "daemon/api/guard.h"
#include "daemon/api/request.h"
#include "daemon/daemon.h"
#include "daemon/terminal.h"
#include "daemon/terminal_protocol.h"
#include "daemon/websocket.h"

enum {
    ATTACH_MAGIC = 0x61747463,
    PAUSE_BYTES = 1 << 20,      /* waiting for the client: the program waits too */
    SKIP_PAUSE_BYTES = 1 << 17, /* of one that may skip: the program does not wait */
    HELLO_MS = 10000,
    GUARD_MS = 2000, /* how soon a public client learns that terminals are not for it any more */
};

struct attach {
    uint32_t magic;
    struct daemon *d;                       /* borrowed */
    char *id;                               /* owned: of the terminal, which may end before us */
    struct websocket *ws;                   /* owned until its on_close */
    struct terminal_attachment *attachment; /* owned; NULL before the hello and after the end */
    struct terminal_speaker speaker;
    struct loop_timer timer; /* for the hello; then, of a public client, for the guard */
    uint64_t seq;            /* of what comes next */
    uint64_t written;        /* bytes of input, of this client */
    bool is_public;
    bool is_binary;
    bool may_skip;
    bool is_paused;
};

static void attach_detach(struct attach *a)
{
    struct terminal_attachment *attachment = a->attachment;
    a->attachment = NULL;
    loop_timer_clear(&a->timer);
    terminal_detach(attachment);
}

/* Takes the text; NULL is nothing. */
static void attach_say(struct attach *a, char *text)
{
    if (text != NULL) {
        websocket_send(a->ws, str_of(text));
    }
    free(text);
}

static void attach_fail(struct attach *a, const char *message)
{
    attach_say(a, terminal_say_error(message));
    attach_detach(a);
    websocket_close(a->ws, WEBSOCKET_POLICY, "refused");
}

/* --- from the program ------------------------------------------------------------------- */

static void attach_on_output(void *arg, uint64_t seq, enum terminal_stream stream, struct str data)
{
    struct attach *a = arg;
    CHECK(a->magic == ATTACH_MAGIC);
    a->seq = seq + data.len;
    if (a->is_binary) {
        uint8_t head[TERMINAL_BINARY_HEAD];
        terminal_binary_head(seq, head);
        websocket_send_binary(a->ws, (struct str){(const char *)head, sizeof head}, data);
    } else {
        attach_say(a, terminal_say_output(&a->speaker, seq, stream, data));
    }
    size_t most = a->may_skip ? SKIP_PAUSE_BYTES : PAUSE_BYTES;
    if (!a->is_paused && websocket_backlog(a->ws) > most) {
        a->is_paused = true;
        terminal_pause(a->attachment, true);
    }
}

static void attach_on_exit(void *arg, int status)
{
    struct attach *a = arg;
    CHECK(a->magic == ATTACH_MAGIC);
    attach_say(a, terminal_say_rest(&a->speaker, a->seq));
    attach_say(a, terminal_say_exit(status));
    attach_detach(a);
    websocket_close(a->ws, WEBSOCKET_NORMAL, "the program ended");
}

static void attach_on_taken(void *arg, uint64_t total)
{
    struct attach *a = arg;
    (void)total; /* of all clients */
    CHECK(a->magic == ATTACH_MAGIC);
    /* Others were written before there was such a message. */
    if (a->speaker.base64 || a->is_binary) {
        attach_say(a, terminal_say_taken(a->written));
    }
}

static void attach_on_size(void *arg, uint16_t cols, uint16_t rows)
{
    struct attach *a = arg;
    CHECK(a->magic == ATTACH_MAGIC);
    attach_say(a, terminal_say_size(cols, rows));
}

static void attach_on_skip(void *arg, uint64_t seq)
{
    struct attach *a = arg;
    CHECK(a->magic == ATTACH_MAGIC);
    a->speaker.held_len = 0; /* of a character whose rest is gone */
    attach_say(a, terminal_say_skipped(seq));
}

static void attach_on_answers(void *arg, bool yours)
{
    struct attach *a = arg;
    CHECK(a->magic == ATTACH_MAGIC);
    attach_say(a, terminal_say_answers(yours));
}

static const struct terminal_ops attach_terminal_ops = {
    .on_output = attach_on_output,
    .on_exit = attach_on_exit,
    .on_taken = attach_on_taken,
};

static const struct terminal_ops skipping_terminal_ops = {
    .on_output = attach_on_output,
    .on_exit = attach_on_exit,
    .on_taken = attach_on_taken,
    .on_size = attach_on_size,
    .on_skip = attach_on_skip,
    .on_answers = attach_on_answers,
};

/* --- from the client ------------------------------------------------------------------------ */

static void on_hello(struct attach *a, struct terminal *t, const struct terminal_message *message)
{
    struct err err = {.msg = ""};
    if (a->attachment != NULL) {
        attach_fail(a, "hello is said once");
        return;
    }
    loop_timer_clear(&a->timer);
    if (a->is_public) {
        loop_timer_set(&a->timer, GUARD_MS);
    }
    a->speaker.base64 = message->base64;
    a->is_binary = message->binary;
    a->may_skip = message->skip;
    if (message->cols > 0 && message->rows > 0) {
        terminal_resize(t, message->cols, message->rows);
    }
    a->attachment = terminal_attach(
        t, message->since, a->may_skip ? &skipping_terminal_ops : &attach_terminal_ops, a, &err);
    if (a->attachment == NULL) {
        attach_fail(a, err.msg);
    } else if (a->may_skip) {
        attach_say(a, terminal_say_attached(terminal_output(t)));
    }
}

static void on_input(struct attach *a, struct terminal *t, struct str data)
{
    if (!terminal_write(t, data)) {
        attach_fail(a, "the program does not take its input");
        return;
    }
    a->written += data.len;
    terminal_act(a->attachment);
}

static void on_message(struct attach *a, struct terminal *t, const struct terminal_message *message)
{
    if (message->kind == TERMINAL_MESSAGE_HELLO) {
        on_hello(a, t, message);
        return;
    }
    if (a->attachment == NULL) {
        attach_fail(a, "the first message must be a hello");
        return;
    }
    switch (message->kind) {
    case TERMINAL_MESSAGE_INPUT:
        on_input(a, t, buf_str(&message->data));
        break;
    case TERMINAL_MESSAGE_EOF:
        terminal_close_input(t);
        break;
    case TERMINAL_MESSAGE_RESIZE:
        terminal_resize(t, message->cols, message->rows);
        terminal_act(a->attachment);
        break;
    case TERMINAL_MESSAGE_HELLO:
    case TERMINAL_MESSAGE_OTHER: /* for a newer daemon */
        break;
    }
}

/* NULL after having refused. */
static struct terminal *attach_terminal(struct attach *a)
{
    struct terminal *t = terminals_find(a->d->terminals, a->id);
    if (!guard_terminal_is_open(a->d, a->is_public)) {
        attach_fail(a, GUARD_TERMINAL_REFUSAL);
        return NULL;
    }
    if (t == NULL) {
        attach_fail(a, "the program has ended");
    }
    return t;
}

static void attach_on_text(void *arg, struct str text)
{
    struct attach *a = arg;
    CHECK(a->magic == ATTACH_MAGIC);
    struct terminal_message message = {0};
    struct err err = {.msg = ""};
    struct terminal *t = attach_terminal(a);
    if (t == NULL) {
        return;
    }
    if (terminal_message_parse(text, &message, &err) < 0) {
        attach_fail(a, err.msg);
    } else {
        on_message(a, t, &message);
        terminal_message_fini(&message);
    }
}

static void attach_on_binary(void *arg, struct str data)
{
    struct attach *a = arg;
    CHECK(a->magic == ATTACH_MAGIC);
    struct terminal *t = attach_terminal(a);
    if (t == NULL) {
        return;
    }
    if (a->attachment == NULL || !a->is_binary) {
        attach_fail(a, "binary messages come after a hello that says so");
    } else {
        on_input(a, t, data);
    }
}

static void attach_on_drain(void *arg)
{
    struct attach *a = arg;
    CHECK(a->magic == ATTACH_MAGIC);
    if (a->is_paused && a->attachment != NULL) {
        a->is_paused = false;
        terminal_pause(a->attachment, false);
    }
}

static void attach_on_close(void *arg)
{
    struct attach *a = arg;
    CHECK(a->magic == ATTACH_MAGIC);
    attach_detach(a);
    loop_timer_fini(&a->timer);
    free(a->id);
    a->magic = 0;
    free(a);
}

static const struct websocket_ops attach_ops = {
    .on_text = attach_on_text,
    .on_binary = attach_on_binary,
    .on_drain = attach_on_drain,
    .on_close = attach_on_close,
};

static void attach_on_timer(void *arg)
{
    struct attach *a = arg;
    CHECK(a->magic == ATTACH_MAGIC);
    if (a->attachment == NULL) {
        attach_fail(a, "no hello came");
    } else if (!guard_terminal_is_open(a->d, a->is_public)) {
        attach_fail(a, GUARD_TERMINAL_REFUSAL);
    } else {
        loop_timer_set(&a->timer, GUARD_MS);
    }
}

void attach_handle(struct api_request *r)
{
    if (!guard_terminal(r)) {
        return;
    }
    if (terminals_find(r->d->terminals, r->param) == NULL) {
        reply_error(r, 404, "not-found", "no such terminal", NULL);
        return;
    }
    struct attach *a = xcalloc(1, sizeof *a);
    *a = (struct attach){
        .magic = ATTACH_MAGIC, .d = r->d, .id = xstrdup(r->param), .is_public = r->is_public};
    loop_timer_init(&a->timer, r->d->loop, attach_on_timer, a);
    loop_timer_set(&a->timer, HELLO_MS);
    a->ws = websocket_accept(r, &attach_ops, a);
    if (a->ws == NULL) {
        loop_timer_fini(&a->timer);
        free(a->id);
        free(a);
    }
}
