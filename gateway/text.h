/* text: bytes that grow in an arena, for bodies that the gateway writes, and
 * the escapes of HTML and JSON. Lives as long as the arena; one thread. Without
 * memory it lacks pieces, and the arena has `failed`.
 */
#ifndef WOS_GATEWAY_TEXT_H
#define WOS_GATEWAY_TEXT_H

#include "base/arena.h"
#include "base/str.h"

struct text {
    struct arena *arena; /* borrowed */
    char *ptr;           /* the arena's */
    size_t len;
    size_t cap;
};

void text_init(struct text *t, struct arena *arena, size_t cap);
void text_add(struct text *t, struct str s);
void text_printf(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* As content or a quoted attribute value: & < > " ' become references, control bytes U+FFFD;
 * what is not UTF-8 passes, since it can close nothing. */
void text_add_html(struct text *t, struct str s);
/* With the quotes. NUL and bytes that are not UTF-8 become U+FFFD each. */
void text_add_json(struct text *t, struct str s);

static inline struct str text_str(const struct text *t)
{
    return (struct str){t->ptr, t->len};
}

#endif
