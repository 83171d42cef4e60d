/* Tests of base/file, in a directory of their own under TMPDIR. */
#include "base/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
// clang-format off
#include <cmocka.h>
// clang-format on

#include "base/auto.h"

static char *home; /* fresh for each test */

static int set_up(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    home = xasprintf("%s/wos-file-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    return mkdtemp(home) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    int result = path_remove_all(home, NULL);
    free(home);
    return result;
}

static void test_write_then_read(void **state)
{
    (void)state;
    autofree char *path = path_join(home, "f");
    struct err err = {0};
    mode_t old_mask = umask(077);
    assert_int_equal(file_write_atomic(path, STR("one\0two"), 0644, &err), 0);
    (void)umask(old_mask);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644); /* whatever the umask */
    struct buf text = {0};
    buf_add_text(&text, "before ");
    assert_int_equal(file_read(path, 7, &text, &err), 0);
    assert_true(str_eq(buf_str(&text), STR("before one\0two")));
    assert_int_equal(file_write_atomic(path, STR("x"), 0600, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, 1);
    buf_fini(&text);
}

static void test_read_errors(void **state)
{
    (void)state;
    autofree char *path = path_join(home, "f");
    struct err err = {0};
    struct buf text = {0};
    assert_int_equal(file_read(path, 10, &text, &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.msg, path));
    assert_int_equal(file_read(home, 10, &text, &err), -1);
    assert_int_equal(err.code, ERR_REFUSED);
    assert_int_equal(file_write_atomic(path, STR("12345678901"), 0600, &err), 0);
    buf_add_text(&text, "kept");
    assert_int_equal(file_read(path, 10, &text, &err), -1);
    assert_non_null(strstr(err.msg, "larger than 10 bytes"));
    assert_true(str_eq(buf_str(&text), STR("kept")));
    buf_fini(&text);
}

static void test_nothing_to_read_makes_a_reader_wait(void **state)
{
    (void)state;
    autofree char *fifo = path_join(home, "fifo");
    autofree char *link = path_join(home, "terminal");
    struct err err = {0};
    struct buf text = {0};
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(file_read(fifo, 10, &text, &err), -1);
    assert_int_equal(err.code, ERR_REFUSED);
    assert_non_null(strstr(err.msg, "fifo: not a regular file"));
    assert_int_equal(symlink("/dev/ptmx", link), 0);
    err_clear(&err);
    assert_int_equal(file_read(link, 10, &text, &err), -1);
    assert_int_equal(err.code, ERR_REFUSED);
    buf_fini(&text);
}

static void test_a_failed_write_leaves_nothing(void **state)
{
    (void)state;
    struct err err = {0};
    autofree char *dir = path_join(home, "d");
    autofree char *inside = path_join(dir, "f");
    assert_int_equal(file_write_atomic(inside, STR("x"), 0600, &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    /* The target is a directory: the rename fails, the temporary file must go. */
    assert_int_equal(dir_make(inside, 0700, &err), 0);
    assert_int_equal(file_write_atomic(inside, STR("x"), 0600, &err), -1);
    assert_int_equal(rmdir(inside), 0);
    assert_int_equal(rmdir(dir), 0); /* fails if anything were left */
}

static void test_dir_make(void **state)
{
    (void)state;
    struct err err = {0};
    autofree char *deep = path_join(home, "a/b//c/");
    mode_t old_mask = umask(077);
    assert_int_equal(dir_make(deep, 0750, &err), 0);
    (void)umask(old_mask);
    assert_int_equal(dir_make(deep, 0700, &err), 0);
    struct stat st;
    assert_int_equal(stat(deep, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0750); /* the second call changed nothing */
    autofree char *file = path_join(home, "f");
    autofree char *below = path_join(home, "f/x");
    assert_int_equal(file_write_atomic(file, STR("x"), 0600, &err), 0);
    assert_int_equal(dir_make(file, 0700, &err), -1);
    assert_int_equal(dir_make(below, 0700, &err), -1);
    assert_int_equal(dir_make("", 0700, &err), -1);
}

static void test_remove_all_follows_no_link(void **state)
{
    (void)state;
    struct err err = {0};
    autofree char *outside = path_join(home, "outside");
    autofree char *precious = path_join(outside, "precious");
    autofree char *deep = path_join(home, "tree/x/y");
    autofree char *tree = path_join(home, "tree");
    autofree char *link = path_join(deep, "link");
    autofree char *broken = path_join(tree, "broken");
    assert_int_equal(dir_make(outside, 0700, &err), 0);
    assert_int_equal(dir_make(deep, 0700, &err), 0);
    assert_int_equal(file_write_atomic(precious, STR("x"), 0600, &err), 0);
    assert_int_equal(symlink(outside, link), 0);
    assert_int_equal(symlink("nowhere", broken), 0);
    for (int i = 0; i < 300; i++) {
        autofree char *path = xasprintf("%s/file-%d", deep, i);
        int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0400);
        assert_true(fd >= 0);
        assert_int_equal(close(fd), 0);
    }
    assert_int_equal(path_remove_all(tree, &err), 0);
    assert_false(file_exists(tree));
    assert_true(file_exists(precious));
    assert_int_equal(path_remove_all(tree, &err), 0);
    /* A link itself goes, its target stays. */
    autofree char *direct = path_join(home, "direct");
    assert_int_equal(symlink(outside, direct), 0);
    assert_int_equal(path_remove_all(direct, &err), 0);
    assert_false(file_exists(direct));
    assert_true(file_exists(precious));
}

static void test_paths(void **state)
{
    (void)state;
    static const char *const joins[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"a", "/b", "/b"}, {"", "b", "b"}, {"/", "b", "/b"},
    };
    for (size_t i = 0; i < COUNT_OF(joins); i++) {
        autofree char *joined = path_join(joins[i][0], joins[i][1]);
        assert_string_equal(joined, joins[i][2]);
    }
    struct err err = {0};
    autofree char *link = path_join(home, "link");
    assert_int_equal(symlink(".", link), 0);
    autofree char *real = path_real(link, &err);
    autofree char *real_home = path_real(home, &err);
    assert_non_null(real);
    assert_string_equal(real, real_home);
    autofree char *missing = path_join(home, "missing");
    assert_null(path_real(missing, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void test_fd_flags(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fd_set_nonblock(ends[0], NULL), 0);
    assert_true((fcntl(ends[0], F_GETFL) & O_NONBLOCK) != 0);
    assert_int_equal(fd_set_cloexec(ends[0], true, NULL), 0);
    assert_int_equal(fcntl(ends[0], F_GETFD), FD_CLOEXEC);
    assert_int_equal(fd_set_cloexec(ends[0], false, NULL), 0);
    assert_int_equal(fcntl(ends[0], F_GETFD), 0);
    assert_int_equal(fd_set_nonblock(-1, NULL), -1);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_write_then_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_read_errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_to_read_makes_a_reader_wait, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_failed_write_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dir_make, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_remove_all_follows_no_link, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_paths, set_up, tear_down),
        cmocka_unit_test(test_fd_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
