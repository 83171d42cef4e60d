/* Tests of base/frame over a socket pair: both ends here, or one end by hand. */
#include "base/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
// clang-format off
#include <cmocka.h>
// clang-format on

#include "base/auto.h"

enum { LIMIT = 8 << 20 };

static struct loop *loop;

struct end {
    struct frame_channel *channel;
    unsigned frames;
    uint32_t last_type;
    struct buf last;
    int fds[FRAME_FDS_MAX];
    size_t fd_count;
    unsigned closes;
    char reason[160];
    bool free_in_frame;
    bool check_sequence; /* frame n has type n and n % 7 descriptors */
};

static struct end a;
static struct end b;

static void on_frame(void *arg, uint32_t type, struct str payload, const int *fds, size_t fd_count)
{
    struct end *end = arg;
    if (end->check_sequence) {
        assert_int_equal(type, end->frames);
        assert_int_equal(fd_count, end->frames % 7);
    }
    end->frames++;
    end->last_type = type;
    end->last.len = 0;
    buf_add_str(&end->last, payload);
    for (size_t i = 0; i < fd_count; i++) {
        if (end->check_sequence) {
            assert_int_equal(close(fds[i]), 0);
        } else {
            end->fds[end->fd_count++] = fds[i];
        }
    }
    if (end->free_in_frame) {
        frame_free(end->channel);
        end->channel = NULL;
    }
}

static void on_close(void *arg, const char *reason)
{
    struct end *end = arg;
    end->closes++;
    (void)snprintf(end->reason, sizeof end->reason, "%s", reason);
    frame_free(end->channel);
    end->channel = NULL;
}

static const struct frame_handler handler = {.on_frame = on_frame, .on_close = on_close};

static void end_fini(struct end *end)
{
    frame_free(end->channel);
    buf_fini(&end->last);
    for (size_t i = 0; i < end->fd_count; i++) {
        (void)close(end->fds[i]);
    }
    *end = (struct end){0};
}

static int set_up(void **state)
{
    (void)state;
    loop = loop_new(NULL);
    return loop == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    end_fini(&a);
    end_fini(&b);
    loop_free(loop);
    return 0;
}

/* Channel a; the other end is channel b, or returned raw. */
static int open_pair(bool raw)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    a.channel = frame_open(loop, ends[0], LIMIT, &handler, &a);
    if (raw) {
        return ends[1];
    }
    b.channel = frame_open(loop, ends[1], LIMIT, &handler, &b);
    return -1;
}

static void turns(int count)
{
    for (int i = 0; i < count; i++) {
        loop_turn(loop, false);
    }
}

static void test_small_frames(void **state)
{
    (void)state;
    (void)open_pair(false);
    frame_send(a.channel, 7, STR("hello"), NULL, 0);
    frame_send(a.channel, 8, STR_NONE, NULL, 0);
    assert_int_equal(b.frames, 0);
    loop_turn(loop, true);
    assert_int_equal(b.frames, 2);
    assert_int_equal(b.last_type, 8);
    assert_int_equal(b.last.len, 0);
    frame_send(b.channel, UINT32_MAX, STR("b\0ck"), NULL, 0);
    loop_turn(loop, true);
    assert_int_equal(a.last_type, UINT32_MAX);
    assert_true(str_eq(buf_str(&a.last), STR("b\0ck")));
    int64_t pid = 0;
    assert_int_equal(frame_peer_uid(a.channel, &pid), getuid());
    assert_int_equal(pid, getpid());
}

static ino_t inode_of(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_ino;
}

