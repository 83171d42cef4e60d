/* operations: see operations.h. Used by the API and by sessions.c on the daemon's loop. */
#include "daemon/operations.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/auto.h"
#include "base/json.h"

enum { OPERATION_MAGIC = 0x6f706572 };

struct watch {
    operation_line_fn *on_line;
    void *arg; /* borrowed */
    struct watch *next;
};

struct operation {
    uint32_t magic;
    struct operations *ops; /* borrowed */
    struct operation *next; /* newer first */
    char *id;               /* owned, and the strings below */
    char *kind;
    char *session;
    char *started_at;
    char *finished_at; /* NULL while it runs */
    char *failure;     /* NULL: succeeded */
    char *code;        /* of the API, or NULL */
    char *step;        /* id of the newest step, or NULL */
    uint64_t sequence; /* of the last line */
    struct buf *lines; /* owned: ring, grown up to OPERATION_HISTORY_MAX */
    size_t line_cap;
    size_t line_head;
    size_t line_count;
    size_t line_bytes;
    struct watch *watches; /* owned */
};

struct operations {
    struct operation *newest; /* owned list */
    operations_observer_fn *observer;
    void *observer_arg; /* borrowed */
};

char *time_text(int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    CHECK(gmtime_r(&seconds, &tm) != NULL);
    return xasprintf("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                     tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(wall_ms % 1000));
}

char *uuid_text(void)
{
    uint8_t b[16];
    CHECK(getrandom(b, sizeof b, 0) == (ssize_t)sizeof b);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    return xasprintf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
                     b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
                     b[13], b[14], b[15]);
}

struct operations *operations_new(void)
{
    return xcalloc(1, sizeof(struct operations));
}

static void drop_oldest(struct operation *op)
{
    struct buf *oldest = &op->lines[op->line_head];
    op->line_bytes -= oldest->len;
    buf_fini(oldest);
    op->line_head = (op->line_head + 1) % op->line_cap;
    op->line_count--;
}

static void operation_free(struct operation *op)
{
    while (op->watches != NULL) {
        struct watch *next = op->watches->next;
        free(op->watches);
        op->watches = next;
    }
    while (op->line_count > 0) {
        drop_oldest(op);
    }
    free(op->lines);
    free(op->id);
    free(op->kind);
    free(op->session);
    free(op->started_at);
    free(op->finished_at);
    free(op->failure);
    free(op->code);
    free(op->step);
    op->magic = 0;
    free(op);
}

void operations_free(struct operations *ops)
{
    if (ops == NULL) {
        return;
    }
    while (ops->newest != NULL) {
        struct operation *next = ops->newest->next;
        operation_free(ops->newest);
        ops->newest = next;
    }
    free(ops);
}

void operations_observe(struct operations *ops, operations_observer_fn *observer, void *arg)
{
    ops->observer = observer;
    ops->observer_arg = arg;
}

static void observed(const struct operation *op, const cJSON *event)
{
    if (op->ops->observer != NULL) {
        op->ops->observer(op->ops->observer_arg, op, event);
    }
}

struct operation *operation_begin_over(struct operations *ops, const char *kind,
                                       const char *session)
{
    struct operation *op = xcalloc(1, sizeof *op);
    op->magic = OPERATION_MAGIC;
    op->ops = ops;
    op->id = uuid_text();
    op->kind = xstrdup(kind);
    op->session = xstrdup(session);
    op->started_at = time_text(clock_wall_ms());
    op->next = ops->newest;
    ops->newest = op;
    observed(op, NULL);
    return op;
}

struct operation *operation_begin(struct operations *ops, const char *kind, const char *session,
                                  struct err *err)
{
    const struct operation *active = operations_active(ops, session);
    if (active != NULL) {
        (void)err_set(err, ERR_BUSY, "session %s is busy (active op %s)", session, active->id);
        return NULL;
    }
    return operation_begin_over(ops, kind, session);
}

static void grow_ring(struct operation *op)
{
    size_t cap = op->line_cap == 0 ? 64 : op->line_cap * 2;
    if (cap > OPERATION_HISTORY_MAX) {
        cap = OPERATION_HISTORY_MAX;
    }
    struct buf *lines = xcalloc(cap, sizeof *lines);
    for (size_t i = 0; i < op->line_count; i++) {
        lines[i] = op->lines[(op->line_head + i) % op->line_cap];
    }
    free(op->lines);
    op->lines = lines;
    op->line_cap = cap;
    op->line_head = 0;
}

static void keep_line(struct operation *op, struct str line)
{
    while (op->line_count == OPERATION_HISTORY_MAX ||
           (op->line_count > 0 && op->line_bytes + line.len > OPERATION_HISTORY_BYTES_MAX)) {
        drop_oldest(op);
    }
    if (op->line_count == op->line_cap) {
        grow_ring(op);
    }
    struct buf *slot = &op->lines[(op->line_head + op->line_count) % op->line_cap];
    *slot = (struct buf){0};
    buf_add_str(slot, line);
    op->line_count++;
    op->line_bytes += line.len;
}

/* Takes `content`. */
static void add_line(struct operation *op, const char *member, cJSON *content, bool is_last)
{
    CHECK(op->magic == OPERATION_MAGIC && op->finished_at == NULL);
    autofree char *timestamp = time_text(clock_wall_ms());
    autojson cJSON *envelope = cJSON_CreateObject();
    (void)json_add_str(envelope, "operationId", op->id);
    (void)json_add_str(envelope, "sessionName", op->session);
    (void)json_add_int(envelope, "sequence", (int64_t)++op->sequence);
    (void)json_add_str(envelope, "timestamp", timestamp);
    (void)cJSON_AddItemToObject(envelope, member, content);
    autofree char *text = json_print(envelope);
    autofree char *line = xasprintf("%s\n", text);
    keep_line(op, str_of(line));
    /* A watcher may unwatch itself from inside its call, never another. */
    for (struct watch *w = op->watches; w != NULL;) {
        struct watch *next = w->next;
        w->on_line(w->arg, str_of(line), is_last);
        w = next;
    }
}

