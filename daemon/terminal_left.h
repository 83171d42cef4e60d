/* terminal_left: what ran in terminals when the daemon was killed.
 *
 * While a program runs in a terminal, a file <dir>/<terminal's id>.json says which process it is
 * and what reaches further than its signals (terminal_hangup.h); no environment. It is written
 * before the start, with an id that the process carries (deploy/runid.h), and again when the
 * number is known. What a daemon finds there when it starts is of one that was killed: nobody
 * reads those programs any more, so they are ended as if their terminals were closed, and each
 * file goes when its own is gone. What cannot be looked at now, out of descriptors or memory, is
 * tried again. Loop thread; small blocking file I/O.
 */
#ifndef WOS_DAEMON_TERMINAL_LEFT_H
#define WOS_DAEMON_TERMINAL_LEFT_H

struct terminal;
struct terminals;
struct terminals_left;

/* Before its program is started, and after. Where it cannot be written, a killed daemon's program
 * goes on. */
void terminal_left_write(const struct terminal *t);
void terminal_left_remove(const struct terminal *t);

/* Ends what is in dir but those of ts, which must outlive it; dir is copied. */
struct terminals_left *terminals_left_new(struct terminals *ts, const char *dir);
/* Ends nobody: the files stay for the next daemon. NULL is allowed. */
void terminals_left_free(struct terminals_left *l);

#endif
