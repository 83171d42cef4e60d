/* failure: filling a struct failure with text that may come from outside. Called
 * by everything in acme/; any thread.
 */
#include "acme/failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The length of the UTF-8 character that starts here, 0 if it is none. */
static size_t character_len(const unsigned char *p)
{
    size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if ((p[0] >= 0x80 && p[0] < 0xc2) || p[0] > 0xf4) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool is_overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool is_surrogate = p[0] == 0xed && p[1] > 0x9f;
    bool is_beyond = p[0] == 0xf4 && p[1] > 0x8f;
    return is_overlong || is_surrogate || is_beyond ? 0 : len;
}

/* Control characters become spaces, bytes that are no UTF-8 become "?"; a character that the end
 * of the buffer cut in two goes as a whole. */
static void clean(char *text, bool is_cut)
{
    unsigned char *p = (unsigned char *)text;
    while (*p != '\0') {
        size_t len = character_len(p);
        if (len == 0 && is_cut && *p >= 0xc2 && strlen((char *)p) < 4) {
            *p = '\0';
        } else if (len == 0) {
            *p++ = '?';
        } else {
            bool is_control = *p < 0x20 || *p == 0x7f;
            *p = is_control ? ' ' : *p;
            p += len;
        }
    }
}

void failure_set(struct failure *f, const char *phase, const char *fmt, ...)
{
    /* The text may be made of what *f holds. */
    char message[FAILURE_MESSAGE_MAX];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    clean(message, len >= (int)sizeof message);
    *f = (struct failure){.phase = phase};
    memcpy(f->message, message, sizeof message);
}

void failure_set_err(struct failure *f, const char *phase, const struct err *err)
{
    failure_set(f, phase, "%s", err->msg);
}
