/* manual: the command table as a manual: Markdown (docs/CLI.md), man pages and shell completion.
 *
 * Everything is taken from struct command: the usage line, the summary and the help text, whose
 * lines "  --option VALUE  what it does" and "  word  what it does" name options and subcommands.
 * Nothing is kept twice, so nothing can be out of date.
 */
#ifndef WOS_CLI_MANUAL_H
#define WOS_CLI_MANUAL_H

#include "base/err.h"
#include "base/str.h"

void manual_markdown(struct buf *out);
/* wos.1 and wos-<command>.1 in an existing directory. */
int manual_write_man(const char *dir, struct err *err);
/* shell: "bash", "zsh" or "fish"; ERR_USAGE for any other. */
int manual_completion(const char *shell, struct buf *out, struct err *err);

#endif
