/* published: see published.h. Called by the API. */
#include "daemon/published.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/config.h"
#include "daemon/published_log.h"

enum { FILE_MAX = 256 << 20, NAME_MAX_BYTES = 63 };

struct item {
    char *name; /* owned */
    char *host; /* owned; NULL while the tunnel is disabled */
    uint16_t port;
    struct publish_options options; /* a copy of its own */
};

struct published {
    char *path;                  /* owned */
    struct published_log *log;   /* owned: the changes that are not in the file */
    struct publisher *publisher; /* borrowed */
    struct item *items;          /* owned; sorted by name */
    size_t count;
    bool is_unread; /* file or log are there and cannot be read: the file is not written */
};

static bool name_is_label(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > NAME_MAX_BYTES || name[0] == '-' || name[len - 1] == '-') {
        return false;
    }
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

/* Where the name is, or would be inserted. */
static size_t place_of(const struct published *p, const char *name)
{
    size_t low = 0;
    size_t high = p->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(p->items[middle].name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct item *find(const struct published *p, const char *name)
{
    size_t at = place_of(p, name);
    return at < p->count && strcmp(p->items[at].name, name) == 0 ? &p->items[at] : NULL;
}

/* Names its host with the publisher. */
static int item_claim(struct published *p, struct item *item, struct err *err)
{
    if (!publisher_is_enabled(p->publisher)) {
        return err_set(
            err, ERR_REFUSED,
            "the tunnel is disabled: set tunnel.enabled and tunnel.domain in config.json "
            "and run wos restart");
    }
    autofree char *host = publisher_host_of_label(p->publisher, item->name);
    if (publisher_keep_name(p->publisher, PUBLISHER_OWNER_PUBLISH, item->name, 0, host, err) < 0) {
        return -1;
    }
    free(item->host);
    item->host = xstrdup(host);
    return 0;
}

static struct item *insert(struct published *p, const char *name)
{
    size_t at = place_of(p, name);
    p->items = xrealloc(p->items, (p->count + 1) * sizeof *p->items);
    memmove(&p->items[at + 1], &p->items[at], (p->count - at) * sizeof *p->items);
    p->count++;
    p->items[at] = (struct item){.name = xstrdup(name)};
    return &p->items[at];
}

static void item_drop(struct published *p, struct item *item)
{
    free(item->name);
    free(item->host);
    publish_options_fini(&item->options);
    size_t index = (size_t)(item - p->items);
    memmove(item, item + 1, (p->count - index - 1) * sizeof *item);
    p->count--;
}

static cJSON *item_row(const struct item *item)
{
    cJSON *row = cJSON_CreateObject();
    (void)json_add_str(row, "name", item->name);
    (void)json_add_int(row, "port", item->port);
    publish_options_add(&item->options, row);
    return row;
}

/* Writes the whole file; the log is done with then. */
static int save(struct published *p, struct err *err)
{
    if (p->is_unread) {
        return err_set(err, ERR_FAILED,
                       "%s is not written, since what it or published.log has could not be "
                       "read: wos restart tries again",
                       p->path);
    }
    struct buf text = {0};
    buf_add_text(&text, "{\"published\":[");
    for (size_t i = 0; i < p->count; i++) {
        autojson cJSON *row = item_row(&p->items[i]);
        autofree char *row_text = json_print(row);
        if (i > 0) {
            buf_add_char(&text, ',');
        }
        buf_add_text(&text, row_text);
    }
    buf_add_text(&text, "]}");
    int rc = file_write_atomic(p->path, buf_str(&text), 0600, err);
    if (rc == 0) {
        published_log_clear(p->log);
    }
    buf_fini(&text);
    return rc;
}

/* Stores one change; when this returns 0 it outlives a crash. */
static int store(struct published *p, const cJSON *row, struct err *err)
{
    autofree char *line = json_print(row);
    struct err why = {.msg = ""};
    bool is_stored = published_log_add(p->log, str_of(line), &why) == 0;
    if (is_stored && published_log_size(p->log) <= PUBLISHED_LOG_LONG) {
        return 0;
    }
    if (save(p, &why) < 0 && !is_stored) {
        return err_set(err, why.code, "%s", why.msg);
    }
    if (published_log_size(p->log) > PUBLISHED_LOG_LONG) {
        log_warn("publish", "published.log grows, as published.json could not be written",
                 LOG_STR("error", why.msg));
    }
    return 0;
}

static struct publish_route route_of(const struct item *item)
{
    return (struct publish_route){
        .host = item->host,
        .service = item->name,
        .port = item->port,
        .state = ROUTE_LIVE,
        .options = item->options,
    };
}

static void publish_all(struct published *p, publisher_done_fn *done, void *arg)
{
    autofree struct publish_route *routes = xcalloc(p->count + 1, sizeof *routes);
    size_t count = 0;
    for (size_t i = 0; i < p->count; i++) {
        if (p->items[i].host != NULL) {
            routes[count++] = route_of(&p->items[i]);
        }
    }
    publisher_set_routes(p->publisher, PUBLISHER_OWNER_PUBLISH, routes, count, done, arg);
}

/* Takes the stored options. Those that cannot be read say nothing of who may see it: nobody. */
static void item_options(struct item *item, const cJSON *row)
{
    struct err err = {.msg = ""};
    if (publish_options_read(row, &item->options, &err) < 0) {
        log_error("publish", "a published name is private until it is published again",
                  LOG_STR("name", item->name), LOG_STR("error", err.msg));
        item->options = (struct publish_options){.access = PUBLISH_ACCESS_PRIVATE};
    }
}

/* What is not known may have said that nobody may see any of these. */
static void close_all(struct published *p)
{
    for (size_t i = 0; i < p->count; i++) {
        publish_options_fini(&p->items[i].options);
        p->items[i].options = (struct publish_options){.access = PUBLISH_ACCESS_PRIVATE};
    }
    if (p->count > 0) {
        log_error("publish", "published names are private until they are published again",
                  LOG_INT("names", (int64_t)p->count));
    }
}

/* A row of the file or a line of the log; NULL: one that cannot be read. */
static void load_row(void *arg, const cJSON *row)
{
    struct published *p = arg;
    struct err err = {.msg = ""};
    if (row == NULL) {
        close_all(p);
        return;
    }
    const char *name = json_get_str(row, "name", "");
    int64_t port = json_get_int(row, "port", 0);
    struct item *item = find(p, name);
    if (json_get_bool(row, "removed", false)) {
        if (item != NULL) {
            item_drop(p, item);
            publisher_forget_name(p->publisher, PUBLISHER_OWNER_PUBLISH, name, 0);
        }
        return;
    }
    if (!name_is_label(name) || port < 1 || port > 65535) {
        return;
    }
    if (item == NULL) {
        item = insert(p, name);
    }
    item->port = (uint16_t)port;
    publish_options_fini(&item->options);
    item_options(item, row);
    if (publisher_is_enabled(p->publisher) && item_claim(p, item, &err) < 0) {
        log_warn("publish", "a published name is not served", LOG_STR("name", name),
                 LOG_STR("error", err.msg));
    }
}

static void load(struct published *p)
{
    struct err err = {.msg = ""};
    struct buf text = {0};
    if (file_read(p->path, FILE_MAX, &text, &err) < 0) {
        p->is_unread = err.code != ERR_NOT_FOUND;
        if (p->is_unread) {
            log_error("publish", "published names are not restored", LOG_STR("error", err.msg));
        }
        buf_fini(&text);
        return;
    }
    autojson cJSON *root = json_parse(buf_str(&text), p->path, &err);
    buf_fini(&text);
    if (root == NULL) {
        autofree char *aside = xasprintf("%s.bad", p->path);
        (void)rename(p->path, aside);
        log_error("publish", "published names are not restored; the file was put aside",
                  LOG_STR("error", err.msg), LOG_STR("path", aside));
        return;
    }
    const cJSON *row;
    cJSON_ArrayForEach(row, json_get(root, "published"))
    {
        load_row(p, row);
    }
}

/* The file alone says it all again. */
static void settle(struct published *p)
{
    struct err err = {.msg = ""};
    if (published_log_size(p->log) > 0 && save(p, &err) < 0) {
        log_warn("publish",
                 "published.json could not be written; its changes stay in "
                 "published.log",
                 LOG_STR("error", err.msg));
    }
}

struct published *published_new(const char *home, struct publisher *publisher)
{
    struct published *p = xcalloc(1, sizeof *p);
    p->path = path_join(home, "published.json");
    autofree char *log_path = path_join(home, "published.log");
    p->log = published_log_new(log_path);
    p->publisher = publisher;
    load(p);
    if (published_log_read(p->log, load_row, p) < 0) {
        p->is_unread = true;
    }
    settle(p);
    if (p->count > 0) {
        publish_all(p, NULL, NULL);
    }
    return p;
}

void published_free(struct published *p)
{
    if (p == NULL) {
        return;
    }
    settle(p);
    published_log_free(p->log);
    while (p->count > 0) {
        item_drop(p, &p->items[p->count - 1]);
    }
    free(p->items);
    free(p->path);
    free(p);
}

int published_add(struct published *p, const char *name, uint16_t port,
                  const struct publish_options *options, publisher_done_fn *done, void *arg,
                  struct err *err)
{
    if (!name_is_label(name)) {
        return err_set(err, ERR_USAGE,
                       "\"%.80s\" is not a name: 1 to 63 of a-z, 0-9 and '-', not at the ends",
                       name);
    }
    struct item *item = find(p, name);
    bool is_new = item == NULL;
    if (is_new) {
        item = insert(p, name);
    }
    if (item_claim(p, item, err) < 0) {
        if (is_new) {
            item_drop(p, item);
        }
        return -1;
    }
    item->port = port;
    struct publish_options before = item->options;
    publish_options_copy(&item->options, options);
    publish_options_fini(&before);
    const struct publish_route route = route_of(item);
    publisher_put_route(p->publisher, PUBLISHER_OWNER_PUBLISH, &route, done, arg);
    publisher_flush(p->publisher); /* the gateway is at it while the disk is */
    autojson cJSON *row = item_row(item);
    if (store(p, row, err) < 0) {
        log_error("publish", "a published name is served but will not outlive the daemon",
                  LOG_STR("name", name), LOG_STR("error", err->msg));
        err_clear(err);
    }
    return 0;
}

int published_remove(struct published *p, const char *name, struct err *err)
{
    struct item *item = find(p, name);
    if (item == NULL) {
        return err_set(err, ERR_NOT_FOUND, "nothing is published as %.80s", name);
    }
    item_drop(p, item);
    publisher_forget_name(p->publisher, PUBLISHER_OWNER_PUBLISH, name, 0);
    publish_all(p, NULL, NULL);
    autojson cJSON *row = cJSON_CreateObject();
    (void)json_add_str(row, "name", name);
    (void)json_add_bool(row, "removed", true);
    return store(p, row, err);
}

static cJSON *item_json(const struct published *p, const struct item *item)
{
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "name", item->name);
    if (item->host != NULL) {
        (void)json_add_str(out, "hostname", item->host);
    }
    if (item->host != NULL &&
        !publisher_is_private(p->publisher, PUBLISHER_OWNER_PUBLISH, &item->options)) {
        autofree char *url = publisher_url(p->publisher, item->host);
        (void)json_add_str(out, "url", url);
    }
    (void)json_add_int(out, "port", item->port);
    publish_options_add(&item->options, out);
    if (item->host != NULL) {
        publisher_add_access(p->publisher, PUBLISHER_OWNER_PUBLISH, item->host, out);
    }
    return out;
}

cJSON *published_item_json(const struct published *p, const char *name)
{
    const struct item *item = find(p, name);
    return item == NULL ? NULL : item_json(p, item);
}

cJSON *published_json(const struct published *p)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < p->count; i++) {
        (void)cJSON_AddItemToArray(list, item_json(p, &p->items[i]));
    }
    return list;
}
