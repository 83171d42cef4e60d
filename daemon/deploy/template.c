/* template: expansion of `${…}` in environment values. Called by the manifest's checks
 * (names only) and by deployment (values); any thread. */
#include "daemon/deploy/template.h"

#include "base/auto.h"

enum expression_kind {
    EXPR_HOST_PORT,
    EXPR_HOSTNAME,
    EXPR_URL,
    EXPR_CONTAINER_NAME,
    EXPR_ARGUMENT
};

struct expression {
    enum expression_kind kind;
    struct str name;     /* of the service or the argument */
    bool is_dep;         /* of `deps`; not for arguments */
    uint16_t port;       /* not for arguments */
    bool has_fallback;   /* arguments only */
    struct str fallback; /* arguments only */
};

/* What an expression may be, by mode. */
static const char *const allowed[] = {
    [MANIFEST_GENERATED] =
        "allowed: app.services.<service>.hostPort[<port>], .hostname[<port>], .url[<port>], "
        ".containerName, deps.<name>.hostPort[<port>], .containerName, NAME, NAME:-default",
    [MANIFEST_COMPOSE] =
        "allowed: expose.<service>.hostPort[<port>], .hostname[<port>], .url[<port>]",
    [MANIFEST_SHELL] =
        "allowed: app.services.<service>.hostPort[<port>], .hostname[<port>], .url[<port>], "
        "NAME, NAME:-default",
};

static bool name_is_argument(struct str name)
{
    if (name.len == 0 || ascii_is_digit(name.ptr[0])) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.ptr[i]);
        if (!(c >= 'a' && c <= 'z') && !ascii_is_digit(c) && c != '_') {
            return false;
        }
    }
    return true;
}

/* "<service>.<field>[<port>]" or "<service>.containerName", the part behind the prefix. */
static bool expression_parse_service(struct str text, struct expression *out)
{
    static const struct {
        const char *field;
        enum expression_kind kind;
    } fields[] = {{".hostPort", EXPR_HOST_PORT}, {".hostname", EXPR_HOSTNAME}, {".url", EXPR_URL}};
    struct str container = STR(".containerName");
    if (text.len > container.len && str_ends(text, container)) {
        out->kind = EXPR_CONTAINER_NAME;
        out->name = (struct str){text.ptr, text.len - container.len};
        return true;
    }
    size_t open = str_find(text, '[');
    if (open == text.len || text.ptr[text.len - 1] != ']') {
        return false;
    }
    struct str number = {text.ptr + open + 1, text.len - open - 2};
    if (!str_to_u16(number, &out->port)) {
        return false;
    }
    struct str path = {text.ptr, open};
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        struct str field = str_of(fields[i].field);
        if (path.len > field.len && str_ends(path, field)) {
            out->kind = fields[i].kind;
            out->name = (struct str){path.ptr, path.len - field.len};
            return true;
        }
    }
    return false;
}

static bool expression_parse_argument(struct str text, struct expression *out)
{
    struct str name = text;
    for (size_t i = 0; i + 1 < text.len; i++) {
        if (text.ptr[i] == ':' && text.ptr[i + 1] == '-') {
            name.len = i;
            out->has_fallback = true;
            out->fallback = (struct str){text.ptr + i + 2, text.len - i - 2};
            break;
        }
    }
    out->kind = EXPR_ARGUMENT;
    out->name = name;
    return name_is_argument(name);
}

static int expression_parse(struct str text, enum manifest_mode mode, struct expression *out,
                            struct err *err)
{
    struct str services = mode == MANIFEST_COMPOSE ? STR("expose.") : STR("app.services.");
    struct str deps = STR("deps.");
    bool ok;
    if (str_starts(text, services)) {
        struct str rest = {text.ptr + services.len, text.len - services.len};
        ok = expression_parse_service(rest, out) &&
             (mode == MANIFEST_GENERATED || out->kind != EXPR_CONTAINER_NAME);
    } else if (mode == MANIFEST_GENERATED && str_starts(text, deps)) {
        struct str rest = {text.ptr + deps.len, text.len - deps.len};
        out->is_dep = true;
        ok = expression_parse_service(rest, out) &&
             (out->kind == EXPR_CONTAINER_NAME || out->kind == EXPR_HOST_PORT);
    } else {
        ok = mode != MANIFEST_COMPOSE && expression_parse_argument(text, out);
    }
    if (ok) {
        return 0;
    }
    return err_set(err, ERR_CONFIG, "unknown expression ${%.*s}; %s", STR_ARG(text), allowed[mode]);
}

/* Cuts literal text and the next expression off *rest. *out_found tells whether
 * there was an expression. */
static int template_next(struct str *rest, enum manifest_mode mode, struct str *out_literal,
                         struct expression *out, struct str *out_source, bool *out_found,
                         struct err *err)
{
    size_t at = 0;
    while (at + 1 < rest->len && !(rest->ptr[at] == '$' && rest->ptr[at + 1] == '{')) {
        at++;
    }
    if (at + 1 >= rest->len) {
        *out_literal = *rest;
        *rest = STR_NONE;
        *out_found = false;
        return 0;
    }
    struct str inner = {rest->ptr + at + 2, rest->len - at - 2};
    size_t close = str_find(inner, '}');
    if (close == inner.len) {
        return err_set(err, ERR_CONFIG, "\"${\" without \"}\"; %s", allowed[mode]);
    }
    *out_literal = (struct str){rest->ptr, at};
    *rest = (struct str){inner.ptr + close + 1, inner.len - close - 1};
    *out_source = (struct str){inner.ptr, close};
    *out_found = true;
    *out = (struct expression){0};
    return expression_parse(*out_source, mode, out, err);
}

