/* shell: starting the script of a service. Called by deployment; loop thread.
 * Opening the log files is the only file I/O. */
#include "daemon/deploy/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"

enum { TAIL_MAX = 8192 };

void shell_join(const char *const *commands, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        /* A comment or a here-document would swallow a parenthesis on its line. */
        bool own_line = strpbrk(commands[i], "#\n") != NULL || strstr(commands[i], "<<") != NULL;
        buf_printf(out, "%s(%s%s)", i == 0 ? "" : " && ", commands[i], own_line ? "\n" : "");
    }
}

/* A new file each time: who follows the old one sees that, and a process that outlived its
 * service goes on writing into what nobody reads. */
static int log_open(const char *path, struct err *err)
{
    if (unlink(path) < 0 && errno != ENOENT) {
        return err_set_sys(err, "log file %s", path);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? err_set_sys(err, "log file %s", path) : fd;
}

struct subprocess *shell_start(struct loop *loop, const struct shell_spec *spec,
                               subprocess_exit_fn *on_exit, void *arg, struct err *err)
{
    struct stat st;
    if (stat(spec->cwd, &st) < 0 || !S_ISDIR(st.st_mode)) {
        (void)err_set(err, ERR_CONFIG, "cwd %s is not a directory", spec->cwd);
        return NULL;
    }
    autoclose int out = log_open(spec->stdout_path, err);
    if (out < 0) {
        return NULL;
    }
    autoclose int errors = log_open(spec->stderr_path, err);
    if (errors < 0) {
        return NULL;
    }
    struct buf line = {0};
    shell_join(spec->commands, spec->command_count, &line);
    const char *const argv[] = {"sh", "-lc", buf_cstr(&line), NULL};
    struct subprocess_spec sub = {.argv = argv,
                                  .env = spec->env,
                                  .cwd = spec->cwd,
                                  .stdin_fd = -1,
                                  .stdout_fd = out,
                                  .stderr_fd = errors};
    struct subprocess *process = subprocess_start(loop, &sub, on_exit, arg, err);
    buf_fini(&line);
    return process;
}

char *shell_log_tail(const char *path, size_t lines)
{
    autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return xstrdup("");
    }
    off_t from = st.st_size > TAIL_MAX ? st.st_size - TAIL_MAX : 0;
    char raw[TAIL_MAX];
    ssize_t got = pread(fd, raw, sizeof(raw), from);
    return shell_text_tail((struct str){raw, got < 0 ? 0 : (size_t)got}, lines);
}

char *shell_text_tail(struct str text, size_t lines)
{
    while (text.len > 0 && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r')) {
        text.len--;
    }
    size_t at = text.len;
    for (size_t seen = 0; at > 0; at--) {
        if (text.ptr[at - 1] == '\n' && ++seen == lines) {
            break;
        }
    }
    struct buf out = {0};
    shell_clean_text((struct str){text.ptr + at, text.len - at}, &out);
    return buf_take(&out);
}

/* Length of the well-formed UTF-8 sequence at the start, or 0. */
static size_t utf8_length(const uint8_t *p, size_t left)
{
    if (p[0] < 0x80) {
        return p[0] == 0 ? 0 : 1;
    }
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < len) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool beyond = (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf4 && p[1] >= 0x90);
    return overlong || beyond ? 0 : len;
}

void shell_clean_text(struct str text, struct buf *out)
{
    const uint8_t *bytes = (const uint8_t *)text.ptr;
    for (size_t i = 0; i < text.len;) {
        size_t len = utf8_length(bytes + i, text.len - i);
        if (len == 0) {
            buf_add_text(out, "\xef\xbf\xbd");
            i++;
        } else {
            buf_add(out, bytes + i, len);
            i += len;
        }
    }
}
