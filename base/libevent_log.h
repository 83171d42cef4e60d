/* libevent_log: what libevent has to say goes to our log, at most a line in ten seconds with a
 * count of those left out: it repeats itself as fast as its loop turns. Once per process, before
 * its first loop. */
#ifndef WOS_BASE_LIBEVENT_LOG_H
#define WOS_BASE_LIBEVENT_LOG_H

void libevent_log_init(void);

#endif
