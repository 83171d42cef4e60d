/* envfile: env files as Compose reads them. Called by deployment when it prepares and starts
 * services; daemon thread. One pass from left to right. */
#include "daemon/deploy/envfile.h"

#include <stdlib.h>

#include "base/auto.h"
#include "base/file.h"

enum {
    ENVFILE_MAX = 1024 * 1024,
    VALUES_MAX = 4 * 1024 * 1024, /* a variable that names another doubles quickly */
};

static const char too_long[] = "the values are more than 4 MiB";

struct reader {
    struct str rest;
    unsigned line;                     /* of the beginning of `rest` */
    unsigned value_line;               /* of the value that is being read */
    const char *file;                  /* borrowed */
    const struct envlist *environment; /* borrowed; may be NULL */
    struct envlist *list;              /* borrowed */
    size_t total;                      /* bytes of all values */
    struct err *err;

    const char *sought; /* borrowed; NULL: a file is read, else a name is looked for in it */
    bool is_found;
};

static int reader_error(const struct reader *r, const char *what)
{
    return err_set(r->err, ERR_CONFIG, "%s:%u: %s", r->file, r->value_line, what);
}

static void reader_skip(struct reader *r, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        r->line += r->rest.ptr[i] == '\n' ? 1 : 0;
    }
    r->rest.ptr += count;
    r->rest.len -= count;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static struct str trim(struct str text)
{
    while (text.len > 0 && is_blank(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && is_blank(text.ptr[text.len - 1])) {
        text.len--;
    }
    return text;
}

static void skip_blanks(struct reader *r)
{
    while (r->rest.len > 0 && is_blank(r->rest.ptr[0])) {
        reader_skip(r, 1);
    }
}

/* True when there is nothing more on the line but a comment. */
static bool at_line_end(const struct reader *r)
{
    return r->rest.len == 0 || r->rest.ptr[0] == '\n' || r->rest.ptr[0] == '#';
}

static void skip_line(struct reader *r)
{
    size_t end = str_find(r->rest, '\n');
    reader_skip(r, end == r->rest.len ? end : end + 1);
}

/* --- variables ------------------------------------------------------------------------- */

static bool is_name_char(char c, bool is_first)
{
    char lower = ascii_lower(c);
    return (lower >= 'a' && lower <= 'z') || c == '_' || (!is_first && ascii_is_digit(c));
}

static size_t name_length(struct str text)
{
    size_t len = 0;
    while (len < text.len && is_name_char(text.ptr[len], len == 0)) {
        len++;
    }
    return len;
}

/* NULL: there is none. */
static const char *variable_find(const struct reader *r, struct str name)
{
    autofree char *key = str_dup(name);
    const char *found = r->environment == NULL ? NULL : envlist_get(r->environment, key);
    return found != NULL ? found : envlist_get(r->list, key);
}

static int variable_add(const struct reader *r, const char *value, struct buf *out)
{
    size_t len = value == NULL ? 0 : strlen(value);
    if (len > VALUES_MAX || out->len > VALUES_MAX - len) {
        return reader_error(r, too_long);
    }
    buf_add_str(out, (struct str){value, len});
    return 0;
}

/* What is between the braces. */
static int braces_expand(const struct reader *r, struct str inner, struct buf *out)
{
    static const char allowed[] = "${…} may be ${NAME}, ${NAME:-default} or ${NAME-default}; "
                                  "in single quotes a $ is a $";
    size_t len = name_length(inner);
    struct str name = {inner.ptr, len};
    struct str rest = {inner.ptr + len, inner.len - len};
    bool or_empty = str_starts(rest, STR(":-"));
    bool has_default = or_empty || str_starts(rest, STR("-"));
    if (len == 0 || (rest.len > 0 && !has_default) || str_find(rest, '$') < rest.len) {
        return reader_error(r, allowed);
    }
    const char *found = variable_find(r, name);
    if (has_default && (found == NULL || (or_empty && found[0] == '\0'))) {
        size_t sign = or_empty ? 2 : 1;
        buf_add_str(out, (struct str){rest.ptr + sign, rest.len - sign});
        return 0;
    }
    return variable_add(r, found, out);
}

/* `text` begins with '$'; *out_used is how much of it was taken. */
static int variable_expand(const struct reader *r, struct str text, size_t *out_used,
                           struct buf *out)
{
    struct str rest = {text.ptr + 1, text.len - 1};
    size_t len = name_length(rest);
    if (rest.len > 0 && rest.ptr[0] == '$') {
        buf_add_char(out, '$');
        *out_used = 2;
        return 0;
    }
    if (len > 0) {
        *out_used = 1 + len;
        return variable_add(r, variable_find(r, (struct str){rest.ptr, len}), out);
    }
    size_t end = str_find(rest, '}');
    if (rest.len == 0 || rest.ptr[0] != '{' || end == rest.len) {
        return reader_error(r, "a $ begins a variable; write $$ for a $, or put the value in "
                               "single quotes");
    }
    *out_used = 1 + end + 1;
    return braces_expand(r, (struct str){rest.ptr + 1, end - 1}, out);
}

/* --- values ---------------------------------------------------------------------------- */

/* The character that a backslash and `c` stand for; 0: both stand for themselves. */
static char escape_of(char c)
{
    static const char names[] = "abfnrtv\"\\$";
    static const char meant[] = "\a\b\f\n\r\t\v\"\\$";
    const char *found = c == '\0' ? NULL : strchr(names, c);
    return found == NULL ? '\0' : meant[found - names];
}

static int read_plain(struct reader *r, struct buf *out)
{
    struct str line = {r->rest.ptr, str_find(r->rest, '\n')};
    struct str value = line;
    for (size_t i = 0; i + 1 < line.len && value.len == line.len; i++) {
        if (line.ptr[i] == ' ' && line.ptr[i + 1] == '#') {
            value.len = i;
        }
    }
    while (value.len > 0 && is_blank(value.ptr[value.len - 1])) {
        value.len--;
    }
    for (size_t i = 0; i < value.len;) {
        size_t used = 1;
        if (value.ptr[i] != '$' || r->sought != NULL) {
            buf_add_char(out, value.ptr[i]);
        } else if (variable_expand(r, (struct str){value.ptr + i, value.len - i}, &used, out) < 0) {
            return -1;
        }
        i += used;
    }
    reader_skip(r, line.len);
    return 0;
}

static int read_single(struct reader *r, struct buf *out)
{
    reader_skip(r, 1);
    while (r->rest.len > 0 && r->rest.ptr[0] != '\'') {
        bool is_quote = str_starts(r->rest, STR("\\'"));
        buf_add_char(out, is_quote ? '\'' : r->rest.ptr[0]);
        reader_skip(r, is_quote ? 2 : 1);
    }
    if (r->rest.len == 0) {
        return reader_error(r, "a value that begins with ' has no ' at its end");
    }
    reader_skip(r, 1);
    return 0;
}

static int read_double(struct reader *r, struct buf *out)
{
    reader_skip(r, 1);
    while (r->rest.len > 0 && r->rest.ptr[0] != '"') {
        char c = r->rest.ptr[0];
        char next = r->rest.len > 1 ? r->rest.ptr[1] : '\0';
        size_t used = 1;
        if (c == '\\' && next == '0' && r->sought == NULL) {
            return reader_error(r, "octal escapes (\\0…) are not read");
        }
        if (c == '\\' && escape_of(next) != '\0') {
            buf_add_char(out, escape_of(next));
            used = 2;
        } else if (c != '$' || r->sought != NULL) {
            buf_add_char(out, c);
        } else if (variable_expand(r, r->rest, &used, out) < 0) {
            return -1;
        }
        reader_skip(r, used);
    }
    if (r->rest.len == 0) {
        return reader_error(r, "a value that begins with \" has no \" at its end");
    }
    reader_skip(r, 1);
    return 0;
}

/* Behind the '='. */
static int read_value(struct reader *r, struct buf *out)
{
    bool has_blank = r->rest.len > 0 && is_blank(r->rest.ptr[0]);
    skip_blanks(r);
    char first = r->rest.len > 0 ? r->rest.ptr[0] : '\n';
    if (first == '#' && has_blank) {
        return reader_error(r, "put a value that begins with # in quotes, or nothing behind the =");
    }
    if (first != '"' && first != '\'') {
        return read_plain(r, out);
    }
    if ((first == '"' ? read_double(r, out) : read_single(r, out)) < 0) {
        return -1;
    }
    skip_blanks(r);
    return at_line_end(r) ? 0 : reader_error(r, "there is more behind the closing quote");
}

/* --- keys -------------------------------------------------------------------------------- */

static bool key_is_valid(struct str key)
{
    if (key.len == 0 || ascii_is_digit(key.ptr[0])) {
        return false;
    }
    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i];
        if (!is_name_char(c, false) && c != '.' && c != '-') {
            return false;
        }
    }
    return true;
}

