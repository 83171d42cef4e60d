/* access_log, access_writer: what is handed over is written once and in order; what has no room
 * is counted; lines stay whole when the disk is full. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "gateway/access_log.h"
#include "gateway/access_writer.h"

static void on_notify(void *arg)
{
    __atomic_add_fetch((int *)arg, 1, __ATOMIC_RELAXED);
}

static bool add(struct access_log *log, size_t len, char c)
{
    char *line = access_log_reserve(log);
    if (line == NULL) {
        return false;
    }
    memset(line, c, len - 1);
    line[len - 1] = '\n';
    access_log_commit(log, len);
    return true;
}

static void test_hand_over(void **state)
{
    (void)state;
    int told = 0;
    struct str chunk;
    struct access_log *log = access_log_new(on_notify, &told);
    assert_false(access_log_is_on(NULL));
    assert_false(access_log_is_on(log));
    access_log_enable(log, true);
    assert_true(access_log_is_on(log));
    access_log_publish(log);
    assert_int_equal(told, 0);
    assert_false(access_log_next(log, &chunk));
    assert_true(add(log, 100, 'a'));
    assert_true(add(log, 50, 'b'));
    assert_false(access_log_next(log, &chunk));
    access_log_publish(log);
    assert_int_equal(told, 1);
    assert_true(access_log_next(log, &chunk));
    assert_int_equal(chunk.len, 150);
    assert_int_equal(chunk.ptr[100], 'b');
    access_log_done(log);
    assert_false(access_log_next(log, &chunk));
    access_log_free(log);
}

/* A writer that keeps up is given the same memory again and again. */
static void test_memory_is_used_again(void **state)
{
    (void)state;
    int told = 0;
    struct str first;
    struct str chunk;
    struct access_log *log = access_log_new(on_notify, &told);
    assert_true(add(log, 10, 'a'));
    access_log_publish(log);
    assert_true(access_log_next(log, &first));
    assert_true(add(log, 10, 'b')); /* behind: one of its own */
    access_log_done(log);
    assert_true(add(log, 10, 'c'));
    access_log_publish(log);
    assert_true(access_log_next(log, &chunk));
    assert_ptr_not_equal(chunk.ptr, first.ptr);
    assert_int_equal(chunk.len, 20);
    access_log_done(log);
    for (int i = 0; i < 3 * ACCESS_CHUNKS; i++) {
        struct str last = chunk;
        assert_true(add(log, 10, (char)('d' + i % 20)));
        access_log_publish(log);
        assert_true(access_log_next(log, &chunk));
        assert_ptr_equal(chunk.ptr, last.ptr);
        assert_int_equal(chunk.ptr[0], 'd' + i % 20);
        access_log_done(log);
    }
    access_log_free(log);
}

static void test_full_ring_drops_and_counts(void **state)
{
    (void)state;
    int told = 0;
    size_t added = 0;
    struct str chunk;
    struct access_log *log = access_log_new(on_notify, &told);
    while (add(log, 1000, 'x')) {
        added++;
    }
    assert_int_equal(told, ACCESS_CHUNKS);
    assert_int_equal(log->dropped, 1);
    assert_false(add(log, 10, 'y'));
    assert_int_equal(log->dropped, 2);
    assert_true(access_log_next(log, &chunk));
    size_t bytes = chunk.len;
    access_log_done(log);
    assert_true(add(log, 10, 'z')); /* room again */
    while (access_log_next(log, &chunk)) {
        bytes += chunk.len;
        access_log_done(log);
    }
    assert_int_equal(bytes, added * 1000);
    access_log_free(log);
}

enum { THREAD_LINES = 200000 };

static void *run_worker(void *arg)
{
    struct access_log *log = arg;
    for (uint32_t i = 0; i < THREAD_LINES;) {
        char *line = access_log_reserve(log);
        if (line != NULL) {
            access_log_commit(log, (size_t)snprintf(line, ACCESS_LINE_MAX, "%u\n", i));
            i++;
        }
    }
    access_log_publish(log);
    return NULL;
}

static void test_two_threads(void **state)
{
    (void)state;
    int told = 0;
    pthread_t thread;
    uint64_t expected = 0;
    struct access_log *log = access_log_new(on_notify, &told);
    assert_int_equal(pthread_create(&thread, NULL, run_worker, log), 0);
    while (expected < THREAD_LINES) {
        struct str chunk;
        if (!access_log_next(log, &chunk)) {
            continue;
        }
        while (chunk.len > 0) {
            uint64_t number;
            size_t end = str_find(chunk, '\n');
            assert_true(str_to_u64((struct str){chunk.ptr, end}, &number));
            assert_int_equal(number, expected);
            expected++;
            chunk = (struct str){chunk.ptr + end + 1, chunk.len - end - 1};
        }
        access_log_done(log);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    access_log_free(log);
}

static void set_size_limit(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_full_disk(void **state)
{
    (void)state;
    char path[] = "/tmp/wos-access-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    log_set_level(LOG_LEVEL_OFF);
    struct access_writer w;
    access_writer_init(&w);
    access_writer_put(&w, STR("nowhere\n"));
    access_writer_set_fd(&w, fd);
    set_size_limit(12);
    access_writer_put(&w, STR("line one\nline two\nline three\nline four\n"));
    access_writer_put(&w, STR("line five\n"));
    set_size_limit(RLIM_INFINITY);
    assert_int_equal(w.lost, 3); /* three, four, five; two is only late */
    access_writer_put(&w, STR("line six\n"));
    access_writer_report(&w, 0);
    assert_int_equal(w.reported, 3);
    access_writer_fini(&w);
    struct buf text = {0};
    assert_int_equal(file_read(path, 1000, &text, NULL), 0);
    assert_string_equal(buf_cstr(&text), "line one\nline two\nline six\n");
    buf_fini(&text);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hand_over),
        cmocka_unit_test(test_memory_is_used_again),
        cmocka_unit_test(test_full_ring_drops_and_counts),
        cmocka_unit_test(test_two_threads),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
