/* manifest_service: `app.services` with their ports and health checks. Called
 * by manifest_top.c only. */
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "daemon/deploy/manifest_reader.h"

enum { SERVICE_NAME_MAX = 100 };

static const struct reader_refusal refused_none[] = {{NULL, NULL}};

static void read_health_map(struct reader *r, const yaml_node_t *node, const char *path,
                            struct manifest_health *out)
{
    static const char *const known[] = {"url",      "status",  "timeout", "start_period",
                                        "interval", "retries", NULL};
    struct reader_map map;
    if (!reader_read_map(r, node, path, &map)) {
        return;
    }
    reader_check_keys(r, &map, path, known, refused_none);
    const yaml_node_t *value = reader_get(&map, "url");
    if (reader_kind(value) != NODE_NULL) {
        const char *url = NULL;
        if (reader_read_string(r, value, reader_path(r, "%s.url", path), &url)) {
            bool ok = url[0] == '/';
            for (const char *p = url; *p != '\0'; p++) {
                ok = ok && (unsigned char)*p > ' ' && (unsigned char)*p != 0x7f;
            }
            if (!ok) {
                reader_error(r, value, "%s.url must be a path that begins with /, without spaces",
                             path);
            } else {
                out->path = url;
            }
        }
    }
    int64_t number = 0;
    value = reader_get(&map, "status");
    if (reader_kind(value) != NODE_NULL &&
        reader_read_int(r, value, reader_path(r, "%s.status", path), 100, 599, &number)) {
        out->status = (int)number;
    }
    value = reader_get(&map, "retries");
    if (reader_kind(value) != NODE_NULL &&
        reader_read_int(r, value, reader_path(r, "%s.retries", path), 1, 1000000, &number)) {
        out->retries = (uint32_t)number;
    }
    static const char *const names[] = {"timeout", "start_period", "interval"};
    uint32_t *const slots[] = {&out->timeout_ms, &out->start_period_ms, &out->interval_ms};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        value = reader_get(&map, names[i]);
        if (reader_kind(value) != NODE_NULL) {
            (void)reader_read_duration(r, value, reader_path(r, "%s.%s", path, names[i]), slots[i]);
        }
    }
    out->start_period_set = out->start_period_ms != 0;
}

static void read_health(struct reader *r, const yaml_node_t *node, const char *path,
                        struct manifest_health *out)
{
    enum node_kind kind = reader_kind(node);
    if (kind == NODE_NULL) {
        return;
    }
    if (kind == NODE_BOOL) {
        (void)reader_read_bool(r, node, path, &out->enabled);
    } else if (kind == NODE_MAP) {
        read_health_map(r, node, path, out);
    } else {
        reader_error(r, node,
                     "%s must be true, false or a mapping of url, status, timeout, start_period, "
                     "interval, retries",
                     path);
    }
}

bool manifest_read_port(struct reader *r, const yaml_node_t *node, const char *path,
                        struct manifest_port *out)
{
    static const char *const known[] = {
        "port",     "healthcheck",   "allow_failure", "host",       "access",         "backend",
        "insecure", "whitelist_ips", "whitelistIps",  "rate_limit", "max_concurrent", NULL};
    static const struct reader_refusal refused[] = {
        {"tunnel", "moved to config.json (tunnel.serviceTunnels)"}, {NULL, NULL}};
    *out = (struct manifest_port){.health = {.enabled = true, .path = "/"},
                                  .line = (int)node->start_mark.line + 1,
                                  .column = (int)node->start_mark.column + 1};
    int64_t number = 0;
    enum node_kind kind = reader_kind(node);
    if (kind == NODE_INT) {
        if (!reader_read_int(r, node, path, 1, 65535, &number)) {
            return false;
        }
        out->port = (uint16_t)number;
        return true;
    }
    if (kind != NODE_MAP) {
        reader_error(r, node,
                     "%s must be an integer from 1 to 65535 or a mapping of port, healthcheck, "
                     "allow_failure, host, access, backend, insecure, whitelist_ips, rate_limit, "
                     "max_concurrent",
                     path);
        return false;
    }
    struct reader_map map;
    if (!reader_read_map(r, node, path, &map)) {
        return false;
    }
    reader_check_keys(r, &map, path, known, refused);
    const yaml_node_t *value = reader_get(&map, "port");
    bool ok = value != NULL;
    if (!ok) {
        reader_error(r, node, "%s needs port, an integer from 1 to 65535", path);
    } else {
        ok = reader_read_int(r, value, reader_path(r, "%s.port", path), 1, 65535, &number);
    }
    out->port = (uint16_t)number;
    read_health(r, reader_get(&map, "healthcheck"), reader_path(r, "%s.healthcheck", path),
                &out->health);
    value = reader_get(&map, "allow_failure");
    if (reader_kind(value) != NODE_NULL) {
        (void)reader_read_bool(r, value, reader_path(r, "%s.allow_failure", path),
                               &out->allow_failure);
    }
    manifest_read_route(r, &map, path, &out->options);
    return ok;
}