static void list_names(struct buf *out, const struct manifest *m, bool arguments)
{
    size_t count = arguments ? m->argument_count : m->service_count;
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, "%s%s", i == 0 ? "" : ", ",
                   arguments ? m->arguments[i] : m->services[i].name);
    }
    if (count == 0) {
        buf_add_text(out, "none");
    }
}

static int expression_unknown(const struct manifest *m, const struct expression *e,
                              struct str source, struct err *err)
{
    bool is_argument = e->kind == EXPR_ARGUMENT;
    struct buf names = {0};
    list_names(&names, m, is_argument);
    (void)err_set(err, ERR_CONFIG, "${%.*s}: no %s named %.*s; declared: %s", STR_ARG(source),
                  is_argument ? "argument" : "service", STR_ARG(e->name), buf_cstr(&names));
    buf_fini(&names);
    return -1;
}

/* A service and its port, or an argument, that the manifest declares. */
static int expression_check(const struct manifest *m, const struct expression *e, struct str source,
                            struct err *err)
{
    autofree char *name = str_dup(e->name);
    if (e->kind == EXPR_ARGUMENT) {
        return manifest_has_argument(m, name) ? 0 : expression_unknown(m, e, source, err);
    }
    const struct manifest_service *service = manifest_find(m, name);
    if (service == NULL || service->is_dep != e->is_dep) {
        return expression_unknown(m, e, source, err);
    }
    if (e->kind == EXPR_CONTAINER_NAME) {
        return 0;
    }
    if (manifest_service_port(service, e->port) == NULL) {
        return err_set(err, ERR_CONFIG, "${%.*s}: service %s declares no port %u", STR_ARG(source),
                       name, (unsigned)e->port);
    }
    return 0;
}

int template_check(struct str text, const struct manifest *m, struct err *err)
{
    while (text.ptr != NULL) {
        struct str literal, source;
        struct expression e;
        bool found;
        if (template_next(&text, m->mode, &literal, &e, &source, &found, err) < 0) {
            return -1;
        }
        if (found && expression_check(m, &e, source, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* "http://<bind or localhost>:<port>", an IPv6 bind bracketed; https where that is spoken there. */
static void local_url_expand(const struct template_scope *scope, const struct template_port *port,
                             struct buf *out)
{
    const struct manifest_service *ms = manifest_find(scope->manifest, port->service);
    const struct manifest_port *mp = manifest_service_port(ms, port->container_port);
    const char *bind = scope->service_bind == NULL ? "localhost" : scope->service_bind;
    bool is_v6 = strchr(bind, ':') != NULL;
    buf_printf(out, "%s://%s%s%s:%u", publish_backend_scheme(mp->options.backend), is_v6 ? "[" : "",
               bind, is_v6 ? "]" : "", (unsigned)port->host_port);
}

static int argument_expand(const struct template_scope *scope, const struct expression *e,
                           struct buf *out, struct err *err)
{
    for (size_t i = 0; i < scope->argument_count; i++) {
        const struct template_argument *a = &scope->arguments[i];
        if (str_eq(str_of(a->key), e->name) && a->value != NULL && a->value[0] != '\0') {
            buf_add_text(out, a->value);
            return 0;
        }
    }
    if (!e->has_fallback) {
        return err_set(err, ERR_USAGE,
                       "argument %.*s has no value and no default; give it with --arg %.*s=VALUE",
                       STR_ARG(e->name), STR_ARG(e->name));
    }
    buf_add_str(out, e->fallback);
    return 0;
}

static int service_expand(const struct template_scope *scope, const struct expression *e,
                          struct str source, struct buf *out, struct err *err)
{
    if (e->kind == EXPR_CONTAINER_NAME) {
        buf_printf(out, "%s-%.*s", scope->project, STR_ARG(e->name));
        return 0;
    }
    const struct template_port *port = NULL;
    for (size_t i = 0; i < scope->port_count; i++) {
        const struct template_port *p = &scope->ports[i];
        if (p->container_port == e->port && str_eq(str_of(p->service), e->name)) {
            port = p;
        }
    }
    if (e->kind == EXPR_HOSTNAME) {
        const char *fallback = scope->service_bind == NULL ? "localhost" : scope->service_bind;
        buf_add_text(out, port != NULL && port->hostname != NULL ? port->hostname : fallback);
        return 0;
    }
    if (port == NULL) {
        return err_set(
            err, ERR_CONFIG,
            "${%.*s}: service %.*s is not among the services to start, so it has no port",
            STR_ARG(source), STR_ARG(e->name));
    }
    if (e->kind == EXPR_HOST_PORT) {
        buf_printf(out, "%u", (unsigned)port->host_port);
    } else if (port->url != NULL) {
        buf_add_text(out, port->url);
    } else {
        local_url_expand(scope, port, out);
    }
    return 0;
}

int template_expand(struct str text, const struct template_scope *scope, struct buf *out,
                    struct err *err)
{
    while (text.ptr != NULL) {
        struct str literal, source;
        struct expression e;
        bool found;
        if (template_next(&text, scope->manifest->mode, &literal, &e, &source, &found, err) < 0) {
            return -1;
        }
        buf_add_str(out, literal);
        if (!found) {
            break;
        }
        if (expression_check(scope->manifest, &e, source, err) < 0) {
            return -1;
        }
        int rc = e.kind == EXPR_ARGUMENT ? argument_expand(scope, &e, out, err)
                                         : service_expand(scope, &e, source, out, err);
        if (rc < 0) {
            return -1;
        }
    }
    return 0;
}
