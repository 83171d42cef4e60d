/* priority: see priority.h. Called by front_h2's streams. */
#include "gateway/priority.h"

#include <string.h>

struct cursor {
    const char *at;
    const char *end;
};

static bool is_at(const struct cursor *c, char wanted)
{
    return c->at < c->end && *c->at == wanted;
}

static bool take(struct cursor *c, char wanted)
{
    if (!is_at(c, wanted)) {
        return false;
    }
    c->at++;
    return true;
}

static void skip_blanks(struct cursor *c, bool tabs)
{
    while (is_at(c, ' ') || (tabs && is_at(c, '\t'))) {
        c->at++;
    }
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool take_key(struct cursor *c, struct str *out)
{
    const char *begin = c->at;
    if (c->at == c->end || !(is_lower(*c->at) || *c->at == '*')) {
        return false;
    }
    while (c->at < c->end && (is_lower(*c->at) || ascii_is_digit(*c->at) ||
                              (*c->at != '\0' && strchr("_-.*", *c->at) != NULL))) {
        c->at++;
    }
    *out = (struct str){begin, (size_t)(c->at - begin)};
    return true;
}

static bool skip_string(struct cursor *c)
{
    while (c->at < c->end && *c->at != '"') {
        if (*c->at == '\\') {
            c->at++;
            if (!is_at(c, '"') && !is_at(c, '\\')) {
                return false;
            }
        } else if (*c->at < 0x20 || *c->at > 0x7e) {
            return false;
        }
        c->at++;
    }
    return take(c, '"');
}

static bool is_alpha(char c)
{
    return is_lower(ascii_lower(c));
}

/* Number, token, byte sequence or boolean: *out is its text. */
static bool take_bare(struct cursor *c, struct str *out)
{
    const char *begin = c->at;
    if (c->at == c->end) {
        return false;
    }
    if (take(c, '?')) {
        if (!take(c, '0') && !take(c, '1')) {
            return false;
        }
    } else if (take(c, ':')) {
        while (c->at < c->end && (is_alpha(*c->at) || ascii_is_digit(*c->at) || *c->at == '+' ||
                                  *c->at == '/' || *c->at == '=')) {
            c->at++;
        }
        if (!take(c, ':')) {
            return false;
        }
    } else if (is_alpha(*c->at) || *c->at == '*') {
        while (c->at<c->end && * c->at> 0x20 && *c->at < 0x7f &&
               strchr("\"(),;<=>?@[\\]{}", *c->at) == NULL) {
            c->at++;
        }
    } else {
        enum { NUMBER_MAX = 16 };
        (void)take(c, '-');
        const char *digits = c->at;
        while (c->at < c->end && (ascii_is_digit(*c->at) || *c->at == '.')) {
            c->at++;
        }
        if (c->at == digits || !ascii_is_digit(*digits) || c->at[-1] == '.' ||
            c->at - digits > NUMBER_MAX) {
            return false;
        }
    }
    *out = (struct str){begin, (size_t)(c->at - begin)};
    return true;
}

static bool take_item(struct cursor *c, struct str *out)
{
    *out = STR_NONE;
    return take(c, '"') ? skip_string(c) : take_bare(c, out);
}

static bool skip_parameters(struct cursor *c)
{
    struct str ignored;
    while (take(c, ';')) {
        skip_blanks(c, false);
        if (!take_key(c, &ignored) || (take(c, '=') && !take_item(c, &ignored))) {
            return false;
        }
    }
    return true;
}

static bool skip_list(struct cursor *c)
{
    struct str ignored;
    for (;;) {
        skip_blanks(c, false);
        if (take(c, ')')) {
            return true;
        }
        if (!take_item(c, &ignored) || !skip_parameters(c) || (!is_at(c, ' ') && !is_at(c, ')'))) {
            return false;
        }
    }
}

static void apply(struct priority *p, struct str key, struct str value)
{
    if (str_eq(key, STR("u")) && value.len == 1 && value.ptr[0] >= '0' &&
        value.ptr[0] <= '0' + PRIORITY_URGENCY_MAX) {
        p->urgency = (uint8_t)(value.ptr[0] - '0');
    } else if (str_eq(key, STR("i")) && value.len == 2 && value.ptr[0] == '?') {
        p->incremental = value.ptr[1] == '1';
    }
}

bool priority_parse(struct str value, struct priority *p)
{
    struct priority result = *p;
    struct cursor c = {value.ptr, value.ptr + value.len};
    skip_blanks(&c, false);
    while (c.at < c.end) {
        struct str key;
        struct str item = STR("?1"); /* a key alone is true */
        if (!take_key(&c, &key)) {
            return false;
        }
        if (take(&c, '=')) {
            bool list = take(&c, '(');
            item = STR_NONE;
            if (list ? !skip_list(&c) : !take_item(&c, &item)) {
                return false;
            }
        }
        if (!skip_parameters(&c)) {
            return false;
        }
        apply(&result, key, item);
        skip_blanks(&c, true);
        if (c.at == c.end) {
            break;
        }
        if (!take(&c, ',')) {
            return false;
        }
        skip_blanks(&c, true);
        if (c.at == c.end) {
            return false;
        }
    }
    *p = result;
    return true;
}
