/* compose_base: see compose_base.h. Called by runner_compose.
 *
 * The document is loaded as a graph (an alias is the same node again) and written by a walk. The
 * loader forgets one thing that matters: whether a plain scalar was tagged !!str, as it gives
 * that tag to all that have none. The source text tells. */
#include "daemon/deploy/compose_base.h"

#include <stdlib.h>
#include <yaml.h>

#include "base/auto.h"
#include "base/file.h"

enum { TEXT_MAX = 1024 * 1024, DEPTH_MAX = 64, NODES_MAX = 50000, BYTES_MAX = 8 << 20 };

/* Where in the file a node is. */
enum role {
    ROLE_PLAIN,
    ROLE_ROOT,
    ROLE_SERVICES,
    ROLE_SERVICE,
    ROLE_EXTENDS,
    ROLE_INCLUDE,
    ROLE_ENVIRONMENT,
    ROLE_ENV_FILE,
};

struct writer {
    yaml_document_t *doc; /* borrowed */
    yaml_emitter_t *emitter;
    struct str source;
    size_t *lines; /* owned: where each begins in source */
    size_t line_count;
    const char *file;
    const char *dir;
    struct compose_base *base;
    size_t nodes;
    size_t bytes; /* of scalars */
    struct err *err;
};

static int write_on_bytes(void *data, unsigned char *bytes, size_t size)
{
    buf_add(data, bytes, size);
    return 1;
}

static int writer_fail(struct writer *w, const yaml_node_t *node, const char *what)
{
    return err_set(w->err, ERR_CONFIG, "%s:%zu:%zu: %s", w->file, node->start_mark.line + 1,
                   node->start_mark.column + 1, what);
}

static int writer_emit(struct writer *w, yaml_event_t *event, int made)
{
    if (made == 0 || yaml_emitter_emit(w->emitter, event) == 0) {
        return err_set(w->err, ERR_FAILED, "%s: cannot be written again: %s", w->file,
                       w->emitter->problem == NULL ? "out of memory" : w->emitter->problem);
    }
    return 0;
}

static void index_lines(struct writer *w)
{
    size_t count = 1;
    for (size_t i = 0; i < w->source.len; i++) {
        count += w->source.ptr[i] == '\n';
    }
    w->lines = xcalloc(count, sizeof(w->lines[0]));
    w->line_count = 1;
    for (size_t i = 0; i < w->source.len; i++) {
        if (w->source.ptr[i] == '\n') {
            w->lines[w->line_count++] = i + 1;
        }
    }
}

/* Does "!!str" (or another tag) stand before the scalar, perhaps behind an anchor? */
static bool scalar_is_tagged(const struct writer *w, const yaml_node_t *node)
{
    if (node->start_mark.line >= w->line_count) {
        return false;
    }
    struct str s = w->source;
    size_t at = w->lines[node->start_mark.line];
    for (size_t column = node->start_mark.column; column > 0 && at < s.len; column--) {
        at++;
        while (at < s.len && ((uint8_t)s.ptr[at] & 0xc0) == 0x80) {
            at++; /* the mark counts characters */
        }
    }
    if (at < s.len && s.ptr[at] == '&') {
        while (at < s.len && s.ptr[at] != ' ' && s.ptr[at] != '\n') {
            at++;
        }
        while (at < s.len && (s.ptr[at] == ' ' || s.ptr[at] == '\n')) {
            at++;
        }
    }
    return at < s.len && s.ptr[at] == '!';
}

static int write_scalar(struct writer *w, const yaml_node_t *node, const char *instead)
{
    yaml_event_t event;
    yaml_scalar_style_t style = node->data.scalar.style;
    bool is_default = strcmp((const char *)node->tag, YAML_DEFAULT_SCALAR_TAG) == 0 &&
                      (style != YAML_PLAIN_SCALAR_STYLE || !scalar_is_tagged(w, node));
    yaml_char_t *tag = is_default ? NULL : node->tag;
    const yaml_char_t *value = node->data.scalar.value;
    size_t length = node->data.scalar.length;
    if (instead != NULL) {
        value = (const yaml_char_t *)instead;
        length = strlen(instead);
        style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    }
    int made = yaml_scalar_event_initialize(&event, NULL, tag, value, (int)length,
                                            is_default ? 1 : 0, is_default ? 1 : 0, style);
    return writer_emit(w, &event, made);
}

