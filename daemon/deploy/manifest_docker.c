/* manifest_docker: what deploy.yaml has for Docker only: app.image and package caches, `deps`,
 * `compose`. Called by manifest_top.c only. */
#include <stdlib.h>

#include "base/auto.h"
#include "daemon/deploy/manifest_reader.h"

static const struct reader_refusal refused_none[] = {{NULL, NULL}};

static void read_cache(struct reader *r, const yaml_node_t *node, const char *path,
                       struct manifest_cache *out)
{
    enum node_kind kind = reader_kind(node);
    if (kind == NODE_NULL) {
        return;
    }
    if (kind == NODE_BOOL) {
        (void)reader_read_bool(r, node, path, &out->enabled);
        return;
    }
    const char *text = NULL;
    if (kind == NODE_STRING && reader_read_string(r, node, path, &text) &&
        (text[0] == '/' || strcmp(text, "~") == 0 || strncmp(text, "~/", 2) == 0)) {
        out->enabled = true;
        out->path = text;
        return;
    }
    reader_error(r, node, "%s must be true, false, an absolute path or a path that begins with ~/",
                 path);
}

void manifest_read_app_docker(struct reader *r, const struct reader_map *app)
{
    static const char *const keys[CACHE_KINDS] = {"connect_npm_cache", "connect_yarn_cache",
                                                  "connect_bun_cache"};
    const yaml_node_t *image = reader_get(app, "image");
    if (reader_kind(image) != NODE_NULL) {
        (void)reader_read_string(r, image, "app.image", &r->m->image);
    }
    for (size_t i = 0; i < CACHE_KINDS; i++) {
        read_cache(r, reader_get(app, keys[i]), reader_path(r, "app.%s", keys[i]),
                   &r->m->caches[i]);
    }
}

/* Only plain numbers: a dependency is neither checked nor published. */
static void read_dep_ports(struct reader *r, const yaml_node_t *node, const char *path,
                           struct manifest_service *s)
{
    for (size_t i = 0; reader_kind(node) == NODE_LIST && i < reader_item_count(node); i++) {
        const yaml_node_t *item = reader_item(r, node, i);
        if (reader_kind(item) != NODE_INT) {
            reader_error(r, item, "%s[%zu] must be an integer from 1 to 65535", path, i);
            return;
        }
    }
    manifest_read_ports(r, node, path, s);
    for (size_t i = 0; i < s->port_count; i++) {
        s->ports[i].health.enabled = false;
    }
}

static void read_dep(struct reader *r, const struct reader_pair *pair, struct manifest_service *s)
{
    static const char *const known[] = {"image", "ports", "environment", "volumes", NULL};
    *s = (struct manifest_service){.name = arena_strdup(&r->m->arena, pair->key),
                                   .is_dep = true,
                                   .line = (int)pair->key_node->start_mark.line + 1,
                                   .column = (int)pair->key_node->start_mark.column + 1};
    const char *path = reader_path(r, "deps.%s", pair->key);
    if (!manifest_service_name_is_valid(r, pair->key)) {
        reader_error(r, pair->key_node,
                     "a name of deps must have 1 to 100 of [A-Za-z0-9._-], begin with a letter or "
                     "digit, and not be wos-init");
    }
    struct reader_map map;
    if (reader_kind(pair->value) == NODE_NULL) {
        reader_error(r, pair->key_node, "%s needs image", path);
        return;
    }
    if (!reader_read_map(r, pair->value, path, &map)) {
        return;
    }
    reader_check_keys(r, &map, path, known, refused_none);
    const yaml_node_t *image = reader_get(&map, "image");
    if (reader_kind(image) == NODE_NULL) {
        reader_error(r, pair->key_node, "%s needs image", path);
    } else {
        (void)reader_read_string(r, image, reader_path(r, "%s.image", path), &s->image);
    }
    read_dep_ports(r, reader_get(&map, "ports"), reader_path(r, "%s.ports", path), s);
    manifest_read_environment(r, reader_get(&map, "environment"),
                              reader_path(r, "%s.environment", path), &s->environment,
                              &s->environment_count);
    (void)reader_read_strings(r, reader_get(&map, "volumes"), reader_path(r, "%s.volumes", path),
                              &s->volumes, &s->volume_count);
}

