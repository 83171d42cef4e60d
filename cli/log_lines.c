/* log_lines: see log_lines.h. Called by cmd_logs. */
#include "cli/log_lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/str.h"

struct log_source {
    char *service; /* owned */
    bool is_error;
    size_t number;   /* of the service: its colour */
    struct buf rest; /* a line that is not complete */
};

struct log_lines {
    bool colour;
    struct log_source *sources; /* owned */
    size_t count;
    size_t service_count;
    size_t width; /* of the longest name so far */
};

struct log_lines *log_lines_new(bool colour)
{
    struct log_lines *lines = xcalloc(1, sizeof(*lines));
    lines->colour = colour;
    return lines;
}

static struct log_source *source_of(struct log_lines *lines, const char *service, bool is_error)
{
    size_t number = lines->service_count;
    for (size_t i = 0; i < lines->count; i++) {
        struct log_source *s = &lines->sources[i];
        if (strcmp(s->service, service) == 0) {
            if (s->is_error == is_error) {
                return s;
            }
            number = s->number;
        }
    }
    lines->service_count += number == lines->service_count ? 1 : 0;
    lines->width = strlen(service) > lines->width ? strlen(service) : lines->width;
    lines->sources = xrealloc(lines->sources, (lines->count + 1) * sizeof(lines->sources[0]));
    lines->sources[lines->count] =
        (struct log_source){.service = xstrdup(service), .is_error = is_error, .number = number};
    return &lines->sources[lines->count++];
}

static void print_line(const struct log_lines *lines, const struct log_source *s, struct str line)
{
    static const char *const colours[] = {"\033[36m", "\033[33m", "\033[32m",
                                          "\033[35m", "\033[34m", "\033[31m"};
    FILE *out = s->is_error ? stderr : stdout;
    const char *on = lines->colour ? colours[s->number % COUNT_OF(colours)] : "";
    fprintf(out, "%s%-*s |%s ", on, (int)lines->width, s->service, lines->colour ? "\033[0m" : "");
    (void)fwrite(line.ptr, 1, line.len, out);
    (void)fputc('\n', out);
}

void log_lines_add(struct log_lines *lines, const char *service, bool is_error, const char *chunk)
{
    struct log_source *s = source_of(lines, service, is_error);
    buf_add_text(&s->rest, chunk);
    for (;;) {
        struct str have = buf_str(&s->rest);
        size_t len = str_find(have, '\n');
        if (len == have.len) {
            return;
        }
        print_line(lines, s, (struct str){have.ptr, len});
        buf_consume(&s->rest, len + 1);
    }
}

void log_lines_free(struct log_lines *lines)
{
    for (size_t i = 0; lines != NULL && i < lines->count; i++) {
        struct log_source *s = &lines->sources[i];
        if (s->rest.len > 0) {
            print_line(lines, s, buf_str(&s->rest));
        }
        buf_fini(&s->rest);
        free(s->service);
    }
    if (lines != NULL) {
        free(lines->sources);
        free(lines);
    }
}
