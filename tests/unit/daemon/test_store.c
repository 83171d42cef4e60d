/* Session directories and their files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/deploy/worktree.h"
#include "daemon/store/store.h"

static char home[] = "/tmp/wos-store-XXXXXX";

static int setup(void **state)
{
    (void)state;
    return mkdtemp(home) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    return path_remove_all(home, NULL);
}

static void save(const char *session, const char *json)
{
    autojson cJSON *tree = cJSON_Parse(json);
    assert_non_null(tree);
    assert_int_equal(store_save_state(home, session, tree, NULL), 0);
}

static void test_state_round_trip(void **state)
{
    (void)state;
    struct err err = {0};
    assert_null(store_load_state(home, "nobody", &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    save("a", "{\"initialized\": true, \"future\": [1]}");
    autojson cJSON *loaded = store_load_state(home, "a", &err);
    assert_non_null(json_get(loaded, "future"));
    struct stat st;
    autofree char *path = store_state_path(home, "a");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    autofree char *dir = store_session_dir(home, "a");
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(file_write_atomic(path, STR("[1]"), 0600, NULL), 0);
    assert_null(store_load_state(home, "a", &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_int_equal(file_write_atomic(path, STR("{\"x\":"), 0600, NULL), 0);
    assert_null(store_load_state(home, "a", &err));
    assert_int_equal(store_remove(home, "a", NULL), 0);
    assert_int_equal(stat(dir, &st), -1);
}

static bool is_not(void *arg, const char *session)
{
    return strcmp(arg, session) != 0;
}

static void test_list_and_ports(void **state)
{
    (void)state;
    save("b", "{\"portAssignments\": {\"web\": {\"3000\": 20001, \"3001\": \"x\"}}}");
    save("a", "{\"portAssignments\": {\"web\": {\"3000\": 20002}, \"api\": {\"1\": 70000}}}");
    char **names = store_list(home);
    assert_string_equal(names[0], "a");
    assert_string_equal(names[1], "b");
    assert_null(names[2]);
    store_names_free(names);
    struct port_set set;
    store_collect_ports(home, is_not, "a", &set);
    assert_true(port_set_has(&set, 20001));
    assert_false(port_set_has(&set, 20002));
    store_collect_ports(home, NULL, NULL, &set);
    assert_true(port_set_has(&set, 20002));
    names = store_list("/nonexistent");
    assert_null(names[0]);
    store_names_free(names);
}

static void test_failure_file(void **state)
{
    (void)state;
    assert_null(store_load_failure(home, "f"));
    assert_int_equal(store_save_failure(home, "f", "no port", "op-1", "status", NULL), 0);
    autojson cJSON *failure = store_load_failure(home, "f");
    assert_string_equal(json_get_str(failure, "message", ""), "no port");
    assert_string_equal(json_get_str(failure, "operationId", ""), "op-1");
    assert_string_equal(json_get_str(failure, "step", ""), "status");
    assert_string_equal(json_get_str(failure, "operationId", ""), "op-1");
    assert_int_equal(strlen(json_get_str(failure, "failedAt", "")), 24);
    store_clear_failure(home, "f");
    assert_null(store_load_failure(home, "f"));
}

static void test_log_path(void **state)
{
    (void)state;
    autofree char *path = store_log_path("/h", "s", "my api/x", "stdout");
    assert_string_equal(path, "/h/sessions/s/shell/logs/my_api_x.stdout.log");
}

static void assert_session(const char *root, const char *expected)
{
    autofree char *name = worktree_session_name(home, root);
    assert_string_equal(name, expected);
}

static void test_session_names(void **state)
{
    (void)state;
    assert_session("/var/www/x", "var-www-x");
    /* Bytes that no file name should have: a slug and ten digits of the hash. */
    assert_session("/srv/a b", "srv-a-b--4d57b7b614");
    assert_session("/srv/x.", "srv-x.--49f464429e");
    /* "/a/b-c" and "/a-b/c" have one documented name: the second to come is hashed. */
    save("a-b-c", "{\"worktreeRoot\": \"/a/b-c\"}");
    assert_session("/a/b-c", "a-b-c");
    assert_session("/a-b/c", "a-b-c--fc55613d75");
}

static void test_project_name(void **state)
{
    (void)state;
    autofree char *name = worktree_project_name("/w/tree", "/srv/My Proj!");
    assert_string_equal(name, "wos-my-proj-7b5dfc84");
}

static void test_porcelain(void **state)
{
    (void)state;
    struct str list = STR("worktree /srv/bare.git\nbare\n\n"
                          "worktree /srv/det\nHEAD 1111\ndetached\n\n"
                          "worktree /srv/main tree\nHEAD 2222\nbranch refs/heads/topic/x\n\n");
    struct worktree_entry source;
    assert_true(worktree_pick_source(list, &source));
    assert_true(str_eq(source.path, STR("/srv/main tree")));
    assert_true(str_eq(source.branch, STR("topic/x")));
    assert_true(str_eq(source.head, STR("2222")));
    struct str rest = list;
    struct worktree_entry entry;
    assert_true(worktree_entry_next(&rest, &entry));
    assert_true(entry.bare);
    assert_true(worktree_entry_next(&rest, &entry));
    assert_true(entry.detached);
    assert_true(worktree_entry_next(&rest, &entry));
    assert_false(worktree_entry_next(&rest, &entry));
    assert_false(worktree_pick_source(STR(""), &source));
    assert_true(worktree_pick_source(STR("worktree /only\ndetached\n"), &source));
    assert_true(str_eq(source.path, STR("/only")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_round_trip), cmocka_unit_test(test_list_and_ports),
        cmocka_unit_test(test_failure_file),     cmocka_unit_test(test_log_path),
        cmocka_unit_test(test_session_names),    cmocka_unit_test(test_project_name),
        cmocka_unit_test(test_porcelain)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
