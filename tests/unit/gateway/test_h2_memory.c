/* h2_memory: blocks keep what is in them while they rest; a session goes on as if it had not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/auto.h"
#include "gateway/h2_memory.h"

enum { BLOCKS = 400, SIZE_MAX_TRIED = 20000, STEPS = 20000 };

struct sample {
    unsigned char *data; /* owned: of the memory */
    size_t size;
    unsigned char fill;
};

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static void check(const struct sample *s)
{
    for (size_t i = 0; i < s->size; i++) {
        assert_int_equal(s->data[i], s->fill);
    }
}

/* Sizes as a session has them: mostly small. */
static size_t some_size(uint32_t *seed)
{
    uint32_t kind = next(seed) % 16;
    return next(seed) % (kind == 0 ? SIZE_MAX_TRIED : kind < 4 ? 3000 : 200);
}

static void change(struct sample *s, const nghttp2_mem *mem, uint32_t *seed)
{
    const size_t size = some_size(seed);
    const size_t kept = size < s->size ? size : s->size;
    if (s->data == NULL) {
        const bool zeros = next(seed) % 2 == 0;
        s->data = zeros ? mem->calloc(1, size, mem->mem_user_data)
                        : mem->malloc(size, mem->mem_user_data);
        assert_non_null(s->data);
        assert_int_equal((uintptr_t)s->data % _Alignof(max_align_t), 0);
        for (size_t i = 0; zeros && i < size; i++) {
            assert_int_equal(s->data[i], 0);
        }
    } else if (next(seed) % 2 == 0) {
        mem->free(s->data, mem->mem_user_data);
        *s = (struct sample){0};
        return;
    } else {
        s->data = mem->realloc(s->data, size, mem->mem_user_data);
        assert_non_null(s->data);
        check(&(struct sample){s->data, kept, s->fill});
    }
    s->size = size;
    s->fill = (unsigned char)(next(seed) % 3 == 0 ? 0 : next(seed));
    if (size > 0) {
        memset(s->data, s->fill, size);
    }
}

static void test_blocks(void **state)
{
    (void)state;
    struct sample *samples = xcalloc(BLOCKS, sizeof *samples);
    struct h2_memory m;
    uint32_t seed = 1;
    assert_true(h2_memory_init(&m));
    const nghttp2_mem mem = h2_memory_functions(&m);
    h2_memory_rest(&m); /* has nothing yet */
    for (int step = 0; step < STEPS; step++) {
        if (step % 64 == 0) {
            h2_memory_rest(&m);
            h2_memory_rest(&m);
            assert_null(h2_memory_session(&m));
            for (size_t i = 0; i < BLOCKS; i++) {
                check(&samples[i]);
            }
        }
        struct sample *s = &samples[next(&seed) % BLOCKS];
        check(s);
        change(s, &mem, &seed);
    }
    mem.free(NULL, mem.mem_user_data);
    assert_null(mem.calloc(SIZE_MAX / 2, 3, mem.mem_user_data));
    assert_true(m.failed);
    h2_memory_end(&m);
    h2_memory_end(&m);
    free(samples);
}

/* How much of the pages at `from` is there: 0 to all of them. */
static size_t pages_there(void *from, size_t size)
{
    unsigned char there[32];
    const uintptr_t begin = (uintptr_t)from / 4096 * 4096;
    size_t count = 0;
    assert_true(size / 4096 <= sizeof there);
    assert_int_equal(mincore((void *)begin, size, there), 0);
    for (size_t i = 0; i < size / 4096; i++) {
        count += there[i] & 1;
    }
    return count;
}

static void test_pages_are_given_back(void **state)
{
    (void)state;
    struct h2_memory m;
    assert_true(h2_memory_init(&m));
    const nghttp2_mem mem = h2_memory_functions(&m);
    char *small = mem.malloc(100, mem.mem_user_data);
    char *buffer = mem.malloc(16410, mem.mem_user_data);
    memset(small, 'a', 100);
    memset(buffer, 'b', 16410);
    mem.free(buffer, mem.mem_user_data);
    assert_true(pages_there(buffer, 16384) >= 4);
    h2_memory_rest(&m);
    assert_non_null(m.packed);
    assert_int_equal(pages_there(buffer, 16384), 0);
    (void)h2_memory_session(&m);
    assert_null(m.packed);
    assert_int_equal(small[99], 'a');
    h2_memory_end(&m);
}