static void test_descriptors_travel(void **state)
{
    (void)state;
    (void)open_pair(false);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    frame_send(a.channel, 1, STR("two"), ends, 2);
    assert_int_equal(fcntl(ends[0], F_GETFD), FD_CLOEXEC); /* ours stay ours */
    loop_turn(loop, true);
    assert_int_equal(b.fd_count, 2);
    assert_int_equal(inode_of(b.fds[0]), inode_of(ends[0]));
    assert_int_equal(fcntl(b.fds[0], F_GETFD), FD_CLOEXEC);
    assert_int_equal(write(ends[1], "x", 1), 1);
    char c = 0;
    assert_int_equal(read(b.fds[0], &c, 1), 1);
    assert_int_equal(c, 'x');
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

/* Frames beyond what the socket takes are queued; descriptors stay with theirs,
 * even though the sender closes its own at once. */
static void test_queued_frames_keep_order_and_descriptors(void **state)
{
    (void)state;
    (void)open_pair(false);
    enum { FRAMES = 60 };
    b.check_sequence = true;
    struct buf big = {0};
    for (int i = 0; i < 20000; i++) {
        buf_add_text(&big, "0123456789");
    }
    for (unsigned i = 0; i < FRAMES; i++) {
        int fds[7];
        for (size_t k = 0; k < i % 7; k++) {
            fds[k] = open("/dev/null", O_RDONLY | O_CLOEXEC);
            assert_true(fds[k] >= 0);
        }
        struct str payload = buf_str(&big);
        payload.len -= i;
        frame_send(a.channel, i, i % 3 == 0 ? STR("small") : payload, fds, i % 7);
        for (size_t k = 0; k < i % 7; k++) {
            assert_int_equal(close(fds[k]), 0);
        }
    }
    assert_true(frame_pending(a.channel) > 0);
    while (b.frames < FRAMES && b.closes == 0) {
        loop_turn(loop, true);
    }
    assert_int_equal(b.frames, FRAMES);
    assert_int_equal(frame_pending(a.channel), 0);
    assert_int_equal(b.last.len, 200000 - 59);
    buf_fini(&big);
}

static void test_close_comes_after_the_last_frame(void **state)
{
    (void)state;
    (void)open_pair(false);
    frame_send(a.channel, 3, STR("last words"), NULL, 0);
    frame_free(a.channel);
    a.channel = NULL;
    turns(3);
    assert_int_equal(b.frames, 1);
    assert_int_equal(b.closes, 1);
    assert_string_equal(b.reason, "closed by peer");
    assert_int_equal(a.closes, 0);
}

/* Sending to a peer that is gone still reads what it had said before. */
static void test_a_broken_write_still_reads(void **state)
{
    (void)state;
    (void)open_pair(false);
    frame_send(b.channel, 5, STR("why I leave"), NULL, 0);
    frame_free(b.channel);
    b.channel = NULL;
    frame_send(a.channel, 1, STR("x"), NULL, 0);
    assert_int_equal(a.closes, 0); /* never from inside frame_send */
    turns(3);
    assert_int_equal(a.frames, 1);
    assert_int_equal(a.closes, 1);
}

static void test_free_inside_on_frame(void **state)
{
    (void)state;
    (void)open_pair(false);
    b.free_in_frame = true;
    frame_send(a.channel, 1, STR("x"), NULL, 0);
    frame_send(a.channel, 2, STR("y"), NULL, 0);
    turns(3);
    assert_int_equal(b.frames, 1);
    assert_int_equal(b.closes, 0);
    assert_int_equal(a.closes, 1);
}

static void test_wrong_bytes_close_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        struct str bytes;
        const char *reason;
    } bad[] = {
        {STR("GET / HTTP/1.1\r\n"), "not a frame: wrong magic number"},
        {STR("WOSF\1\0\0\0\0\0\0\x7f"), "frame over the size limit"},
        {STR("WOSF\1\0\0\0\5\0\0\0abc"), "closed by peer within a frame"},
        {STR("WOS"), "closed by peer within a frame"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        int raw = open_pair(true);
        ssize_t len = (ssize_t)bad[i].bytes.len;
        assert_int_equal(send(raw, bad[i].bytes.ptr, bad[i].bytes.len, MSG_NOSIGNAL), len);
        assert_int_equal(close(raw), 0);
        turns(3);
        assert_int_equal(a.closes, 1);
        assert_int_equal(a.frames, 0);
        assert_string_equal(a.reason, bad[i].reason);
        end_fini(&a);
    }
}

/* A large announcement alone must not cost large memory. */
static void test_a_frame_in_single_bytes(void **state)
{
    (void)state;
    int raw = open_pair(true);
    static const char bytes[] = "WOSF\4\0\0\0\3\0\0\0abcWOSF\5\0\0\0\0\0\0\0";
    for (size_t i = 0; i < sizeof bytes - 1; i++) {
        assert_int_equal(send(raw, bytes + i, 1, MSG_NOSIGNAL), 1);
        loop_turn(loop, true);
        assert_int_equal(a.frames, i < 14 ? 0 : i < 26 ? 1 : 2);
    }
    assert_int_equal(a.last_type, 5);
    assert_int_equal(close(raw), 0);
}

static void send_fds(int socket_fd, const char *bytes, size_t len, size_t count)
{
    union {
        char space[CMSG_SPACE(sizeof(int) * 128)];
        struct cmsghdr align;
    } control = {.space = {0}};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.space,
                         .msg_controllen = CMSG_SPACE(sizeof(int) * count)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * count);
    int *fds = calloc(count, sizeof *fds); /* every one is standard input */
    assert_non_null(fds);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
    free(fds);
    assert_int_equal(sendmsg(socket_fd, &msg, MSG_NOSIGNAL), (ssize_t)len);
}

static size_t open_count(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 1024; fd++) {
        count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    }
    return count;
}

static void test_unwanted_descriptors_close_and_do_not_leak(void **state)
{
    (void)state;
    size_t before = open_count();
    for (int which = 0; which < 2; which++) {
        int raw = open_pair(true);
        if (which == 0) {
            send_fds(raw, "WOSF\1\0\0\0\0\0\0\0", 12, FRAME_FDS_MAX + 1);
        } else {
            assert_int_equal(send(raw, "WOSF\1\0\0\0\4\0\0\0", 12, MSG_NOSIGNAL), 12);
            send_fds(raw, "abcd", 4, 2);
        }
        turns(3);
        assert_int_equal(a.closes, 1);
        assert_int_equal(a.frames, 0);
        assert_string_equal(a.reason, "too many or misplaced descriptors");
        assert_int_equal(close(raw), 0);
        end_fini(&a);
    }
    turns(1);
    assert_int_equal(open_count(), before);
}

static void test_too_large_to_send(void **state)
{
    (void)state;
    (void)open_pair(false);
    char *large = calloc(1, LIMIT + 1);
    assert_non_null(large);
    frame_send(a.channel, 1, (struct str){large, LIMIT + 1}, NULL, 0);
    assert_int_equal(a.closes, 0);
    turns(3);
    assert_int_equal(a.closes, 1);
    assert_string_equal(a.reason, "frame over the size limit");
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_small_frames, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_descriptors_travel, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_queued_frames_keep_order_and_descriptors, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_close_comes_after_the_last_frame, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_broken_write_still_reads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_free_inside_on_frame, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_bytes_close_with_a_reason, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_frame_in_single_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unwanted_descriptors_close_and_do_not_leak, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_too_large_to_send, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