void manifest_read_deps(struct reader *r, const yaml_node_t *node)
{
    struct manifest *m = r->m;
    struct reader_map map;
    if (!reader_read_map(r, node, "deps", &map)) {
        return;
    }
    struct manifest_service *all =
        arena_zalloc(&m->arena, (m->service_count + map.count + 1) * sizeof(*all));
    size_t apps = m->service_count;
    for (size_t i = 0; i < apps; i++) {
        all[i] = m->services[i];
    }
    m->services = all;
    for (size_t i = 0; i < map.count; i++) {
        bool is_taken = false;
        for (size_t j = 0; j < apps; j++) {
            is_taken = is_taken || strcmp(all[j].name, map.pairs[i].key) == 0;
        }
        if (is_taken) {
            reader_error(r, map.pairs[i].key_node,
                         "deps.%s: app.services has a service of that name", map.pairs[i].key);
            continue;
        }
        read_dep(r, &map.pairs[i], &all[m->service_count++]);
    }
}

void manifest_check_images(struct reader *r, const yaml_node_t *app)
{
    struct manifest *m = r->m;
    bool has_init = m->init_count > 0;
    for (size_t i = 0; i < m->service_count; i++) {
        struct manifest_service *s = &m->services[i];
        has_init = has_init || s->init_count > 0;
        if (s->image == NULL && !s->is_dep) {
            s->image = m->image;
        }
        if (s->image == NULL && !s->is_dep) {
            autofree char *text =
                xasprintf("app.services.%s needs image, as app.image gives no default", s->name);
            manifest_add_problem(m, &m->errors, s->line, s->column, text);
        }
    }
    if (has_init && m->image == NULL && app != NULL) {
        reader_error(r, app, "app.image is required where there is an init_script: it runs there");
    }
}

/* "web:3000" into its parts. */
static bool expose_split(const char *text, struct str *out_name, uint16_t *out_port)
{
    struct str whole = str_of(text);
    size_t colon = str_find(whole, ':');
    *out_name = (struct str){text, colon};
    return colon > 0 && colon < whole.len &&
           str_to_u16((struct str){text + colon + 1, whole.len - colon - 1}, out_port) &&
           *out_port > 0;
}

static bool read_expose_item(struct reader *r, const yaml_node_t *node, const char *path,
                             const char **out_name, struct manifest_port *out_port)
{
    *out_port = (struct manifest_port){.health = {.path = "/"},
                                       .line = (int)node->start_mark.line + 1,
                                       .column = (int)node->start_mark.column + 1};
    const char *text = NULL;
    struct str name;
    if (reader_kind(node) == NODE_STRING && reader_read_string(r, node, path, &text) &&
        expose_split(text, &name, &out_port->port)) {
        char *copy = arena_alloc(&r->m->arena, name.len + 1);
        memcpy(copy, name.ptr, name.len);
        copy[name.len] = '\0';
        *out_name = copy;
        return true;
    }
    struct reader_map map;
    if (reader_kind(node) != NODE_MAP) {
        reader_error(r, node, "%s must be \"service:port\" or a mapping of name and port", path);
        return false;
    }
    if (!reader_read_map(r, node, path, &map)) {
        return false;
    }
    const yaml_node_t *name_node = reader_get(&map, "name");
    const yaml_node_t *port_node = reader_get(&map, "port");
    if (reader_kind(name_node) == NODE_NULL || reader_kind(port_node) == NODE_NULL) {
        reader_error(r, node, "%s needs name and port", path);
        return false;
    }
    static const char *const known[] = {
        "name",          "port",         "host",       "access",         "backend", "insecure",
        "whitelist_ips", "whitelistIps", "rate_limit", "max_concurrent", NULL};
    static const struct reader_refusal refused[] = {
        {"tunnel", "moved to config.json (tunnel.serviceTunnels)"},
        {"healthcheck", "is not allowed in mode compose; give the service one in its own file"},
        {NULL, NULL}};
    reader_check_keys(r, &map, path, known, refused);
    int64_t number = 0;
    if (!reader_read_string(r, name_node, reader_path(r, "%s.name", path), out_name) ||
        !reader_read_int(r, port_node, reader_path(r, "%s.port", path), 1, 65535, &number)) {
        return false;
    }
    out_port->port = (uint16_t)number;
    manifest_read_route(r, &map, path, &out_port->options);
    return true;
}

