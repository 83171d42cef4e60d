/* door: a listening socket of an evhttp that rests when accepting fails.
 *
 * Out of descriptors, the queue stays readable: a loop that tried again at once would do nothing
 * else. A door rests 200 ms between tries; the log says once when it begins to fail, and when it
 * has been open again for a while. Life: door_open takes the socket; door_close, before
 * evhttp_free, which closes the socket. The daemon's loop.
 */
#ifndef WOS_DAEMON_API_DOOR_H
#define WOS_DAEMON_API_DOOR_H

struct door;
struct evhttp;
struct loop;

/* NULL with errno set: the socket is still the caller's. `name`: borrowed, for the log. */
struct door *door_open(struct loop *loop, struct evhttp *http, int fd, const char *name);
void door_close(struct door *door);

#endif
