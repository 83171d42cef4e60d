/* access_writer: writes finished lines to the descriptor the daemon gave.
 *
 * The gateway opens no file: the descriptor comes with LINK_ACCESS_LOG, opened for
 * appending. A disk that is full loses lines and nothing else; they are counted
 * and the log says so, at most once in ten seconds. A line that was cut by a full
 * disk is completed when there is room again, so every line stays whole.
 *
 * What was written is dropped from the page cache as soon as it is on disk: a busy gateway would
 * push everything else out of it with lines that hardly anybody reads, and in a virtual machine
 * each page of memory that the host has to give first costs it ten times what the lines do. A
 * reader of older lines reads the disk.
 *
 * Main thread; writing may wait for the disk, which no request does.
 */
#ifndef WOS_GATEWAY_ACCESS_WRITER_H
#define WOS_GATEWAY_ACCESS_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct access_writer {
    int fd;          /* owned; -1: nowhere */
    struct buf tail; /* rest of a line that was cut */
    size_t cached;   /* bytes since the page cache was last let go of */
    uint64_t lost;   /* lines, in all */
    uint64_t reported;
    uint64_t reported_ms; /* when that was logged */
};

void access_writer_init(struct access_writer *w);
void access_writer_fini(struct access_writer *w);
/* Takes the descriptor; -1: nothing is written any more. */
void access_writer_set_fd(struct access_writer *w, int fd);
/* Whole lines. */
void access_writer_put(struct access_writer *w, struct str lines);
/* Lines lost elsewhere; logs what is lost, when it is time to. */
void access_writer_report(struct access_writer *w, uint64_t dropped);

#endif
