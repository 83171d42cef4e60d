/* web_logins, web_grants, login_cookie: devices and one-time links, over restarts and bad files. */
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
#include "daemon/api/login.h"
#include "daemon/web_grants.h"
#include "daemon/web_logins.h"

#define SECRET "the secret"

static const int64_t NOW = 1800000000000;
static const int64_t DAY = 24 * 3600 * 1000;

struct fixture {
    char home[32];
    struct loop *loop;
    struct web_logins *logins;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    (void)snprintf(f->home, sizeof f->home, "/tmp/wos-wl-XXXXXX");
    assert_non_null(mkdtemp(f->home));
    f->loop = loop_new(NULL);
    f->logins = web_logins_new(f->loop, f->home);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    web_logins_free(f->logins);
    loop_free(f->loop);
    assert_int_equal(path_remove_all(f->home, NULL), 0);
    free(f);
    return 0;
}

static void restart(struct fixture *f)
{
    web_logins_free(f->logins);
    f->logins = web_logins_new(f->loop, f->home);
}

static char *add(struct fixture *f, const char *secret, int64_t now_ms)
{
    char *token = web_logins_add(f->logins, secret, "192.0.2.1", "Agent\n<b>", now_ms, NULL);
    assert_non_null(token);
    return token;
}

static bool is_in(struct fixture *f, const char *secret, const char *token, int64_t now_ms)
{
    return web_logins_find(f->logins, secret, str_of(token), now_ms) != NULL;
}

static void test_a_device_stays_over_a_restart(void **state)
{
    struct fixture *f = *state;
    autofree char *token = add(f, SECRET, NOW);
    assert_true(is_in(f, SECRET, token, NOW));
    restart(f);
    assert_true(is_in(f, SECRET, token, NOW + DAY));
    autojson cJSON *list = web_logins_json(f->logins, NULL);
    assert_int_equal(cJSON_GetArraySize(list), 1);
    assert_string_equal(json_get_str(cJSON_GetArrayItem(list, 0), "userAgent", ""), "Agent?<b>");
}

static void test_every_other_token_is_refused(void **state)
{
    struct fixture *f = *state;
    autofree char *token = add(f, SECRET, NOW);
    for (size_t i = 0; i < strlen(token); i++) {
        autofree char *bad = xstrdup(token);
        bad[i] = (char)(bad[i] ^ 1);
        assert_false(is_in(f, SECRET, bad, NOW));
    }
    assert_false(is_in(f, SECRET, "", NOW));
    assert_false(is_in(f, NULL, token, NOW));
    assert_false(is_in(f, "", token, NOW));
}

static void test_it_ends_after_its_days(void **state)
{
    struct fixture *f = *state;
    autofree char *token = add(f, SECRET, NOW);
    assert_true(is_in(f, SECRET, token, NOW + WEB_LOGINS_DAYS * DAY));
    assert_false(is_in(f, SECRET, token, NOW + WEB_LOGINS_DAYS * DAY + 1));
    assert_false(is_in(f, SECRET, token, NOW)); /* for good */
}

static void test_another_secret_ends_all(void **state)
{
    struct fixture *f = *state;
    autofree char *token = add(f, SECRET, NOW);
    assert_false(is_in(f, "another", token, NOW));
    assert_false(is_in(f, SECRET, token, NOW));
    restart(f);
    assert_false(is_in(f, SECRET, token, NOW));
}

static void test_revoked_stays_revoked(void **state)
{
    struct fixture *f = *state;
    autofree char *one = add(f, SECRET, NOW);
    autofree char *two = add(f, SECRET, NOW);
    autofree char *id = xstrdup(web_logins_find(f->logins, SECRET, str_of(one), NOW));
    struct err err = {.msg = ""};
    assert_int_equal(web_logins_revoke(f->logins, id, &err), 0);
    assert_int_equal(web_logins_revoke(f->logins, id, &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    restart(f);
    assert_false(is_in(f, SECRET, one, NOW));
    assert_true(is_in(f, SECRET, two, NOW));
    assert_int_equal(web_logins_revoke_all(f->logins, &err), 0);
    assert_false(is_in(f, SECRET, two, NOW));
}

static void test_the_oldest_makes_room(void **state)
{
    struct fixture *f = *state;
    autofree char *first = add(f, SECRET, NOW);
    for (int i = 0; i < WEB_LOGINS_MAX; i++) {
        autofree char *next = add(f, SECRET, NOW + i);
        assert_true(is_in(f, SECRET, next, NOW + i));
    }
    assert_false(is_in(f, SECRET, first, NOW));
    autojson cJSON *list = web_logins_json(f->logins, NULL);
    assert_int_equal(cJSON_GetArraySize(list), WEB_LOGINS_MAX);
}

static void test_files_of_others_and_bad_files(void **state)
{
    struct fixture *f = *state;
    autofree char *token = add(f, SECRET, NOW);
    autofree char *path = path_join(f->home, "web/logins.json");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{\"logins\": [{\"digest\": 5}, {\"digest\": \"zz\"}, 3], \"secretDigest\": 1}",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(file_write_atomic(path, str_of(bad[i]), 0600, NULL), 0);
        web_logins_free(f->logins);
        assert_int_equal(file_write_atomic(path, str_of(bad[i]), 0600, NULL), 0);
        f->logins = web_logins_new(f->loop, f->home);
        assert_false(is_in(f, SECRET, token, NOW));
    }
}

static void test_a_grant_is_good_once_and_ends(void **state)
{
    (void)state;
    struct web_grants g = {0};
    autofree char *one = web_grants_make(&g, 1000, 500);
    autofree char *two = web_grants_make(&g, 1000, 500);
    assert_string_not_equal(one, two);
    assert_false(web_grants_take(&g, "", 500));
    assert_true(web_grants_take(&g, one, 1499));
    assert_false(web_grants_take(&g, one, 1499));
    assert_false(web_grants_take(&g, two, 1500));
    autofree char *old = web_grants_make(&g, 5000, 2000);
    for (int i = 0; i < WEB_GRANTS_MAX; i++) {
        autofree char *next = web_grants_make(&g, 6000, 2000);
        assert_non_null(next);
    }
    assert_false(web_grants_take(&g, old, 2000));
}

static void test_cookies_are_found_whole(void **state)
{
    (void)state;
    struct str value;
    const struct str name = STR("sid");
    const char *cookies = "xsid=1; sid=two; sidx=3;sid=4; sid; sid=";
    assert_true(login_cookie(cookies, name, 0, &value));
    assert_true(str_eq(value, STR("two")));
    assert_true(login_cookie(cookies, name, 1, &value));
    assert_true(str_eq(value, STR("4")));
    assert_true(login_cookie(cookies, name, 2, &value));
    assert_int_equal(value.len, 0);
    assert_false(login_cookie(cookies, name, 3, &value));
    assert_false(login_cookie(NULL, name, 0, &value));
    assert_false(login_cookie("", name, 0, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_device_stays_over_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_other_token_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_it_ends_after_its_days, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_secret_ends_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_revoked_stays_revoked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_oldest_makes_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_of_others_and_bad_files, setup, teardown),
        cmocka_unit_test(test_a_grant_is_good_once_and_ends),
        cmocka_unit_test(test_cookies_are_found_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
