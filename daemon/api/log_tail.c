/* log_tail: see log_tail.h. Called by logs.c; loop thread. */
#include "daemon/api/log_tail.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

enum { PIECE = 16384 };

struct log_identity log_identity_of(int fd)
{
    struct statx st;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st) != 0) {
        return (struct log_identity){0};
    }
    bool has_birth = (st.stx_mask & STATX_BTIME) != 0;
    return (struct log_identity){.inode = st.stx_ino,
                                 .born_s = has_birth ? st.stx_btime.tv_sec : 0,
                                 .born_ns = has_birth ? st.stx_btime.tv_nsec : 0};
}

bool log_identity_same(const struct log_identity *a, const struct log_identity *b)
{
    return a->inode == b->inode && a->born_s == b->born_s && a->born_ns == b->born_ns;
}

size_t log_tail_lines(const char *text)
{
    uint64_t lines = 0;
    return text != NULL && str_to_u64(str_of(text), &lines) ? (size_t)lines : 0;
}

off_t log_tail_start(int fd, off_t size, off_t limit, size_t lines)
{
    off_t first = size > limit ? size - limit : 0;
    char bytes[PIECE];
    size_t seen = 0;
    for (off_t end = size; lines > 0 && end > first;) {
        off_t from = end - first > PIECE ? end - PIECE : first;
        ssize_t got = pread(fd, bytes, (size_t)(end - from), from);
        for (ssize_t i = got; i-- > 0;) {
            bool is_last = from + i == size - 1; /* it ends a line, it does not begin one */
            seen += bytes[i] == '\n' && !is_last ? 1 : 0;
            if (seen == lines) {
                return from + i + 1;
            }
        }
        if (got <= 0) {
            break;
        }
        end = from;
    }
    return first;
}
