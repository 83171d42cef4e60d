/* manifest_reader: typed, complaining access to YAML nodes; shared by the
 * manifest_*.c files only. Every reader_* function that can fail has then
 * recorded an error with the node's place and what would be allowed there. */
#ifndef WOS_DAEMON_DEPLOY_MANIFEST_READER_H
#define WOS_DAEMON_DEPLOY_MANIFEST_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yaml.h>

#include "daemon/deploy/manifest.h"

struct reader {
    struct manifest *m;   /* borrowed */
    yaml_document_t *doc; /* borrowed */
    size_t visits;        /* nodes seen by the bounds check */
    size_t bytes;         /* bytes of scalars seen by it */
};

enum node_kind { NODE_NULL, NODE_BOOL, NODE_INT, NODE_FLOAT, NODE_STRING, NODE_LIST, NODE_MAP };

struct reader_pair {
    const char *key;
    const yaml_node_t *key_node;
    const yaml_node_t *value;
};

/* A mapping with merge keys ("<<") applied. The array is in the manifest's arena. */
struct reader_map {
    struct reader_pair *pairs;
    size_t count;
    const yaml_node_t *node;
};

/* A key that must not appear, and why. */
struct reader_refusal {
    const char *key;
    const char *why; /* "was removed; …" */
};

void reader_error(struct reader *r, const yaml_node_t *node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void manifest_add_problem(struct manifest *m, struct manifest_problems *list, int line, int column,
                          const char *text);

/* False (with an error) if nested too deep or too large once aliases are followed. */
bool reader_check_bounds(struct reader *r, const yaml_node_t *root);
enum node_kind reader_kind(const yaml_node_t *node);
/* `path` names the place in messages: "app.services.web". */
bool reader_read_map(struct reader *r, const yaml_node_t *node, const char *path,
                     struct reader_map *out);
const yaml_node_t *reader_get(const struct reader_map *map, const char *key);
/* Errors for refused keys, warnings for keys in neither list. Both lists end in NULL. */
void reader_check_keys(struct reader *r, const struct reader_map *map, const char *path,
                       const char *const *known, const struct reader_refusal *refused);

bool reader_read_string(struct reader *r, const yaml_node_t *node, const char *path,
                        const char **out);
bool reader_read_bool(struct reader *r, const yaml_node_t *node, const char *path, bool *out);
bool reader_read_int(struct reader *r, const yaml_node_t *node, const char *path, int64_t min,
                     int64_t max, int64_t *out);
/* A positive number of milliseconds, or "90s", "1.5m", "500ms". */
bool reader_read_duration(struct reader *r, const yaml_node_t *node, const char *path,
                          uint32_t *out_ms);
/* A list of non-empty strings; null is the empty list. */
bool reader_read_strings(struct reader *r, const yaml_node_t *node, const char *path,
                         const char ***out, size_t *out_count);
/* A string, number or boolean as text. */
bool reader_read_scalar(struct reader *r, const yaml_node_t *node, const char *path,
                        const char **out);
const yaml_node_t *reader_item(const struct reader *r, const yaml_node_t *list, size_t index);
size_t reader_item_count(const yaml_node_t *list);
/* Text of a path in the arena. */
const char *reader_path(struct reader *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* manifest_service.c: the `services` mapping into r->m->services. */
void manifest_read_services(struct reader *r, const yaml_node_t *node);
/* Sorts r->m->services and checks the names in `dependencies`; node as above. */
void manifest_finish_services(struct reader *r, const yaml_node_t *node);
void manifest_read_ports(struct reader *r, const yaml_node_t *node, const char *path,
                         struct manifest_service *s);
void manifest_read_environment(struct reader *r, const yaml_node_t *node, const char *path,
                               struct manifest_pair **out, size_t *out_count);
bool manifest_read_port(struct reader *r, const yaml_node_t *node, const char *path,
                        struct manifest_port *out);
bool manifest_service_name_is_valid(struct reader *r, const char *name);
/* manifest_docker.c: what only the Docker modes have. */
void manifest_read_app_docker(struct reader *r, const struct reader_map *app);
void manifest_read_deps(struct reader *r, const yaml_node_t *node);
void manifest_read_compose(struct reader *r, const yaml_node_t *node);
/* Every service has an image, and what else mode generated asks of the whole. */
void manifest_check_images(struct reader *r, const yaml_node_t *app);
/* manifest_route.c: the members of a port's mapping that are about its public route. */
void manifest_read_route(struct reader *r, const struct reader_map *map, const char *path,
                         struct publish_options *out);
/* manifest_setup.c: the lists clone_volumes and cache. */
void manifest_read_clones(struct reader *r, const yaml_node_t *node);
void manifest_read_caches(struct reader *r, const yaml_node_t *node);
/* manifest_top.c: the whole document into r->m. */
void manifest_read_document(struct reader *r, const yaml_node_t *root);

#endif
