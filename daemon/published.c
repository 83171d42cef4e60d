/* published: see published.h. Called by the API. */
#include "daemon/published.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/config.h"

enum { FILE_MAX = 256 << 20, NAME_MAX_BYTES = 63 };

struct item {
    char *name; /* owned */
    char *host; /* owned; NULL while the tunnel is disabled */
    uint16_t port;
    struct publish_options options; /* a copy of its own */
    char *row;                      /* owned: its object in the file; NULL: made when saved */
};

struct published {
    char *path;                  /* owned */
    struct publisher *publisher; /* borrowed */
    struct item *items;          /* owned; sorted by name */
    size_t count;
    bool is_unread; /* the file is there and cannot be read: it is not written */
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

/* The item has other values: its row in the file is to be made again. */
static void item_changed(struct item *item)
{
    free(item->row);
    item->row = NULL;
}

static void item_drop(struct published *p, struct item *item)
{
    free(item->name);
    free(item->host);
    free(item->row);
    publish_options_fini(&item->options);
    size_t index = (size_t)(item - p->items);
    memmove(item, item + 1, (p->count - index - 1) * sizeof *item);
    p->count--;
}

static char *item_row(const struct item *item)
{
    autojson cJSON *row = cJSON_CreateObject();
    (void)json_add_str(row, "name", item->name);
    (void)json_add_int(row, "port", item->port);
    publish_options_add(&item->options, row);
    return json_print(row);
}

/* Only the rows of changed items are made: with thousands of names one changes at a time. */
static int save(struct published *p, struct err *err)
{
    if (p->is_unread) {
        return err_set(err, ERR_FAILED,
                       "%s is not written, since what it has could not be read: "
                       "wos restart tries again",
                       p->path);
    }
    struct buf text = {0};
    buf_add_text(&text, "{\"published\":[");
    for (size_t i = 0; i < p->count; i++) {
        struct item *item = &p->items[i];
        if (item->row == NULL) {
            item->row = item_row(item);
        }
        if (i > 0) {
            buf_add_char(&text, ',');
        }
        buf_add_text(&text, item->row);
    }
    buf_add_text(&text, "]}");
    int rc = file_write_atomic(p->path, buf_str(&text), 0600, err);
    buf_fini(&text);
    return rc;
}

static void publish_all(struct published *p, publisher_done_fn *done, void *arg)
{
    autofree struct publish_route *routes = xcalloc(p->count + 1, sizeof *routes);
    size_t count = 0;
    for (size_t i = 0; i < p->count; i++) {
        const struct item *item = &p->items[i];
        if (item->host != NULL) {
            routes[count++] = (struct publish_route){
                .host = item->host,
                .service = item->name,
                .port = item->port,
                .state = ROUTE_LIVE,
                .options = item->options,
            };
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
        log_error("publish", "published names are not restored", LOG_STR("error", err.msg));
        return;
    }
    const cJSON *row;
    cJSON_ArrayForEach(row, json_get(root, "published"))
    {
        const char *name = json_get_str(row, "name", "");
        int64_t port = json_get_int(row, "port", 0);
        if (!name_is_label(name) || port < 1 || port > 65535 || find(p, name) != NULL) {
            continue;
        }
        struct item *item = insert(p, name);
        item->port = (uint16_t)port;
        item_options(item, row);
        if (publisher_is_enabled(p->publisher) && item_claim(p, item, &err) < 0) {
            log_warn("publish", "a published name is not served", LOG_STR("name", name),
                     LOG_STR("error", err.msg));
        }
    }
}

struct published *published_new(const char *home, struct publisher *publisher)
{
    struct published *p = xcalloc(1, sizeof *p);
    p->path = path_join(home, "published.json");
    p->publisher = publisher;
    load(p);
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
    item_changed(item);
    publish_all(p, done, arg);
    publisher_flush(p->publisher); /* the gateway is at it while the disk is */
    if (save(p, err) < 0) {
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
    return save(p, err);
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
    publisher_add_access(p->publisher, PUBLISHER_OWNER_PUBLISH, item->name, 0, out);
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