static struct manifest_service *expose_service(struct manifest *m, const char *name,
                                               const struct manifest_port *port, size_t port_max)
{
    for (size_t i = 0; i < m->service_count; i++) {
        if (strcmp(m->services[i].name, name) == 0) {
            return &m->services[i];
        }
    }
    struct manifest_service *s = &m->services[m->service_count++];
    *s = (struct manifest_service){.name = name, .line = port->line, .column = port->column};
    s->ports = arena_zalloc(&m->arena, (port_max + 1) * sizeof(s->ports[0]));
    return s;
}

static void read_expose(struct reader *r, const yaml_node_t *node)
{
    struct manifest *m = r->m;
    size_t count = reader_kind(node) == NODE_LIST ? reader_item_count(node) : 0;
    if (count == 0) {
        reader_error(r, node, "compose.expose must be a non-empty list of \"service:port\"");
        return;
    }
    m->services = arena_zalloc(&m->arena, (count + 1) * sizeof(m->services[0]));
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item = reader_item(r, node, i);
        const char *path = reader_path(r, "compose.expose[%zu]", i);
        const char *name = NULL;
        struct manifest_port port;
        if (!read_expose_item(r, item, path, &name, &port)) {
            continue;
        }
        if (!manifest_service_name_is_valid(r, name)) {
            reader_error(r, item, "%s: \"%s\" is no service name; allowed: [A-Za-z0-9._-]", path,
                         name);
            continue;
        }
        struct manifest_service *s = expose_service(m, name, &port, count);
        if (manifest_service_port(s, port.port) != NULL) {
            reader_error(r, item, "%s: port %u of %s is exposed twice", path, (unsigned)port.port,
                         name);
            continue;
        }
        s->ports[s->port_count++] = port;
    }
}

static void read_env_files(struct reader *r, const yaml_node_t *node)
{
    struct manifest_compose *c = &r->m->compose;
    if (reader_kind(node) == NODE_STRING) {
        const char **list = arena_zalloc(&r->m->arena, 2 * sizeof(*list));
        if (reader_read_string(r, node, "compose.env_file", &list[0])) {
            c->env_files = list;
            c->env_file_count = 1;
        }
        return;
    }
    (void)reader_read_strings(r, node, "compose.env_file", &c->env_files, &c->env_file_count);
}

void manifest_read_compose(struct reader *r, const yaml_node_t *node)
{
    static const char *const known[] = {"config", "expose", "env_file", "environment", NULL};
    struct manifest_compose *c = &r->m->compose;
    struct reader_map map;
    if (reader_kind(node) == NODE_NULL) {
        reader_error(r, node, "mode compose needs compose: a mapping of config and expose");
        return;
    }
    if (!reader_read_map(r, node, "compose", &map)) {
        return;
    }
    reader_check_keys(r, &map, "compose", known, refused_none);
    const yaml_node_t *config = reader_get(&map, "config");
    if (reader_kind(config) == NODE_NULL) {
        reader_error(r, node, "compose.config is required: the path of a compose file");
    } else if (reader_read_string(r, config, "compose.config", &c->config)) {
        c->line = (int)config->start_mark.line + 1;
        c->column = (int)config->start_mark.column + 1;
    }
    const yaml_node_t *expose = reader_get(&map, "expose");
    if (expose == NULL) {
        reader_error(r, node, "compose.expose is required: a list of \"service:port\"");
    } else {
        read_expose(r, expose);
    }
    read_env_files(r, reader_get(&map, "env_file"));
    manifest_read_environment(r, reader_get(&map, "environment"), "compose.environment",
                              &c->environment, &c->environment_count);
    manifest_finish_services(r, NULL);
}
