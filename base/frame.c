/* frame: see frame.h. The daemon's link to the gateway, on the loop's thread.
 *
 * Reading never crosses the end of a frame (header first, then exactly its
 * payload), so descriptors that arrive can belong only to the frame being
 * read. That costs two reads a frame, which a control channel can afford. */
#include "base/frame.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"

enum {
    FRAME_MAGIC = 0x46534f57, /* "WOSF" in little-endian order */
    HEADER_SIZE = 12,
    CHANNEL_MAGIC = 0x6672616d,
    FRAMES_PER_TURN = 32,  /* others want their turn too */
    READ_STEP = 64 * 1024, /* first allocation for a payload; doubles as bytes come */
};

struct out_frame {
    struct out_frame *next; /* owned */
    size_t len;
    size_t sent;
    int fds[FRAME_FDS_MAX]; /* owned duplicates, until the first byte is out */
    size_t fd_count;
    char bytes[];
};

struct frame_channel {
    uint32_t magic;
    struct loop *loop; /* borrowed */
    struct loop_call telling;
    struct loop_call reading_rest;
    struct loop_call freeing;
    int fd; /* owned */
    size_t limit;
    struct frame_handler handler;
    void *arg;                 /* borrowed */
    struct event *read_event;  /* owned */
    struct event *write_event; /* owned */

    uint8_t header[HEADER_SIZE];
    size_t header_len;
    uint32_t type;
    size_t payload_size; /* announced */
    char *payload;       /* owned */
    size_t payload_len;
    size_t payload_cap;
    int fds[FRAME_FDS_MAX]; /* owned: came with the frame being read */
    size_t fd_count;

    struct out_frame *out_head; /* owned */
    struct out_frame **out_tail;
    size_t out_bytes;

    bool closing;      /* on_close is scheduled or was called */
    bool write_broken; /* the peer reads no more; what it sent is still read */
    bool freed;
    char reason[160];
};

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void close_fds(int *fds, size_t *count)
{
    for (size_t i = 0; i < *count; i++) {
        (void)close(fds[i]); /* only a reference: nothing to lose */
    }
    *count = 0;
}

static void out_pop(struct frame_channel *ch)
{
    struct out_frame *out = ch->out_head;
    ch->out_head = out->next;
    if (ch->out_head == NULL) {
        ch->out_tail = &ch->out_head;
    }
    ch->out_bytes -= out->len - out->sent;
    close_fds(out->fds, &out->fd_count);
    free(out);
}

static void out_drop(struct frame_channel *ch)
{
    while (ch->out_head != NULL) {
        out_pop(ch);
    }
    (void)event_del(ch->write_event);
}

static void frame_on_closed(struct loop_call *call)
{
    struct frame_channel *ch = OWNER_OF(call, struct frame_channel, telling);
    CHECK(ch->magic == CHANNEL_MAGIC);
    if (!ch->freed) {
        ch->handler.on_close(ch->arg, ch->reason);
    }
}

static void close_channel(struct frame_channel *ch, const char *what, int sys)
{
    if (ch->closing || ch->freed) {
        return;
    }
    ch->closing = true;
    char text[64];
    (void)snprintf(ch->reason, sizeof ch->reason, "%s%s%s", what, sys == 0 ? "" : ": ",
                   sys == 0 ? "" : strerror_r(sys, text, sizeof text));
    (void)event_del(ch->read_event);
    out_drop(ch);
    close_fds(ch->fds, &ch->fd_count);
    loop_defer_call(ch->loop, &ch->telling, frame_on_closed);
}

/* What arrives with bytes that are not a frame's first belongs to no frame. */
static bool take_fds(struct frame_channel *ch, struct msghdr *msg, bool at_start)
{
    bool ok = (msg->msg_flags & MSG_CTRUNC) == 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        const unsigned char *data = CMSG_DATA(c);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, data + i * sizeof fd, sizeof fd);
            if (at_start && ch->fd_count < FRAME_FDS_MAX) {
                ch->fds[ch->fd_count++] = fd;
            } else {
                (void)close(fd);
                ok = false;
            }
        }
    }
    return ok;
}

/* Reads at most `len` bytes of the frame under way: bytes read, or 0 when there
 * is nothing more now (or the channel was closed). */
static size_t read_some(struct frame_channel *ch, void *at, size_t len)
{
    alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * FRAME_FDS_MAX)];
    struct iovec iov = {.iov_base = at, .iov_len = len};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got;
    do {
        got = recvmsg(ch->fd, &msg, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN) {
        if (ch->write_broken) {
            close_channel(ch, "the peer stopped reading", 0);
        }
        return 0;
    }
    if (got < 0) {
        close_channel(ch, "cannot read", errno);
        return 0;
    }
    if (!take_fds(ch, &msg, ch->header_len == 0)) {
        close_channel(ch, "too many or misplaced descriptors", 0);
        return 0;
    }
    if (got == 0) {
        bool between = ch->header_len == 0;
        close_channel(ch, between ? "closed by peer" : "closed by peer within a frame", 0);
        return 0;
    }
    return (size_t)got;
}