/* Of what stands before the sign: without blanks around it and "export". */
static struct str key_of(struct str text)
{
    struct str word = STR("export");
    struct str key = trim(text);
    if (str_starts(key, word) && key.len > word.len && is_blank(key.ptr[word.len])) {
        key = trim((struct str){key.ptr + word.len, key.len - word.len});
    }
    return key;
}

/* --- looking for a name ------------------------------------------------------------------ */

/* Compose takes more than we read, and it is Compose that reads this file: what we would refuse is
 * passed over, and variables stay as they are, as values do not matter. */
static void seek_line(struct reader *r)
{
    struct str line = {r->rest.ptr, str_find(r->rest, '\n')};
    size_t equals = str_find(line, '=');
    size_t colon = str_find(line, ':');
    size_t end = equals < colon ? equals : colon;
    struct str key = key_of((struct str){line.ptr, end});
    struct buf unused = {0};
    if (!key_is_valid(key)) {
        return;
    }
    r->is_found = r->is_found || str_eq(key, str_of(r->sought));
    if (end < line.len) {
        reader_skip(r, end + 1);
        (void)read_value(r, &unused);
    }
    buf_fini(&unused);
}

/* --- lines ----------------------------------------------------------------------------- */

/* What is left of the '=', which is skipped. */
static int read_key(struct reader *r, struct str *out_key)
{
    struct str line = {r->rest.ptr, str_find(r->rest, '\n')};
    size_t at = str_find(line, '=');
    struct str key = key_of((struct str){line.ptr, at});
    if (at == line.len || !key_is_valid(key)) {
        return reader_error(r, "not a KEY=value line; blank lines and # comments are allowed");
    }
    reader_skip(r, at + 1);
    *out_key = key;
    return 0;
}

