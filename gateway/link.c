/* link: the gateway's end of gateway/link_protocol.h. Main thread.
 *
 * The inherited socket listens; whoever connects with our own uid becomes the
 * daemon, and replaces an older one. The gateway speaks first. */
#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/build.h"
#include "base/file.h"
#include "base/log.h"
#include "gateway/gateway.h"
#include "gateway/link_protocol.h"
#include "gateway/stats.h"

void link_send(struct gateway *g, unsigned type, cJSON *object)
{
    autofree char *text = json_print(object);
    if (g->link != NULL) {
        frame_send(g->link, type, str_of(text), NULL, 0);
    }
    cJSON_Delete(object);
}

/* Said to a new link, which takes it at once: a frame that had to wait would need copies of its
 * descriptors, which the sandbox refuses. */
static void send_listeners(struct gateway *g, unsigned worker)
{
    int fds[FRAME_FDS_MAX];
    size_t count = 0;
    cJSON *object = cJSON_CreateObject();
    (void)json_add_int(object, "worker", worker);
    cJSON *addresses = cJSON_AddArrayToObject(object, "addresses");
    for (size_t i = 0; i < g->kept_count && count < FRAME_FDS_MAX; i++) {
        if (g->kept[i].worker == worker) {
            CHECK(cJSON_AddItemToArray(addresses, cJSON_CreateString(g->kept[i].address)));
            fds[count++] = g->kept[i].fd;
        }
    }
    autofree char *text = json_print(object);
    cJSON_Delete(object);
    frame_send(g->link, LINK_LISTENERS, str_of(text), fds, count);
}

static void add_sandbox(const struct gateway *g, cJSON *object)
{
    cJSON *sandbox = cJSON_AddObjectToObject(object, "sandbox");
    (void)json_add_bool(sandbox, "noNewPrivileges", g->sandbox.no_new_privs);
    (void)json_add_bool(sandbox, "noCapabilities", g->sandbox.no_capabilities);
    (void)json_add_bool(sandbox, "emptyRoot", g->sandbox.empty_root);
    (void)json_add_bool(sandbox, "seccomp", g->sandbox.seccomp);
}

static void send_hello(struct gateway *g)
{
    cJSON *hello = cJSON_CreateObject();
    (void)json_add_int(hello, "protocol", LINK_PROTOCOL);
    (void)json_add_str(hello, "build", build_id());
    (void)json_add_int(hello, "pid", getpid());
    (void)json_add_int(hello, "generation",
                       g->snapshot == NULL ? 0 : (int64_t)g->snapshot->spec.generation);
    (void)json_add_int(hello, "workers", g->worker_count);
    add_sandbox(g, hello);
    link_send(g, LINK_HELLO, hello);
    for (unsigned i = 0; i < g->worker_count; i++) {
        send_listeners(g, i);
    }
    link_send(g, LINK_READY, cJSON_CreateObject());
}

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)close(fds[i]);
    }
}

static void on_json(struct gateway *g, uint32_t type, const cJSON *object, const int *fds,
                    size_t fd_count)
{
    switch (type) {
    case LINK_SETUP:
        gateway_setup(g, (unsigned)json_get_int(object, "workers", 1));
        break;
    case LINK_LISTENERS:
        gateway_add_listeners(g, (unsigned)json_get_int(object, "worker", WORKERS_MAX),
                              json_get(object, "addresses"), fds, fd_count);
        return; /* took the descriptors */
    case LINK_STATS:
        stats_collect(g, json_get_bool(object, "routes", false));
        break;
    case LINK_ACCESS_LOG:
        if (fd_count > 0) {
            gateway_set_access_log(g, fds[0]);
            close_all(fds + 1, fd_count - 1);
            return;
        }
        gateway_set_access_log(g, -1);
        break;
    case LINK_DRAIN:
        gateway_drain(g, (uint64_t)json_get_int(object, "limit_ms", 0));
        break;
    case LINK_SHUTDOWN:
        log_info("gateway", "told to end");
        loop_stop(g->loop);
        break;
    default:
        log_warn("gateway", "ignored an unknown message", LOG_INT("type", type));
        break;
    }
    close_all(fds, fd_count);
}

static void on_frame(void *arg, uint32_t type, struct str payload, const int *fds, size_t fd_count)
{
    struct gateway *g = arg;
    CHECK(g->magic == GATEWAY_MAGIC);
    if (type == LINK_SNAPSHOT) {
        if (payload.len == 0 && fd_count == 1) {
            gateway_publish_file(g, fds[0]);
        } else {
            gateway_publish(g, payload);
        }
        close_all(fds, fd_count);
        return;
    }
    struct err err = {0};
    autojson cJSON *object = json_parse(payload, "daemon link", &err);
    if (object == NULL) {
        log_error("gateway", "malformed message", LOG_STR("error", err.msg));
        close_all(fds, fd_count);
        return;
    }
    on_json(g, type, object, fds, fd_count);
}

static void on_close(void *arg, const char *reason)
{
    struct gateway *g = arg;
    CHECK(g->magic == GATEWAY_MAGIC);
    log_info("gateway", "the daemon left; serving the last snapshot", LOG_STR("reason", reason));
    frame_free(g->link);
    g->link = NULL;
}

static const struct frame_handler link_handler = {on_frame, on_close};

static void on_connect(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct gateway *g = arg;
    CHECK(g->magic == GATEWAY_MAGIC);
    int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) {
        return;
    }
    struct frame_channel *link = frame_open(g->loop, client, LINK_FRAME_MAX, &link_handler, g);
    if (frame_peer_uid(link, NULL) != (int64_t)geteuid()) {
        log_warn("gateway", "refused a daemon of another user");
        frame_free(link);
        return;
    }
    frame_free(g->link); /* the newest is the daemon */
    g->link = link;
    send_hello(g);
}

int link_open(struct gateway *g, struct err *err)
{
    int listening = 0;
    socklen_t len = sizeof listening;
    if (getsockopt(LINK_FD, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0 || !listening) {
        return err_set(err, ERR_USAGE,
                       "descriptor 3 is not a listening socket; the daemon starts this command");
    }
    if (fd_set_nonblock(LINK_FD, err) < 0 || fd_set_cloexec(LINK_FD, true, err) < 0) {
        return -1;
    }
    g->link_event = event_new(loop_base(g->loop), LINK_FD, EV_READ | EV_PERSIST, on_connect, g);
    CHECK(g->link_event != NULL && event_add(g->link_event, NULL) == 0);
    return 0;
}

void link_close(struct gateway *g)
{
    frame_free(g->link);
    g->link = NULL;
    if (g->link_event != NULL) {
        event_free(g->link_event);
        g->link_event = NULL;
    }
}
