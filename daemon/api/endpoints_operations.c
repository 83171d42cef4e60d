/* endpoints_operations: one operation and its events. */
#include <stdlib.h>

#include "base/auto.h"
#include "daemon/api/api.h"
#include "daemon/api/request.h"
#include "daemon/daemon.h"

/* One reader of an operation's events. */
struct reader {
    struct stream *stream;       /* owned until its end */
    struct operations *registry; /* borrowed */
    char *id;                    /* owned */
};

static void reader_free(struct reader *reader)
{
    free(reader->id);
    free(reader);
}

static void reader_on_line(void *arg, struct str line, bool is_last)
{
    struct reader *reader = arg;
    stream_send(reader->stream, line, is_last);
    if (is_last) {
        stream_end(reader->stream);
        reader_free(reader);
    }
}

static void reader_on_close(void *arg)
{
    struct reader *reader = arg;
    struct operation *op = operations_find(reader->registry, reader->id);
    if (op != NULL) {
        operation_unwatch(op, reader);
    }
    reader_free(reader);
}

static struct operation *find_or_reply(struct api_request *r)
{
    struct operation *op = operations_find(r->d->operations, r->param);
    if (op == NULL) {
        reply_error(r, 404, "not-found", "no such operation", NULL);
    }
    return op;
}

static void handle_events(struct api_request *r)
{
    struct operation *op = find_or_reply(r);
    if (op == NULL) {
        return;
    }
    struct reader *reader = xcalloc(1, sizeof *reader);
    reader->registry = r->d->operations;
    reader->id = xstrdup(operation_id(op));
    reader->stream = stream_open(r, reader_on_close, reader);
    operation_watch(op, reader_on_line, reader);
}

static void handle_operation(struct api_request *r)
{
    struct operation *op = find_or_reply(r);
    if (op != NULL) {
        reply_json(r, HTTP_STATUS_OK, operation_json(op));
    }
}

const struct api_endpoint api_operation_endpoints[] = {
    {API_GET, "/operations/:", API_LOGGED_IN, handle_operation},
    {API_GET, "/operations/:/events", API_LOGGED_IN, handle_events},
    {0, NULL, API_LOCAL, NULL},
};