/* --- a client and a server, whose memory rests after every step ---------------------- */

struct peer {
    struct h2_memory memory;
    uint32_t got; /* requests, or answers */
    uint32_t sum; /* of the bytes of their fields */
    bool is_server;
};

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    struct peer *p = arg;
    (void)session;
    (void)frame;
    (void)flags;
    for (size_t i = 0; i < name_len; i++) {
        p->sum = p->sum * 31 + name[i];
    }
    for (size_t i = 0; i < value_len; i++) {
        p->sum = p->sum * 31 + value[i];
    }
    return 0;
}

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct peer *p = arg;
    char text[32];
    if (frame->hd.type != NGHTTP2_HEADERS) {
        return 0;
    }
    p->got++;
    if (p->is_server) {
        (void)snprintf(text, sizeof text, "answer-%u", p->got % 7);
        const nghttp2_nv fields[] = {field(":status", "200"), field("server", "a service"),
                                     field("x-number", text)};
        assert_int_equal(nghttp2_submit_response(session, frame->hd.stream_id, fields, 3, NULL), 0);
    }
    return 0;
}

static void open_peer(struct peer *p, bool is_server)
{
    nghttp2_session_callbacks *callbacks;
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    *p = (struct peer){.is_server = is_server};
    assert_true(h2_memory_init(&p->memory));
    nghttp2_mem mem = h2_memory_functions(&p->memory);
    assert_int_equal((is_server ? nghttp2_session_server_new3 : nghttp2_session_client_new3)(
                         &p->memory.session, callbacks, p, NULL, &mem),
                     0);
    nghttp2_session_callbacks_del(callbacks);
    assert_int_equal(nghttp2_submit_settings(p->memory.session, NGHTTP2_FLAG_NONE, NULL, 0), 0);
}

/* All it has to say, to the other. */
static void talk(struct peer *from, struct peer *to, bool rests)
{
    const uint8_t *data;
    ssize_t len;
    while ((len = nghttp2_session_mem_send(h2_memory_session(&from->memory), &data)) > 0) {
        assert_int_equal(
            nghttp2_session_mem_recv(h2_memory_session(&to->memory), data, (size_t)len), len);
        if (rests) {
            h2_memory_rest(
                &to->memory); /* not the other: `data` is in it until it is asked again */
        }
    }
    assert_int_equal(len, 0);
    if (rests) {
        h2_memory_rest(&from->memory);
    }
}

static uint32_t run_requests(bool rests)
{
    struct peer client;
    struct peer server;
    open_peer(&client, false);
    open_peer(&server, true);
    for (uint32_t i = 0; i < 300; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "/some/path/%u", i % 40);
        const nghttp2_nv fields[] = {field(":method", "GET"), field(":scheme", "https"),
                                     field(":authority", "a.wos.localhost"), field(":path", path),
                                     field("accept", i % 3 == 0 ? "text/html" : "*/*")};
        for (uint32_t n = 0; n <= i % 5; n++) { /* streams at once */
            assert_true(nghttp2_submit_request(h2_memory_session(&client.memory), NULL, fields, 5,
                                               NULL, NULL) > 0);
        }
        talk(&client, &server, rests);
        talk(&server, &client, rests);
    }
    assert_int_equal(client.got, 900);
    assert_int_equal(server.got, 900);
    assert_true(!client.memory.failed && !server.memory.failed);
    h2_memory_end(&client.memory);
    h2_memory_end(&server.memory);
    return client.sum * 31 + server.sum;
}

static void test_session_goes_on(void **state)
{
    (void)state;
    assert_int_equal(run_requests(true), run_requests(false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_pages_are_given_back),
        cmocka_unit_test(test_session_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
