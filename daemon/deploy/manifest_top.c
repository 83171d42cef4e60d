/* manifest_top: the top level of deploy.yaml, and the checks that need all of
 * it (targets, dependencies, templates). Called by manifest_parse only. */
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "daemon/deploy/manifest_reader.h"
#include "daemon/deploy/order.h"
#include "daemon/deploy/template.h"

static bool argument_name_is_valid(const char *name)
{
    if (name[0] == '\0' || ascii_is_digit(name[0])) {
        return false;
    }
    for (const char *p = name; *p != '\0'; p++) {
        char c = ascii_lower(*p);
        if (!(c >= 'a' && c <= 'z') && !ascii_is_digit(c) && c != '_') {
            return false;
        }
    }
    return true;
}

static void read_mode(struct reader *r, const yaml_node_t *node)
{
    static const char allowed[] = "mode must be one of: generated, compose, shell";
    const char *text = NULL;
    if (reader_kind(node) != NODE_STRING) {
        reader_error(r, node, "%s", allowed);
        return;
    }
    if (!reader_read_string(r, node, "mode", &text)) {
        return;
    }
    for (int mode = MANIFEST_GENERATED; mode <= MANIFEST_SHELL; mode++) {
        if (strcmp(text, manifest_mode_name((enum manifest_mode)mode)) == 0) {
            r->m->mode = (enum manifest_mode)mode;
            r->m->has_mode = true;
            return;
        }
    }
    reader_error(r, node, "%s, not \"%s\"", allowed, text);
}

static void read_host_ports(struct reader *r, const yaml_node_t *node)
{
    static const char *const outer[] = {"range", NULL};
    static const char *const inner[] = {"start", "end", NULL};
    static const struct reader_refusal none[] = {{NULL, NULL}};
    struct reader_map map;
    if (!reader_read_map(r, node, "host_ports", &map)) {
        return;
    }
    reader_check_keys(r, &map, "host_ports", outer, none);
    const yaml_node_t *range = reader_get(&map, "range");
    if (reader_kind(range) == NODE_NULL || !reader_read_map(r, range, "host_ports.range", &map)) {
        return;
    }
    reader_check_keys(r, &map, "host_ports.range", inner, none);
    const yaml_node_t *start_node = reader_get(&map, "start");
    const yaml_node_t *end_node = reader_get(&map, "end");
    if (start_node == NULL || end_node == NULL) {
        reader_error(r, range, "host_ports.range needs start and end");
        return;
    }
    int64_t start = 0;
    int64_t end = 0;
    bool ok = reader_read_int(r, start_node, "host_ports.range.start", 1, 65535, &start);
    ok = reader_read_int(r, end_node, "host_ports.range.end", 1, 65535, &end) && ok;
    if (ok && start > end) {
        reader_error(r, range, "host_ports.range: start %lld must not be above end %lld",
                     (long long)start, (long long)end);
    } else if (ok) {
        r->m->port_start = (uint16_t)start;
        r->m->port_end = (uint16_t)end;
    }
}

static void read_arguments(struct reader *r, const yaml_node_t *node)
{
    struct manifest *m = r->m;
    if (!reader_read_strings(r, node, "arguments", &m->arguments, &m->argument_count)) {
        m->argument_count = 0;
        return;
    }
    for (size_t i = 0; i < m->argument_count; i++) {
        const yaml_node_t *item = reader_item(r, node, i);
        if (!argument_name_is_valid(m->arguments[i])) {
            reader_error(r, item, "arguments[%zu]: \"%s\" must be a name of [A-Za-z0-9_]", i,
                         m->arguments[i]);
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(m->arguments[i], m->arguments[j]) == 0) {
                reader_error(r, item, "arguments[%zu]: \"%s\" is there twice", i, m->arguments[i]);
            }
        }
    }
}

