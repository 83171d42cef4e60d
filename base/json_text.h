/* json_text: JSON written straight into a buf, without a tree: for a process that serves and must
 * survive that there is no memory. The buf may fail; whoever sends it looks.
 *
 *     json_text_begin(&b, NULL);            {
 *     json_text_str(&b, "name", "a");       "name":"a"
 *     json_text_begin(&b, "counts");        ,"counts":{
 *     json_text_uint(&b, "x", 1);           "x":1
 *     json_text_end(&b);                    }
 *     json_text_end(&b);                    }
 *
 * Names are the program's own: they are not escaped. */
#ifndef WOS_BASE_JSON_TEXT_H
#define WOS_BASE_JSON_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* A comma where one is due, and the member's name; `name` NULL: in an array, or at the top. */
void json_text_name(struct buf *out, const char *name);
void json_text_begin(struct buf *out, const char *name);
void json_text_end(struct buf *out);
void json_text_array(struct buf *out, const char *name);
void json_text_array_end(struct buf *out);
void json_text_uint(struct buf *out, const char *name, uint64_t value);
void json_text_bool(struct buf *out, const char *name, bool value);
/* Microseconds as seconds. */
void json_text_seconds(struct buf *out, const char *name, uint64_t us);
void json_text_str(struct buf *out, const char *name, const char *value);

#endif
