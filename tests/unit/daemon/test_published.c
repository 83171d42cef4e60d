/* published: what is restored of the list and its log, and who may see that, when something of them
 * cannot be read or written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/config.h"
#include "daemon/published.h"
#include "daemon/published_log.h"
#include "daemon/publisher.h"

struct fixture {
    char dir[64];
    char *list; /* owned */
    char *log;  /* owned */
    struct loop *loop;
    struct config *config;
    struct publisher *publisher;
    struct published *published; /* owned; NULL: the daemon does not run */
};

static void on_snapshot(void *arg, uint64_t generation, struct str bytes)
{
    (void)arg;
    (void)generation;
    (void)bytes;
}

static int setup(void **state)
{
    struct err err;
    struct fixture *f = xcalloc(1, sizeof *f);
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/wos-published-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->list = path_join(f->dir, "published.json");
    f->log = path_join(f->dir, "published.log");
    f->loop = loop_new(&err);
    f->config = config_parse(
        "/nowhere",
        STR("{\"tunnel\": {\"enabled\": true, \"domain\": \"d.test\", \"serviceTunnels\": "
            "{\"enabled\": true, \"whitelistIps\": [\"127.0.0.1\"]}}}"));
    *state = f;
    return 0;
}

static void stop(struct fixture *f)
{
    published_free(f->published);
    f->published = NULL;
    publisher_free(f->publisher);
    f->publisher = NULL;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    stop(f);
    config_free(f->config);
    loop_free(f->loop);
    assert_int_equal(path_remove_all(f->dir, NULL), 0);
    free(f->list);
    free(f->log);
    free(f);
    return 0;
}

/* The daemon begins with what is in the home. */
static void start(struct fixture *f)
{
    f->publisher = publisher_new(f->loop, f->config, on_snapshot, f);
    f->published = published_new(f->dir, f->publisher);
}

static void write_file(const char *path, const char *text)
{
    assert_int_equal(file_write_atomic(path, str_of(text), 0600, NULL), 0);
}

static int add(struct fixture *f, const char *name, struct err *err)
{
    const struct publish_options options = {.access = PUBLISH_ACCESS_SECRET};
    return published_add(f->published, name, 3000, &options, NULL, NULL, err);
}

/* "" when nothing has the name, "default" when its access is not said. */
static void assert_access(const struct fixture *f, const char *name, const char *expected)
{
    autojson cJSON *row = published_item_json(f->published, name);
    const char *access = row == NULL ? "" : json_get_str(row, "access", "default");
    assert_string_equal(access, expected);
}

static const char TWO[] = "{\"published\":[{\"name\":\"a\",\"port\":1,\"access\":\"public\"},"
                          "{\"name\":\"b\",\"port\":2,\"access\":\"public\"}]}";

static void test_the_log_continues_the_list(void **state)
{
    struct fixture *f = *state;
    write_file(f->list, TWO);
    write_file(f->log, "{\"name\":\"a\",\"port\":1,\"access\":\"private\"}\n"
                       "{\"name\":\"b\",\"removed\":true}\n");
    start(f);
    assert_access(f, "a", "private");
    assert_access(f, "b", "");
    assert_false(file_exists(f->log));
}

/* It may have said that somebody may not see them any more. */
static void test_without_its_log_the_list_says_nothing_of_who_may_see_it(void **state)
{
    struct fixture *f = *state;
    struct err err = {.msg = ""};
    write_file(f->list, TWO);
    assert_int_equal(mkdir(f->log, 0700), 0); /* EIO, EACCES, or as here no file */
    start(f);
    assert_access(f, "a", "private");
    assert_access(f, "b", "private");
    assert_int_equal(add(f, "c", &err), 0);
    assert_access(f, "c", "secret");
    stop(f);
    /* Once it can be read, nothing is lost. */
    assert_int_equal(rmdir(f->log), 0);
    start(f);
    assert_access(f, "a", "public");
    assert_access(f, "c", "");
}

static void test_a_line_that_cannot_be_read_may_have_been_about_any_name(void **state)
{
    struct fixture *f = *state;
    write_file(f->list, TWO);
    write_file(f->log, "{\"name\":\"a\",\"port\":1,\"access\":\"pri!!!!\n"
                       "{\"name\":\"b\",\"port\":2,\"access\":\"secret\"}\n");
    start(f);
    assert_access(f, "a", "private");
    assert_access(f, "b", "secret"); /* said later */
}

static void test_a_list_that_is_no_json_is_put_aside(void **state)
{
    struct fixture *f = *state;
    struct err err = {.msg = ""};
    struct buf kept = {0};
    autofree char *aside = xasprintf("%s.bad", f->list);
    write_file(f->list, "{\"published\":[{\"name\":\"a\",\"port\":1,");
    start(f);
    assert_int_equal(add(f, "c", &err), 0);
    stop(f);
    assert_int_equal(file_read(aside, 1000, &kept, &err), 0);
    assert_non_null(strstr(buf_cstr(&kept), "\"a\""));
    buf_fini(&kept);
    start(f);
    assert_access(f, "c", "secret");
}

/* A line that is in the log outlives the daemon, whether or not the list can be written then. */
static void test_a_stored_change_is_no_failure(void **state)
{
    struct fixture *f = *state;
    struct err err = {.msg = ""};
    struct buf text = {0};
    while (text.len <= PUBLISHED_LOG_LONG) {
        buf_add_text(&text, "{\"name\":\"a\",\"port\":1,\"access\":\"public\"}\n");
    }
    assert_int_equal(mkdir(f->list, 0700), 0); /* cannot be read, and not be replaced */
    write_file(f->log, buf_cstr(&text));
    buf_fini(&text);
    start(f);
    assert_int_equal(published_remove(f->published, "a", &err), 0);
    stop(f);
    start(f);
    assert_access(f, "a", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_log_continues_the_list, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_without_its_log_the_list_says_nothing_of_who_may_see_it, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_line_that_cannot_be_read_may_have_been_about_any_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_list_that_is_no_json_is_put_aside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_stored_change_is_no_failure, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
