/* log_tail: where the last lines of a log file begin, and whether it is still the same file. */
#ifndef WOS_DAEMON_API_LOG_TAIL_H
#define WOS_DAEMON_API_LOG_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Numbers of inodes are given again; with its birth a file is told from its successor. */
struct log_identity {
    uint64_t inode;
    int64_t born_s;
    uint32_t born_ns;
};

struct log_identity log_identity_of(int fd);
bool log_identity_same(const struct log_identity *a, const struct log_identity *b);

/* "20" gives 20; NULL and what is no number give 0. */
size_t log_tail_lines(const char *text);
/* Where the last `lines` lines begin, at most `limit` bytes before `size`; with 0 lines that far
 * before the end. */
off_t log_tail_start(int fd, off_t size, off_t limit, size_t lines);

#endif
