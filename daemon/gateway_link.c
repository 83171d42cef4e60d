/* gateway_link: see gateway_link.h. Owned by the supervisor, on the daemon's loop. */
#include "daemon/gateway_link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/frame.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memfile.h"
#include "gateway/link_protocol.h"

enum {
    GATEWAY_LINK_MAGIC = 0x676c6e6b,
    FILE_KEPT_MAX = 4 << 20, /* a snapshot of some 60,000 routes */
};

struct gateway_link {
    uint32_t magic;
    struct frame_channel *channel; /* owned */
    struct gateway_link_ops ops;
    void *arg; /* borrowed */
    int file;  /* owned: what the last large snapshot went in, for the next one; -1: none */
};

/* A gateway in hostile hands could give anything. */
static bool is_listening(int fd)
{
    int value = 0;
    socklen_t len = sizeof value;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &len) == 0 && value != 0;
}

static void link_on_listeners(struct gateway_link *link, const cJSON *body, const int *fds,
                              size_t fd_count)
{
    const cJSON *addresses = json_get(body, "addresses");
    int64_t worker = json_get_int(body, "worker", -1);
    for (size_t i = 0; i < fd_count; i++) {
        const cJSON *address =
            i < SOCKETS_PER_WORKER_MAX ? cJSON_GetArrayItem(addresses, (int)i) : NULL;
        if (worker < 0 || worker >= SOCKETS_WORKERS_MAX || !cJSON_IsString(address) ||
            !is_listening(fds[i])) {
            (void)close(fds[i]);
            continue;
        }
        link->ops.on_listener(link->arg, (size_t)worker, address->valuestring, fds[i]);
    }
}

static void link_on_hello(struct gateway_link *link, const cJSON *body)
{
    int64_t generation = json_get_int(body, "generation", 0);
    struct gateway_hello hello = {
        .protocol = json_get_int(body, "protocol", 0),
        .build = json_get_str(body, "build", ""),
        .pid = (pid_t)json_get_int(body, "pid", 0),
        .generation = generation < 0 ? 0 : (uint64_t)generation, /* ours go on behind it */
        .workers = (size_t)json_get_int(body, "workers", 0),
        .sandbox = json_get(body, "sandbox"),
    };
    if (hello.workers > SOCKETS_WORKERS_MAX) {
        hello.workers = 0;
    }
    link->ops.on_hello(link->arg, &hello);
}

static void link_on_frame(void *arg, uint32_t type, struct str payload, const int *fds,
                          size_t fd_count)
{
    struct gateway_link *link = arg;
    CHECK(link->magic == GATEWAY_LINK_MAGIC);
    struct err err;
    autojson cJSON *body = json_parse(payload.len == 0 ? STR("{}") : payload, "gateway", &err);
    if (body != NULL && type == LINK_LISTENERS) {
        link_on_listeners(link, body, fds, fd_count);
        return;
    }
    for (size_t i = 0; i < fd_count; i++) {
        (void)close(fds[i]);
    }
    if (body == NULL) {
        log_warn("gateway", "ignored a message that is no JSON", LOG_INT("type", type),
                 LOG_STR("error", err.msg));
        return;
    }
    uint64_t generation = (uint64_t)json_get_int(body, "generation", 0);
    switch (type) {
    case LINK_HELLO:
        link_on_hello(link, body);
        break;
    case LINK_READY:
        link->ops.on_ready(link->arg);
        break;
    case LINK_ACK:
        link->ops.on_answer(link->arg, generation, NULL);
        break;
    case LINK_NACK:
        link->ops.on_answer(link->arg, generation,
                            json_get_str(body, "error", "the gateway refused the snapshot"));
        break;
    case LINK_STATS:
        link->ops.on_stats(link->arg, body);
        break;
    case LINK_EVENT:
        link->ops.on_event(link->arg, body);
        break;
    default:
        log_debug("gateway", "ignored an unknown message", LOG_INT("type", type));
        break;
    }
}

static void link_on_close(void *arg, const char *reason)
{
    struct gateway_link *link = arg;
    CHECK(link->magic == GATEWAY_LINK_MAGIC);
    link->ops.on_close(link->arg, reason);
}

