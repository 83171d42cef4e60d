/* log: see log.h. Any thread; the level and fd are set before threads start. */
#include "base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"

static _Atomic int log_level_now = LOG_LEVEL_INFO;
static _Atomic int log_fd = STDERR_FILENO;

/* The second log; of the one thread that has one. */
static _Atomic int tap_level = LOG_LEVEL_OFF;
static struct {
    log_tap_fn *fn;
    void *arg; /* borrowed */
    bool is_inside;
} tap;

static const char *const level_names[] = {"off", "error", "warn", "info", "debug"};

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&log_level_now, (int)level, memory_order_relaxed);
}

bool log_is_wanted(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&log_level_now, memory_order_relaxed) ||
           (int)level <= atomic_load_explicit(&tap_level, memory_order_relaxed);
}

void log_set_tap(enum log_level level, log_tap_fn *fn, void *arg)
{
    tap.fn = fn;
    tap.arg = arg;
    atomic_store_explicit(&tap_level, fn == NULL ? LOG_LEVEL_OFF : (int)level,
                          memory_order_relaxed);
}

void log_set_fd(int fd)
{
    atomic_store_explicit(&log_fd, fd, memory_order_relaxed);
}

bool log_level_parse(const char *name, enum log_level *out_level)
{
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c <= 0x20 || c >= 0x7f || c == '"' || c == '=' || c == '\\') {
            return false;
        }
    }
    return s.len > 0;
}

static void add_quoted(struct buf *line, struct str s)
{
    buf_add_char(line, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\') {
            buf_add_char(line, '\\');
            buf_add_char(line, (char)c);
        } else if (c == '\n') {
            buf_add_text(line, "\\n");
        } else if (c < 0x20 || c == 0x7f) {
            buf_printf(line, "\\x%02x", c);
        } else {
            buf_add_char(line, (char)c); /* UTF-8 passes */
        }
    }
    buf_add_char(line, '"');
}

void log_add_time(struct buf *line)
{
    struct timespec now;
    struct tm utc;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    buf_printf(line, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", utc.tm_year + 1900, utc.tm_mon + 1,
               utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, now.tv_nsec / 1000000);
}

static size_t bytes_needed(const char *module, const char *sentence, const struct log_field *fields)
{
    enum { BYTE = 4, NUMBER = 24, FIXED = 64 }; /* "\\x00"; time, level, quotes */
    size_t bytes = FIXED + strlen(module) + BYTE * strlen(sentence);
    for (; fields->name != NULL; fields++) {
        bytes += strlen(fields->name) + NUMBER + (fields->is_int ? 0 : BYTE * fields->text.len);
    }
    return bytes;
}

/* Without memory, and without fields. */
static void write_bare(const char *module, const char *sentence)
{
    char line[256];
    int len = snprintf(line, sizeof line, "%s: %s\n", module, sentence);
    size_t max = len < (int)sizeof line ? (size_t)len : sizeof line - 1;
    ssize_t ignored = write(atomic_load_explicit(&log_fd, memory_order_relaxed), line, max);
    (void)ignored; /* a log that cannot be written has nowhere to be reported */
}

static void write_line(enum log_level level, const char *module, const char *sentence,
                       const struct log_field *fields)
{
    struct buf line = {.cap = bytes_needed(module, sentence, fields)};
    line.ptr = try_alloc(line.cap);
    if (line.ptr == NULL) { /* the line that says so must not be the one that ends everything */
        write_bare(module, sentence);
        return;
    }
    log_add_time(&line);
    buf_printf(&line, " %s %s", level_names[level], module);
    for (; fields->name != NULL; fields++) {
        buf_printf(&line, " %s=", fields->name);
        if (fields->is_int) {
            buf_printf(&line, "%lld", (long long)fields->number);
        } else if (is_plain(fields->text)) {
            buf_add_str(&line, fields->text);
        } else {
            add_quoted(&line, fields->text);
        }
    }
    buf_add_text(&line, " msg=");
    add_quoted(&line, str_of(sentence));
    buf_add_char(&line, '\n');
    ssize_t ignored =
        write(atomic_load_explicit(&log_fd, memory_order_relaxed), line.ptr, line.len);
    (void)ignored; /* a log that cannot be written has nowhere to be reported */
    buf_fini(&line);
}

void log_write(enum log_level level, const char *module, const char *sentence,
               const struct log_field *fields)
{
    if ((int)level <= atomic_load_explicit(&log_level_now, memory_order_relaxed)) {
        write_line(level, module, sentence, fields);
    }
    if ((int)level <= atomic_load_explicit(&tap_level, memory_order_relaxed) && !tap.is_inside) {
        tap.is_inside = true;
        tap.fn(tap.arg, level, module, sentence, fields);
        tap.is_inside = false;
    }
}
