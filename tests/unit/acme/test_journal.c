/* Tests of acme/journal. */
#include "acme/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
// clang-format off
#include <cmocka.h>
// clang-format on

#include "base/auto.h"
#include "base/file.h"

static char dir[] = "/tmp/wos-journal-XXXXXX";
static char *path;

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/wos-journal-XXXXXX");
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    path = xasprintf("%s/deeper/journal.json", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(path);
    return path_remove_all(dir, NULL);
}

static void test_survives(void **state)
{
    (void)state;
    struct err err;
    struct journal *j = journal_new(path);
    assert_null(journal_problem(j));
    assert_int_equal(journal_count(j), 0);
    assert_false(file_exists(path));
    assert_int_equal(journal_add(j, "a.test", "\"quoted\" \xc3\xa9", &err), 0);
    assert_int_equal(journal_add(j, "a.test", "two", &err), 0);
    assert_int_equal(journal_add(j, "a.test", "two", &err), 0);
    assert_int_equal(journal_count(j), 2);
    journal_free(j);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);

    j = journal_new(path);
    assert_int_equal(journal_count(j), 2);
    assert_string_equal(journal_at(j, 0)->name, "a.test");
    assert_string_equal(journal_at(j, 0)->value, "\"quoted\" \xc3\xa9");
    assert_int_equal(journal_remove(j, "a.test", "other", &err), 0);
    assert_int_equal(journal_remove(j, "a.test", "\"quoted\" \xc3\xa9", &err), 0);
    assert_string_equal(journal_at(j, 0)->value, "two");
    assert_true(file_exists(path));
    assert_int_equal(journal_remove(j, "a.test", "two", &err), 0);
    assert_false(file_exists(path));
    journal_free(j);
}

static void test_is_bounded(void **state)
{
    (void)state;
    struct buf text = {0};
    buf_add_text(&text, "{\"records\":[");
    for (int i = 0; i < JOURNAL_RECORDS_MAX - 1; i++) {
        buf_printf(&text, "{\"name\":\"n\",\"value\":\"%d\"},", i);
    }
    buf_add_text(
        &text, "{\"name\":\"n\",\"value\":\"1\"},{\"name\":1},{\"name\":\"n\",\"value\":\"-\"}]}");
    struct err err;
    char *parent = xasprintf("%s/deeper", dir);
    assert_int_equal(dir_make(parent, 0700, &err), 0);
    free(parent);
    assert_int_equal(file_write_atomic(path, buf_str(&text), 0600, &err), 0);
    buf_fini(&text);
    struct journal *j = journal_new(path);
    assert_int_equal(journal_count(j), JOURNAL_RECORDS_MAX);
    assert_int_equal(journal_add(j, "n", "one more", &err), -1);
    assert_non_null(strstr(err.msg, path));
    assert_int_equal(journal_add(j, "n", "7", &err), 0);
    journal_free(j);
}

static void test_damaged(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "{", "[]", "{\"records\":{}}", "null", "{\"records\":[1]} x"};
    char *parent = xasprintf("%s/deeper", dir);
    assert_int_equal(dir_make(parent, 0700, NULL), 0);
    free(parent);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        assert_int_equal(file_write_atomic(path, str_of(texts[i]), 0600, NULL), 0);
        struct journal *j = journal_new(path);
        assert_non_null(journal_problem(j));
        assert_non_null(strstr(journal_problem(j), path));
        assert_int_equal(journal_count(j), 0);
        assert_int_equal(journal_add(j, "n", "v", NULL), 0);
        journal_free(j);
        j = journal_new(path);
        assert_null(journal_problem(j));
        journal_free(j);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_survives, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
