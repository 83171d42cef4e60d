/* compose_file: see compose_file.h. Called by runner_compose. */
#include "daemon/deploy/compose_file.h"

#include <stdlib.h>

#include "base/auto.h"

enum dollar { DOLLAR_KEEP, DOLLAR_DOUBLE };

static void add_quoted(struct buf *out, struct str text, enum dollar dollar)
{
    CHECK(text.ptr != NULL || text.len == 0);
    buf_add_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '"' || c == '\\') {
            buf_add_char(out, '\\');
            buf_add_char(out, (char)c);
        } else if (c == '\n') {
            buf_add_text(out, "\\n");
        } else if (c == '\t') {
            buf_add_text(out, "\\t");
        } else if (c < ' ' || c == 0x7f) {
            buf_printf(out, "\\x%02x", c);
        } else if (c == '$' && dollar == DOLLAR_DOUBLE) {
            buf_add_text(out, "$$");
        } else {
            buf_add_char(out, (char)c);
        }
    }
    buf_add_char(out, '"');
}

static void add_string(struct buf *out, const char *key, const char *value, enum dollar dollar)
{
    if (value != NULL) {
        buf_printf(out, "    %s: ", key);
        add_quoted(out, str_of(value), dollar);
        buf_add_char(out, '\n');
    }
}

static int text_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* By name, not by "NAME=": '=' sorts before letters but after '.' and digits. */
static int pair_compare(const void *a, const void *b)
{
    const char *x = *(char *const *)a;
    const char *y = *(char *const *)b;
    size_t x_len = str_find(str_of(x), '=');
    size_t y_len = str_find(str_of(y), '=');
    int order = strncmp(x, y, x_len < y_len ? x_len : y_len);
    return order != 0 ? order : (x_len > y_len) - (x_len < y_len);
}

static void add_pairs(struct buf *out, const char *key, struct envlist *list)
{
    if (list->count == 0) {
        return;
    }
    qsort(list->items, list->count, sizeof(list->items[0]), pair_compare);
    buf_printf(out, "    %s:\n", key);
    for (size_t i = 0; i < list->count; i++) {
        struct str pair = str_of(list->items[i]);
        size_t at = str_find(pair, '=');
        buf_add_text(out, "      ");
        add_quoted(out, (struct str){pair.ptr, at}, DOLLAR_DOUBLE);
        buf_add_text(out, ": ");
        add_quoted(out, (struct str){pair.ptr + at + 1, pair.len - at - 1}, DOLLAR_DOUBLE);
        buf_add_char(out, '\n');
    }
}

bool compose_volume_name(const char *volume, struct str *out_name)
{
    struct str text = str_of(volume);
    size_t colon = str_find(text, ':');
    if (colon == text.len || colon < 2) {
        return false; /* an anonymous volume is a path */
    }
    for (size_t i = 0; i < colon; i++) {
        char c = ascii_lower(volume[i]);
        bool is_word = (c >= 'a' && c <= 'z') || ascii_is_digit(c);
        if (!is_word && (i == 0 || (c != '_' && c != '-' && c != '.'))) {
            return false;
        }
    }
    *out_name = (struct str){volume, colon};
    return true;
}

static void add_volumes(struct buf *out, const struct compose_service *s)
{
    if (s->workspace == NULL && s->volume_count == 0) {
        return;
    }
    buf_add_text(out, "    volumes:\n");
    if (s->workspace != NULL) {
        autofree char *mount = xasprintf("%s:/workspace", s->workspace);
        buf_add_text(out, "      - ");
        add_quoted(out, str_of(mount), DOLLAR_DOUBLE);
        buf_add_char(out, '\n');
    }
    for (size_t i = 0; i < s->volume_count; i++) {
        const char *volume = s->volumes[i];
        buf_add_text(out, "      - ");
        if (volume[0] == '.' && s->volume_root != NULL) {
            autofree char *whole = xasprintf("%s/%s", s->volume_root, volume);
            add_quoted(out, str_of(whole), DOLLAR_KEEP);
        } else {
            add_quoted(out, str_of(volume), DOLLAR_KEEP);
        }
        buf_add_char(out, '\n');
    }
}

