/* log: one line per event on stderr (or a file), for machines and grep.
 *
 *     log_info("gateway", "worker ready", LOG_INT("worker", id), LOG_STR("address", addr));
 *     2026-11-20T12:00:00.123Z info gateway worker=1 address=[::]:5858 msg="worker ready"
 *
 * Values are quoted and escaped where they need it, so that no peer can forge
 * a line. error = someone must act; warn = degraded but going on (say so);
 * info = state changed; debug = anything. Thread-safe: one write(2) a line.
 * A tap gets the same events, with a level of its own, for a second log.
 * Library code below daemon and gateway never logs above debug.
 */
#ifndef WOS_BASE_LOG_H
#define WOS_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum log_level { LOG_LEVEL_OFF, LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

struct log_field {
    const char *name; /* NULL ends the list */
    struct str text;  /* used when is_int is false */
    int64_t number;
    bool is_int;
};

#define LOG_STR(field, value) ((struct log_field){.name = (field), .text = str_of(value)})
#define LOG_SLICE(field, value) ((struct log_field){.name = (field), .text = (value)})
#define LOG_INT(field, value)                                                                      \
    ((struct log_field){.name = (field), .number = (int64_t)(value), .is_int = true})

/* The default level is info, to file descriptor 2. */
void log_set_level(enum log_level level);
/* True if anybody wants lines of that level. */
bool log_is_wanted(enum log_level level);
void log_set_fd(int fd);
bool log_level_parse(const char *name, enum log_level *out_level);
const char *log_level_name(enum log_level level);
/* The time as lines have it: UTC, milliseconds. */
void log_add_time(struct buf *line);

/* Called for each event up to `level`, in the thread that logs, never from inside itself; what it
 * logs goes to the descriptor alone. Texts are borrowed for the call. One tap, set and taken away
 * (NULL) by the thread that logs, in a process where that is one. */
typedef void log_tap_fn(void *arg, enum log_level level, const char *module, const char *sentence,
                        const struct log_field *fields);
void log_set_tap(enum log_level level, log_tap_fn *tap, void *arg);

void log_write(enum log_level level, const char *module, const char *sentence,
               const struct log_field *fields);

#define LOG_AT_(level, module, sentence, ...)                                                      \
    do {                                                                                           \
        if (log_is_wanted(level)) {                                                                \
            log_write((level), (module), (sentence),                                               \
                      (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.name = NULL}});       \
        }                                                                                          \
    } while (0)
#define log_error(module, sentence, ...) LOG_AT_(LOG_LEVEL_ERROR, module, sentence, __VA_ARGS__)
#define log_warn(module, sentence, ...) LOG_AT_(LOG_LEVEL_WARN, module, sentence, __VA_ARGS__)
#define log_info(module, sentence, ...) LOG_AT_(LOG_LEVEL_INFO, module, sentence, __VA_ARGS__)
#define log_debug(module, sentence, ...) LOG_AT_(LOG_LEVEL_DEBUG, module, sentence, __VA_ARGS__)

#endif
