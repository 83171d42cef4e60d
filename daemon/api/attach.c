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
    PAUSE_BYTES = 1 << 20, /* waiting for the client: the program waits too */
    HELLO_MS = 10000,
};

struct attach {
    uint32_t magic;
    struct daemon *d;                       /* borrowed */
    char *id;                               /* owned: of the terminal, which may end before us */
    struct websocket *ws;                   /* owned until its on_close */
    struct terminal_attachment *attachment; /* owned; NULL before the hello and after the end */
    struct terminal_speaker speaker;
    struct loop_timer hello_timer;
    uint64_t seq; /* of what comes next */
    bool is_paused;
};

static void attach_detach(struct attach *a)
{
    struct terminal_attachment *attachment = a->attachment;
    a->attachment = NULL;
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
    attach_say(a, terminal_say_output(&a->speaker, seq, stream, data));
    if (!a->is_paused && websocket_backlog(a->ws) > PAUSE_BYTES) {
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
    CHECK(a->magic == ATTACH_MAGIC);
    if (a->speaker.base64) { /* others were written before there was such a message */
        attach_say(a, terminal_say_taken(total));
    }
}

static const struct terminal_ops attach_terminal_ops = {
    .on_output = attach_on_output,
    .on_exit = attach_on_exit,
    .on_taken = attach_on_taken,
};

/* --- from the client ------------------------------------------------------------------------ */

static void on_hello(struct attach *a, struct terminal *t, const struct terminal_message *message)
{
    struct err err = {.msg = ""};
    if (a->attachment != NULL) {
        attach_fail(a, "hello is said once");
        return;
    }
    loop_timer_clear(&a->hello_timer);
    a->speaker.base64 = message->base64;
    if (message->cols > 0 && message->rows > 0) {
        terminal_resize(t, message->cols, message->rows);
    }
    a->attachment = terminal_attach(t, message->since, &attach_terminal_ops, a, &err);
    if (a->attachment == NULL) {
        attach_fail(a, err.msg);
    }
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
        if (!terminal_write(t, buf_str(&message->data))) {
            attach_fail(a, "the program does not take its input");
        }
        break;
    case TERMINAL_MESSAGE_EOF:
        terminal_close_input(t);
        break;
    case TERMINAL_MESSAGE_RESIZE:
        terminal_resize(t, message->cols, message->rows);
        break;
    case TERMINAL_MESSAGE_HELLO:
    case TERMINAL_MESSAGE_OTHER: /* for a newer daemon */
        break;
    }
}

static void attach_on_text(void *arg, struct str text)
{
    struct attach *a = arg;
    CHECK(a->magic == ATTACH_MAGIC);
    struct terminal_message message = {0};
    struct err err = {.msg = ""};
    struct terminal *t = terminals_find(a->d->terminals, a->id);
    if (t == NULL) {
        attach_fail(a, "the program has ended");
    } else if (terminal_message_parse(text, &message, &err) < 0) {
        attach_fail(a, err.msg);
    } else {
        on_message(a, t, &message);
        terminal_message_fini(&message);
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
    loop_timer_fini(&a->hello_timer);
    free(a->id);
    a->magic = 0;
    free(a);
}

static const struct websocket_ops attach_ops = {
    .on_text = attach_on_text,
    .on_drain = attach_on_drain,
    .on_close = attach_on_close,
};

static void attach_on_hello_timer(void *arg)
{
    attach_fail(arg, "no hello came");
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
    *a = (struct attach){.magic = ATTACH_MAGIC, .d = r->d, .id = xstrdup(r->param)};
    loop_timer_init(&a->hello_timer, r->d->loop, attach_on_hello_timer, a);
    loop_timer_set(&a->hello_timer, HELLO_MS);
    a->ws = websocket_accept(r, &attach_ops, a);
    if (a->ws == NULL) {
        loop_timer_fini(&a->hello_timer);
        free(a->id);
        free(a);
    }
}
