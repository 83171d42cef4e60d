/* The log as JSON lines: which events, what a line holds, and that its file stays bounded. */
#include "daemon/json_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

static int setup(void **state)
{
    char *dir = xstrdup("/tmp/wos-jsonlog-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    log_set_level(LOG_LEVEL_OFF);
    *state = dir;
    return 0;
}

static int teardown(void **state)
{
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(path_remove_all(*state, NULL), 0);
    free(*state);
    return 0;
}

static struct config *config_of(const char *logging)
{
    autofree char *text = xasprintf("{\"logging\": %s}", logging);
    struct config *c = config_parse("/h", str_of(text));
    assert_int_equal(c->problem_count, 0);
    return c;
}

static char *text_of(const char *path)
{
    struct buf text = {0};
    if (file_read(path, 1 << 20, &text, NULL) < 0) {
        buf_add_text(&text, "(none)");
    }
    return buf_take(&text);
}

static bool has(const char *path, const char *what)
{
    autofree char *text = text_of(path);
    return strstr(text, what) != NULL;
}

static void test_levels_and_modules(void **state)
{
    (void)state;
    struct config *c = config_of("{\"enabled\": true, \"level\": \"warn\", \"modules\": {\"loud\": "
                                 "\"trace\", \"mute\": \"off\"}}");
    struct json_log *l = json_log_new(c);
    log_warn("any", "one");
    log_info("any", "two");
    log_debug("loud", "three");
    log_error("mute", "four");
    assert_true(has("logs/daemon.log", "\"level\":\"warn\",\"module\":\"any\",\"msg\":\"one\"}\n"));
    assert_false(has("logs/daemon.log", "two"));
    assert_true(has("logs/daemon.log", "three"));
    assert_false(has("logs/daemon.log", "four"));
    struct stat st;
    assert_int_equal(stat("logs/daemon.log", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    /* Switched off, nothing is asked for any more. */
    c->log_enabled = false;
    json_log_config_changed(l);
    assert_false(log_is_wanted(LOG_LEVEL_ERROR));
    log_error("any", "five");
    assert_false(has("logs/daemon.log", "five"));
    json_log_free(l);
    config_free(c);
}

static void test_a_line_is_json_whatever_is_in_it(void **state)
{
    (void)state;
    struct config *c = config_of("{\"enabled\": true, \"file\": \"a/b/mine\"}");
    struct json_log *l = json_log_new(c);
    log_info("m", "quote \" and\nline", LOG_INT("n", -7), LOG_STR("bad", "a\xff\xc3(\xe2\x82\xac"),
             LOG_STR("title", "secret plans"), LOG_SLICE("cut", ((struct str){"abcdef", 3})));
    autofree char *text = text_of("a/b/mine");
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    autojson cJSON *line = json_parse(str_of(text), "line", NULL);
    assert_non_null(line);
    assert_string_equal(json_get_str(line, "msg", ""), "quote \" and\nline");
    assert_int_equal(json_get_int(line, "n", 0), -7);
    assert_string_equal(json_get_str(line, "bad", ""), "a\xef\xbf\xbd\xef\xbf\xbd(\xe2\x82\xac");
    assert_string_equal(json_get_str(line, "cut", ""), "abc");
    assert_null(strstr(text, "plans"));
    assert_int_equal(json_get_int(line, "title.len", 0), 12);
    c->log_redact = false;
    log_info("m", "again", LOG_STR("title", "secret plans"));
    assert_true(has("a/b/mine", "\"title\":\"secret plans\""));
    json_log_free(l);
    config_free(c);
}

static void test_files_are_bounded_and_kept(void **state)
{
    (void)state;
    struct config *c =
        config_of("{\"enabled\": true, \"file\": \"log\", \"maxSize\": 4096, \"keep\": 2}");
    struct json_log *l = json_log_new(c);
    for (int i = 0; i < 400; i++) {
        log_info("m", "a line", LOG_INT("number", i));
    }
    static const char *const names[] = {"log", "log.1", "log.2"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct stat st;
        assert_int_equal(stat(names[i], &st), 0);
        assert_in_range(st.st_size, 1, 4096);
    }
    assert_false(file_exists("log.3"));
    assert_true(has("log", "\"number\":399}"));
    json_log_free(l);
    config_free(c);
}

static void test_moved_broken_and_repaired(void **state)
{
    (void)state;
    struct config *c = config_of("{\"enabled\": true, \"file\": \"log\"}");
    struct json_log *l = json_log_new(c);
    log_info("m", "first");
    assert_int_equal(rename("log", "log.old"), 0);
    log_info("m", "second");
    assert_true(has("log.old", "first") && !has("log.old", "second") && has("log", "second"));
    /* A pipe would hold the daemon up. */
    assert_int_equal(unlink("log"), 0);
    assert_int_equal(mkfifo("log", 0600), 0);
    log_info("m", "lost");
    assert_int_equal(unlink("log"), 0);
    log_info("m", "third");
    assert_true(has("log", "third") && !has("log", "lost"));
    json_log_free(l);
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_levels_and_modules, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_line_is_json_whatever_is_in_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_are_bounded_and_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_moved_broken_and_repaired, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
