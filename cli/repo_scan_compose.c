/* repo_scan_compose: the services of a compose file that publish ports. Reads YAML with libyaml:
 * deploy.yaml's own reader is the daemon's and knows other keys. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/auto.h"
#include "base/str.h"
#include "cli/repo_scan.h"

static yaml_node_t *get(yaml_document_t *doc, const yaml_node_t *map, const char *key)
{
    if (map == NULL || map->type != YAML_MAPPING_NODE) {
        return NULL;
    }
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
         p++) {
        const yaml_node_t *k = yaml_document_get_node(doc, p->key);
        if (k != NULL && k->type == YAML_SCALAR_NODE &&
            strcmp((const char *)k->data.scalar.value, key) == 0) {
            return yaml_document_get_node(doc, p->value);
        }
    }
    return NULL;
}

/* The container's port of "8080:80", "127.0.0.1:8080:80/tcp", "80" or {target: 80}; 0: none. */
static uint16_t port_of(yaml_document_t *doc, const yaml_node_t *node)
{
    const yaml_node_t *target = get(doc, node, "target");
    node = target != NULL ? target : node;
    if (node == NULL || node->type != YAML_SCALAR_NODE) {
        return 0;
    }
    struct str text = str_of((const char *)node->data.scalar.value);
    text.len = str_find(text, '/');
    const char *colon = text.len == 0 ? NULL : memrchr(text.ptr, ':', text.len);
    if (colon != NULL) {
        text = (struct str){colon + 1, text.len - (size_t)(colon + 1 - text.ptr)};
    }
    uint16_t port = 0;
    return str_to_u16(text, &port) ? port : 0;
}

static void add_services(yaml_document_t *doc, const char *file, struct repo_plan *plan)
{
    const yaml_node_t *services = get(doc, yaml_document_get_root_node(doc), "services");
    if (services == NULL || services->type != YAML_MAPPING_NODE) {
        return;
    }
    for (yaml_node_pair_t *p = services->data.mapping.pairs.start;
         p < services->data.mapping.pairs.top; p++) {
        const yaml_node_t *name = yaml_document_get_node(doc, p->key);
        const yaml_node_t *ports = get(doc, yaml_document_get_node(doc, p->value), "ports");
        if (name == NULL || name->type != YAML_SCALAR_NODE || ports == NULL ||
            ports->type != YAML_SEQUENCE_NODE || ports->data.sequence.items.start == NULL) {
            continue;
        }
        uint16_t port = 0;
        for (yaml_node_item_t *i = ports->data.sequence.items.start;
             port == 0 && i < ports->data.sequence.items.top; i++) {
            port = port_of(doc, yaml_document_get_node(doc, *i));
        }
        const char *text = (const char *)name->data.scalar.value;
        if (port != 0 && repo_add(plan, text, NULL, NULL, port) != NULL) {
            repo_note(plan, "%s: service %s publishes port %u → exposed", file, text,
                      (unsigned)port);
        }
    }
}

void repo_scan_compose(const char *root, struct repo_plan *plan)
{
    static const char *const names[] = {"compose.yaml", "compose.yml", "docker-compose.yaml",
                                        "docker-compose.yml"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        autofree char *text = repo_read(root, names[i]);
        yaml_parser_t parser;
        yaml_document_t doc;
        if (text == NULL || yaml_parser_initialize(&parser) == 0) {
            continue;
        }
        yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
        if (yaml_parser_load(&parser, &doc) != 0) {
            add_services(&doc, names[i], plan);
            yaml_document_delete(&doc);
        }
        yaml_parser_delete(&parser);
        if (plan->service_count > 0) {
            plan->compose_file = xstrdup(names[i]);
        } else {
            repo_note(plan, "%s: no service in it publishes a port", names[i]);
        }
        return;
    }
}