static void read_target(struct reader *r, const struct reader_pair *pair,
                        struct manifest_target *target)
{
    const char *path = reader_path(r, "targets.%s", pair->key);
    target->name = arena_strdup(&r->m->arena, pair->key);
    if (!reader_read_strings(r, pair->value, path, &target->services, &target->service_count)) {
        return;
    }
    if (target->service_count == 0) {
        reader_error(r, pair->value != NULL ? pair->value : pair->key_node,
                     "%s must be a non-empty list of service names", path);
    }
    for (size_t i = 0; i < target->service_count; i++) {
        if (manifest_find(r->m, target->services[i]) == NULL) {
            struct buf declared = {0};
            manifest_declared(r->m, &declared);
            reader_error(r, reader_item(r, pair->value, i), "%s[%zu]: no service named \"%s\"; %s",
                         path, i, target->services[i], buf_cstr(&declared));
            buf_fini(&declared);
        }
    }
}

static void read_targets(struct reader *r, const yaml_node_t *node)
{
    struct reader_map map;
    if (!reader_read_map(r, node, "targets", &map)) {
        return;
    }
    r->m->targets = arena_zalloc(&r->m->arena, (map.count + 1) * sizeof(r->m->targets[0]));
    for (size_t i = 0; i < map.count; i++) {
        read_target(r, &map.pairs[i], &r->m->targets[r->m->target_count++]);
    }
}

static void read_app(struct reader *r, const yaml_node_t *node)
{
    static const char *const known[] = {"image",
                                        "init_script",
                                        "services",
                                        "connect_npm_cache",
                                        "connect_yarn_cache",
                                        "connect_bun_cache",
                                        NULL};
    static const char *const known_shell[] = {"init_script", "services", NULL};
    static const struct reader_refusal none[] = {{NULL, NULL}};
    static const char docker[] = "is not allowed in mode shell; remove it";
    static const struct reader_refusal shell[] = {{"image", docker},
                                                  {"connect_npm_cache", docker},
                                                  {"connect_yarn_cache", docker},
                                                  {"connect_bun_cache", docker},
                                                  {NULL, NULL}};
    bool is_shell = r->m->mode == MANIFEST_SHELL;
    struct reader_map map;
    if (!reader_read_map(r, node, "app", &map)) {
        return;
    }
    reader_check_keys(r, &map, "app", is_shell ? known_shell : known, is_shell ? shell : none);
    const yaml_node_t *init = reader_get(&map, "init_script");
    (void)reader_read_strings(r, init, "app.init_script", &r->m->init_script, &r->m->init_count);
    if (!is_shell) {
        manifest_read_app_docker(r, &map);
    }
    const yaml_node_t *services = reader_get(&map, "services");
    if (reader_kind(services) != NODE_NULL) {
        manifest_read_services(r, services);
    }
}

/* app and deps, and the checks that need both. */
static void read_services(struct reader *r, const yaml_node_t *app, const yaml_node_t *deps)
{
    if (reader_kind(app) != NODE_NULL) {
        read_app(r, app);
    }
    if (r->m->mode == MANIFEST_GENERATED && reader_kind(deps) != NODE_NULL) {
        manifest_read_deps(r, deps);
    }
    struct reader_map map;
    const yaml_node_t *services = NULL;
    if (reader_kind(app) == NODE_MAP && reader_read_map(r, app, "app", &map)) {
        services = reader_get(&map, "services");
    }
    manifest_finish_services(r, services);
    if (r->m->mode == MANIFEST_GENERATED) {
        manifest_check_images(r, app);
    }
}

static void check_dependencies(struct reader *r)
{
    const struct manifest_service *where = NULL;
    struct err err = {0};
    autofree const struct manifest_service **sorted = order_services(r->m, &where, &err);
    if (sorted == NULL && where != NULL) {
        manifest_add_problem(r->m, &r->m->errors, where->line, where->column, err.msg);
    }
}

