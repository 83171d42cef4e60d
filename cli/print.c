/* print: see print.h. Called by the commands, in the one thread there is. */
#include "cli/print.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/json.h"

static const char dash[] = "\xe2\x80\x94"; /* an em dash: nothing to say */

struct print_style print_style_of(FILE *stream)
{
    const char *term = getenv("TERM");
    const char *no_color = getenv("NO_COLOR");
    bool rich = isatty(fileno(stream)) != 0 && (term == NULL || strcmp(term, "dumb") != 0);
    return (struct print_style){
        .links = rich,
        .color = rich && (no_color == NULL || no_color[0] == '\0'),
    };
}

void print_table_init(struct print_table *t, size_t columns)
{
    *t = (struct print_table){.columns = columns};
}

void print_table_fini(struct print_table *t)
{
    for (size_t i = 0; i < t->cell_count; i++) {
        free(t->cells[i].text);
        free(t->cells[i].link);
    }
    free(t->cells);
    *t = (struct print_table){0};
}

static char *harmless(const char *text)
{
    char *copy = xstrdup(text);
    for (char *c = copy; *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte < 0x20 || byte == 0x7f) {
            *c = '?';
        } else if (byte == 0xc2 && (unsigned char)c[1] >= 0x80 && (unsigned char)c[1] < 0xa0) {
            *c++ = '?'; /* a C1 control, in UTF-8 */
            *c = '?';
        }
    }
    return copy;
}

void print_table_add(struct print_table *t, const char *text, const char *link,
                     enum print_tint tint)
{
    t->cells = xrealloc(t->cells, (t->cell_count + 1) * sizeof *t->cells);
    t->cells[t->cell_count++] = (struct print_cell){
        .text = harmless(text == NULL ? "" : text),
        .link = link == NULL ? NULL : harmless(link),
        .tint = tint,
    };
}

/* Terminal columns, taking every code point for one wide. */
static size_t text_width(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

static void cell_render(const struct print_cell *cell, const struct print_style *style,
                        struct buf *out)
{
    static const char *const tints[] = {"", "\033[32m", "\033[31m", "\033[2m"};
    bool tinted = style->color && cell->tint != TINT_NONE;
    bool linked = style->links && cell->link != NULL;
    if (tinted) {
        buf_add_text(out, tints[cell->tint]);
    }
    if (linked) {
        buf_printf(out, "\033]8;;%s\033\\", cell->link);
    }
    buf_add_text(out, cell->text);
    if (linked) {
        buf_add_text(out, "\033]8;;\033\\");
    }
    if (tinted) {
        buf_add_text(out, "\033[0m");
    }
}

void print_table_render(const struct print_table *t, const struct print_style *style,
                        struct buf *out)
{
    size_t *widths = xcalloc(t->columns, sizeof *widths);
    for (size_t i = 0; i < t->cell_count; i++) {
        size_t width = text_width(t->cells[i].text);
        if (width > widths[i % t->columns]) {
            widths[i % t->columns] = width;
        }
    }
    for (size_t i = 0; i < t->cell_count; i++) {
        size_t column = i % t->columns;
        cell_render(&t->cells[i], style, out);
        if (column + 1 == t->columns) {
            buf_add_char(out, '\n');
            continue;
        }
        for (size_t pad = text_width(t->cells[i].text); pad < widths[column] + 2; pad++) {
            buf_add_char(out, ' ');
        }
    }
    free(widths);
}

void print_url_encode(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        char c = *text;
        if (ascii_is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || c == '-' ||
            c == '.' || c == '_' || c == '~') {
            buf_add_char(out, c);
        } else {
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)c);
        }
    }
}

char *print_web_link(const char *web_url, const char *worktree_path)
{
    if (web_url == NULL || worktree_path == NULL) {
        return NULL;
    }
    struct buf text = {0};
    size_t len = strlen(web_url);
    while (len > 0 && web_url[len - 1] == '/') {
        len--;
    }
    buf_add(&text, web_url, len);
    buf_add_text(&text, "/worktree?path=");
    print_url_encode(&text, worktree_path);
    return buf_take(&text);
}