static void header_done(struct frame_channel *ch)
{
    ch->type = get_u32(ch->header + 4);
    ch->payload_size = get_u32(ch->header + 8);
    ch->payload_len = 0;
    if (get_u32(ch->header) != (uint32_t)FRAME_MAGIC) {
        close_channel(ch, "not a frame: wrong magic number", 0);
    } else if (ch->payload_size > ch->limit) {
        close_channel(ch, "frame over the size limit", 0);
    }
}

/* Memory follows the bytes that came, not the size that was announced. */
static bool payload_room(struct frame_channel *ch)
{
    if (ch->payload_len < ch->payload_cap) {
        return true;
    }
    size_t cap = ch->payload_cap < READ_STEP ? READ_STEP : ch->payload_cap * 2;
    if (cap > ch->payload_size) {
        cap = ch->payload_size;
    }
    char *grown = realloc(ch->payload, cap);
    if (grown == NULL) {
        close_channel(ch, "no memory for a frame", 0);
        return false;
    }
    ch->payload = grown;
    ch->payload_cap = cap;
    return true;
}

static void deliver(struct frame_channel *ch)
{
    size_t fd_count = ch->fd_count;
    ch->fd_count = 0; /* they are the callee's from here on */
    ch->header_len = 0;
    char *payload = ch->payload;
    size_t len = ch->payload_len;
    ch->payload = NULL;
    ch->payload_cap = 0;
    ch->payload_len = 0;
    int fds[FRAME_FDS_MAX];
    memcpy(fds, ch->fds, fd_count * sizeof fds[0]);
    ch->handler.on_frame(ch->arg, ch->type, (struct str){payload == NULL ? "" : payload, len}, fds,
                         fd_count);
    free(payload);
}

/* One frame further; false when nothing more can be read now. */
static bool read_frame(struct frame_channel *ch)
{
    while (ch->header_len < HEADER_SIZE) {
        size_t got = read_some(ch, ch->header + ch->header_len, HEADER_SIZE - ch->header_len);
        if (got == 0) {
            return false;
        }
        ch->header_len += got;
        if (ch->header_len == HEADER_SIZE) {
            header_done(ch);
        }
    }
    while (!ch->closing && ch->payload_len < ch->payload_size) {
        if (!payload_room(ch)) {
            return false;
        }
        size_t want = ch->payload_cap - ch->payload_len;
        size_t got = read_some(ch, ch->payload + ch->payload_len, want);
        if (got == 0) {
            return false;
        }
        ch->payload_len += got;
    }
    if (ch->closing) {
        return false;
    }
    deliver(ch);
    return !ch->closing && !ch->freed;
}

static void frame_on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct frame_channel *ch = arg;
    CHECK(ch->magic == CHANNEL_MAGIC);
    for (int i = 0; i < FRAMES_PER_TURN && read_frame(ch); i++) {
        /* what is left makes the descriptor readable again */
    }
}

/* The peer may have said why it went: read that first, then close. */
static void frame_on_write_broken(struct loop_call *call)
{
    struct frame_channel *ch = OWNER_OF(call, struct frame_channel, reading_rest);
    CHECK(ch->magic == CHANNEL_MAGIC);
    while (!ch->freed && !ch->closing && read_frame(ch)) {
        /* read_some closes at the end of what there is */
    }
}

static void write_failed(struct frame_channel *ch, int sys)
{
    if (sys != EPIPE && sys != ECONNRESET) {
        close_channel(ch, "cannot write", sys);
        return;
    }
    ch->write_broken = true;
    out_drop(ch);
    loop_defer_call(ch->loop, &ch->reading_rest, frame_on_write_broken);
}

/* One sendmsg; -1 with errno. The descriptors travel with the first byte. */
static ssize_t send_bytes(struct frame_channel *ch, struct iovec *iov, size_t iov_count,
                          const int *fds, size_t fd_count)
{
    alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * FRAME_FDS_MAX)] = {0};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = iov_count};
    if (fd_count > 0) {
        msg.msg_control = control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
    }
    ssize_t put;
    do {
        put = sendmsg(ch->fd, &msg, MSG_NOSIGNAL);
    } while (put < 0 && errno == EINTR);
    return put;
}

static void frame_on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct frame_channel *ch = arg;
    CHECK(ch->magic == CHANNEL_MAGIC);
    while (ch->out_head != NULL) {
        struct out_frame *out = ch->out_head;
        struct iovec iov = {.iov_base = out->bytes + out->sent, .iov_len = out->len - out->sent};
        ssize_t put = send_bytes(ch, &iov, 1, out->fds, out->fd_count);
        if (put < 0) {
            if (errno != EAGAIN) {
                write_failed(ch, errno);
            }
            return;
        }
        close_fds(out->fds, &out->fd_count);
        out->sent += (size_t)put;
        ch->out_bytes -= (size_t)put;
        if (out->sent == out->len) {
            out_pop(ch);
        }
    }
    (void)event_del(ch->write_event);
}

