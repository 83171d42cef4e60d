/* failure: filling a struct failure with text that may come from outside. Called
 * by everything in acme/; any thread.
 */
#include "acme/failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Control characters become spaces; a UTF-8 character that the end of the
 * buffer cut in two goes as a whole. */
static void clean(char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == 0x7f) {
            text[i] = ' ';
        }
    }
    size_t start = len;
    while (start > 0 && len - start < 3 && ((unsigned char)text[start - 1] & 0xc0) == 0x80) {
        start--;
    }
    if (start == 0) {
        return;
    }
    unsigned char lead = (unsigned char)text[start - 1];
    size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (want > 1 && len - (start - 1) < want) {
        text[start - 1] = '\0';
    }
}

void failure_set(struct failure *f, const char *phase, const char *fmt, ...)
{
    /* The text may be made of what *f holds. */
    char message[FAILURE_MESSAGE_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    clean(message);
    *f = (struct failure){.phase = phase};
    memcpy(f->message, message, sizeof message);
}

void failure_set_err(struct failure *f, const char *phase, const struct err *err)
{
    failure_set(f, phase, "%s", err->msg);
}