static int read_line(struct reader *r)
{
    struct str key;
    struct buf value = {0};
    r->value_line = r->line;
    int rc = read_key(r, &key);
    if (rc == 0) {
        rc = read_value(r, &value);
    }
    if (rc == 0) {
        r->total += value.len;
        rc = r->total <= VALUES_MAX ? 0 : reader_error(r, too_long);
    }
    if (rc == 0) {
        envlist_set(r->list, key, buf_str(&value));
    }
    buf_fini(&value);
    return rc;
}

static int read_all(struct reader *r)
{
    if (r->rest.len > 0 && memchr(r->rest.ptr, '\0', r->rest.len) != NULL) {
        return err_set(r->err, ERR_CONFIG, "%s: holds a NUL byte; it must be text", r->file);
    }
    if (str_starts(r->rest, STR("\xef\xbb\xbf"))) {
        reader_skip(r, 3); /* editors of another system mark UTF-8 so */
    }
    while (r->rest.len > 0) {
        skip_blanks(r);
        if (!at_line_end(r) && r->sought != NULL) {
            seek_line(r);
        } else if (!at_line_end(r) && read_line(r) < 0) {
            return -1;
        }
        skip_line(r);
    }
    return 0;
}

int envfile_parse(struct str text, const char *file, const struct envlist *environment,
                  struct envlist *list, struct err *err)
{
    struct reader r = {.rest = text,
                       .line = 1,
                       .file = file,
                       .environment = environment,
                       .list = list,
                       .err = err};
    return read_all(&r);
}

int envfile_load(const char *path, const struct envlist *environment, struct envlist *list,
                 struct err *err)
{
    struct buf text = {0};
    int rc = file_read(path, ENVFILE_MAX, &text, err);
    if (rc == 0) {
        rc = envfile_parse(buf_str(&text), path, environment, list, err);
    } else {
        err->code = ERR_CONFIG;
        (void)err_wrap(err, "env_file");
    }
    buf_fini(&text);
    return rc;
}

bool envfile_names(const char *path, const char *name)
{
    struct buf text = {0};
    struct reader r = {.line = 1, .file = path, .sought = name};
    if (file_read(path, ENVFILE_MAX, &text, NULL) == 0) {
        r.rest = buf_str(&text);
        (void)read_all(&r); /* what is not text has no names */
    }
    buf_fini(&text);
    return r.is_found;
}