void operation_emit(struct operation *op, cJSON *event)
{
    if (strcmp(json_get_str(event, "type", ""), "step") == 0) {
        free(op->step);
        op->step = xstrdup(json_get_str(event, "id", ""));
    }
    observed(op, event);
    add_line(op, "event", event, false);
}

void operation_step(struct operation *op, const char *id, const char *state, const char *message)
{
    cJSON *event = cJSON_CreateObject();
    (void)json_add_str(event, "type", "step");
    (void)json_add_str(event, "id", id);
    (void)json_add_str(event, "state", state);
    if (message != NULL) {
        (void)json_add_str(event, "message", message);
    }
    operation_emit(op, event);
}

void operation_log(struct operation *op, const char *channel, const char *stream, struct str chunk)
{
    cJSON *event = cJSON_CreateObject();
    (void)json_add_str(event, "type", "log");
    (void)json_add_str(event, "channel", channel);
    (void)json_add_str(event, "stream", stream);
    (void)json_add_slice(event, "chunk", chunk);
    operation_emit(op, event);
}

/* Keeps the newest finished operations, drops the oldest beyond. */
static void prune(struct operations *ops)
{
    size_t seen = 0;
    for (struct operation **at = &ops->newest; *at != NULL;) {
        struct operation *op = *at;
        if (op->finished_at != NULL && ++seen > OPERATION_KEEP_MAX) {
            *at = op->next;
            operation_free(op);
        } else {
            at = &op->next;
        }
    }
}

void operation_finish(struct operation *op, const char *code, const char *failure)
{
    cJSON *terminal = cJSON_CreateObject();
    (void)json_add_str(terminal, "status", failure == NULL ? "succeeded" : "failed");
    if (failure != NULL) {
        (void)json_add_str(terminal, "failureMessage", failure);
    }
    if (code != NULL) {
        (void)json_add_str(terminal, "code", code);
    }
    add_line(op, "terminal", terminal, true);
    op->finished_at = time_text(clock_wall_ms());
    op->failure = failure == NULL ? NULL : xstrdup(failure);
    op->code = code == NULL ? NULL : xstrdup(code);
    while (op->watches != NULL) {
        struct watch *next = op->watches->next;
        free(op->watches);
        op->watches = next;
    }
    observed(op, NULL);
    prune(op->ops);
}

const char *operation_last_step(const struct operation *op)
{
    return op->step;
}

bool operation_is_finished(const struct operation *op)
{
    return op->finished_at != NULL;
}

const char *operation_id(const struct operation *op)
{
    return op->id;
}

const char *operation_kind(const struct operation *op)
{
    return op->kind;
}

const char *operation_session(const struct operation *op)
{
    return op->session;
}

const char *operation_started_at(const struct operation *op)
{
    return op->started_at;
}

cJSON *operation_json(const struct operation *op)
{
    const char *status = op->finished_at == NULL ? "running"
                         : op->failure == NULL   ? "succeeded"
                                                 : "failed";
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "operationId", op->id);
    (void)json_add_str(out, "kind", op->kind);
    (void)json_add_str(out, "sessionName", op->session);
    (void)json_add_str(out, "status", status);
    (void)json_add_str(out, "startedAt", op->started_at);
    if (op->finished_at != NULL) {
        (void)json_add_str(out, "finishedAt", op->finished_at);
    }
    if (op->failure != NULL) {
        (void)json_add_str(out, "failureMessage", op->failure);
    }
    if (op->code != NULL) {
        (void)json_add_str(out, "code", op->code);
    }
    return out;
}

struct operation *operations_find(const struct operations *ops, const char *id)
{
    struct operation *op = ops->newest;
    while (op != NULL && strcmp(op->id, id) != 0) {
        op = op->next;
    }
    return op;
}

struct operation *operations_latest(const struct operations *ops, const char *session)
{
    struct operation *op = ops->newest;
    while (op != NULL && strcmp(op->session, session) != 0) {
        op = op->next;
    }
    return op;
}

struct operation *operations_active(const struct operations *ops, const char *session)
{
    struct operation *op = ops->newest;
    while (op != NULL && (op->finished_at != NULL || strcmp(op->session, session) != 0)) {
        op = op->next;
    }
    return op;
}

void operation_watch(struct operation *op, operation_line_fn *on_line, void *arg)
{
    CHECK(op->magic == OPERATION_MAGIC);
    for (size_t i = 0; i < op->line_count; i++) {
        const struct buf *line = &op->lines[(op->line_head + i) % op->line_cap];
        bool is_last = op->finished_at != NULL && i + 1 == op->line_count;
        on_line(arg, buf_str(line), is_last);
    }
    if (op->finished_at == NULL) {
        struct watch *w = xcalloc(1, sizeof *w);
        *w = (struct watch){.on_line = on_line, .arg = arg, .next = op->watches};
        op->watches = w;
    }
}

void operation_unwatch(struct operation *op, const void *arg)
{
    for (struct watch **at = &op->watches; *at != NULL;) {
        struct watch *w = *at;
        if (w->arg == arg) {
            *at = w->next;
            free(w);
        } else {
            at = &w->next;
        }
    }
}