void print_flush(FILE *stream, struct buf *text)
{
    if (text->len > 0) {
        (void)fwrite(text->ptr, 1, text->len, stream); /* a closed pipe is the reader's wish */
        (void)fflush(stream);
    }
    buf_consume(text, text->len);
}

/* The element of `list` about this port of this service, or NULL. */
static const cJSON *find_port(const cJSON *list, const char *service, int64_t port)
{
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, list)
    {
        if (strcmp(json_get_str(item, "service", ""), service) == 0 &&
            json_get_int(item, "containerPort", -1) == port) {
            return item;
        }
    }
    return NULL;
}

/* "timeout", "got 500", "no answer": up and the API tell the whole sentence. */
static char *health_reason(const cJSON *health)
{
    const char *message = json_get_str(health, "message", "");
    int64_t observed = json_get_int(health, "observedStatus", 0);
    if (observed > 0) {
        return xasprintf("got %d", (int)observed);
    }
    if (strstr(message, "timed out") != NULL || strstr(message, "timeout") != NULL) {
        return xstrdup("timeout");
    }
    return xstrdup("no answer");
}

static void add_health(struct print_table *t, const cJSON *health)
{
    const char *state = json_get_str(health, "state", "");
    autofree char *reason = health_reason(health);
    autofree char *text = NULL;
    enum print_tint tint = TINT_FAINT;
    if (strcmp(state, "healthy") == 0) {
        int64_t observed = json_get_int(health, "observedStatus", 0);
        text = observed > 0 ? xasprintf("healthy %d", (int)observed) : xstrdup("healthy");
        tint = TINT_GOOD;
    } else if (strcmp(state, "failed") == 0) {
        text = xasprintf("FAILED %s %s", dash, reason);
        tint = TINT_BAD;
    } else if (strcmp(state, "failed-allowed") == 0) {
        text = xasprintf("failed (allowed) %s %s", dash, reason);
    } else if (strcmp(state, "disabled") == 0 || strcmp(state, "waiting") == 0) {
        text = xstrdup(state);
    } else {
        text = xstrdup(dash);
    }
    print_table_add(t, text, NULL, tint);
}

/* " (secret, h2c, whitelist 2)": what is not as usual; "" if nothing. malloc'ed. */
static char *tunnel_notes(const cJSON *tunnel)
{
    const char *backend = json_get_str(tunnel, "backend", "http");
    int64_t addresses = json_get_int(tunnel, "whitelistCount", 0);
    struct buf text = {0};
    if (strcmp(json_get_str(tunnel, "access", ""), "secret") == 0) {
        buf_add_text(&text, ", secret");
    }
    if (strcmp(backend, "http") != 0) {
        buf_printf(&text, ", %s", backend);
    }
    if (addresses > 0) {
        buf_printf(&text, ", whitelist %lld", (long long)addresses);
    }
    char *notes = text.len == 0 ? xstrdup("") : xasprintf(" (%s)", buf_cstr(&text) + 2);
    buf_fini(&text);
    return notes;
}

static void add_tunnel(struct print_table *t, const cJSON *tunnel)
{
    const char *url = json_get_str(tunnel, "url", NULL);
    if (tunnel == NULL) {
        print_table_add(t, dash, NULL, TINT_FAINT);
    } else if (strcmp(json_get_str(tunnel, "state", ""), "failed") == 0) {
        autofree char *text =
            xasprintf("FAILED %s %s", dash, json_get_str(tunnel, "message", "unknown reason"));
        print_table_add(t, text, NULL, TINT_BAD);
    } else if (strcmp(json_get_str(tunnel, "state", ""), "private") == 0) {
        print_table_add(t, "private", NULL, TINT_FAINT);
    } else {
        autofree char *notes = tunnel_notes(tunnel);
        autofree char *text = xasprintf("%s%s", url == NULL ? dash : url, notes);
        print_table_add(t, text, NULL, TINT_NONE);
    }
}

