/* projects: the file, order and colours, texts, what is refused, and what git's status says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/gitfacts.h"
#include "daemon/projects.h"
#include "daemon/statuses.h"

static char home[] = "/tmp/wos-projects-XXXXXX";

static void write_file(const char *text)
{
    struct err err;
    autofree char *path = path_join(home, "projects.json");
    assert_int_equal(file_write_atomic(path, str_of(text), 0600, &err), 0);
}

static char *id_of(struct projects *p, const char *source)
{
    const char *id = projects_id_of(p, source);
    assert_non_null(id);
    return xstrdup(id);
}

static void test_adding_and_loading(void **state)
{
    (void)state;
    struct err err;
    bool is_new;
    struct projects *p = projects_new(home);
    assert_null(projects_at(p, 0));
    assert_non_null(projects_add(p, "/r/one", &is_new, &err));
    assert_true(is_new);
    assert_non_null(projects_add(p, "/r/two", &is_new, &err));
    assert_non_null(projects_add(p, "/r/one", &is_new, &err));
    assert_false(is_new);
    autofree char *one = id_of(p, "/r/one");
    projects_free(p);
    p = projects_new(home);
    const cJSON *item = projects_find(p, one);
    assert_string_equal(json_get_str(item, "displayName", ""), "one");
    assert_int_equal(json_get_int(item, "colorSlot", -1), 0);
    assert_int_equal(json_get_int(projects_at(p, 1), "colorSlot", -1), 1);
    assert_null(projects_at(p, 2));
    struct stat st;
    autofree char *path = path_join(home, "projects.json");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    projects_free(p);
}

static void test_order_and_unknown_members(void **state)
{
    (void)state;
    struct err err;
    write_file("[{\"id\":\"a\",\"sourcePath\":\"/a\",\"order\":0,\"mine\":[1]},"
               "{\"id\":\"b\",\"sourcePath\":\"/b\",\"order\":1}, 7, {\"id\":\"c\"},"
               "{\"id\":\"d\",\"sourcePath\":\"/d\",\"order\":2}]");
    struct projects *p = projects_new(home);
    autojson cJSON *last = json_parse(STR("{\"order\": 99}"), "x", &err);
    assert_int_equal(projects_change(p, "a", last, &err), 0);
    static const char *const order[] = {"b", "d", "a"};
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(json_get_str(projects_at(p, i), "id", ""), order[i]);
        assert_int_equal(json_get_int(projects_at(p, i), "order", -1), i);
    }
    projects_free(p);
    p = projects_new(home);
    assert_true(cJSON_IsArray(json_get(projects_find(p, "a"), "mine")));
    assert_int_equal(projects_remove(p, "d", &err), 0);
    assert_int_equal(projects_remove(p, "d", &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    projects_free(p);
}

static void test_texts(void **state)
{
    (void)state;
    struct err err;
    write_file("{\"projects\":[{\"id\":\"a\",\"sourcePath\":\"/a\"}]}");
    struct projects *p = projects_new(home);
    char longest[PROJECT_NAME_MAX * 2 + 3];
    for (size_t i = 0; i < PROJECT_NAME_MAX + 1; i++) {
        memcpy(longest + 2 * i, "\xc3\xa4", 3);
    }
    assert_int_equal(projects_set_text(p, "a", PROJECT_WORKTREE_NAME, "/a/w", longest, &err), -1);
    assert_int_equal(err.code, ERR_USAGE);
    longest[PROJECT_NAME_MAX * 2] = '\0'; /* characters are counted, not bytes */
    assert_int_equal(projects_set_text(p, "a", PROJECT_WORKTREE_NAME, "/a/w", longest, &err), 0);
    assert_int_equal(projects_set_text(p, "a", PROJECT_WORKTREE_NAME, "/a/w", "a\nb", &err), -1);
    assert_int_equal(projects_set_text(p, "a", PROJECT_WORKTREE_NOTE, "/a/w", "a\nb", &err), 0);
    assert_int_equal(projects_set_text(p, "z", PROJECT_WORKTREE_NOTE, "/a/w", "a", &err), -1);
    assert_string_equal(project_text(projects_find(p, "a"), PROJECT_WORKTREE_NAME, "/a/w"),
                        longest);
    assert_int_equal(projects_set_text(p, "a", PROJECT_WORKTREE_NAME, "/a/w", NULL, &err), 0);
    assert_null(project_text(projects_find(p, "a"), PROJECT_WORKTREE_NAME, "/a/w"));
    projects_free(p);
}

static void test_a_bad_file_is_put_aside(void **state)
{
    (void)state;
    write_file("{\"projects\":[");
    struct projects *p = projects_new(home);
    assert_null(projects_at(p, 0));
    autofree char *aside = path_join(home, "projects.json.bad");
    assert_true(file_exists(aside));
    projects_free(p);
}

