/* terminal_ends: the descriptors between a terminal's program and the daemon; terminal.c's. */
#ifndef WOS_DAEMON_TERMINAL_ENDS_H
#define WOS_DAEMON_TERMINAL_ENDS_H

#include <stdint.h>

#include "base/err.h"

/* All close at exec. The same number may stand more than once. */
struct terminal_ends {
    int child[3]; /* stdin, stdout, stderr of the program */
    int ours[3];  /* to write to, to read from twice; -1: none */
};

int terminal_open_pty(uint16_t cols, uint16_t rows, struct terminal_ends *out, struct err *err);
int terminal_open_pipes(struct terminal_ends *out, struct err *err);
/* Closes each once. */
void terminal_ends_close(int fds[3]);
/* Clamped to 1..TERMINAL_SIZE_MAX. */
void terminal_set_size(int fd, uint16_t cols, uint16_t rows);

#endif