void print_warning(const cJSON *row, struct buf *out)
{
    const char *warning = json_get_str(row, "warning", NULL);
    if (warning != NULL) {
        autofree char *safe = harmless(warning);
        buf_printf(out, "warning: %s\n", safe);
    }
}

static void add_address(struct print_table *t, const cJSON *port)
{
    const char *ip = json_get_str(port, "hostIp", "");
    int64_t host_port = json_get_int(port, "hostPort", 0);
    int64_t inner = json_get_int(port, "containerPort", 0);
    bool local = ip[0] == '\0' || strcmp(ip, "0.0.0.0") == 0 || strcmp(ip, "::") == 0 ||
                 strcmp(ip, "127.0.0.1") == 0 || strcmp(ip, "::1") == 0;
    bool v6 = !local && strchr(ip, ':') != NULL;
    bool is_tls = strncmp(json_get_str(port, "backend", "http"), "https", 5) == 0;
    autofree char *url = xasprintf("%s://%s%s%s:%d", is_tls ? "https" : "http", v6 ? "[" : "",
                                   local ? "localhost" : ip, v6 ? "]" : "", (int)host_port);
    autofree char *text =
        xasprintf("%s -> %d/%s", url, (int)inner, json_get_str(port, "protocol", "tcp"));
    print_table_add(t, text, url, TINT_NONE);
}

static enum print_tint state_tint(const char *state)
{
    if (strcmp(state, "running") == 0 || strcmp(state, "live") == 0) {
        return TINT_GOOD;
    }
    return strncmp(state, "fail", 4) == 0 ? TINT_BAD : TINT_NONE;
}

static void add_service(struct print_table *t, const cJSON *detail, const cJSON *service)
{
    const char *name = json_get_str(service, "service", "?");
    const char *state = json_get_str(service, "state", "unknown");
    const cJSON *healths = json_get(detail, "appPortHealthchecks");
    const cJSON *tunnels = json_get(detail, "tunnels");
    bool is_over = strcmp(state, "exited") == 0 || strcmp(state, "stopped") == 0;
    bool any = false;
    const cJSON *port = NULL;
    cJSON_ArrayForEach(port, json_get(service, "ports"))
    {
        if (json_get_int(port, "hostPort", 0) <= 0) {
            continue; /* known, not published */
        }
        int64_t inner = json_get_int(port, "containerPort", -1);
        any = true;
        print_table_add(t, name, NULL, TINT_NONE);
        print_table_add(t, state, NULL, state_tint(state));
        if (is_over) {
            print_table_add(t, dash, NULL, TINT_FAINT); /* nobody listens there */
            print_table_add(t, dash, NULL, TINT_FAINT);
        } else {
            add_address(t, port);
            add_health(t, find_port(healths, name, inner));
        }
        if (t->columns == 5) {
            add_tunnel(t, find_port(tunnels, name, inner));
        }
    }
    if (!any) {
        print_table_add(t, name, NULL, TINT_NONE);
        print_table_add(t, state, NULL, state_tint(state));
        print_table_add(t, "(no published ports)", NULL, TINT_FAINT);
        print_table_add(t, dash, NULL, TINT_FAINT);
        if (t->columns == 5) {
            print_table_add(t, dash, NULL, TINT_FAINT);
        }
    }
}

static void table_head(struct print_table *t, const char *const *names)
{
    for (size_t i = 0; i < t->columns; i++) {
        print_table_add(t, names[i], NULL, TINT_NONE);
    }
}

void print_status(const cJSON *detail, const struct print_style *style, struct buf *out)
{
    static const char *const head[] = {"SERVICE", "STATUS", "ADDRESS", "HEALTH", "TUNNEL"};
    const cJSON *services = json_get(detail, "services");
    if (cJSON_GetArraySize(services) == 0) {
        buf_add_text(out, "(no services)\n");
        return;
    }
    struct print_table table;
    print_table_init(&table, cJSON_GetArraySize(json_get(detail, "tunnels")) > 0 ? 5 : 4);
    table_head(&table, head);
    const cJSON *service = NULL;
    cJSON_ArrayForEach(service, services)
    {
        add_service(&table, detail, service);
    }
    print_table_render(&table, style, out);
    const cJSON *tunnel = NULL;
    cJSON_ArrayForEach(tunnel, json_get(detail, "tunnels"))
    {
        print_warning(tunnel, out);
    }
    print_table_fini(&table);
}

