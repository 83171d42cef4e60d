/* channels: see channels.h. Channels of services are files and logs.c's business. */
#include "daemon/api/channels.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "daemon/api/logs.h"
#include "daemon/api/request.h"
#include "daemon/channel_logs.h"
#include "daemon/daemon.h"
#include "daemon/sessions.h"

enum { HEARTBEAT_MS = 15000 };

struct channel_reader {
    struct stream *stream;     /* owned until its end */
    struct channel_logs *logs; /* borrowed */
    struct loop_timer timer;
};

static void reader_on_close(void *arg)
{
    struct channel_reader *reader = arg;
    channel_logs_unwatch(reader->logs, reader);
    loop_timer_fini(&reader->timer);
    free(reader);
}

static void reader_on_line(void *arg, struct str line)
{
    struct channel_reader *reader = arg;
    stream_send(reader->stream, line, false);
    loop_timer_set(&reader->timer, HEARTBEAT_MS);
}

static void reader_on_timer(void *arg)
{
    reader_on_line(arg, STR("\n"));
}

static void read_operations(struct api_request *r, const char *session, const char *channel)
{
    struct channel_reader *reader = xcalloc(1, sizeof *reader);
    reader->logs = r->d->channel_logs;
    loop_timer_init(&reader->timer, r->d->loop, reader_on_timer, reader);
    loop_timer_set(&reader->timer, HEARTBEAT_MS);
    reader->stream = stream_open(r, reader_on_close, reader);
    stream_send(reader->stream, STR("\n"), false); /* so that the head goes out */
    channel_logs_watch(reader->logs, session, channel, reader_on_line, reader);
}

void channels_handle(struct api_request *r)
{
    const char *name = request_query(r, "session");
    const char *channel = request_query(r, "channel");
    struct session *session = name == NULL ? NULL : sessions_find(r->d->sessions, name);
    bool is_operation =
        channel != NULL && (strcmp(channel, "deployment") == 0 || strcmp(channel, "init") == 0);
    bool is_service = channel != NULL && strncmp(channel, "service:", 8) == 0;
    if (name == NULL || (!is_operation && !is_service)) {
        reply_error(r, 400, "validation",
                    "session and channel must be given; channels are deployment, init and "
                    "service:<name>",
                    NULL);
    } else if (session == NULL) {
        reply_error(r, 404, "not-found", "no such session", NULL);
    } else if (is_service) {
        autofree char *service = xstrdup(channel + 8);
        logs_follow(r, session, service, true);
    } else {
        autofree char *copy = xstrdup(channel);
        read_operations(r, session_name(session), copy);
    }
}
