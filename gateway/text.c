/* text: see text.h. Worker threads. */
#include "gateway/text.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/auto.h"

void text_init(struct text *t, struct arena *arena, size_t cap)
{
    *t = (struct text){.arena = arena, .ptr = arena_try_alloc(arena, cap)};
    t->cap = t->ptr == NULL ? 0 : cap;
}

/* NULL without memory: the arena has `failed`. */
static char *reserve(struct text *t, size_t extra)
{
    if (t->cap - t->len < extra) {
        size_t cap = (t->len + extra) * 2;
        char *grown = arena_try_alloc(t->arena, cap);
        if (grown == NULL) {
            return NULL;
        }
        if (t->len > 0) {
            memcpy(grown, t->ptr, t->len);
        }
        t->ptr = grown;
        t->cap = cap;
    }
    return t->ptr + t->len;
}

void text_add(struct text *t, struct str s)
{
    char *to = s.len > 0 ? reserve(t, s.len) : NULL;
    if (to != NULL) {
        memcpy(to, s.ptr, s.len);
        t->len += s.len;
    }
}

void text_printf(struct text *t, const char *fmt, ...)
{
    va_list args;
    va_list again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    CHECK(len >= 0);
    char *to = reserve(t, (size_t)len + 1);
    if (to != NULL) {
        CHECK(vsnprintf(to, (size_t)len + 1, fmt, again) == len);
        t->len += (size_t)len;
    }
    va_end(again);
    va_end(args);
}

void text_add_html(struct text *t, struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.ptr[i];
        switch (c) {
        case '&':
            text_add(t, STR("&amp;"));
            break;
        case '<':
            text_add(t, STR("&lt;"));
            break;
        case '>':
            text_add(t, STR("&gt;"));
            break;
        case '"':
            text_add(t, STR("&quot;"));
            break;
        case '\'':
            text_add(t, STR("&#39;"));
            break;
        default:
            text_add(t, c < 0x20 || c == 0x7f ? STR("\xef\xbf\xbd") : (struct str){s.ptr + i, 1});
            break;
        }
    }
}

/* Length of the well-formed UTF-8 sequence (Unicode table 3-7) at s, 0 if there is none. */
static size_t utf8_len(struct str s)
{
    const uint8_t *p = (const uint8_t *)s.ptr;
    uint8_t c = p[0];
    size_t len = c < 0x80                 ? 1
                 : c >= 0xc2 && c <= 0xdf ? 2
                 : c >= 0xe0 && c <= 0xef ? 3
                 : c >= 0xf0 && c <= 0xf4 ? 4
                                          : 0;
    if (len == 0 || s.len < len) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool bad = (c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) ||
               (c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f);
    return bad ? 0 : len;
}

void text_add_json(struct text *t, struct str s)
{
    text_add(t, STR("\""));
    for (size_t i = 0; i < s.len;) {
        uint8_t c = (uint8_t)s.ptr[i];
        size_t len = utf8_len((struct str){s.ptr + i, s.len - i});
        if (len == 0 || c == 0) { /* many readers end at a NUL */
            text_add(t, STR("\\ufffd"));
            len = 1;
        } else if (c < 0x20 || c == 0x7f) {
            text_printf(t, "\\u%04x", c);
        } else if (c == '"' || c == '\\') {
            text_printf(t, "\\%c", c);
        } else {
            text_add(t, (struct str){s.ptr + i, len});
        }
        i += len;
    }
    text_add(t, STR("\""));
}
