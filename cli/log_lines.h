/* log_lines: chunks of several logs, printed line by line with the service's name in front.
 *
 * Lines of different services never mix within a line: what has no newline yet waits for the
 * rest. stdout's lines go to stdout, stderr's to stderr. With `colour` each name has its own.
 */
#ifndef WOS_CLI_LOG_LINES_H
#define WOS_CLI_LOG_LINES_H

#include <stdbool.h>

struct log_lines;

struct log_lines *log_lines_new(bool colour);
void log_lines_add(struct log_lines *lines, const char *service, bool is_error, const char *chunk);
/* Prints what has no newline; frees. NULL is allowed. */
void log_lines_free(struct log_lines *lines);

#endif
