/* channel_logs: see channel_logs.h. Filled by changes.c, read by the API. */
#include "daemon/channel_logs.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/map.h"
#include "daemon/operations.h"

struct channel {
    char *session; /* owned */
    char *name;    /* owned */
    struct buf lines[CHANNEL_LINES_MAX];
    size_t head;
    size_t count;
    size_t bytes;
    uint64_t sequence;
};

struct watcher {
    struct watcher *next;
    char *key; /* owned */
    channel_line_fn *on_line;
    void *arg; /* borrowed */
};

struct channel_logs {
    struct map channels; /* "session\nchannel" → struct channel, owned */
    struct watcher *watchers;
};

struct channel_logs *channel_logs_new(void)
{
    return xcalloc(1, sizeof(struct channel_logs));
}

static void drop_oldest(struct channel *channel)
{
    struct buf *line = &channel->lines[channel->head];
    channel->bytes -= line->len;
    buf_fini(line);
    channel->head = (channel->head + 1) % CHANNEL_LINES_MAX;
    channel->count--;
}

static void channel_free(struct channel *channel)
{
    while (channel->count > 0) {
        drop_oldest(channel);
    }
    free(channel->session);
    free(channel->name);
    free(channel);
}

void channel_logs_free(struct channel_logs *logs)
{
    if (logs == NULL) {
        return;
    }
    size_t at = 0;
    const struct map_entry *entry;
    while ((entry = map_next(&logs->channels, &at)) != NULL) {
        channel_free(entry->value);
    }
    map_fini(&logs->channels);
    while (logs->watchers != NULL) {
        channel_logs_unwatch(logs, logs->watchers->arg);
    }
    free(logs);
}

static struct channel *channel_get(struct channel_logs *logs, const char *key, const char *session,
                                   const char *name)
{
    struct channel *channel = map_get(&logs->channels, str_of(key));
    if (channel == NULL) {
        channel = xcalloc(1, sizeof *channel);
        channel->session = xstrdup(session);
        channel->name = xstrdup(name);
        (void)map_set(&logs->channels, str_of(key), channel);
    }
    return channel;
}

static char *line_of(struct channel *channel, const char *stream, const char *chunk)
{
    autofree char *now = time_text(clock_wall_ms());
    autojson cJSON *line = cJSON_CreateObject();
    (void)json_add_str(line, "sessionName", channel->session);
    (void)json_add_int(line, "sequence", (int64_t)++channel->sequence);
    (void)json_add_str(line, "timestamp", now);
    (void)json_add_str(line, "channel", channel->name);
    (void)json_add_str(line, "stream", stream);
    (void)json_add_str(line, "chunk", chunk);
    autofree char *text = json_print(line);
    return xasprintf("%s\n", text);
}

void channel_logs_add(struct channel_logs *logs, const char *session, const char *name,
                      const char *stream, const char *chunk)
{
    autofree char *key = xasprintf("%s\n%s", session, name);
    struct channel *channel = channel_get(logs, key, session, name);
    autofree char *line = line_of(channel, stream, chunk);
    size_t len = strlen(line);
    while (channel->count == CHANNEL_LINES_MAX ||
           (channel->count > 0 && channel->bytes + len > CHANNEL_BYTES_MAX)) {
        drop_oldest(channel);
    }
    struct buf *slot = &channel->lines[(channel->head + channel->count) % CHANNEL_LINES_MAX];
    *slot = (struct buf){0};
    buf_add_text(slot, line);
    channel->count++;
    channel->bytes += len;
    for (struct watcher *w = logs->watchers; w != NULL;) {
        struct watcher *next = w->next;
        if (strcmp(w->key, key) == 0) {
            w->on_line(w->arg, buf_str(slot));
        }
        w = next;
    }
}

void channel_logs_forget(struct channel_logs *logs, const char *session)
{
    size_t at = 0;
    const struct map_entry *entry;
    while ((entry = map_next(&logs->channels, &at)) != NULL) {
        struct channel *channel = entry->value;
        if (strcmp(channel->session, session) == 0) {
            (void)map_del(&logs->channels, (struct str){entry->key, entry->key_len});
            channel_free(channel);
        }
    }
}

void channel_logs_watch(struct channel_logs *logs, const char *session, const char *name,
                        channel_line_fn *on_line, void *arg)
{
    struct watcher *w = xcalloc(1, sizeof *w);
    w->key = xasprintf("%s\n%s", session, name);
    w->on_line = on_line;
    w->arg = arg;
    const struct channel *channel = map_get(&logs->channels, str_of(w->key));
    for (size_t i = 0; channel != NULL && i < channel->count; i++) {
        on_line(arg, buf_str(&channel->lines[(channel->head + i) % CHANNEL_LINES_MAX]));
    }
    w->next = logs->watchers;
    logs->watchers = w;
}

void channel_logs_unwatch(struct channel_logs *logs, const void *arg)
{
    for (struct watcher **at = &logs->watchers; *at != NULL;) {
        struct watcher *w = *at;
        if (w->arg == arg) {
            *at = w->next;
            free(w->key);
            free(w);
        } else {
            at = &w->next;
        }
    }
}
