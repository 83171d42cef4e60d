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
#include "base/json_text.h"
#include "base/log.h"
#include "gateway/gateway.h"
#include "gateway/link_protocol.h"
#include "gateway/stats.h"

bool link_send(struct gateway *g, unsigned type, struct buf *text)
{
    bool is_sent = !text->failed && g->link != NULL;
    if (is_sent) {
        frame_send(g->link, type, buf_str(text), NULL, 0);
    }
    buf_fini(text);
    return is_sent;
}

/* Said to a new link, which takes it at once: a frame that had to wait would need copies of its
 * descriptors, which the sandbox refuses. */
static void send_listeners(struct gateway *g, unsigned worker)
{
    int fds[FRAME_FDS_MAX];
    size_t count = 0;
    struct buf text = {0};
    json_text_begin(&text, NULL);
    json_text_uint(&text, "worker", worker);
    json_text_array(&text, "addresses");
    for (size_t i = 0; i < g->kept_count && count < FRAME_FDS_MAX; i++) {
        if (g->kept[i].worker == worker) {
            json_text_str(&text, NULL, g->kept[i].address);
            fds[count++] = g->kept[i].fd;
        }
    }
    json_text_array_end(&text);
    json_text_end(&text);
    frame_send(g->link, LINK_LISTENERS, buf_str(&text), fds, count);
    buf_fini(&text);
}

static void send_hello(struct gateway *g)
{
    struct buf text = {0};
    json_text_begin(&text, NULL);
    json_text_uint(&text, "protocol", LINK_PROTOCOL);
    json_text_str(&text, "build", build_id());
    json_text_uint(&text, "pid", (uint64_t)getpid());
    json_text_uint(&text, "generation", g->snapshot == NULL ? 0 : g->snapshot->spec.generation);
    json_text_uint(&text, "workers", g->worker_count);
    json_text_begin(&text, "sandbox");
    json_text_bool(&text, "noNewPrivileges", g->sandbox.no_new_privs);
    json_text_bool(&text, "noCapabilities", g->sandbox.no_capabilities);
    json_text_bool(&text, "emptyRoot", g->sandbox.empty_root);
    json_text_bool(&text, "seccomp", g->sandbox.seccomp);
    json_text_end(&text);
    json_text_end(&text);
    (void)link_send(g, LINK_HELLO, &text);
    for (unsigned i = 0; i < g->worker_count; i++) {
        send_listeners(g, i);
    }
    frame_send(g->link, LINK_READY, STR("{}"), NULL, 0);
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
