/* process: see process.h. Control plane, any thread. */
#include "base/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"

enum { STAT_MAX = 1024, FIELD_GROUP = 5, FIELD_SESSION = 6, FIELD_THREADS = 20, FIELD_START = 22 };

/* `rest` follows the command's closing parenthesis: " S 1 2 3 …". */
static bool parse_stat(struct str rest, struct process_info *info)
{
    struct str part;
    (void)str_next(&rest, ' ', &part); /* empty: before the first space */
    for (int field = 3; field <= FIELD_START; field++) {
        uint64_t value = 0;
        if (!str_next(&rest, ' ', &part) || part.len == 0) {
            return false;
        }
        if (field == 3) {
            info->state = part.ptr[0];
            continue;
        }
        if (field != FIELD_GROUP && field != FIELD_SESSION && field != FIELD_THREADS &&
            field != FIELD_START) {
            continue; /* some of them may be negative */
        }
        if (!str_to_u64(part, &value)) {
            return false;
        }
        if (field == FIELD_GROUP) {
            info->group = (pid_t)value;
        } else if (field == FIELD_SESSION) {
            info->session = (pid_t)value;
        } else if (field == FIELD_THREADS) {
            info->threads = value;
        } else {
            info->start_ticks = value;
        }
    }
    return true;
}

bool process_is_want(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}

bool process_read(pid_t pid, struct process_info *out_info)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (pid <= 0 || fd < 0) {
        errno = pid <= 0 || errno == ENOENT ? ESRCH : errno;
        return false;
    }
    char text[STAT_MAX];
    ssize_t len = read(fd, text, sizeof text);
    if (len <= 0) {
        errno = len == 0 ? ESRCH : errno; /* it ended between the open and the read */
        return false;
    }
    /* The command's name may itself hold parentheses and spaces: the last one counts. */
    const char *close = memrchr(text, ')', (size_t)len);
    struct process_info info = {.pid = pid};
    if (close == NULL ||
        !parse_stat((struct str){close + 1, (size_t)(text + len - close) - 1}, &info)) {
        errno = EIO;
        return false;
    }
    *out_info = info;
    return true;
}

uint64_t process_start_ticks(pid_t pid)
{
    struct process_info info;
    return process_read(pid, &info) ? info.start_ticks : 0;
}

bool process_boot_id(char out_id[PROCESS_BOOT_ID_SIZE])
{
    autoclose int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    char text[PROCESS_BOOT_ID_SIZE];
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text);
    struct str id = {text, len < 0 ? 0 : (size_t)len};
    id.len = str_find(id, '\n');
    if (id.len == 0 || id.len >= PROCESS_BOOT_ID_SIZE) {
        return false;
    }
    memcpy(out_id, id.ptr, id.len);
    out_id[id.len] = '\0';
    return true;
}

ssize_t process_members(pid_t id, process_fn *fn, void *arg)
{
    DIR *dir = opendir("/proc");
    if (dir == NULL) {
        return -1;
    }
    ssize_t count = 0;
    bool is_known = true;
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        uint64_t pid;
        struct process_info info;
        if (!str_to_u64(str_of(entry->d_name), &pid) || pid > INT32_MAX) {
            continue;
        }
        if (!process_read((pid_t)pid, &info)) {
            is_known = is_known && !process_is_want(errno);
            continue; /* it has ended, or is another user's */
        }
        if ((info.session == id || info.group == id) && info.state != 'Z' && info.state != 'X') {
            count++;
            if (fn != NULL) {
                fn(&info, arg);
            }
        }
    }
    (void)closedir(dir);
    return count == 0 && !is_known ? -1 : count;
}

bool process_signal(const struct process_info *info, int signo)
{
    autoclose int pidfd = pidfd_open(info->pid, 0);
    uint64_t ticks = pidfd < 0 ? 0 : process_start_ticks(info->pid);
    if (ticks == 0 && process_is_want(errno)) {
        return false;
    }
    if (ticks == info->start_ticks) {
        (void)pidfd_send_signal(pidfd, signo, NULL, 0); /* gone meanwhile is as good */
    }
    return true;
}
