/* sslerr: see sslerr.h. Used by everything that calls OpenSSL; any thread. */
#include "certs/sslerr.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>

int(sslerr_set)(struct err *err, enum err_code code, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap); /* cut like every error */
    va_end(ap);
    unsigned long queued = ERR_peek_error();
    const char *reason = queued == 0 ? NULL : ERR_reason_error_string(queued);
    ERR_clear_error();
    if (reason == NULL) {
        return err_set(err, code, "%s", text);
    }
    return err_set(err, code, "%s: %s", text, reason);
}
