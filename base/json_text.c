/* json_text: see json_text.h. No state. */
#include "base/json_text.h"

#include <inttypes.h>

void json_text_name(struct buf *out, const char *name)
{
    char last = out->len == 0 ? '{' : out->ptr[out->len - 1];
    if (last != '{' && last != '[' && last != ':') {
        buf_add_char(out, ',');
    }
    if (name != NULL) {
        buf_printf(out, "\"%s\":", name);
    }
}

void json_text_begin(struct buf *out, const char *name)
{
    json_text_name(out, name);
    buf_add_char(out, '{');
}

void json_text_end(struct buf *out)
{
    buf_add_char(out, '}');
}

void json_text_array(struct buf *out, const char *name)
{
    json_text_name(out, name);
    buf_add_char(out, '[');
}

void json_text_array_end(struct buf *out)
{
    buf_add_char(out, ']');
}

void json_text_uint(struct buf *out, const char *name, uint64_t value)
{
    json_text_name(out, name);
    buf_printf(out, "%" PRIu64, value);
}

void json_text_bool(struct buf *out, const char *name, bool value)
{
    json_text_name(out, name);
    buf_add_text(out, value ? "true" : "false");
}

void json_text_seconds(struct buf *out, const char *name, uint64_t us)
{
    json_text_name(out, name);
    buf_printf(out, "%" PRIu64 ".%06" PRIu64, us / 1000000, us % 1000000);
}

void json_text_str(struct buf *out, const char *name, const char *value)
{
    json_text_name(out, name);
    buf_add_char(out, '"');
    for (const char *at = value; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\') {
            buf_add_char(out, '\\');
            buf_add_char(out, *at);
        } else if ((uint8_t)*at < ' ') {
            buf_printf(out, "\\u%04x", (unsigned)*at);
        } else {
            buf_add_char(out, *at);
        }
    }
    buf_add_char(out, '"');
}
