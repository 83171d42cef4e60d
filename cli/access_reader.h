/* access_reader: the lines of H/logs/access.log, the last ones and those to come.
 *
 * Reads the files itself: they are the user's own, and are written even while the
 * daemon is down. Rotated files (access.log.1, …) are read too, and a reader that
 * follows goes from file to file in the order they were written. Blocks on files. One thread.
 */
#ifndef WOS_CLI_ACCESS_READER_H
#define WOS_CLI_ACCESS_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

/* One line without its newline; borrowed. The result says whether it counts (tail) or
 * whether to go on (follow). */
typedef bool access_line_fn(void *arg, struct str line);

struct access_reader {
    char *dir;        /* owned: H/logs */
    int fd;           /* owned; -1: no file yet */
    struct buf rest;  /* a line whose end is not there yet */
    bool is_replaced; /* another file stands in its place: one look more, then on to that */
};

void access_reader_init(struct access_reader *r, const char *home);
void access_reader_fini(struct access_reader *r);
/* Calls `accept` for lines from the newest back until `count` of them counted or there are no
 * more, then `print` for those, oldest first. Following goes on behind them. */
int access_reader_tail(struct access_reader *r, size_t count, access_line_fn *accept,
                       access_line_fn *print, void *arg, struct err *err);
/* Hands on what was appended since; false when `print` wants no more. */
bool access_reader_look(struct access_reader *r, access_line_fn *print, void *arg);

#endif
