/* Environment lists and KEY=value files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/deploy/envlist.h"

static void test_later_wins(void **state)
{
    (void)state;
    struct envlist list = {0};
    assert_null(envlist_array(&list)[0]);
    const char *const base[] = {"A=1", "AB=2", "NOVALUE", "=x", NULL};
    envlist_add_all(&list, base);
    envlist_set(&list, STR("A"), STR("3"));
    assert_string_equal(envlist_get(&list, "A"), "3");
    assert_string_equal(envlist_get(&list, "AB"), "2");
    assert_null(envlist_get(&list, "B"));
    const char *const *array = envlist_array(&list);
    assert_string_equal(array[0], "A=3");
    assert_string_equal(array[1], "AB=2");
    assert_null(array[2]);
    envlist_fini(&list);
}

static void test_file(void **state)
{
    (void)state;
    struct envlist list = {0};
    struct err err = {0};
    assert_int_equal(envfile_parse(STR("# comment\n\nA=1\r\nB = \"two words\" \nC='x\"'\n"
                                       "D=a=b#c\nE=\nF=\"half\n"),
                                   ".env", &list, &err),
                     0);
    assert_string_equal(envlist_get(&list, "A"), "1");
    assert_string_equal(envlist_get(&list, "B"), "two words");
    assert_string_equal(envlist_get(&list, "C"), "x\"");
    assert_string_equal(envlist_get(&list, "D"), "a=b#c");
    assert_string_equal(envlist_get(&list, "E"), "");
    assert_string_equal(envlist_get(&list, "F"), "\"half");
    envlist_fini(&list);
}

static void test_names(void **state)
{
    (void)state;
    char path[] = "/tmp/wos-envfile-XXXXXX";
    int fd = mkstemp(path);
    static const char text[] = "#A=1\nno line\n B = 2\r\nexport C=3\nD\r\nEE=F=1";
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    assert_true(envfile_names(path, "B") && envfile_names(path, "C") && envfile_names(path, "D"));
    assert_true(envfile_names(path, "EE"));
    assert_false(envfile_names(path, "A") || envfile_names(path, "E") || envfile_names(path, "F"));
    unlink(path);
    assert_false(envfile_names(path, "B"));
}

static void test_bad_lines(void **state)
{
    (void)state;
    struct envlist list = {0};
    struct err err = {0};
    assert_int_equal(envfile_parse(STR("A=1\nnonsense\n"), ".env", &list, &err), -1);
    assert_non_null(strstr(err.msg, ".env:2: not a KEY=value line"));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_int_equal(envfile_parse(STR("1A=1\n"), ".env", &list, &err), -1);
    assert_int_equal(envfile_parse(STR("export A=1\n"), ".env", &list, &err), -1);
    assert_int_equal(envfile_parse(STR("=1\n"), ".env", &list, &err), -1);
    assert_int_equal(envfile_parse(STR("A=\0b\n"), ".env", &list, &err), -1);
    assert_int_equal(envfile_load("/nonexistent/.env", &list, &err), -1);
    envlist_fini(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_later_wins),
                                       cmocka_unit_test(test_names), cmocka_unit_test(test_file),
                                       cmocka_unit_test(test_bad_lines)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