static void check_pairs(struct manifest *m, const struct manifest_pair *pairs, size_t count,
                        const char *path)
{
    for (size_t i = 0; i < count; i++) {
        struct err err = {0};
        if (template_check(str_of(pairs[i].value), m, &err) < 0) {
            (void)err_wrap(&err, "%s.environment.%s", path, pairs[i].key);
            manifest_add_problem(m, &m->errors, pairs[i].line, pairs[i].column, err.msg);
        }
    }
}

static void check_templates(struct manifest *m)
{
    for (size_t i = 0; i < m->service_count; i++) {
        const struct manifest_service *s = &m->services[i];
        autofree char *path = xasprintf("%s.%s", s->is_dep ? "deps" : "app.services", s->name);
        check_pairs(m, s->environment, s->environment_count, path);
    }
    check_pairs(m, m->compose.environment, m->compose.environment_count, "compose");
}

#define REMOVED "was removed; "

static const struct reader_refusal refused_always[] = {
    {"volumes", REMOVED "use clone_volumes, or volumes of a service"},
    {"init-script", REMOVED "use app.init_script"},
    {"publish", REMOVED "use ports of a service"},
    {"init_cache", "was renamed to cache"},
    {"cloned_volumes", "is unknown; did you mean clone_volumes?"},
    {NULL, NULL}};

static void check_top_keys(struct reader *r, const struct reader_map *map)
{
    static const char *const known[] = {
        "mode",      "host_ports", "dynamic_ports", "clone_volumes", "cache", "targets",
        "arguments", "app",        "deps",          "compose",       NULL};
    static const char compose_why[] = "is not allowed in mode compose";
    reader_check_keys(r, map, "", known, refused_always);
    bool is_compose = r->m->mode == MANIFEST_COMPOSE;
    for (size_t i = 0; i < map->count; i++) {
        const struct reader_pair *p = &map->pairs[i];
        if (is_compose && (strcmp(p->key, "app") == 0 || strcmp(p->key, "deps") == 0 ||
                           strcmp(p->key, "targets") == 0 || strcmp(p->key, "arguments") == 0)) {
            reader_error(r, p->key_node, "%s %s; allowed there: compose", p->key, compose_why);
        } else if (!is_compose && strcmp(p->key, "compose") == 0) {
            reader_error(r, p->key_node, "compose is allowed in mode compose only");
        } else if (r->m->mode == MANIFEST_SHELL && strcmp(p->key, "deps") == 0) {
            reader_error(r, p->key_node,
                         "deps is not allowed in mode shell; start what is needed as a service");
        }
    }
}

void manifest_read_document(struct reader *r, const yaml_node_t *root)
{
    struct manifest *m = r->m;
    if (reader_kind(root) == NODE_NULL) {
        return;
    }
    struct reader_map map;
    if (!reader_read_map(r, root, "the document", &map)) {
        return;
    }
    const yaml_node_t *mode = reader_get(&map, "mode");
    size_t errors_before = m->errors.count;
    if (reader_kind(mode) != NODE_NULL) {
        read_mode(r, mode);
    }
    if (m->errors.count == errors_before) {
        check_top_keys(r, &map);
    }
    const yaml_node_t *node = reader_get(&map, "host_ports");
    if (reader_kind(node) != NODE_NULL) {
        read_host_ports(r, node);
    }
    node = reader_get(&map, "dynamic_ports");
    if (reader_kind(node) != NODE_NULL) {
        (void)reader_read_bool(r, node, "dynamic_ports", &m->dynamic_ports);
    }
    manifest_read_clones(r, reader_get(&map, "clone_volumes"));
    manifest_read_caches(r, reader_get(&map, "cache"));
    if (m->mode == MANIFEST_COMPOSE) {
        manifest_read_compose(r, reader_get(&map, "compose"));
        check_templates(m);
        return;
    }
    read_arguments(r, reader_get(&map, "arguments"));
    read_services(r, reader_get(&map, "app"), reader_get(&map, "deps"));
    node = reader_get(&map, "targets");
    if (reader_kind(node) != NODE_NULL) {
        read_targets(r, node);
    }
    check_dependencies(r);
    check_templates(m);
}
