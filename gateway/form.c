/* form: see form.h. Worker threads; no state. */
#include "gateway/form.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* False when malformed. Writes at most text.len bytes. */
static bool decode(struct str text, char *to, size_t *out_len)
{
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = (uint8_t)text.ptr[i];
        if (c <= 0x20 || c >= 0x7f) {
            return false;
        }
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            bool whole = text.len - i > 2;
            int high = whole ? hex_digit(text.ptr[i + 1]) : -1;
            int low = whole ? hex_digit(text.ptr[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            c = (uint8_t)(high * 16 + low);
            i += 2;
            if (c < 0x20 || c == 0x7f) {
                return false; /* no field of ours has one; CR and LF least of all */
            }
        }
        to[len++] = (char)c;
    }
    *out_len = len;
    return true;
}

enum form_result form_get(struct str body, struct str name, struct arena *arena,
                          struct str *out_value)
{
    enum form_result result = FORM_ABSENT;
    struct str rest = body;
    struct str pair;
    if (body.len == 0) {
        return FORM_ABSENT;
    }
    while (str_next(&rest, '&', &pair)) {
        char *decoded = arena_try_alloc(arena, pair.len + 1);
        if (decoded == NULL) {
            return FORM_MALFORMED; /* the arena knows better */
        }
        size_t eq = str_find(pair, '=');
        struct str raw_value =
            eq < pair.len ? (struct str){pair.ptr + eq + 1, pair.len - eq - 1} : STR_NONE;
        size_t name_len;
        size_t value_len;
        if (!decode((struct str){pair.ptr, eq}, decoded, &name_len) ||
            !decode(raw_value, decoded + name_len, &value_len)) {
            return FORM_MALFORMED;
        }
        if (str_eq((struct str){decoded, name_len}, name)) {
            if (result == FORM_FOUND) {
                return FORM_MALFORMED;
            }
            result = FORM_FOUND;
            *out_value = (struct str){decoded + name_len, value_len};
        }
    }
    return result;
}

bool form_path_is_local(struct str path)
{
    if (path.len == 0 || path.len > FORM_PATH_MAX || path.ptr[0] != '/' ||
        (path.len > 1 && path.ptr[1] == '/')) {
        return false;
    }
    for (size_t i = 0; i < path.len; i++) {
        uint8_t c = (uint8_t)path.ptr[i];
        if (c <= 0x20 || c >= 0x7f || c == '\\') {
            return false;
        }
    }
    return true;
}
