/* The log of published names: what is there again after a crash, and what is not. */
#include "daemon/published_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"

struct fixture {
    char dir[64];
    char *path;     /* owned */
    struct buf got; /* names, in the order they were read */
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    memcpy(f->dir, "/tmp/wos-publog-XXXXXX", sizeof("/tmp/wos-publog-XXXXXX"));
    assert_non_null(mkdtemp(f->dir));
    f->path = path_join(f->dir, "published.log");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(path_remove_all(f->dir, NULL), 0);
    buf_fini(&f->got);
    free(f->path);
    free(f);
    return 0;
}

static void on_row(void *arg, const cJSON *row)
{
    struct fixture *f = arg;
    buf_add_text(&f->got, row == NULL ? "!" : json_get_str(row, "name", "?"));
}

/* What a daemon that starts now would read. */
static struct published_log *open_again(struct fixture *f)
{
    struct published_log *log = published_log_new(f->path);
    f->got.len = 0;
    published_log_read(log, on_row, f);
    return log;
}

static void write_file(const struct fixture *f, const char *text)
{
    assert_int_equal(file_write_atomic(f->path, str_of(text), 0600, NULL), 0);
}

static void test_lines_are_there_again(void **state)
{
    struct fixture *f = *state;
    struct published_log *log = open_again(f);
    assert_int_equal(published_log_size(log), 0);
    assert_false(file_exists(f->path));
    assert_int_equal(published_log_add(log, STR("{\"name\":\"a\"}"), NULL), 0);
    assert_int_equal(published_log_add(log, STR("{\"name\":\"b\"}"), NULL), 0);
    published_log_free(log); /* as by a crash: nothing else is written */

    log = open_again(f);
    assert_string_equal(buf_cstr(&f->got), "ab");
    assert_int_equal(published_log_size(log), 26);
    assert_int_equal(published_log_add(log, STR("{\"name\":\"c\"}"), NULL), 0);
    published_log_free(log);

    log = open_again(f);
    assert_string_equal(buf_cstr(&f->got), "abc");
    published_log_clear(log);
    assert_int_equal(published_log_size(log), 0);
    assert_false(file_exists(f->path));
    assert_int_equal(published_log_add(log, STR("{\"name\":\"d\"}"), NULL), 0);
    published_log_free(log);

    log = open_again(f);
    assert_string_equal(buf_cstr(&f->got), "d");
    published_log_free(log);
}

/* A line behind half a one would be lost with it. */
static void test_half_a_line_is_the_last(void **state)
{
    struct fixture *f = *state;
    write_file(f, "{\"name\":\"a\"}\n{\"name\":\"b\"");
    struct published_log *log = open_again(f);
    struct err err = {.msg = ""};
    assert_string_equal(buf_cstr(&f->got), "a");
    assert_true(published_log_size(log) > 0); /* to be written anew */
    assert_int_equal(published_log_add(log, STR("{\"name\":\"c\"}"), &err), -1);
    assert_non_null(strstr(err.msg, "half a line"));
    published_log_clear(log);
    assert_int_equal(published_log_add(log, STR("{\"name\":\"c\"}"), NULL), 0);
    published_log_free(log);

    log = open_again(f);
    assert_string_equal(buf_cstr(&f->got), "c");
    published_log_free(log);
}

static void test_a_line_that_is_no_json_is_told(void **state)
{
    struct fixture *f = *state;
    write_file(f, "{\"name\":\"a\"}\nnonsense\n\n{\"name\":\"b\"}\n");
    published_log_free(open_again(f));
    assert_string_equal(buf_cstr(&f->got), "a!!b");
}

static void test_what_cannot_be_written_is_told(void **state)
{
    struct fixture *f = *state;
    struct err err = {.msg = ""};
    struct published_log *log = published_log_new("/dev/full");
    assert_int_equal(published_log_add(log, STR("{}"), &err), -1);
    assert_non_null(strstr(err.msg, "/dev/full"));
    published_log_free(log);
    autofree char *nowhere = path_join(f->path, "x");
    log = published_log_new(nowhere);
    assert_int_equal(published_log_add(log, STR("{}"), &err), -1);
    published_log_free(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines_are_there_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_a_line_is_the_last, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_line_that_is_no_json_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_written_is_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
