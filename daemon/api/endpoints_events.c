/* endpoints_events: the daemon's events as text/event-stream (WHATWG HTML, 9.2). */
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "daemon/api/api.h"
#include "daemon/api/guard.h"
#include "daemon/api/request.h"
#include "daemon/daemon.h"
#include "daemon/events.h"

enum { KEEPALIVE_MS = 15000 };

/* One reader. */
struct event_reader {
    struct stream *stream;  /* owned until its end */
    const struct daemon *d; /* borrowed */
    bool is_public;         /* by the public name: not all types */
    struct loop_timer timer;
    bool is_ending; /* too far behind; it comes back with its Last-Event-ID */
};

static void reader_free(struct event_reader *reader)
{
    events_unwatch(reader->d->events, reader);
    loop_timer_fini(&reader->timer);
    free(reader);
}

static void reader_on_close(void *arg)
{
    reader_free(arg);
}

/* What a client by the public name could not ask for either: config.json, the certificates' jobs,
 * and terminals where they are off for it. */
static bool reader_may_have(const struct event_reader *reader, struct str type)
{
    if (!reader->is_public) {
        return true;
    }
    if (str_starts(type, STR("terminal."))) {
        return guard_terminal_is_open(reader->d, true);
    }
    return !str_starts(type, STR("certificate.")) && !str_starts(type, STR("config."));
}

static void reader_on_frame(void *arg, const char *type, struct str frame)
{
    struct event_reader *reader = arg;
    if (reader->is_ending || !reader_may_have(reader, str_of(type))) {
        return;
    }
    if (stream_is_behind(reader->stream)) {
        reader->is_ending = true;
        loop_timer_set(&reader->timer, 0);
        return;
    }
    stream_send(reader->stream, frame, true);
}

static void reader_on_timer(void *arg)
{
    struct event_reader *reader = arg;
    if (reader->is_ending) {
        stream_end(reader->stream);
        reader_free(reader);
        return;
    }
    autofree char *now = time_text(clock_wall_ms());
    autofree char *comment = xasprintf(": keepalive %s\n\n", now);
    stream_send(reader->stream, str_of(comment), false);
    loop_timer_set(&reader->timer, KEEPALIVE_MS);
}

/* Where to go on: after the event the reader saw last; without that, everything kept, or with
 * history=0 nothing of it. A number above ours is of an earlier daemon: everything of this one is
 * new. */
static uint64_t start_of(const struct api_request *r)
{
    const char *text = request_header(r, "Last-Event-ID");
    uint64_t newest = events_newest(r->d->events);
    uint64_t after;
    if (text == NULL || !str_to_u64(str_of(text), &after)) {
        const char *history = request_query(r, "history");
        return history != NULL && strcmp(history, "0") == 0 ? newest : 0;
    }
    return after > newest ? 0 : after;
}

static void handle_events(struct api_request *r)
{
    struct event_reader *reader = xcalloc(1, sizeof *reader);
    uint64_t after = start_of(r);
    autofree char *session =
        request_query(r, "session") == NULL ? NULL : xstrdup(request_query(r, "session"));
    reader->d = r->d;
    reader->is_public = r->is_public;
    loop_timer_init(&reader->timer, r->d->loop, reader_on_timer, reader);
    loop_timer_set(&reader->timer, KEEPALIVE_MS);
    reader->stream = stream_open_as(r, "text/event-stream", reader_on_close, reader);
    stream_send(reader->stream, STR(": open\n\n"), false); /* so that the head goes out */
    events_watch(r->d->events, after, session, reader_on_frame, reader);
}

const struct api_endpoint api_event_endpoints[] = {
    {API_GET, "/events", API_LOGGED_IN, handle_events},
    {0, NULL, API_LOCAL, NULL},
};
