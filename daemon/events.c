/* events: see events.h. Filled by event_sources.c, read by the API on the daemon's loop. */
#include "daemon/events.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "base/loop.h"
#include "daemon/operations.h"

struct event {
    uint64_t id;
    char *session; /* owned; NULL: of none */
    char *type;    /* owned */
    struct buf frame;
};

struct watcher {
    struct watcher *next;
    events_frame_fn *on_frame;
    void *arg;     /* borrowed */
    char *session; /* owned; NULL: all */
};

struct events {
    struct event *ring; /* owned: EVENTS_HISTORY_MAX slots */
    size_t head;
    size_t count;
    size_t bytes;
    uint64_t newest;
    struct watcher *watchers; /* owned */
};

struct events *events_new(void)
{
    struct events *events = xcalloc(1, sizeof *events);
    events->ring = xcalloc(EVENTS_HISTORY_MAX, sizeof *events->ring);
    return events;
}

static void drop_oldest(struct events *events)
{
    struct event *event = &events->ring[events->head];
    events->bytes -= event->frame.len;
    buf_fini(&event->frame);
    free(event->session);
    free(event->type);
    event->session = NULL;
    event->type = NULL;
    events->head = (events->head + 1) % EVENTS_HISTORY_MAX;
    events->count--;
}

void events_free(struct events *events)
{
    if (events == NULL) {
        return;
    }
    while (events->count > 0) {
        drop_oldest(events);
    }
    while (events->watchers != NULL) {
        events_unwatch(events, events->watchers->arg);
    }
    free(events->ring);
    free(events);
}

uint64_t events_newest(const struct events *events)
{
    return events->newest;
}

static void add_about(cJSON *envelope, const struct event_about *about)
{
    const struct {
        const char *name;
        const char *value;
    } members[] = {{"projectId", about->project_id},
                   {"sessionName", about->session},
                   {"worktreePath", about->worktree_path},
                   {"operationId", about->operation_id}};
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        if (members[i].value != NULL) {
            (void)json_add_str(envelope, members[i].name, members[i].value);
        }
    }
}

/* JSON has no line breaks, so that one data line holds it. */
static void frame_write(struct buf *out, uint64_t id, const struct event_about *about, cJSON *event)
{
    autofree char *timestamp = time_text(clock_wall_ms());
    autojson cJSON *envelope = cJSON_CreateObject();
    (void)json_add_int(envelope, "id", (int64_t)id);
    (void)json_add_str(envelope, "timestamp", timestamp);
    const char *type = json_get_str(event, "type", "");
    (void)json_add_str(envelope, "type", type);
    if (about != NULL) {
        add_about(envelope, about);
    }
    (void)cJSON_AddItemToObject(envelope, "event", event);
    autofree char *text = json_print(envelope);
    buf_printf(out, "id: %llu\nevent: %s\ndata: ", (unsigned long long)id, type);
    buf_add_text(out, text);
    buf_add_text(out, "\n\n");
}

static bool is_wanted(const char *wanted, const char *session)
{
    return wanted == NULL || (session != NULL && strcmp(wanted, session) == 0);
}

void events_emit(struct events *events, const struct event_about *about, cJSON *event)
{
    struct buf frame = {0};
    char *type = xstrdup(json_get_str(event, "type", ""));
    frame_write(&frame, ++events->newest, about, event);
    while (events->count == EVENTS_HISTORY_MAX ||
           (events->count > 0 && events->bytes + frame.len > EVENTS_BYTES_MAX)) {
        drop_oldest(events);
    }
    struct event *slot = &events->ring[(events->head + events->count) % EVENTS_HISTORY_MAX];
    *slot = (struct event){.id = events->newest, .type = type, .frame = frame};
    if (about != NULL && about->session != NULL) {
        slot->session = xstrdup(about->session);
    }
    events->count++;
    events->bytes += frame.len;
    for (struct watcher *w = events->watchers; w != NULL;) {
        struct watcher *next = w->next;
        if (is_wanted(w->session, slot->session)) {
            w->on_frame(w->arg, slot->type, buf_str(&slot->frame));
        }
        w = next;
    }
}

void events_watch(struct events *events, uint64_t after, const char *session,
                  events_frame_fn *on_frame, void *arg)
{
    struct watcher *w = xcalloc(1, sizeof *w);
    *w = (struct watcher){.next = events->watchers,
                          .on_frame = on_frame,
                          .arg = arg,
                          .session = session == NULL ? NULL : xstrdup(session)};
    for (size_t i = 0; i < events->count; i++) {
        const struct event *event = &events->ring[(events->head + i) % EVENTS_HISTORY_MAX];
        if (event->id > after && is_wanted(session, event->session)) {
            on_frame(arg, event->type, buf_str(&event->frame));
        }
    }
    events->watchers = w;
}

void events_unwatch(struct events *events, const void *arg)
{
    for (struct watcher **at = &events->watchers; *at != NULL;) {
        struct watcher *w = *at;
        if (w->arg == arg) {
            *at = w->next;
            free(w->session);
            free(w);
        } else {
            at = &w->next;
        }
    }
}
