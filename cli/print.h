/* print: tables and sentences for a terminal. Builds text into a struct buf;
 * print_flush writes it. Nothing here talks to the daemon.
 *
 * What comes from services and configuration is shown, never obeyed: control
 * characters in it become '?', so that no service name moves the cursor.
 */
#ifndef WOS_CLI_PRINT_H
#define WOS_CLI_PRINT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/str.h"

struct print_style {
    bool links; /* OSC-8 hyperlinks */
    bool color; /* never with NO_COLOR */
};

/* What a stream can show: links and colours on a terminal that is not "dumb". */
struct print_style print_style_of(FILE *stream);

enum print_tint { TINT_NONE, TINT_GOOD, TINT_BAD, TINT_FAINT };

struct print_cell {
    char *text; /* owned */
    char *link; /* owned: NULL, or where the text leads */
    enum print_tint tint;
};

/* Rows of cells, all with the same number of columns. */
struct print_table {
    size_t columns;
    struct print_cell *cells; /* owned: row after row */
    size_t cell_count;
};

void print_table_init(struct print_table *t, size_t columns);
void print_table_fini(struct print_table *t);
/* The next cell; NULL text is an empty one. Copies. */
void print_table_add(struct print_table *t, const char *text, const char *link,
                     enum print_tint tint);
/* Columns padded with spaces, two between, the last one unpadded. */
void print_table_render(const struct print_table *t, const struct print_style *style,
                        struct buf *out);

/* The status table of one worktree from a WorktreeDetail (docs/API.md). */
void print_status(const cJSON *detail, const struct print_style *style, struct buf *out);
/* The page of `wos status --all`. */
void print_overview(const cJSON *all, const struct print_style *style, struct buf *out);
/* "<webUrl>/worktree?path=<encoded>", malloc'ed; NULL without a web UI. */
char *print_web_link(const char *web_url, const char *worktree_path);
/* Adds text with every byte that is not unreserved (RFC 3986) as %XX. */
void print_url_encode(struct buf *out, const char *text);

/* Writes and empties the buffer. */
void print_flush(FILE *stream, struct buf *text);

/* The line "warning: …" of a row that has a warning; else nothing. */
void print_warning(const cJSON *row, struct buf *out);

#endif
