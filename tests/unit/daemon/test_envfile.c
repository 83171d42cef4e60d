/* Environment lists and KEY=value files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "daemon/deploy/envfile.h"

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

static void parse(struct envlist *list, struct str text)
{
    static const char *const outside[] = {"OUTSIDE=out", "EMPTY=", "BOTH=outside", NULL};
    struct envlist environment = {0};
    struct err err = {0};
    envlist_add_all(&environment, outside);
    if (envfile_parse(text, ".env", &environment, list, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    envlist_fini(&environment);
}

static void assert_value(const char *text, const char *expected)
{
    struct envlist list = {0};
    parse(&list, str_of(text));
    assert_non_null(envlist_get(&list, "K"));
    assert_string_equal(envlist_get(&list, "K"), expected);
    envlist_fini(&list);
}

static void test_file(void **state)
{
    (void)state;
    struct envlist list = {0};
    parse(&list, STR("\xef\xbb\xbf# comment\n\nA=1\r\n \tB = \"two words\" \n  # another\n"
                     "C='x\"'\nD=a=b#c\nE=\nexport F=f\nexport\tG = g\nexporter=h\nA=2"));
    assert_string_equal(envlist_get(&list, "A"), "2");
    assert_string_equal(envlist_get(&list, "B"), "two words");
    assert_string_equal(envlist_get(&list, "C"), "x\"");
    assert_string_equal(envlist_get(&list, "D"), "a=b#c");
    assert_string_equal(envlist_get(&list, "E"), "");
    assert_string_equal(envlist_get(&list, "F"), "f");
    assert_string_equal(envlist_get(&list, "G"), "g");
    assert_string_equal(envlist_get(&list, "exporter"), "h");
    assert_int_equal(list.count, 8);
    envlist_fini(&list);
    assert_int_equal(envfile_parse(STR(""), ".env", NULL, &list, NULL), 0);
    assert_int_equal(list.count, 0);
}

/* As Compose reads them. */
static void test_values(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"K=value # a comment", "value"},
        {"K=a#b #c # d\n", "a#b"},
        {"K=#fff\n", "#fff"},
        {"K=it's \"fine\"", "it's \"fine\""},
        {"K=C:\\new\r\n", "C:\\new"},
        {"K=\"value\" # c\n", "value"},
        {"K=\"value\"# c", "value"},
        {"K=\"a # b\"", "a # b"},
        {"K=\"l1\nB=l2\"\nC=3\n", "l1\nB=l2"},
        {"K=\"a\\nb\\t\\\"c\\\" \\\\ \\$D \\w\"", "a\nb\t\"c\" \\ $D \\w"},
        {"K='a\\nb $C \\'d\\' # e'  # f\n", "a\\nb $C 'd' # e"},
        {"K='l1\nl2'", "l1\nl2"},
        {"K=''", ""},
        {"A=one\nK=$A-${A}/\"$A\"\n", "one-one/\"one\""},
        {"A=one\nK=\"$A-${A}_\"\n", "one-one_"},
        {"K=${OUTSIDE}$NOWHERE.", "out."},
        {"BOTH=file\nK=$BOTH", "outside"},
        {"K=${EMPTY:-x}${EMPTY-y}${NOWHERE:-a b}${NOWHERE-}", "xa b"},
        {"K=5$$ \"$$\"", "5$ \"$\""},
        {"K=\"$$A\"", "$A"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_value(cases[i][0], cases[i][1]);
    }
}

static void assert_bad(struct str text, const char *part)
{
    struct envlist list = {0};
    struct err err = {0};
    assert_int_equal(envfile_parse(text, ".env", NULL, &list, &err), -1);
    assert_int_equal(err.code, ERR_CONFIG);
    if (strstr(err.msg, part) == NULL) {
        fail_msg("%s: not in: %s", part, err.msg);
    }
    envlist_fini(&list);
}

static void assert_names(const char *text, const char *names, const char *others)
{
    char path[] = "/tmp/wos-envfile-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    for (size_t i = 0; names[i] != '\0'; i++) {
        if (!envfile_names(path, (const char[]){names[i], '\0'})) {
            fail_msg("%c is not found in %s", names[i], text);
        }
    }
    for (size_t i = 0; others[i] != '\0'; i++) {
        if (envfile_names(path, (const char[]){others[i], '\0'})) {
            fail_msg("%c is found in %s", others[i], text);
        }
    }
    unlink(path);
    assert_false(envfile_names(path, (const char[]){names[0], '\0'}));
}

static void test_names(void **state)
{
    (void)state;
    assert_names("#A=1\nno line\n B = 2\r\nexport C=3\nD\r\nE=F=1", "BCDE", "AF");
    /* Not what stands inside of a value, or looks like its end. */
    assert_names("\xef\xbb\xbf"
                 "A=\"x\nB=1\n\\\"\nC=1\"\nD='\nE=1\n\\'\nF=1'\nG=h'\nH=1\n",
                 "ADGH", "BCEF");
    /* What only Compose takes, and what it would refuse, hide nothing. */
    assert_names("A: \"x\nB=1\"\nC=${D:?no}\nE=\"\\033 $\nF=1\"\nG=\"x\" H=1\nI:2", "ACEGI",
                 "BDFH");
}

static void test_bad_lines(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"A=1\nnonsense\n", ".env:2: not a KEY=value line"},
        {"1A=1\n", ".env:1: not a KEY=value line"},
        {"A=\"x\ny\"\nB: 2\n", ".env:3: not a KEY=value line"},
        {"=1\n", ".env:1: "},
        {"export A", ".env:1: "},
        {"\nA=\"half\nB=1\n", ".env:2: a value that begins with \" has no \" at its end"},
        {"A='half\\'", ".env:1: a value that begins with ' has no"},
        {"A=\"x\" B=2", ".env:1: there is more behind the closing quote"},
        {"A= # none\n", ".env:1: put a value that begins with #"},
        {"A=1\nB=a$1\n", ".env:2: a $ begins a variable"},
        {"A=a$", ".env:1: a $ begins a variable"},
        {"A=${B", ".env:1: a $ begins a variable"},
        {"A=${}", ".env:1: ${…} may be"},
        {"A=\"${B:?no}\"", ".env:1: ${…} may be"},
        {"A=${B:-$C}", ".env:1: ${…} may be"},
        {"A=\"\\033[1m\"", ".env:1: octal escapes"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_bad(str_of(cases[i][0]), cases[i][1]);
    }
    assert_bad(STR("A=\0b\n"), ".env: holds a NUL byte");
    struct envlist list = {0};
    struct err err = {0};
    assert_int_equal(envfile_load("/nonexistent/.env", NULL, &list, &err), -1);
    assert_int_equal(err.code, ERR_CONFIG);
    envlist_fini(&list);
}

/* Each line is twice the one before. */
static void test_values_that_grow(void **state)
{
    (void)state;
    struct buf text = {0};
    buf_add_text(&text, "A=0123456789\n");
    for (int i = 0; i < 60; i++) {
        buf_add_text(&text, "A=$A$A\n");
    }
    assert_bad(buf_str(&text), "more than 4 MiB");
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_later_wins), cmocka_unit_test(test_names),
        cmocka_unit_test(test_file),       cmocka_unit_test(test_values),
        cmocka_unit_test(test_bad_lines),  cmocka_unit_test(test_values_that_grow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
