/* compose_published: see compose_published.h. Called by compose_launch. */
#include "daemon/deploy/compose_published.h"

#include <yaml.h>

#include "base/auto.h"

static struct str scalar(const yaml_node_t *node)
{
    if (node == NULL || node->type != YAML_SCALAR_NODE) {
        return STR("");
    }
    return (struct str){(const char *)node->data.scalar.value, node->data.scalar.length};
}

static const yaml_node_t *member(yaml_document_t *doc, const yaml_node_t *node, const char *key)
{
    if (node == NULL || node->type != YAML_MAPPING_NODE) {
        return NULL;
    }
    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
         p < node->data.mapping.pairs.top; p++) {
        if (str_eq(scalar(yaml_document_get_node(doc, p->key)), str_of(key))) {
            return yaml_document_get_node(doc, p->value);
        }
    }
    return NULL;
}

/* Where the last ':' is, or 0. */
static size_t last_colon(struct str s)
{
    size_t at = s.len;
    while (at > 0 && s.ptr[at - 1] != ':') {
        at--;
    }
    return at == 0 ? 0 : at - 1;
}

/* "[address:][host port:]port[/protocol]": the address, empty for all. v1 may leave out the
 * brackets of an IPv6 one. */
static struct str short_address(struct str port)
{
    struct str rest = {port.ptr, last_colon(port)};
    rest.len = last_colon(rest);
    if (rest.len > 2 && rest.ptr[0] == '[' && rest.ptr[rest.len - 1] == ']') {
        return (struct str){rest.ptr + 1, rest.len - 2};
    }
    return rest;
}

static int check_port(yaml_document_t *doc, struct str service, const yaml_node_t *port,
                      const char *service_bind, struct err *err)
{
    struct str text = scalar(port);
    struct str address = text.len > 0 ? short_address(text) : scalar(member(doc, port, "host_ip"));
    if (str_eq(address, STR("127.0.0.1")) ||
        (service_bind != NULL && str_eq(address, str_of(service_bind)))) {
        return 0;
    }
    struct str number = text.len > 0 ? text : scalar(member(doc, port, "target"));
    return err_set(err, ERR_CONFIG, "service %.*s publishes port %.*s on %s%.*s", (int)service.len,
                   service.ptr, (int)number.len, number.ptr,
                   address.len == 0 ? "every address" : "address ", (int)address.len, address.ptr);
}

static int check_services(yaml_document_t *doc, const char *service_bind, struct err *err)
{
    const yaml_node_t *services = member(doc, yaml_document_get_root_node(doc), "services");
    if (services == NULL || services->type != YAML_MAPPING_NODE) {
        return 0;
    }
    for (const yaml_node_pair_t *p = services->data.mapping.pairs.start;
         p < services->data.mapping.pairs.top; p++) {
        struct str name = scalar(yaml_document_get_node(doc, p->key));
        const yaml_node_t *ports = member(doc, yaml_document_get_node(doc, p->value), "ports");
        if (ports == NULL || ports->type != YAML_SEQUENCE_NODE) {
            continue;
        }
        for (const yaml_node_item_t *i = ports->data.sequence.items.start;
             i < ports->data.sequence.items.top; i++) {
            if (check_port(doc, name, yaml_document_get_node(doc, *i), service_bind, err) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

int compose_published_check(struct str config, const char *service_bind, struct err *err)
{
    yaml_parser_t parser;
    yaml_document_t doc;
    CHECK(yaml_parser_initialize(&parser) == 1);
    yaml_parser_set_input_string(
        &parser, (const unsigned char *)(config.ptr == NULL ? "" : config.ptr), config.len);
    int rc;
    if (yaml_parser_load(&parser, &doc) == 0) {
        rc = err_set(err, ERR_FAILED, "what Compose prints as the configuration is not YAML: %s",
                     parser.problem == NULL ? "not readable" : parser.problem);
    } else {
        rc = check_services(&doc, service_bind, err);
        yaml_document_delete(&doc);
    }
    yaml_parser_delete(&parser);
    return rc;
}