void manifest_read_ports(struct reader *r, const yaml_node_t *node, const char *path,
                         struct manifest_service *s)
{
    if (reader_kind(node) == NODE_NULL) {
        return;
    }
    if (reader_kind(node) != NODE_LIST) {
        reader_error(r, node, "%s must be a list of ports", path);
        return;
    }
    size_t count = reader_item_count(node);
    s->ports = arena_zalloc(&r->m->arena, (count + 1) * sizeof(s->ports[0]));
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item = reader_item(r, node, i);
        struct manifest_port port;
        if (!manifest_read_port(r, item, reader_path(r, "%s[%zu]", path, i), &port)) {
            continue;
        }
        if (manifest_service_port(s, port.port) != NULL) {
            reader_error(r, item, "%s[%zu]: port %u is declared twice", path, i,
                         (unsigned)port.port);
            continue;
        }
        s->ports[s->port_count++] = port;
    }
}

void manifest_read_environment(struct reader *r, const yaml_node_t *node, const char *path,
                               struct manifest_pair **out, size_t *out_count)
{
    struct reader_map map;
    if (reader_kind(node) == NODE_NULL || !reader_read_map(r, node, path, &map)) {
        return;
    }
    struct manifest_pair *pairs = arena_zalloc(&r->m->arena, (map.count + 1) * sizeof(*pairs));
    *out = pairs;
    for (size_t i = 0; i < map.count; i++) {
        const struct reader_pair *p = &map.pairs[i];
        struct manifest_pair pair = {.key = arena_strdup(&r->m->arena, p->key),
                                     .line = (int)p->value->start_mark.line + 1,
                                     .column = (int)p->value->start_mark.column + 1};
        if (p->key[0] == '\0' || strchr(p->key, '=') != NULL) {
            reader_error(r, p->key_node, "%s: a name must not be empty or hold \"=\"", path);
            continue;
        }
        if (reader_read_scalar(r, p->value, reader_path(r, "%s.%s", path, p->key), &pair.value)) {
            pairs[(*out_count)++] = pair;
        }
    }
}

static void read_optional_string(struct reader *r, const struct reader_map *map, const char *path,
                                 const char *key, const char **out)
{
    const yaml_node_t *node = reader_get(map, key);
    if (reader_kind(node) != NODE_NULL) {
        (void)reader_read_string(r, node, reader_path(r, "%s.%s", path, key), out);
    }
}

static void read_service_fields(struct reader *r, const struct reader_map *map, const char *path,
                                struct manifest_service *s)
{
    static const char *const known[] = {
        "ports",        "script",      "cwd",   "env_file", "environment",
        "dependencies", "init_script", "image", "volumes",  NULL};
    static const char docker[] = "is not allowed in mode shell; remove it";
    static const struct reader_refusal shell[] = {
        {"image", docker}, {"volumes", docker}, {NULL, NULL}};
    /* The last two names of `known` are Docker's; shell does not offer them as a cure. */
    static const char *const known_shell[] = {
        "ports", "script", "cwd", "env_file", "environment", "dependencies", "init_script", NULL};
    bool is_shell = r->m->mode == MANIFEST_SHELL;
    reader_check_keys(r, map, path, is_shell ? known_shell : known,
                      is_shell ? shell : refused_none);
    manifest_read_ports(r, reader_get(map, "ports"), reader_path(r, "%s.ports", path), s);
    const yaml_node_t *script = reader_get(map, "script");
    bool script_ok = reader_read_strings(r, script, reader_path(r, "%s.script", path), &s->script,
                                         &s->script_count);
    if (is_shell && script_ok && s->script_count == 0) {
        reader_error(r, script != NULL ? script : map->node,
                     "%s.script is required in mode shell: a non-empty list of commands", path);
    }
    (void)reader_read_strings(r, reader_get(map, "init_script"),
                              reader_path(r, "%s.init_script", path), &s->init_script,
                              &s->init_count);
    (void)reader_read_strings(r, reader_get(map, "dependencies"),
                              reader_path(r, "%s.dependencies", path), &s->dependencies,
                              &s->dependency_count);
    read_optional_string(r, map, path, "cwd", &s->cwd);
    read_optional_string(r, map, path, "env_file", &s->env_file);
    manifest_read_environment(r, reader_get(map, "environment"),
                              reader_path(r, "%s.environment", path), &s->environment,
                              &s->environment_count);
    if (!is_shell) {
        read_optional_string(r, map, path, "image", &s->image);
        (void)reader_read_strings(r, reader_get(map, "volumes"), reader_path(r, "%s.volumes", path),
                                  &s->volumes, &s->volume_count);
    }
}

