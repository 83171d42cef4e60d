/* json_log: see json_log.h. Made by daemon.c. */
#include "daemon/json_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

enum { JSON_LOG_MAGIC = 0x6a6c6f67 };

struct json_log {
    uint32_t magic;
    const struct config *config; /* borrowed */
    int fd;                      /* owned; -1: not open */
    char *path;                  /* owned; of what is open */
    bool is_faulty;              /* … and daemon.log says so */
};

/* --- the file ------------------------------------------------------------------------ */

static int file_open(const char *path, struct err *err)
{
    autofree char *folder = xstrdup(path);
    char *slash = strrchr(folder, '/');
    struct stat st;
    if (slash != NULL && slash != folder) {
        *slash = '\0';
        if (dir_make(folder, 0700, err) < 0) {
            return -1;
        }
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_set_sys(err, "cannot open %s", path);
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd); /* nothing was written */
        return err_set(err, ERR_REFUSED, "%s is no regular file", path);
    }
    return fd;
}

static void file_close(struct json_log *l)
{
    if (l->fd >= 0) {
        (void)close(l->fd); /* every line was written, or its loss told */
        l->fd = -1;
    }
    free(l->path);
    l->path = NULL;
}

/* path.1 becomes path.2, … the oldest goes; then path becomes path.1. */
static int rotate(const char *path, uint32_t keep, struct err *err)
{
    autofree char *first = xasprintf("%s.1", path);
    for (uint32_t i = keep; i > 1; i--) {
        autofree char *from = xasprintf("%s.%u", path, i - 1);
        autofree char *to = xasprintf("%s.%u", path, i);
        (void)rename(from, to); /* most often there are not so many yet */
    }
    if ((keep == 0 ? unlink(path) : rename(path, first)) < 0 && errno != ENOENT) {
        return err_set_sys(err, "cannot rotate %s", path);
    }
    return 0;
}

/* Opens what logging.file names now, unless that is open and has room for the line. */
static int file_prepare(struct json_log *l, size_t line_len, struct err *err)
{
    const char *path = l->config->log_file;
    struct stat ours;
    struct stat there;
    bool is_right = l->fd >= 0 && strcmp(l->path, path) == 0 && fstat(l->fd, &ours) == 0 &&
                    stat(path, &there) == 0 && ours.st_ino == there.st_ino &&
                    ours.st_dev == there.st_dev;
    if (!is_right) {
        file_close(l);
        l->fd = file_open(path, err);
        l->path = xstrdup(path);
        if (l->fd < 0 || fstat(l->fd, &ours) < 0) {
            return -1;
        }
    }
    if (ours.st_size == 0 || (uint64_t)ours.st_size + line_len <= l->config->log_size_max) {
        return 0;
    }
    if (rotate(path, l->config->log_keep, err) < 0) {
        return -1; /* never more than maxSize: lines are lost instead */
    }
    file_close(l);
    l->fd = file_open(path, err);
    l->path = xstrdup(path);
    return l->fd < 0 ? -1 : 0;
}

static void line_write(struct json_log *l, struct str line)
{
    struct err err = {.msg = ""};
    int rc = file_prepare(l, line.len, &err);
    if (rc == 0 && write(l->fd, line.ptr, line.len) != (ssize_t)line.len) {
        rc = err_set_sys(&err, "cannot write to %s", l->path);
    }
    if (rc < 0 && !l->is_faulty) {
        log_error("log", "lines of logging.file are lost", LOG_STR("error", err.msg));
    }
    l->is_faulty = rc < 0;
}

/* --- one line ---------------------------------------------------------------------------- */

