/* access_log, access_writer: what is handed over is written once and in order; what has no room
 * is counted; lines stay whole when the disk is full. */
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statfs.h>
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

enum { ROUND = 4 << 20 }; /* what the writer lets the page cache have before it drops it */

static size_t cached_pages(int fd, size_t len)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t count = len / page;
    unsigned char *resident = xcalloc(count, 1);
    void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mincore(map, len, resident), 0);
    assert_int_equal(munmap(map, len), 0);
    size_t cached = 0;
    for (size_t i = 0; i < count; i++) {
        cached += resident[i] & 1;
    }
    free(resident);
    return cached;
}

/* What is on the disk does not stay in the page cache; not a byte of it is lost. */
static void test_page_cache_is_let_go(void **state)
{
    (void)state;
    char path[] = "./wos-access-XXXXXX"; /* /tmp may be a file system in memory */
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    struct statfs fs;
    assert_int_equal(fstatfs(fd, &fs), 0);
    if (fs.f_type == TMPFS_MAGIC) {
        (void)close(fd);
        print_message("the build directory is in memory, which is its own disk\n");
        skip();
    }
    assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0);
    struct buf line = {0};
    buf_reserve(&line, ROUND / 64);
    for (size_t i = 0; i < ROUND / 64; i++) {
        buf_add(&line, i + 1 < ROUND / 64 ? "x" : "\n", 1);
    }
    struct access_writer w;
    access_writer_init(&w);
    access_writer_set_fd(&w, dup(fd));
    for (size_t i = 0; i < (size_t)3 * 64; i++) {
        if (i % 64 == 0) {
            assert_int_equal(fdatasync(fd), 0); /* the disk may be slower than this loop */
        }
        access_writer_put(&w, buf_str(&line));
    }
    assert_int_equal(cached_pages(fd, (size_t)2 * ROUND), 0);
    access_writer_fini(&w);
    assert_int_equal(lseek(fd, 0, SEEK_END), 3 * ROUND);
    assert_int_equal(w.lost, 0);
    buf_fini(&line);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hand_over),
        cmocka_unit_test(test_memory_is_used_again),
        cmocka_unit_test(test_full_ring_drops_and_counts),
        cmocka_unit_test(test_two_threads),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_page_cache_is_let_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
