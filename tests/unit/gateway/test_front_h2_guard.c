/* What a client's frames may cost, and the order of its streams. */
#include "gateway/front_h2_guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <nghttp2/nghttp2.h>

static struct h2_guard guard;
static struct limits limits;
static uint64_t now_ms;

static int setup(void **state)
{
    (void)state;
    limits = limits_default;
    limits.resets_max = 5;
    limits.control_frames_max = 10;
    limits.header_bytes_max = 16384;
    now_ms = 1000000;
    h2_guard_init(&guard);
    guard.preface_left = 0;
    return 0;
}

static size_t put(uint8_t *to, uint8_t type, uint8_t flags, uint32_t id, const void *payload,
                  uint32_t len)
{
    const uint8_t head[] = {
        (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,       type,       flags,
        (uint8_t)(id >> 24),  (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};
    memcpy(to, head, sizeof head);
    if (payload != NULL) {
        memcpy(to + sizeof head, payload, len);
    } else {
        memset(to + sizeof head, 0, len);
    }
    return sizeof head + len;
}

/* The verdict on one frame; its bytes come one at a time. */
static uint32_t feed(uint8_t type, uint8_t flags, uint32_t id, const void *payload, uint32_t len)
{
    uint8_t *bytes = malloc(len + 9);
    size_t total = put(bytes, type, flags, id, payload, len);
    uint32_t error = NGHTTP2_NO_ERROR;
    for (size_t i = 0; i < total && error == NGHTTP2_NO_ERROR; i++) {
        size_t used = h2_guard_check(&guard, &limits, now_ms, bytes + i, 1, &error);
        assert_int_equal(used, error == NGHTTP2_NO_ERROR ? 1 : 0);
    }
    free(bytes);
    return error;
}

static uint32_t open_stream(uint32_t id, uint8_t flags)
{
    return feed(NGHTTP2_HEADERS, flags | NGHTTP2_FLAG_END_HEADERS, id, NULL, 20);
}

static void test_preface(void **state)
{
    (void)state;
    uint8_t bytes[64];
    uint32_t error;
    h2_guard_init(&guard);
    memcpy(bytes, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    size_t len = NGHTTP2_CLIENT_MAGIC_LEN;
    len += put(bytes + len, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    for (size_t i = 0; i < len; i++) {
        assert_false(guard.got_settings);
        assert_int_equal(h2_guard_check(&guard, &limits, now_ms, bytes + i, 1, &error), 1);
        assert_int_equal(error, NGHTTP2_NO_ERROR);
    }
    assert_true(guard.got_settings);
    assert_false(guard.got_ack);
    assert_int_equal(feed(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0), NGHTTP2_NO_ERROR);
    assert_true(guard.got_ack);
}

static void test_bytes_before_the_offence_pass(void **state)
{
    (void)state;
    uint8_t bytes[256];
    uint32_t error;
    size_t good = put(bytes, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, NULL, 50);
    size_t len = good + put(bytes + good, NGHTTP2_PRIORITY, 0, 0, NULL, 5);
    assert_int_equal(h2_guard_check(&guard, &limits, now_ms, bytes, len, &error), good);
    assert_int_equal(error, NGHTTP2_PROTOCOL_ERROR);
}

static void test_resets(void **state)
{
    (void)state;
    assert_int_equal(open_stream(1, 0), NGHTTP2_NO_ERROR);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(feed(NGHTTP2_RST_STREAM, 0, 1, NULL, 4), NGHTTP2_NO_ERROR);
    }
    assert_true(h2_guard_count_reset(&guard, &limits, now_ms));
    assert_true(h2_guard_count_reset(&guard, &limits, now_ms));
    assert_int_equal(feed(NGHTTP2_RST_STREAM, 0, 1, NULL, 4), NGHTTP2_ENHANCE_YOUR_CALM);
    guard.have = 0;
    now_ms += 10000;
    assert_int_equal(feed(NGHTTP2_RST_STREAM, 0, 1, NULL, 4), NGHTTP2_NO_ERROR);
}

static void test_control_frames(void **state)
{
    (void)state;
    static const struct {
        uint8_t type;
        uint8_t flags;
        uint32_t id;
        uint32_t len;
    } kinds[] = {
        {NGHTTP2_PING, 0, 0, 8},
        {NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, 8},
        {NGHTTP2_SETTINGS, 0, 0, 0},
        {NGHTTP2_SETTINGS, 0, 0, 6},
        {NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, 0},
        {NGHTTP2_PRIORITY, 0, 1, 5},
        {NGHTTP2_WINDOW_UPDATE, 0, 0, 4},
        {NGHTTP2_DATA, 0, 1, 0},
        {NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, 256},
        {NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, 0},
        {NGHTTP2_GOAWAY, 0, 0, 8},
        {0xbe, 0, 0, 100},
    };
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        setup(NULL);
        assert_int_equal(open_stream(1, 0), NGHTTP2_NO_ERROR);
        for (int i = 0; i < 10; i++) {
            assert_int_equal(feed(kinds[k].type, kinds[k].flags, kinds[k].id, NULL, kinds[k].len),
                             NGHTTP2_NO_ERROR);
        }
        assert_int_equal(feed(kinds[k].type, kinds[k].flags, kinds[k].id, NULL, kinds[k].len),
                         NGHTTP2_ENHANCE_YOUR_CALM);
    }
}

static void test_what_does_not_count(void **state)
{
    (void)state;
    for (uint32_t id = 1; id < 200; id += 2) {
        assert_int_equal(open_stream(id, 0), NGHTTP2_NO_ERROR);
        assert_int_equal(feed(NGHTTP2_DATA, 0, id, NULL, 1), NGHTTP2_NO_ERROR);
        assert_int_equal(feed(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, NULL, 0),
                         NGHTTP2_NO_ERROR);
    }
    assert_int_equal(guard.control, 0);
}

static void test_window_updates_are_paid_by_data(void **state)
{
    (void)state;
    h2_guard_data_sent(&guard, 16384, true); /* 4 and 64 */
    h2_guard_data_sent(&guard, 1, true);     /* the client's own doing */
    for (int i = 0; i < 68 + 10; i++) {
        assert_int_equal(feed(NGHTTP2_WINDOW_UPDATE, 0, 0, NULL, 4), NGHTTP2_NO_ERROR);
    }
    assert_int_equal(feed(NGHTTP2_WINDOW_UPDATE, 0, 0, NULL, 4), NGHTTP2_ENHANCE_YOUR_CALM);
    for (int i = 0; i < 1000000; i++) {
        h2_guard_data_sent(&guard, 1, false);
    }
    assert_int_equal(guard.credit, 1 << 16);
}

static void test_header_blocks(void **state)
{
    (void)state;
    uint32_t error = feed(NGHTTP2_HEADERS, 0, 1, NULL, 100);
    int frames = 1;
    while (error == NGHTTP2_NO_ERROR) {
        error = feed(NGHTTP2_CONTINUATION, 0, 1, NULL, 0);
        frames++;
        assert_true(frames < 100);
    }
    assert_int_equal(error, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(frames, 4 + 16 + 1);

    setup(NULL);
    assert_int_equal(feed(NGHTTP2_HEADERS, 0, 1, NULL, 16384), NGHTTP2_NO_ERROR);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(feed(NGHTTP2_CONTINUATION, 0, 1, NULL, 16384), NGHTTP2_NO_ERROR);
    }
    assert_int_equal(feed(NGHTTP2_CONTINUATION, 0, 1, NULL, 16384), NGHTTP2_ENHANCE_YOUR_CALM);
}

static void test_closed_streams(void **state)
{
    (void)state;
    assert_int_equal(open_stream(1, 0), NGHTTP2_NO_ERROR);
    h2_guard_stream_ended(&guard, 1);
    assert_int_equal(feed(NGHTTP2_WINDOW_UPDATE, 0, 1, NULL, 4), NGHTTP2_NO_ERROR);
    assert_int_equal(feed(NGHTTP2_RST_STREAM, 0, 1, NULL, 4), NGHTTP2_NO_ERROR);
    assert_int_equal(feed(NGHTTP2_DATA, 0, 1, NULL, 1), NGHTTP2_STREAM_CLOSED);
    guard.have = 0;
    assert_int_equal(open_stream(1, 0), NGHTTP2_STREAM_CLOSED);
    guard.have = 0;
    assert_int_equal(open_stream(3, 0), NGHTTP2_NO_ERROR);
    assert_int_equal(feed(NGHTTP2_RST_STREAM, 0, 3, NULL, 4), NGHTTP2_NO_ERROR);
    assert_int_equal(feed(NGHTTP2_DATA, 0, 3, NULL, 1), NGHTTP2_STREAM_CLOSED);
    guard.have = 0;
    /* One that we reset: what was on its way passes, to be ignored. */
    assert_int_equal(open_stream(5, 0), NGHTTP2_NO_ERROR);
    assert_int_equal(feed(NGHTTP2_DATA, 0, 5, NULL, 1), NGHTTP2_NO_ERROR);
    assert_int_equal(open_stream(5, NGHTTP2_FLAG_END_STREAM), NGHTTP2_NO_ERROR);
    assert_int_equal(open_stream(5, NGHTTP2_FLAG_END_STREAM), NGHTTP2_STREAM_CLOSED);
}

static void test_stream_ids(void **state)
{
    (void)state;
    assert_int_equal(open_stream(1, 0), NGHTTP2_NO_ERROR);
    assert_int_equal(open_stream(9, 0), NGHTTP2_NO_ERROR);
    assert_int_equal(open_stream(11, 0), NGHTTP2_NO_ERROR);
    for (uint32_t id = 3; id <= 7; id += 2) {
        assert_int_equal(open_stream(id, 0), NGHTTP2_PROTOCOL_ERROR);
        guard.have = 0;
    }
    assert_int_equal(open_stream(13, 0), NGHTTP2_NO_ERROR);
    assert_int_equal(open_stream(0x7fffffff, 0), NGHTTP2_NO_ERROR);
    assert_int_equal(open_stream(15, 0), NGHTTP2_PROTOCOL_ERROR);
}

static void test_priorities(void **state)
{
    (void)state;
    assert_int_equal(feed(NGHTTP2_PRIORITY, 0, 3, "\0\0\0\1\x10", 5), NGHTTP2_NO_ERROR);
    assert_int_equal(feed(NGHTTP2_PRIORITY, 0, 1, "\x80\0\0\1\x10", 5), NGHTTP2_PROTOCOL_ERROR);
    guard.have = 0;
    assert_int_equal(feed(NGHTTP2_PRIORITY, 0, 0, "\0\0\0\1\x10", 5), NGHTTP2_PROTOCOL_ERROR);
    guard.have = 0;
    assert_int_equal(feed(NGHTTP2_PRIORITY_UPDATE, 0, 0, "\0\0\0\1u=1", 7), NGHTTP2_NO_ERROR);
    assert_int_equal(feed(NGHTTP2_PRIORITY_UPDATE, 0, 0, "\0\0\0\0u=1", 7), NGHTTP2_PROTOCOL_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_preface, setup),
        cmocka_unit_test_setup(test_bytes_before_the_offence_pass, setup),
        cmocka_unit_test_setup(test_resets, setup),
        cmocka_unit_test_setup(test_control_frames, setup),
        cmocka_unit_test_setup(test_what_does_not_count, setup),
        cmocka_unit_test_setup(test_window_updates_are_paid_by_data, setup),
        cmocka_unit_test_setup(test_header_blocks, setup),
        cmocka_unit_test_setup(test_closed_streams, setup),
        cmocka_unit_test_setup(test_stream_ids, setup),
        cmocka_unit_test_setup(test_priorities, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