static bool scalar_is(const yaml_node_t *node, const char *text)
{
    return node != NULL && node->type == YAML_SCALAR_NODE &&
           strcmp((const char *)node->data.scalar.value, text) == 0;
}

static enum role role_of_value(enum role role, const yaml_node_t *key)
{
    if (scalar_is(key, "<<") && role != ROLE_ROOT) {
        return role; /* its members are the mapping's own */
    }
    switch (role) {
    case ROLE_ROOT:
        if (scalar_is(key, "include")) {
            return ROLE_INCLUDE;
        }
        return scalar_is(key, "services") ? ROLE_SERVICES : ROLE_PLAIN;
    case ROLE_SERVICES:
        return ROLE_SERVICE;
    case ROLE_SERVICE:
        return scalar_is(key, "extends")       ? ROLE_EXTENDS
               : scalar_is(key, "environment") ? ROLE_ENVIRONMENT
               : scalar_is(key, "env_file")    ? ROLE_ENV_FILE
                                               : ROLE_PLAIN;
    case ROLE_INCLUDE:
        return scalar_is(key, "path") ? ROLE_INCLUDE : ROLE_PLAIN;
    case ROLE_ENV_FILE:
        return scalar_is(key, "path") ? ROLE_ENV_FILE : ROLE_PLAIN;
    case ROLE_ENVIRONMENT:
    case ROLE_EXTENDS:
    case ROLE_PLAIN:
        break;
    }
    return ROLE_PLAIN;
}

static void note_file(struct writer *w, const yaml_node_t *name)
{
    buf_printf(&w->base->others, "%s%s", w->base->others.len == 0 ? "" : ", ",
               (const char *)name->data.scalar.value);
}

static void note_setting(struct compose_base *base, const yaml_node_t *text, bool is_file)
{
    if (base->service_count > 0 && text->type == YAML_SCALAR_NODE) {
        base->settings =
            xrealloc(base->settings, (base->setting_count + 1) * sizeof(base->settings[0]));
        base->settings[base->setting_count++] =
            (struct compose_setting){.service = base->service_count - 1,
                                     .text = xstrdup((const char *)text->data.scalar.value),
                                     .is_file = is_file};
    }
}

static void note_extension(struct compose_base *base)
{
    if (base->service_count > 0) {
        base->extensions =
            xrealloc(base->extensions, (base->extension_count + 1) * sizeof(base->extensions[0]));
        base->extensions[base->extension_count++] =
            (struct compose_extension){.service = base->service_count - 1};
    }
}

/* What is said of the last one; takes the text. */
static void note_extended(struct compose_base *base, bool is_file, char *text)
{
    if (base->extension_count == 0) {
        free(text);
        return;
    }
    struct compose_extension *last = &base->extensions[base->extension_count - 1];
    char **member = is_file ? &last->file : &last->from;
    free(*member);
    *member = text;
}

static void note_pair(struct writer *w, enum role role, const yaml_node_t *key,
                      const yaml_node_t *value)
{
    struct compose_base *base = w->base;
    if (role == ROLE_ROOT && scalar_is(key, "version") && value->type == YAML_SCALAR_NODE) {
        free(base->version);
        base->version = xstrdup((const char *)value->data.scalar.value);
    }
    base->has_include = base->has_include || (role == ROLE_ROOT && scalar_is(key, "include"));
    if (role == ROLE_SERVICES && key->type == YAML_SCALAR_NODE && !scalar_is(key, "<<")) {
        base->services =
            xrealloc(base->services, (base->service_count + 1) * sizeof(base->services[0]));
        base->services[base->service_count++] = xstrdup((const char *)key->data.scalar.value);
    }
    if (role == ROLE_ENVIRONMENT && !scalar_is(key, "<<")) {
        note_setting(base, key, false);
    }
    if (role == ROLE_SERVICE && scalar_is(key, "extends")) {
        note_extension(base);
    }
    if (role == ROLE_EXTENDS && scalar_is(key, "service") && value->type == YAML_SCALAR_NODE) {
        note_extended(base, false, xstrdup((const char *)value->data.scalar.value));
    }
}