/* EIO, EACCES, or as here ELOOP: there may be a list that is not known. */
static void test_a_file_that_cannot_be_read_is_not_overwritten(void **state)
{
    (void)state;
    struct err err = {.msg = ""};
    bool is_new;
    autojson cJSON *status = json_parse(STR("{\"name\": \"mine\"}"), "x", &err);
    autofree char *path = path_join(home, "projects.json");
    autofree char *statuses_path = path_join(home, "statuses.json");
    assert_int_equal(symlink("projects.json", path), 0);
    assert_int_equal(symlink("statuses.json", statuses_path), 0);
    struct projects *p = projects_new(home);
    struct statuses *s = statuses_new(home);
    assert_null(projects_add(p, "/r/one", &is_new, &err));
    assert_non_null(strstr(err.msg, "projects.json is not written"));
    assert_null(statuses_add(s, status, &err));
    assert_non_null(strstr(err.msg, "statuses.json is not written"));
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(lstat(statuses_path, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    /* Once they can be read, nothing of them is lost. */
    write_file("{\"projects\":[{\"id\":\"a\",\"sourcePath\":\"/a\"}]}");
    assert_int_equal(unlink(statuses_path), 0);
    assert_null(projects_add(p, "/r/one", &is_new, &err));
    assert_non_null(projects_add(p, "/r/one", &is_new, &err));
    assert_non_null(projects_find(p, "a"));
    assert_null(statuses_add(s, status, &err));
    assert_non_null(statuses_add(s, status, &err));
    statuses_free(s);
    projects_free(p);
}

static void test_what_cannot_be_written_is_taken_back(void **state)
{
    (void)state;
    struct err err = {.msg = ""};
    bool is_new;
    write_file("{\"projects\":[]}");
    struct projects *p = projects_new(home);
    autofree char *path = path_join(home, "projects.json");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0); /* nothing can be renamed over it */
    assert_null(projects_add(p, "/r/one", &is_new, &err));
    assert_string_not_equal(err.msg, "");
    assert_null(projects_at(p, 0));
    assert_int_equal(rmdir(path), 0);
    assert_non_null(projects_add(p, "/r/one", &is_new, &err));
    projects_free(p);
}

static void test_status_of_git(void **state)
{
    (void)state;
    static const char text[] =
        "# branch.oid 0123\n# branch.head main\n# branch.upstream origin/main\n"
        "# branch.ab +2 -13\n"
        "1 M. N... 100644 100644 100644 a b staged\n"
        "1 .M N... 100644 100644 100644 a b unstaged\n"
        "1 MM N... 100644 100644 100644 a b both\n"
        "2 R. N... 100644 100644 100644 a b R100 new\told\n"
        "u UU N... 1 2 3 4 a b c conflict\n"
        "? untracked # branch.ab +9 -9\n! ignored\n";
    autojson cJSON *facts = gitfacts_parse_status(text, sizeof text - 1);
    const cJSON *changes = json_get(facts, "changes");
    assert_int_equal(json_get_int(facts, "aheadCount", -1), 2);
    assert_int_equal(json_get_int(facts, "behindCount", -1), 13);
    assert_int_equal(json_get_int(facts, "uncommittedCount", -1), 6);
    assert_int_equal(json_get_int(changes, "total", -1), 6);
    assert_int_equal(json_get_int(changes, "staged", -1), 3);
    assert_int_equal(json_get_int(changes, "unstaged", -1), 2);
    assert_int_equal(json_get_int(changes, "untracked", -1), 1);
    assert_int_equal(json_get_int(changes, "unmerged", -1), 1);
    autojson cJSON *nothing = gitfacts_parse_status(NULL, 0);
    assert_int_equal(json_get_int(nothing, "uncommittedCount", -1), 0);
    assert_null(json_get(nothing, "aheadCount"));
}

static int empty_home(void **state)
{
    (void)state;
    struct err err;
    return path_remove_all(home, &err) == 0 && mkdir(home, 0700) == 0 ? 0 : -1;
}

int main(void)
{
    assert_non_null(mkdtemp(home));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_adding_and_loading, empty_home),
        cmocka_unit_test_setup(test_order_and_unknown_members, empty_home),
        cmocka_unit_test_setup(test_texts, empty_home),
        cmocka_unit_test_setup(test_a_bad_file_is_put_aside, empty_home),
        cmocka_unit_test_setup(test_a_file_that_cannot_be_read_is_not_overwritten, empty_home),
        cmocka_unit_test_setup(test_what_cannot_be_written_is_taken_back, empty_home),
        cmocka_unit_test(test_status_of_git),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    struct err err;
    (void)path_remove_all(home, &err);
    return failed;
}