/* Docker takes fewer names than a process of the host needs. */
static bool name_is_docker(const char *name)
{
    for (const char *p = name; *p != '\0'; p++) {
        char c = ascii_lower(*p);
        bool is_word = (c >= 'a' && c <= 'z') || ascii_is_digit(c);
        if (!is_word && (p == name || (c != '-' && c != '_' && c != '.'))) {
            return false;
        }
    }
    return true;
}

bool manifest_service_name_is_valid(struct reader *r, const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > SERVICE_NAME_MAX) {
        return false;
    }
    for (const char *p = name; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f || *p == '/') {
            return false;
        }
    }
    return r->m->mode == MANIFEST_SHELL || (name_is_docker(name) && strcmp(name, "wos-init") != 0);
}

static void read_service(struct reader *r, const struct reader_pair *pair,
                         struct manifest_service *s)
{
    *s = (struct manifest_service){.name = arena_strdup(&r->m->arena, pair->key),
                                   .line = (int)pair->key_node->start_mark.line + 1,
                                   .column = (int)pair->key_node->start_mark.column + 1};
    const char *path = reader_path(r, "app.services.%s", pair->key);
    if (!manifest_service_name_is_valid(r, pair->key)) {
        reader_error(r, pair->key_node,
                     r->m->mode == MANIFEST_SHELL
                         ? "a service name must have 1 to %d characters, without / and control "
                           "characters"
                         : "a service name must have 1 to %d of [A-Za-z0-9._-], begin with a "
                           "letter or digit, and not be wos-init",
                     SERVICE_NAME_MAX);
    }
    struct reader_map map = {.node = pair->key_node};
    if (reader_kind(pair->value) != NODE_NULL && !reader_read_map(r, pair->value, path, &map)) {
        return;
    }
    if (map.count == 0) {
        map.node = pair->key_node;
    }
    read_service_fields(r, &map, path, s);
}

static int service_compare(const void *a, const void *b)
{
    const struct manifest_service *x = a;
    const struct manifest_service *y = b;
    return strcmp(x->name, y->name);
}

/* Dependencies can be looked up only when all services are known. */
static void check_dependencies(struct reader *r, const struct reader_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        const struct reader_pair *pair = &map->pairs[i];
        if (reader_kind(pair->value) != NODE_MAP) {
            continue;
        }
        const struct manifest_service *s = manifest_find(r->m, pair->key);
        struct reader_map fields;
        const char *path = reader_path(r, "app.services.%s", pair->key);
        if (s == NULL || !reader_read_map(r, pair->value, path, &fields)) {
            continue;
        }
        const yaml_node_t *list = reader_get(&fields, "dependencies");
        for (size_t j = 0; reader_kind(list) == NODE_LIST && j < reader_item_count(list); j++) {
            const yaml_node_t *item = reader_item(r, list, j);
            if (reader_kind(item) != NODE_STRING) {
                continue;
            }
            const char *name = (const char *)item->data.scalar.value;
            if (strcmp(name, s->name) == 0) {
                reader_error(r, item,
                             "app.services.%s.dependencies[%zu]: a service cannot depend "
                             "on itself",
                             s->name, j);
            } else if (manifest_find(r->m, name) == NULL) {
                struct buf declared = {0};
                manifest_declared(r->m, &declared);
                reader_error(r, item,
                             "app.services.%s.dependencies[%zu]: no service named \"%s\"; %s",
                             s->name, j, name, buf_cstr(&declared));
                buf_fini(&declared);
            }
        }
    }
}

void manifest_read_services(struct reader *r, const yaml_node_t *node)
{
    struct manifest *m = r->m;
    struct reader_map map;
    if (!reader_read_map(r, node, "app.services", &map)) {
        return;
    }
    m->services = arena_zalloc(&m->arena, (map.count + 1) * sizeof(m->services[0]));
    for (size_t i = 0; i < map.count; i++) {
        read_service(r, &map.pairs[i], &m->services[m->service_count++]);
    }
}

void manifest_finish_services(struct reader *r, const yaml_node_t *node)
{
    struct manifest *m = r->m;
    struct reader_map map;
    if (m->service_count > 0) {
        qsort(m->services, m->service_count, sizeof(m->services[0]), service_compare);
    }
    if (reader_kind(node) == NODE_MAP && reader_read_map(r, node, "app.services", &map)) {
        check_dependencies(r, &map);
    }
}