static int write_node(struct writer *w, int id, enum role role, int depth);

static int write_pair(struct writer *w, const yaml_node_pair_t *pair, enum role role, int depth)
{
    const yaml_node_t *key = yaml_document_get_node(w->doc, pair->key);
    const yaml_node_t *value = yaml_document_get_node(w->doc, pair->value);
    if (role == ROLE_SERVICE && scalar_is(key, "ports")) {
        return 0;
    }
    note_pair(w, role, key, value);
    if (write_node(w, pair->key, ROLE_PLAIN, depth) < 0) {
        return -1;
    }
    if (role == ROLE_EXTENDS && scalar_is(key, "file") && value->type == YAML_SCALAR_NODE) {
        note_file(w, value);
        autofree char *path = path_join(w->dir, (const char *)value->data.scalar.value);
        note_extended(w->base, true, xstrdup(path));
        return write_scalar(w, value, path);
    }
    return write_node(w, pair->value, role_of_value(role, key), depth);
}

static int write_mapping(struct writer *w, const yaml_node_t *node, enum role role, int depth)
{
    yaml_event_t event;
    bool is_default = strcmp((const char *)node->tag, YAML_DEFAULT_MAPPING_TAG) == 0;
    int made = yaml_mapping_start_event_initialize(&event, NULL, is_default ? NULL : node->tag,
                                                   is_default ? 1 : 0, YAML_BLOCK_MAPPING_STYLE);
    if (writer_emit(w, &event, made) < 0) {
        return -1;
    }
    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
         p < node->data.mapping.pairs.top; p++) {
        if (write_pair(w, p, role, depth + 1) < 0) {
            return -1;
        }
    }
    return writer_emit(w, &event, yaml_mapping_end_event_initialize(&event));
}

/* A list is transparent to its role: below a merge key ("<<: [*a, *b]"), and in include. */
static int write_sequence(struct writer *w, const yaml_node_t *node, enum role role, int depth)
{
    yaml_event_t event;
    bool is_default = strcmp((const char *)node->tag, YAML_DEFAULT_SEQUENCE_TAG) == 0;
    int made = yaml_sequence_start_event_initialize(&event, NULL, is_default ? NULL : node->tag,
                                                    is_default ? 1 : 0, YAML_BLOCK_SEQUENCE_STYLE);
    if (writer_emit(w, &event, made) < 0) {
        return -1;
    }
    for (const yaml_node_item_t *i = node->data.sequence.items.start;
         i < node->data.sequence.items.top; i++) {
        if (write_node(w, *i, role, depth + 1) < 0) {
            return -1;
        }
    }
    return writer_emit(w, &event, yaml_sequence_end_event_initialize(&event));
}

/* Recursive; depth and number of nodes are bounded here. */
// NOLINTNEXTLINE(misc-no-recursion)
static int write_node(struct writer *w, int id, enum role role, int depth)
{
    const yaml_node_t *node = yaml_document_get_node(w->doc, id);
    if (node == NULL) {
        return err_set(w->err, ERR_CONFIG, "%s: not valid YAML", w->file);
    }
    if (depth > DEPTH_MAX) {
        return writer_fail(w, node, "nested more than 64 levels deep");
    }
    if (++w->nodes > NODES_MAX) {
        return writer_fail(w, node, "more than 50,000 values once aliases are followed");
    }
    switch (node->type) {
    case YAML_SCALAR_NODE:
        w->bytes += node->data.scalar.length;
        if (w->bytes > BYTES_MAX) {
            return writer_fail(w, node, "more than 8 MiB of text once aliases are followed");
        }
        if (role == ROLE_INCLUDE) {
            note_file(w, node);
        } else if (role == ROLE_ENVIRONMENT || role == ROLE_ENV_FILE) {
            note_setting(w->base, node, role == ROLE_ENV_FILE);
        } else if (role == ROLE_EXTENDS) {
            note_extended(w->base, false, xstrdup((const char *)node->data.scalar.value));
        }
        return write_scalar(w, node, NULL);
    case YAML_MAPPING_NODE:
        return write_mapping(w, node, role, depth);
    case YAML_SEQUENCE_NODE:
        return write_sequence(w, node, role, depth);
    case YAML_NO_NODE:
        break;
    }
    return writer_fail(w, node, "not valid YAML");
}