struct frame_channel *frame_open(struct loop *loop, int fd, size_t limit,
                                 const struct frame_handler *handler, void *arg)
{
    struct frame_channel *ch = xcalloc(1, sizeof *ch);
    ch->magic = CHANNEL_MAGIC;
    ch->loop = loop;
    ch->fd = fd;
    ch->limit = limit;
    ch->handler = *handler;
    ch->arg = arg;
    ch->out_tail = &ch->out_head;
    struct event_base *base = loop_base(loop);
    ch->read_event = event_new(base, fd, EV_READ | EV_PERSIST, frame_on_readable, ch);
    ch->write_event = event_new(base, fd, EV_WRITE | EV_PERSIST, frame_on_writable, ch);
    CHECK(ch->read_event != NULL && ch->write_event != NULL);
    struct err err = {0};
    if (fd_set_nonblock(fd, &err) < 0 || fd_set_cloexec(fd, true, &err) < 0) {
        close_channel(ch, err.msg, 0);
    } else if (event_add(ch->read_event, NULL) != 0) {
        close_channel(ch, "cannot watch the descriptor", 0);
    }
    return ch;
}

/* Queues what the socket did not take: a copy, with descriptors of its own. */
static void out_push(struct frame_channel *ch, const uint8_t *header, struct str payload,
                     size_t sent, const int *fds, size_t fd_count)
{
    struct out_frame *out = try_alloc(sizeof *out + HEADER_SIZE + payload.len);
    if (out == NULL) {
        close_channel(ch, "no memory for a frame", 0);
        return;
    }
    out->next = NULL;
    out->len = HEADER_SIZE + payload.len;
    out->sent = sent;
    out->fd_count = 0;
    memcpy(out->bytes, header, HEADER_SIZE);
    if (payload.len > 0) {
        memcpy(out->bytes + HEADER_SIZE, payload.ptr, payload.len);
    }
    for (size_t i = 0; i < fd_count; i++) {
        int copy = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
        if (copy < 0) {
            int saved = errno;
            close_fds(out->fds, &out->fd_count);
            free(out);
            close_channel(ch, "cannot duplicate a descriptor", saved);
            return;
        }
        out->fds[out->fd_count++] = copy;
    }
    bool first = ch->out_head == NULL;
    *ch->out_tail = out;
    ch->out_tail = &out->next;
    ch->out_bytes += out->len - sent;
    if (first && event_add(ch->write_event, NULL) != 0) {
        close_channel(ch, "cannot watch the descriptor", 0);
    }
}

void frame_send(struct frame_channel *ch, uint32_t type, struct str payload, const int *fds,
                size_t fd_count)
{
    CHECK(ch->magic == CHANNEL_MAGIC && !ch->freed && fd_count <= FRAME_FDS_MAX);
    if (ch->closing || ch->write_broken) {
        return; /* on_close tells, or told, the owner */
    }
    if (payload.len > ch->limit || payload.len > UINT32_MAX) {
        close_channel(ch, "frame over the size limit", 0);
        return;
    }
    uint8_t header[HEADER_SIZE];
    put_u32(header, FRAME_MAGIC);
    put_u32(header + 4, type);
    put_u32(header + 8, (uint32_t)payload.len);
    size_t sent = 0;
    if (ch->out_head == NULL) {
        struct iovec iov[2] = {{.iov_base = header, .iov_len = HEADER_SIZE},
                               {.iov_base = (void *)(uintptr_t)payload.ptr, /* not written to */
                                .iov_len = payload.len}};
        ssize_t put = send_bytes(ch, iov, 2, fds, fd_count);
        if (put < 0 && errno != EAGAIN) {
            write_failed(ch, errno);
            return;
        }
        sent = put < 0 ? 0 : (size_t)put;
        if (sent == HEADER_SIZE + payload.len) {
            return;
        }
    }
    out_push(ch, header, payload, sent, fds, sent == 0 ? fd_count : 0);
}

size_t frame_pending(const struct frame_channel *ch)
{
    return ch->out_bytes;
}

int64_t frame_peer_uid(const struct frame_channel *ch, int64_t *out_pid)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(ch->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) {
        return -1;
    }
    if (out_pid != NULL) {
        *out_pid = peer.pid;
    }
    return (int64_t)peer.uid;
}

static void frame_on_freed(struct loop_call *call)
{
    struct frame_channel *ch = OWNER_OF(call, struct frame_channel, freeing);
    CHECK(ch->magic == CHANNEL_MAGIC);
    ch->magic = 0;
    free(ch->payload);
    free(ch);
}

void frame_free(struct frame_channel *ch)
{
    if (ch == NULL) {
        return;
    }
    CHECK(ch->magic == CHANNEL_MAGIC && !ch->freed);
    ch->freed = true;
    out_drop(ch);
    event_free(ch->read_event);
    event_free(ch->write_event);
    ch->read_event = NULL;
    ch->write_event = NULL;
    close_fds(ch->fds, &ch->fd_count);
    (void)close(ch->fd);
    ch->fd = -1;
    /* A callback of this channel may be below us on the stack. */
    loop_defer_call(ch->loop, &ch->freeing, frame_on_freed);
}