struct gateway_link *gateway_link_open(struct loop *loop, const char *path,
                                       const struct gateway_link_ops *ops, void *arg,
                                       struct err *err)
{
    static const struct frame_handler handler = {link_on_frame, link_on_close};
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof addr.sun_path) {
        (void)err_set(err, ERR_USAGE, "%s is too long for a socket", path);
        return NULL;
    }
    memcpy(addr.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof addr) < 0) {
        (void)err_set_sys(err, "cannot reach the gateway at %s", path);
        if (fd >= 0) {
            (void)close(fd);
        }
        return NULL;
    }
    struct gateway_link *link = xcalloc(1, sizeof *link);
    link->magic = GATEWAY_LINK_MAGIC;
    link->ops = *ops;
    link->arg = arg;
    link->file = -1;
    link->channel = frame_open(loop, fd, LINK_FRAME_MAX, &handler, link);
    return link;
}

static void file_drop(struct gateway_link *link)
{
    if (link->file >= 0) {
        (void)close(link->file);
        link->file = -1;
    }
}

void gateway_link_free(struct gateway_link *link)
{
    if (link == NULL) {
        return;
    }
    CHECK(link->magic == GATEWAY_LINK_MAGIC);
    frame_free(link->channel);
    file_drop(link);
    link->magic = 0;
    free(link);
}

static void send_json(struct gateway_link *link, uint32_t type, const cJSON *body, const int *fds,
                      size_t fd_count)
{
    autofree char *text = json_print(body);
    frame_send(link->channel, type, str_of(text), fds, fd_count);
}

void gateway_link_send_listeners(struct gateway_link *link, const struct socket_set *set)
{
    for (size_t w = 0; w < set->worker_count; w++) {
        const struct worker_sockets *ws = &set->workers[w];
        autojson cJSON *body = cJSON_CreateObject();
        (void)json_add_int(body, "worker", (int64_t)w);
        cJSON *addresses = cJSON_AddArrayToObject(body, "addresses");
        for (size_t i = 0; i < ws->count; i++) {
            (void)cJSON_AddItemToArray(addresses, cJSON_CreateString(ws->addresses[i]));
        }
        send_json(link, LINK_LISTENERS, body, ws->fds, ws->count);
    }
}

void gateway_link_send_setup(struct gateway_link *link, const struct socket_set *set)
{
    autojson cJSON *setup = cJSON_CreateObject();
    (void)json_add_int(setup, "workers", (int64_t)set->worker_count);
    send_json(link, LINK_SETUP, setup, NULL, 0);
    gateway_link_send_listeners(link, set);
}

void gateway_link_send_snapshot(struct gateway_link *link, struct str snapshot)
{
    struct err err = {.msg = ""};
    if (snapshot.len >= LINK_SNAPSHOT_FILE_MIN) {
        if (link->file >= 0 && memfile_refill(link->file, snapshot, &err) < 0) {
            file_drop(link);
        }
        if (link->file < 0) {
            link->file = memfile_new(snapshot, &err);
        }
    }
    if (snapshot.len < LINK_SNAPSHOT_FILE_MIN || link->file < 0) {
        frame_send(link->channel, LINK_SNAPSHOT, snapshot, NULL, 0); /* the slower way */
        return;
    }
    frame_send(link->channel, LINK_SNAPSHOT, STR_NONE, &link->file, 1);
    if (snapshot.len > FILE_KEPT_MAX) {
        file_drop(link);
    }
}

void gateway_link_send_drain(struct gateway_link *link, uint32_t limit_ms)
{
    autojson cJSON *body = cJSON_CreateObject();
    (void)json_add_int(body, "limit_ms", limit_ms);
    send_json(link, LINK_DRAIN, body, NULL, 0);
}

void gateway_link_send_shutdown(struct gateway_link *link)
{
    frame_send(link->channel, LINK_SHUTDOWN, STR("{}"), NULL, 0);
}

void gateway_link_send_stats(struct gateway_link *link)
{
    frame_send(link->channel, LINK_STATS, STR("{\"routes\":true}"), NULL, 0);
}

void gateway_link_send_access_log(struct gateway_link *link, int fd)
{
    frame_send(link->channel, LINK_ACCESS_LOG, STR("{}"), &fd, fd < 0 ? 0 : 1);
}