static int write_document(struct writer *w)
{
    yaml_event_t event;
    const yaml_node_t *root = yaml_document_get_root_node(w->doc);
    if (root == NULL || root->type != YAML_MAPPING_NODE) {
        return err_set(w->err, ERR_CONFIG, "%s: must be a mapping with services", w->file);
    }
    int made = yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING);
    if (writer_emit(w, &event, made) < 0) {
        return -1;
    }
    made = yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1);
    if (writer_emit(w, &event, made) < 0 || write_node(w, 1, ROLE_ROOT, 0) < 0) {
        return -1;
    }
    if (writer_emit(w, &event, yaml_document_end_event_initialize(&event, 1)) < 0) {
        return -1;
    }
    return writer_emit(w, &event, yaml_stream_end_event_initialize(&event));
}

static int parse_fail(const yaml_parser_t *parser, const char *file, struct err *err)
{
    return err_set(err, ERR_CONFIG, "%s:%zu:%zu: not valid YAML: %s", file,
                   parser->problem_mark.line + 1, parser->problem_mark.column + 1,
                   parser->problem == NULL ? "not readable" : parser->problem);
}

int compose_base_make(struct str text, const char *file, const char *dir, struct compose_base *out,
                      struct err *err)
{
    if (text.len > TEXT_MAX) {
        return err_set(err, ERR_CONFIG, "%s: larger than 1 MiB", file);
    }
    yaml_parser_t parser;
    yaml_emitter_t emitter;
    yaml_document_t doc;
    CHECK(yaml_parser_initialize(&parser) == 1 && yaml_emitter_initialize(&emitter) == 1);
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.ptr == NULL ? "" : text.ptr),
                                 text.len);
    int rc = -1;
    if (yaml_parser_load(&parser, &doc) == 0) {
        (void)parse_fail(&parser, file, err);
    } else {
        yaml_emitter_set_output(&emitter, write_on_bytes, &out->text);
        yaml_emitter_set_unicode(&emitter, 1);
        yaml_emitter_set_width(&emitter, -1);
        struct writer w = {.doc = &doc,
                           .emitter = &emitter,
                           .source = text,
                           .file = file,
                           .dir = dir,
                           .base = out,
                           .err = err};
        index_lines(&w);
        rc = write_document(&w);
        free(w.lines);
        yaml_document_delete(&doc);
    }
    yaml_emitter_delete(&emitter);
    yaml_parser_delete(&parser);
    return rc;
}

bool compose_base_has(const struct compose_base *base, const char *service)
{
    for (size_t i = 0; i < base->service_count; i++) {
        if (strcmp(base->services[i], service) == 0) {
            return true;
        }
    }
    return false;
}

void compose_base_fini(struct compose_base *base)
{
    buf_fini(&base->text);
    buf_fini(&base->others);
    free(base->version);
    for (size_t i = 0; i < base->service_count; i++) {
        free(base->services[i]);
    }
    free(base->services);
    for (size_t i = 0; i < base->setting_count; i++) {
        free(base->settings[i].text);
    }
    free(base->settings);
    for (size_t i = 0; i < base->extension_count; i++) {
        free(base->extensions[i].from);
        free(base->extensions[i].file);
    }
    free(base->extensions);
    *base = (struct compose_base){0};
}
