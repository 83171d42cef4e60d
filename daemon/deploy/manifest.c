/* manifest: loading, the list of problems, look-ups. Called by the core (to refuse
 * a bad file early) and by deployment; daemon thread. */
#include "daemon/deploy/manifest.h"

#include <errno.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/file.h"
#include "daemon/deploy/manifest_reader.h"

enum { PROBLEMS_MAX = 200 };

void manifest_add_problem(struct manifest *m, struct manifest_problems *list, int line, int column,
                          const char *text)
{
    if (list->count >= PROBLEMS_MAX) {
        return; /* nobody reads further, and an alias can repeat one mistake very often */
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct manifest_problem *p = &list->items[i];
        if (p->line == line && p->column == column && strcmp(p->text, text) == 0) {
            return;
        }
    }
    if (list->count == list->cap) {
        list->cap = list->cap == 0 ? 8 : list->cap * 2;
        list->items = xrealloc(list->items, list->cap * sizeof(list->items[0]));
    }
    list->items[list->count++] = (struct manifest_problem){
        .line = line, .column = column, .text = arena_strdup(&m->arena, text)};
}

char *manifest_path(const char *source, bool is_source)
{
    return xasprintf("%s/.wos/%s", source, is_source ? "deploy.yaml" : "deploy.worktree.yaml");
}

static int problem_compare(const void *a, const void *b)
{
    const struct manifest_problem *x = a;
    const struct manifest_problem *y = b;
    if (x->line != y->line) {
        return x->line < y->line ? -1 : 1;
    }
    return x->column < y->column ? -1 : x->column > y->column;
}

static int service_compare(const void *a, const void *b)
{
    const struct manifest_service *x = a;
    const struct manifest_service *y = b;
    return strcmp(x->name, y->name);
}

static struct manifest *manifest_new(const char *file)
{
    struct manifest *m = xcalloc(1, sizeof(*m));
    arena_init(&m->arena, 8192);
    m->file = arena_strdup(&m->arena, file);
    m->mode = MANIFEST_GENERATED;
    m->port_start = 20000;
    m->port_end = 29999;
    m->dynamic_ports = true;
    return m;
}

static void manifest_sort_problems(struct manifest_problems *list)
{
    if (list->count > 0) {
        qsort(list->items, list->count, sizeof(list->items[0]), problem_compare);
    }
}

static void manifest_parse_error(struct manifest *m, const yaml_parser_t *parser)
{
    const char *what = parser->problem == NULL ? "not readable" : parser->problem;
    autofree char *text =
        xasprintf("not valid YAML: %s%s%s", what, parser->context == NULL ? "" : ", ",
                  parser->context == NULL ? "" : parser->context);
    manifest_add_problem(m, &m->errors, (int)parser->problem_mark.line + 1,
                         (int)parser->problem_mark.column + 1, text);
}

struct manifest *manifest_parse(struct str text, const char *file)
{
    struct manifest *m = manifest_new(file);
    if (text.len > MANIFEST_TEXT_MAX) {
        manifest_add_problem(m, &m->errors, 0, 0, "larger than 1 MiB");
        return m;
    }
    yaml_parser_t parser;
    NEED(yaml_parser_initialize(&parser) == 1);
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.ptr == NULL ? "" : text.ptr),
                                 text.len);
    yaml_document_t doc;
    if (yaml_parser_load(&parser, &doc) == 0) {
        manifest_parse_error(m, &parser);
        yaml_parser_delete(&parser);
        return m;
    }
    struct reader r = {.m = m, .doc = &doc};
    const yaml_node_t *root = yaml_document_get_root_node(&doc);
    if (root == NULL || reader_check_bounds(&r, root)) {
        manifest_read_document(&r, root);
    }
    yaml_document_delete(&doc);
    yaml_document_t second;
    if (root != NULL && yaml_parser_load(&parser, &second) != 0) {
        const yaml_node_t *extra = yaml_document_get_root_node(&second);
        if (extra != NULL) {
            manifest_add_problem(m, &m->errors, (int)extra->start_mark.line + 1,
                                 (int)extra->start_mark.column + 1,
                                 "a second YAML document; one is allowed");
        }
        yaml_document_delete(&second);
    } else if (root != NULL) {
        manifest_parse_error(m, &parser);
    }
    yaml_parser_delete(&parser);
    manifest_sort_problems(&m->errors);
    manifest_sort_problems(&m->warnings);
    return m;
}

struct manifest *manifest_load(const char *path)
{
    struct buf text = {0};
    struct err err = {0};
    struct manifest *m;
    if (file_read(path, MANIFEST_TEXT_MAX, &text, &err) == 0) {
        m = manifest_parse(buf_str(&text), path);
    } else {
        m = manifest_new(path);
        m->missing = err.code == ERR_NOT_FOUND;
        autofree char *missing = xasprintf("deploy config not found at %s", path);
        manifest_add_problem(m, &m->errors, 0, 0, m->missing ? missing : err.msg);
    }
    buf_fini(&text);
    return m;
}

void manifest_free(struct manifest *m)
{
    if (m == NULL) {
        return;
    }
    free(m->errors.items);
    free(m->warnings.items);
    arena_fini(&m->arena);
    free(m);
}

bool manifest_ok(const struct manifest *m)
{
    return m->errors.count == 0;
}

static char *problems_text(const struct manifest *m, const struct manifest_problems *list)
{
    struct buf text = {0};
    for (size_t i = 0; i < list->count; i++) {
        const struct manifest_problem *p = &list->items[i];
        if (i > 0) {
            buf_add_char(&text, '\n');
        }
        if (p->line > 0) {
            buf_printf(&text, "%s:%d:%d: %s", m->file, p->line, p->column, p->text);
        } else if (strstr(p->text, m->file) != NULL) {
            buf_add_text(&text, p->text);
        } else {
            buf_printf(&text, "%s: %s", m->file, p->text);
        }
    }
    if (list->count == PROBLEMS_MAX) {
        buf_add_text(&text, "\n(more problems are not shown)");
    }
    return buf_take(&text);
}

char *manifest_errors_text(const struct manifest *m)
{
    return problems_text(m, &m->errors);
}

char *manifest_warnings_text(const struct manifest *m)
{
    return problems_text(m, &m->warnings);
}

void manifest_declared(const struct manifest *m, struct buf *out)
{
    buf_add_text(out, "declared: ");
    for (size_t i = 0; i < m->service_count; i++) {
        buf_printf(out, "%s%s", i == 0 ? "" : ", ", m->services[i].name);
    }
}

const struct manifest_service *manifest_find(const struct manifest *m, const char *name)
{
    struct manifest_service key = {.name = name};
    if (m->service_count == 0) {
        return NULL;
    }
    return bsearch(&key, m->services, m->service_count, sizeof(key), service_compare);
}

const struct manifest_port *manifest_service_port(const struct manifest_service *s, uint16_t port)
{
    for (size_t i = 0; i < s->port_count; i++) {
        if (s->ports[i].port == port) {
            return &s->ports[i];
        }
    }
    return NULL;
}

bool manifest_has_argument(const struct manifest *m, const char *name)
{
    for (size_t i = 0; i < m->argument_count; i++) {
        if (strcmp(m->arguments[i], name) == 0) {
            return true;
        }
    }
    return false;
}

const char *manifest_mode_name(enum manifest_mode mode)
{
    static const char *const names[] = {"generated", "compose", "shell"};
    return names[mode];
}
