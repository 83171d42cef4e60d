/* access_print: lines of the access log (docs/LOGS.md), chosen and made readable. No I/O. */
#ifndef WOS_CLI_ACCESS_PRINT_H
#define WOS_CLI_ACCESS_PRINT_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"
#include "cli/print.h"

/* What to show; NULL or 0: everything. Borrowed. */
struct access_filter {
    const char *host;     /* the name asked for, or its first label */
    const char *worktree; /* … of the route */
    int status;           /* 404 */
    int status_class;     /* 5 for 5xx */
};

/* "404" or "5xx". */
int access_filter_status(struct access_filter *filter, const char *text, struct err *err);
bool access_filter_has(const struct access_filter *filter, const cJSON *line);
/* One line for people: local time, status, method, host and path, time taken, bytes, who. */
void access_print_line(const cJSON *line, const struct print_style *style, struct buf *out);

#endif
