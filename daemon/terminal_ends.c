/* terminal_ends: see terminal_ends.h. Called by terminal.c; loop thread. */
#include "daemon/terminal_ends.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "daemon/terminal.h"

void terminal_ends_close(int fds[3])
{
    for (size_t i = 0; i < 3; i++) {
        bool again = (i > 0 && fds[i] == fds[0]) || (i > 1 && fds[i] == fds[1]);
        if (fds[i] >= 0 && !again) {
            (void)close(fds[i]);
        }
    }
}

void terminal_set_size(int fd, uint16_t cols, uint16_t rows)
{
    struct winsize size = {.ws_col = cols < 1                   ? 1
                                     : cols > TERMINAL_SIZE_MAX ? TERMINAL_SIZE_MAX
                                                                : cols,
                           .ws_row = rows < 1                   ? 1
                                     : rows > TERMINAL_SIZE_MAX ? TERMINAL_SIZE_MAX
                                                                : rows};
    (void)ioctl(fd, TIOCSWINSZ, &size); /* a size is a nicety */
}

int terminal_open_pty(uint16_t cols, uint16_t rows, struct terminal_ends *out, struct err *err)
{
    char name[64];
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 ||
        ptsname_r(master, name, sizeof(name)) != 0) {
        (void)err_set_sys(err, "cannot make a terminal");
        if (master >= 0) {
            (void)close(master);
        }
        return -1;
    }
    int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0) {
        (void)err_set_sys(err, "cannot open the terminal %s", name);
        (void)close(master);
        return -1;
    }
    terminal_set_size(master, cols == 0 ? TERMINAL_COLS : cols, rows == 0 ? TERMINAL_ROWS : rows);
    *out = (struct terminal_ends){{slave, slave, slave}, {master, master, -1}};
    return 0;
}

int terminal_open_pipes(struct terminal_ends *out, struct err *err)
{
    *out = (struct terminal_ends){{-1, -1, -1}, {-1, -1, -1}};
    for (size_t i = 0; i < 3; i++) {
        int both[2];
        if (pipe2(both, O_CLOEXEC) < 0) {
            (void)err_set_sys(err, "pipe");
            terminal_ends_close(out->child);
            terminal_ends_close(out->ours);
            return -1;
        }
        out->child[i] = both[i == 0 ? 0 : 1];
        out->ours[i] = both[i == 0 ? 1 : 0];
    }
    return 0;
}
