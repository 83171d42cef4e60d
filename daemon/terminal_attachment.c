/* terminal_attachment: what each client of a terminal is told, at its own position (terminal.h).
 * Pumped by terminal.c; loop thread. */
#include <stdlib.h>

#include "base/auto.h"
#include "daemon/terminal_internal.h"

enum { PIECE_MAX = 16384 };

bool terminal_attachment_is_exact(const struct terminal_attachment *a)
{
    return a != NULL && a->ops.on_skip == NULL;
}

size_t terminal_viewers(const struct terminal *t)
{
    size_t count = 0;
    for (size_t i = 0; i < TERMINAL_ATTACHMENTS_MAX; i++) {
        count += t->attachments[i] != NULL ? 1 : 0;
    }
    return count;
}

/* Who did something last; when that one goes, who did so before it. */
static bool may_answer(const struct terminal *t, const struct terminal_attachment *a)
{
    for (size_t i = 0; i < TERMINAL_ATTACHMENTS_MAX; i++) {
        if (t->attachments[i] != NULL && t->attachments[i]->acted > a->acted) {
            return false;
        }
    }
    return true;
}

/* Before any output that comes after the change; false when it knows. */
static bool tell_who_answers(const struct terminal *t, struct terminal_attachment *a)
{
    bool answers = may_answer(t, a);
    if (a->ops.on_answers == NULL || (a->answers_told && a->answers == answers)) {
        return false;
    }
    a->answers_told = true;
    a->answers = answers;
    a->ops.on_answers(a->arg, answers);
    return true;
}

/* The next thing this one has not been told; false when there is none. It may detach itself. */
static bool attachment_step(struct terminal *t, struct terminal_attachment *a)
{
    if (a->ops.on_size != NULL && (a->cols != t->cols || a->rows != t->rows)) {
        a->cols = t->cols;
        a->rows = t->rows;
        a->ops.on_size(a->arg, t->cols, t->rows);
        return true;
    }
    if (tell_who_answers(t, a)) {
        return true;
    }
    if (a->seq < t->replay.start) {
        CHECK(!terminal_attachment_is_exact(a));
        a->seq = scrollback_resume(&t->replay, a->seq);
        a->ops.on_skip(a->arg, a->seq);
        return true;
    }
    unsigned stream;
    uint64_t seq = a->seq;
    struct str piece = scrollback_piece(&t->replay, seq, PIECE_MAX, &stream);
    if (piece.len > 0) {
        a->seq += piece.len;
        a->ops.on_output(a->arg, seq, (enum terminal_stream)stream, piece);
        return true;
    }
    if (t->drained && !a->told) {
        a->told = true;
        a->ops.on_exit(a->arg, t->status);
    }
    return false;
}

static void attachment_pump(struct terminal *t, size_t index)
{
    struct terminal_attachment *a = t->attachments[index];
    while (a != NULL && t->attachments[index] == a && !a->paused) {
        CHECK(a->magic == ATTACHMENT_MAGIC);
        if (!attachment_step(t, a)) {
            return;
        }
    }
}

void terminal_attachments_pump(struct terminal *t)
{
    for (size_t i = 0; i < TERMINAL_ATTACHMENTS_MAX; i++) {
        attachment_pump(t, i);
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
    uint64_t end = scrollback_end(&t->replay);
    uint64_t first = ops->on_skip == NULL ? t->replay.start : 0;
    struct terminal_attachment *a = xcalloc(1, sizeof(*a));
    *a = (struct terminal_attachment){.magic = ATTACHMENT_MAGIC,
                                      .terminal = t,
                                      .ops = *ops,
                                      .arg = arg,
                                      .acted = ++t->acts,
                                      .seq = since < first ? first : (since > end ? end : since)};
    t->attachments[slot] = a;
    t->was_attached = true;
    loop_timer_clear(&t->linger);
    loop_timer_set(&t->pump, 0);
    terminal_tell(t, TERMINAL_ATTACHED);
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
    if (terminal_viewers(t) == 0) {
        loop_timer_set(&t->linger, t->drained ? t->keep_ms : t->linger_ms);
    }
    loop_timer_set(&t->pump, 0); /* reading may go on */
    terminal_tell(t, TERMINAL_DETACHED);
}

void terminal_act(struct terminal_attachment *a)
{
    CHECK(a->magic == ATTACHMENT_MAGIC);
    a->acted = ++a->terminal->acts;
    loop_timer_set(&a->terminal->pump, 0); /* the others are told */
}

void terminal_pause(struct terminal_attachment *a, bool paused)
{
    CHECK(a->magic == ATTACHMENT_MAGIC);
    a->paused = paused;
    loop_timer_set(&a->terminal->pump, 0);
}