/* Bytes of the UTF-8 character at the start; 0: none is there. */
static size_t character(struct str s)
{
    const uint8_t *p = (const uint8_t *)s.ptr;
    size_t len = p[0] < 0x80                   ? 1
                 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
                 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
                 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                               : 0;
    for (size_t i = 1; i < len; i++) {
        if (i >= s.len || (p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool is_bad = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
                  (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f);
    return is_bad ? 0 : len;
}

/* Peers' bytes may be anything, a line of JSON may not. */
static void add_text(cJSON *line, const char *name, struct str text)
{
    struct buf clean = {0};
    while (text.len > 0) {
        size_t len = character(text);
        if (len == 0 || *text.ptr == '\0') {
            buf_add_text(&clean, "\xef\xbf\xbd");
            len = 1;
        } else {
            buf_add(&clean, text.ptr, len);
        }
        text = (struct str){text.ptr + len, text.len - len};
    }
    (void)json_add_str(line, name, buf_cstr(&clean));
    buf_fini(&clean);
}

static bool is_of_people(const char *name)
{
    static const char *const names[] = {"prompt", "query", "lastQuery", "summary", "title"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void add_field(const struct json_log *l, cJSON *line, const struct log_field *field)
{
    if (field->is_int) {
        (void)json_add_int(line, field->name, field->number);
    } else if (l->config->log_redact && is_of_people(field->name)) {
        autofree char *name = xasprintf("%s.len", field->name);
        (void)json_add_int(line, name, (int64_t)field->text.len);
    } else {
        add_text(line, field->name, field->text);
    }
}

/* The file's levels are words in this order, then trace, of which we have no lines. */
static enum log_level level_of(uint32_t word)
{
    return word > LOG_LEVEL_DEBUG ? LOG_LEVEL_DEBUG : (enum log_level)word;
}

static bool is_wanted(const struct config *c, enum log_level level, const char *module)
{
    for (uint32_t i = 0; i < c->log_modules.count; i++) {
        if (strcmp(c->log_modules.items[i].name, module) == 0) {
            return level <= level_of(c->log_modules.items[i].level);
        }
    }
    return level <= level_of(c->log_level);
}

static void json_log_on_event(void *arg, enum log_level level, const char *module,
                              const char *sentence, const struct log_field *fields)
{
    struct json_log *l = arg;
    CHECK(l->magic == JSON_LOG_MAGIC);
    if (!is_wanted(l->config, level, module)) {
        return;
    }
    struct buf text = {0};
    autojson cJSON *line = cJSON_CreateObject();
    log_add_time(&text);
    (void)json_add_str(line, "ts", buf_cstr(&text));
    (void)json_add_str(line, "level", log_level_name(level));
    (void)json_add_str(line, "module", module);
    add_text(line, "msg", str_of(sentence));
    for (; fields->name != NULL; fields++) {
        add_field(l, line, fields);
    }
    autofree char *json = json_print(line);
    buf_fini(&text);
    buf_add_text(&text, json);
    buf_add_char(&text, '\n');
    line_write(l, buf_str(&text));
    buf_fini(&text);
}

/* --- life ------------------------------------------------------------------------------------ */

void json_log_config_changed(struct json_log *l)
{
    CHECK(l->magic == JSON_LOG_MAGIC);
    const struct config *c = l->config;
    enum log_level most = level_of(c->log_level);
    for (uint32_t i = 0; i < c->log_modules.count; i++) {
        enum log_level level = level_of(c->log_modules.items[i].level);
        most = level > most ? level : most;
    }
    l->is_faulty = false;
    if (!c->log_enabled) {
        file_close(l);
    }
    log_set_tap(most, c->log_enabled ? json_log_on_event : NULL, l);
}

struct json_log *json_log_new(const struct config *config)
{
    struct json_log *l = xcalloc(1, sizeof *l);
    l->magic = JSON_LOG_MAGIC;
    l->config = config;
    l->fd = -1;
    json_log_config_changed(l);
    return l;
}

void json_log_free(struct json_log *l)
{
    if (l == NULL) {
        return;
    }
    CHECK(l->magic == JSON_LOG_MAGIC);
    log_set_tap(LOG_LEVEL_OFF, NULL, NULL);
    file_close(l);
    l->magic = 0;
    free(l);
}
