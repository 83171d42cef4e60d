/* door: see door.h. Opened by api.c. */
#include "daemon/api/door.h"

#include <errno.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/log.h"
#include "base/loop.h"

enum { DOOR_MAGIC = 0x646f6f72, REST_MS = 200, GOOD_MS = 5000 };

struct door {
    uint32_t magic;
    struct door *next;
    const char *name;                /* borrowed */
    struct evconnlistener *listener; /* borrowed: evhttp's */
    struct loop_timer timer;
    bool is_resting;
    bool is_failing; /* and that is in the log */
};

/* The listener's callbacks get evhttp's argument and no other: the doors of the daemon's loop, to
 * find the one by its listener. */
static struct door *doors;

static void door_on_timer(void *arg)
{
    struct door *door = arg;
    CHECK(door->magic == DOOR_MAGIC);
    if (door->is_resting) {
        door->is_resting = false;
        (void)evconnlistener_enable(door->listener);
        loop_timer_set(&door->timer, GOOD_MS);
    } else {
        door->is_failing = false;
        log_info("api", "new clients are accepted again", LOG_STR("listener", door->name));
    }
}

static void door_on_error(struct evconnlistener *listener, void *arg)
{
    (void)arg; /* evhttp's */
    int why = errno;
    struct door *door = doors;
    while (door->listener != listener) {
        door = door->next;
    }
    (void)evconnlistener_disable(listener);
    door->is_resting = true;
    loop_timer_set(&door->timer, REST_MS);
    if (!door->is_failing) {
        door->is_failing = true;
        log_warn("api", "cannot accept new clients; they wait", LOG_STR("listener", door->name),
                 LOG_STR("error", strerror(why)));
    }
}

struct door *door_open(struct loop *loop, struct evhttp *http, int fd, const char *name)
{
    struct evhttp_bound_socket *bound = evhttp_accept_socket_with_handle(http, fd);
    if (bound == NULL) {
        return NULL;
    }
    struct door *door = xcalloc(1, sizeof *door);
    door->magic = DOOR_MAGIC;
    door->name = name;
    door->listener = evhttp_bound_socket_get_listener(bound);
    loop_timer_init(&door->timer, loop, door_on_timer, door);
    evconnlistener_set_error_cb(door->listener, door_on_error);
    door->next = doors;
    doors = door;
    return door;
}

void door_close(struct door *door)
{
    if (door == NULL) {
        return;
    }
    CHECK(door->magic == DOOR_MAGIC);
    struct door **at = &doors;
    while (*at != door) {
        at = &(*at)->next;
    }
    *at = door->next;
    evconnlistener_set_error_cb(door->listener, NULL);
    loop_timer_fini(&door->timer);
    door->magic = 0;
    free(door);
}
