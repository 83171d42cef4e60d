/* err: see err.h. Any thread; no allocation. */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int(err_set)(struct err *err, enum err_code code, const char *fmt, ...)
{
    if (err == NULL) {
        return -1;
    }
    va_list ap;
    va_start(ap, fmt);
    char text[sizeof err->msg]; /* an argument may be err->msg itself */
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    err->code = code;
    err->sys = 0;
    memcpy(err->msg, text, sizeof text);
    return -1;
}

int(err_set_sys)(struct err *err, const char *fmt, ...)
{
    int saved = errno;
    if (err == NULL) {
        return -1;
    }
    va_list ap;
    va_start(ap, fmt);
    char text[sizeof err->msg];
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    char reason[128];
    const char *why = strerror_r(saved, reason, sizeof reason);
    (void)err_set(err, ERR_SYSTEM, "%.600s: %s", text, why);
    err->sys = saved;
    errno = saved;
    return -1;
}

int(err_wrap)(struct err *err, const char *fmt, ...)
{
    if (err == NULL) {
        return -1;
    }
    va_list ap;
    va_start(ap, fmt);
    char text[256];
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    char whole[sizeof err->msg];
    (void)snprintf(whole, sizeof whole, "%s: %.500s", text, err->msg);
    memcpy(err->msg, whole, sizeof whole);
    return -1;
}

void err_clear(struct err *err)
{
    if (err != NULL) {
        *err = (struct err){.code = ERR_NONE};
    }
}

const char *err_code_name(enum err_code code)
{
    static const char *const names[] = {
        [ERR_NONE] = "ok",         [ERR_FAILED] = "failed",       [ERR_USAGE] = "usage",
        [ERR_CONFIG] = "config",   [ERR_NOT_FOUND] = "not-found", [ERR_BUSY] = "busy",
        [ERR_TIMEOUT] = "timeout", [ERR_REFUSED] = "refused",     [ERR_SYSTEM] = "system",
    };
    if ((unsigned)code >= sizeof names / sizeof names[0]) {
        return "failed";
    }
    return names[code];
}
