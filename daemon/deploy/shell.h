/* shell: a service's script as a host process, and what it wrote.
 *
 * The process is `sh -lc "(c1) && (c2)"` in its own process group, stdin empty,
 * output to log files that are emptied at the start. Stopping is the owner's
 * business: subprocess_stop with SHELL_GRACE_MS.
 */
#ifndef WOS_DAEMON_DEPLOY_SHELL_H
#define WOS_DAEMON_DEPLOY_SHELL_H

#include <stddef.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"
#include "base/subprocess.h"

enum { SHELL_GRACE_MS = 5000 };

struct shell_spec {
    const char *const *commands;
    size_t command_count;
    const char *cwd;
    const char *const *env; /* NULL-terminated */
    const char *stdout_path;
    const char *stderr_path;
};

/* "(c1) && (c2)", appended. */
void shell_join(const char *const *commands, size_t count, struct buf *out);
struct subprocess *shell_start(struct loop *loop, const struct shell_spec *spec,
                               subprocess_exit_fn *on_exit, void *arg, struct err *err);
/* The last lines of a file, at most `lines` and 8 KiB, without the final newline.
 * Empty text when there is nothing. malloc'ed. */
char *shell_log_tail(const char *path, size_t lines);
/* The same of a text already read. */
char *shell_text_tail(struct str text, size_t lines);
/* Text as valid UTF-8 for JSON: wrong bytes become U+FFFD, NUL too. Appended. */
void shell_clean_text(struct str text, struct buf *out);

#endif