static void overview_sessions(const cJSON *all, const struct print_style *style, struct buf *out)
{
    static const char *const head[] = {"SESSION", "STATUS", "SERVICES", "WORKTREE"};
    const cJSON *sessions = json_get(all, "sessions");
    if (cJSON_GetArraySize(sessions) == 0) {
        buf_add_text(out, "(no sessions)\n");
        return;
    }
    struct print_table table;
    print_table_init(&table, COUNT_OF(head));
    table_head(&table, head);
    const cJSON *session = NULL;
    cJSON_ArrayForEach(session, sessions)
    {
        int running = 0;
        int total = 0;
        const cJSON *service = NULL;
        cJSON_ArrayForEach(service, json_get(session, "services"))
        {
            running += strcmp(json_get_str(service, "state", ""), "running") == 0;
            total++;
        }
        autofree char *count = xasprintf("%d/%d", running, total);
        const char *status = json_get_str(session, "status", "unknown");
        print_table_add(&table, json_get_str(session, "sessionName", "?"), NULL, TINT_NONE);
        print_table_add(&table, status, NULL, state_tint(status));
        print_table_add(&table, count, NULL, TINT_NONE);
        print_table_add(&table, json_get_str(session, "worktreePath", dash), NULL, TINT_NONE);
    }
    print_table_render(&table, style, out);
    print_table_fini(&table);
}

/* "3 addresses, 10/s, 5 at once": what a route is bounded by. */
static void add_limits(struct print_table *t, const cJSON *route)
{
    int64_t addresses =
        json_get_int(route, "whitelistCount", 0) + json_get_int(route, "classWhitelistCount", 0);
    int64_t rate = json_get_int(json_get(route, "rateLimit"), "requestsPerSecond", 0);
    int64_t at_once = json_get_int(route, "maxConcurrent", 0);
    struct buf text = {0};
    if (addresses > 0) {
        buf_printf(&text, "whitelist %lld", (long long)addresses);
    }
    if (rate > 0) {
        buf_printf(&text, "%s%lld/s", text.len == 0 ? "" : ", ", (long long)rate);
    }
    if (at_once > 0) {
        buf_printf(&text, "%s%lld at once", text.len == 0 ? "" : ", ", (long long)at_once);
    }
    print_table_add(t, text.len == 0 ? dash : buf_cstr(&text), NULL, TINT_NONE);
    buf_fini(&text);
}

static void overview_routes(const cJSON *all, const struct print_style *style, struct buf *out)
{
    static const char *const head[] = {"ROUTE",  "STATE",   "PORT",   "CLASS", "HOST",
                                       "ACCESS", "BACKEND", "LIMITS", "OWNER"};
    const cJSON *routes = json_get(all, "routes");
    if (cJSON_GetArraySize(routes) == 0) {
        buf_add_text(out, "(no routes)\n");
        return;
    }
    struct print_table table;
    print_table_init(&table, COUNT_OF(head));
    table_head(&table, head);
    const cJSON *route = NULL;
    cJSON_ArrayForEach(route, routes)
    {
        const char *state = json_get_str(route, "state", "unknown");
        const char *url = json_get_str(route, "url", json_get_str(route, "host", "?"));
        int64_t port = json_get_int(route, "port", 0);
        autofree char *port_text = port > 0 ? xasprintf("%d", (int)port) : xstrdup(dash);
        print_table_add(&table, url, NULL, TINT_NONE);
        print_table_add(&table, state, NULL, state_tint(state));
        print_table_add(&table, port_text, NULL, TINT_NONE);
        print_table_add(&table, json_get_str(route, "class", dash), NULL, TINT_NONE);
        print_table_add(&table, json_get_str(route, "hostMode", dash), NULL, TINT_NONE);
        bool is_ui = strcmp(json_get_str(route, "class", ""), "web-ui") == 0; /* has a login */
        print_table_add(&table, is_ui ? "login" : json_get_str(route, "access", dash), NULL,
                        TINT_NONE);
        print_table_add(&table, json_get_str(route, "backend", dash), NULL, TINT_NONE);
        add_limits(&table, route);
        print_table_add(&table, json_get_str(route, "owner", dash), NULL, TINT_NONE);
    }
    print_table_render(&table, style, out);
    cJSON_ArrayForEach(route, routes)
    {
        print_warning(route, out);
    }
    print_table_fini(&table);
}

