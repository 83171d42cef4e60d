/* err: one sentence an operator can act on, with a code a program can act on.
 *
 * Control-plane functions take a `struct err *` as their last parameter and
 * return 0, or -1 with the error filled in. A caller that knows more wraps:
 *
 *     if (file_read(path, LIMIT, &text, err) < 0)
 *         return err_wrap(err, "config");
 *
 * yields "config: /home/u/.wos/config.json: Permission denied". Passing NULL
 * is allowed and drops the text. The struct owns no memory; copy it freely.
 */
#ifndef WOS_BASE_ERR_H
#define WOS_BASE_ERR_H

#include <stdarg.h>

enum err_code {
    ERR_NONE = 0,
    ERR_FAILED,    /* anything without a better word */
    ERR_USAGE,     /* the caller asked for something that cannot be asked for */
    ERR_CONFIG,    /* a file a person wrote says something it must not */
    ERR_NOT_FOUND, /* the named thing does not exist */
    ERR_BUSY,      /* another operation holds it */
    ERR_TIMEOUT,   /* a deadline passed */
    ERR_REFUSED,   /* not allowed, or not valid where it came from */
    ERR_SYSTEM,    /* the operating system said no; `sys` has errno */
};

struct err {
    enum err_code code;
    int sys;       /* errno where code is ERR_SYSTEM, else 0 */
    char msg[768]; /* always NUL-terminated; cut, never overrun */
};

/* Both return -1, so that `return err_set(...)` reads well. */
int err_set(struct err *err, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* As err_set, with ": <strerror(errno)>" appended and code ERR_SYSTEM. */
int err_set_sys(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts "<text>: " before the message that is there. Returns -1. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The -1 in plain sight, for the compiler and for analysers. */
#define err_set(...) ((void)(err_set)(__VA_ARGS__), -1)
#define err_set_sys(...) ((void)(err_set_sys)(__VA_ARGS__), -1)
#define err_wrap(...) ((void)(err_wrap)(__VA_ARGS__), -1)
void err_clear(struct err *err);
/* Stable lower-case word for JSON ("failed", "usage", "config", …). */
const char *err_code_name(enum err_code code);

#endif
