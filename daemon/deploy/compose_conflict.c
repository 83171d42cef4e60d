/* compose_conflict: see compose_conflict.h. Called by runner_compose. */
#include "daemon/deploy/compose_conflict.h"

#include <stdio.h>

static bool has_part(struct str text, struct str part)
{
    for (size_t i = 0; i + part.len <= text.len; i++) {
        if (str_eq_nocase((struct str){text.ptr + i, part.len}, part)) {
            return true;
        }
    }
    return false;
}

bool conflict_is(struct str text)
{
    static const char *const patterns[] = {"port is already allocated", "address already in use",
                                           "failed to bind", "bind for",
                                           "driver failed programming external connectivity"};
    if (has_part(text, STR("cannot assign requested address"))) {
        return false; /* serviceBind is none of this machine's: other ports would not help */
    }
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        if (has_part(text, str_of(patterns[i]))) {
            return true;
        }
    }
    return has_part(text, STR("cannot start service")) && has_part(text, STR("port"));
}

bool conflict_names_port(struct str text, uint16_t port)
{
    char number[8];
    int len = snprintf(number, sizeof(number), ":%u", (unsigned)port);
    for (size_t i = 0; i + (size_t)len <= text.len; i++) {
        bool ends = i + (size_t)len == text.len || !ascii_is_digit(text.ptr[i + (size_t)len]);
        if (ends && str_eq((struct str){text.ptr + i, (size_t)len}, str_of(number))) {
            return true;
        }
    }
    return false;
}