static void add_ports(struct buf *out, const struct compose_service *s, const char *bind)
{
    if (s->port_count == 0) {
        return;
    }
    bool has_bind = bind != NULL && strcmp(bind, "127.0.0.1") != 0;
    bool is_v6 = has_bind && strchr(bind, ':') != NULL;
    bool is_any = has_bind && strcmp(bind, "0.0.0.0") == 0; /* has the loopback in it */
    buf_add_text(out, "    ports:\n");
    for (size_t i = 0; i < s->port_count; i++) {
        unsigned host = s->ports[i].host;
        unsigned container = s->ports[i].container;
        if (!is_any) {
            buf_printf(out, "      - \"127.0.0.1:%u:%u\"\n", host, container);
        }
        if (has_bind) {
            buf_printf(out, "      - \"%s%s%s:%u:%u\"\n", is_v6 ? "[" : "", bind, is_v6 ? "]" : "",
                       host, container);
        }
    }
}

static void service_write(struct compose_service *s, const char *bind, struct buf *out)
{
    buf_printf(out, "  \"%s\":\n", s->name);
    size_t before = out->len;
    add_string(out, "image", s->image, DOLLAR_KEEP);
    add_string(out, "container_name", s->container_name, DOLLAR_DOUBLE);
    add_string(out, "working_dir", s->working_dir, DOLLAR_DOUBLE);
    if (s->profile != NULL) {
        buf_printf(out, "    profiles: [\"%s\"]\n", s->profile);
    }
    if (s->env_file != NULL) {
        buf_add_text(out, "    env_file:\n      - ");
        add_quoted(out, str_of(s->env_file), DOLLAR_DOUBLE);
        buf_add_char(out, '\n');
    }
    add_pairs(out, "environment", &s->environment);
    add_pairs(out, "labels", &s->labels);
    add_volumes(out, s);
    add_ports(out, s, bind);
    if (s->depends_count > 0) {
        qsort(s->depends_on, s->depends_count, sizeof(s->depends_on[0]), text_compare);
        buf_add_text(out, "    depends_on:\n");
        for (size_t i = 0; i < s->depends_count; i++) {
            buf_printf(out, "      - \"%s\"\n", s->depends_on[i]);
        }
    }
    if (s->script != NULL && s->script[0] != '\0') {
        buf_add_text(out, "    command: [\"sh\", \"-c\", ");
        add_quoted(out, str_of(s->script), DOLLAR_DOUBLE);
        buf_add_text(out, "]\n");
    }
    if (out->len == before) {
        buf_add_text(out, "    {}\n");
    }
}

static int service_compare(const void *a, const void *b)
{
    const struct compose_service *x = a;
    const struct compose_service *y = b;
    return strcmp(x->name, y->name);
}

/* Compose refuses named volumes that are not declared. */
static void add_declarations(const struct compose_file *file, struct buf *out)
{
    struct envlist names = {0};
    for (size_t i = 0; i < file->count; i++) {
        for (size_t j = 0; j < file->services[i].volume_count; j++) {
            struct str name;
            if (compose_volume_name(file->services[i].volumes[j], &name)) {
                envlist_set(&names, name, STR(""));
            }
        }
    }
    if (names.count > 0) {
        qsort(names.items, names.count, sizeof(names.items[0]), pair_compare);
        buf_add_text(out, "volumes:\n");
    }
    for (size_t i = 0; i < names.count; i++) {
        buf_printf(out, "  \"%.*s\": {}\n", (int)strlen(names.items[i]) - 1, names.items[i]);
    }
    envlist_fini(&names);
}

void compose_file_write(struct compose_file *file, struct buf *out)
{
    if (file->count > 0) {
        qsort(file->services, file->count, sizeof(file->services[0]), service_compare);
    }
    buf_add_text(out, "# Written by wos for every `up`; changes are lost.\n");
    if (file->version != NULL) {
        buf_add_text(out, "version: ");
        add_quoted(out, str_of(file->version), DOLLAR_DOUBLE);
        buf_add_char(out, '\n');
    }
    buf_add_text(out, file->count > 0 ? "services:\n" : "services: {}\n");
    for (size_t i = 0; i < file->count; i++) {
        service_write(&file->services[i], file->service_bind, out);
    }
    add_declarations(file, out);
}
