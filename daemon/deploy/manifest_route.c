/* manifest_route: what a port of deploy.yaml says of its public route: host, access, backend,
 * insecure, whitelist_ips, rate_limit, max_concurrent. Called by manifest_service.c only. */
#include "base/auto.h"
#include "daemon/deploy/manifest_reader.h"

/* The text of a scalar that stands for a word; NULL for anything else. */
static const char *word_of(const yaml_node_t *node)
{
    return reader_kind(node) == NODE_STRING ? (const char *)node->data.scalar.value : NULL;
}

static void read_host(struct reader *r, const yaml_node_t *node, const char *path,
                      struct publish_options *out)
{
    const char *word = word_of(node);
    if (word == NULL || !publish_host_parse(word, &out->host_mode)) {
        reader_error(r, node, "%s.host must be preserve or rewrite", path);
    }
}

static void read_access(struct reader *r, const yaml_node_t *node, const char *path,
                        struct publish_options *out)
{
    const char *word = word_of(node);
    if (word == NULL || !publish_access_parse(word, &out->access)) {
        reader_error(r, node, "%s.access must be public, secret or private", path);
    }
}

static void read_backend(struct reader *r, const struct reader_map *map, const char *path,
                         struct publish_options *out)
{
    const yaml_node_t *backend = reader_get(map, "backend");
    const yaml_node_t *insecure = reader_get(map, "insecure");
    bool is_insecure = false;
    if (reader_kind(backend) != NODE_NULL) {
        const char *word = word_of(backend);
        if (word == NULL || !publish_backend_parse(word, false, &out->backend)) {
            reader_error(r, backend, "%s.backend must be http, https or h2c", path);
            return;
        }
    }
    if (reader_kind(insecure) == NODE_NULL ||
        !reader_read_bool(r, insecure, reader_path(r, "%s.insecure", path), &is_insecure)) {
        return;
    }
    if (is_insecure && out->backend != BACKEND_HTTPS) {
        reader_error(r, insecure, "%s.insecure is for backend: https only", path);
    } else if (is_insecure) {
        out->backend = BACKEND_HTTPS_INSECURE;
    }
}

static void read_whitelist(struct reader *r, const struct reader_map *map, const char *path,
                           struct publish_options *out)
{
    const yaml_node_t *node = reader_get(map, "whitelist_ips");
    const yaml_node_t *other = reader_get(map, "whitelistIps");
    if (node != NULL && other != NULL) {
        reader_error(r, other, "%s.whitelistIps is another spelling of whitelist_ips; give one",
                     path);
    }
    const char *name = node != NULL ? "whitelist_ips" : "whitelistIps";
    node = node != NULL ? node : other;
    if (reader_kind(node) == NODE_NULL) {
        return;
    }
    size_t count = reader_kind(node) == NODE_LIST ? reader_item_count(node) : SIZE_MAX;
    if (count > PUBLISH_WHITELIST_MAX) {
        reader_error(r, node, "%s.%s must be a list of at most %d addresses and CIDR prefixes",
                     path, name, PUBLISH_WHITELIST_MAX);
        return;
    }
    struct ip_prefix *list = arena_zalloc(&r->m->arena, (count + 1) * sizeof *list);
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item = reader_item(r, node, i);
        struct err err = {.msg = ""};
        const char *text = word_of(item);
        if (text == NULL) {
            reader_error(r, item, "%s.%s[%zu] must be a text with an address or CIDR prefix", path,
                         name, i);
        } else if (ip_prefix_parse(str_of(text), &list[i], &err) < 0) {
            reader_error(r, item, "%s.%s[%zu]: %s", path, name, i, err.msg);
        }
    }
    out->whitelist = list;
    out->whitelist_count = (uint32_t)count;
}

static void read_count(struct reader *r, const yaml_node_t *node, const char *path, uint32_t *out)
{
    int64_t number = 0;
    if (reader_kind(node) != NODE_NULL &&
        reader_read_int(r, node, path, 1, PUBLISH_RATE_MAX, &number)) {
        *out = (uint32_t)number;
    }
}

static void read_rate(struct reader *r, const yaml_node_t *node, const char *path,
                      struct publish_options *out)
{
    static const char *const known[] = {"requests_per_second", "burst", NULL};
    static const struct reader_refusal none[] = {{NULL, NULL}};
    enum node_kind kind = reader_kind(node);
    if (kind == NODE_INT) {
        read_count(r, node, path, &out->rate_per_second);
        return;
    }
    struct reader_map map;
    if (kind != NODE_MAP) {
        reader_error(r, node,
                     "%s must be an integer from 1 to %d or a mapping of requests_per_second, "
                     "burst",
                     path, PUBLISH_RATE_MAX);
        return;
    }
    if (!reader_read_map(r, node, path, &map)) {
        return;
    }
    reader_check_keys(r, &map, path, known, none);
    if (reader_kind(reader_get(&map, "requests_per_second")) == NODE_NULL) {
        reader_error(r, node, "%s needs requests_per_second, an integer from 1 to %d", path,
                     PUBLISH_RATE_MAX);
    }
    read_count(r, reader_get(&map, "requests_per_second"),
               reader_path(r, "%s.requests_per_second", path), &out->rate_per_second);
    read_count(r, reader_get(&map, "burst"), reader_path(r, "%s.burst", path), &out->rate_burst);
}

void manifest_read_route(struct reader *r, const struct reader_map *map, const char *path,
                         struct publish_options *out)
{
    const yaml_node_t *value = reader_get(map, "host");
    if (reader_kind(value) != NODE_NULL) {
        read_host(r, value, path, out);
    }
    value = reader_get(map, "access");
    if (reader_kind(value) != NODE_NULL) {
        read_access(r, value, path, out);
    }
    read_backend(r, map, path, out);
    read_whitelist(r, map, path, out);
    value = reader_get(map, "rate_limit");
    if (reader_kind(value) != NODE_NULL) {
        read_rate(r, value, reader_path(r, "%s.rate_limit", path), out);
    }
    read_count(r, reader_get(map, "max_concurrent"), reader_path(r, "%s.max_concurrent", path),
               &out->exchanges_max);
}