/* A line "label: text", text made harmless. */
static void overview_line(struct buf *out, const char *label, char *text)
{
    autofree char *safe = harmless(text);
    buf_printf(out, "%-12s %s\n", label, safe);
    free(text);
}

static void overview_tunnel(const cJSON *tunnel, struct buf *out)
{
    const char *state = json_get_str(tunnel, "state", "unknown");
    const char *error = json_get_str(tunnel, "error", NULL);
    if (!json_get_bool(tunnel, "enabled", false)) {
        overview_line(out, "tunnel", xstrdup("disabled"));
        return;
    }
    overview_line(
        out, "tunnel",
        xasprintf("%s, %s://*.%s, port %d, %d workers, snapshot %lld of %lld%s%s", state,
                  json_get_str(tunnel, "scheme", "?"), json_get_str(tunnel, "domain", "?"),
                  (int)json_get_int(tunnel, "port", 0), (int)json_get_int(tunnel, "workers", 0),
                  (long long)json_get_int(tunnel, "servedGeneration", 0),
                  (long long)json_get_int(tunnel, "generation", 0), error == NULL ? "" : ": ",
                  error == NULL ? "" : error));
    const char *redirect_error = json_get_str(tunnel, "redirectError", NULL);
    if (redirect_error != NULL) {
        overview_line(out, "", xasprintf("warning: no redirect to https: %s", redirect_error));
    }
}

static void overview_certificate(const cJSON *cert, struct buf *out)
{
    const char *message = json_get_str(json_get(cert, "lastError"), "message", NULL);
    const char *warning = json_get_str(cert, "warning", NULL);
    const char *until = json_get_str(cert, "notAfter", NULL);
    overview_line(out, "certificate",
                  xasprintf("%s, %s%s%s%s%s", json_get_str(cert, "source", "none"),
                            json_get_str(cert, "state", "unknown"),
                            until == NULL ? "" : ", valid until ", until == NULL ? "" : until,
                            message == NULL ? "" : ": ", message == NULL ? "" : message));
    if (warning != NULL) {
        overview_line(out, "", xasprintf("warning: %s", warning));
    }
    const char *rsa_error = json_get_str(cert, "rsaError", NULL);
    if (rsa_error != NULL) {
        overview_line(out, "", xasprintf("warning: %s", rsa_error));
    }
}

void print_overview(const cJSON *all, const struct print_style *style, struct buf *out)
{
    const cJSON *daemon = json_get(all, "daemon");
    const cJSON *web = json_get(all, "web");
    const char *web_error = json_get_str(web, "error", NULL);
    overview_line(out, "daemon",
                  xasprintf("pid %d, home %s", (int)json_get_int(daemon, "pid", 0),
                            json_get_str(daemon, "home", "?")));
    overview_line(out, "web UI",
                  web_error != NULL ? xasprintf("failed: %s", web_error)
                                    : xstrdup(json_get_str(daemon, "webUrl", dash)));
    overview_tunnel(json_get(all, "tunnel"), out);
    overview_certificate(json_get(all, "certificate"), out);
    const cJSON *problem = NULL;
    cJSON_ArrayForEach(problem, json_get(json_get(all, "config"), "problems"))
    {
        overview_line(out, "config",
                      xasprintf("%s: %s", json_get_str(problem, "key", "?"),
                                json_get_str(problem, "message", "?")));
    }
    buf_add_char(out, '\n');
    overview_sessions(all, style, out);
    buf_add_char(out, '\n');
    overview_routes(all, style, out);
}
