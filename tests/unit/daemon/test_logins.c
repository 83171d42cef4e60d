/* logins and accesskey: events in, the list and the revocations out, over restarts. */
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
#include "base/log.h"
#include "daemon/accesskey.h"
#include "daemon/logins.h"

struct fixture {
    char home[32];
    struct loop *loop;
    struct config *config;
    struct publisher *publisher;
    struct logins *logins;
    struct snapshot *snapshot; /* the newest, decoded */
};

static void on_snapshot(void *arg, uint64_t generation, struct str bytes)
{
    struct fixture *f = arg;
    (void)generation;
    snapshot_unref(f->snapshot);
    f->snapshot = snapshot_decode(bytes, NULL);
    assert_non_null(f->snapshot);
}

static void turns(struct fixture *f)
{
    for (int i = 0; i < 3; i++) {
        loop_turn(f->loop, false);
    }
}

static void begin(struct fixture *f)
{
    struct err err = {.msg = ""};
    f->loop = loop_new(&err);
    f->config = config_parse(f->home, STR("{\"tunnel\": {\"enabled\": true, \"domain\": \"d.test\","
                                          "\"serviceTunnels\": {\"secret\": \"0123456789abc\"}}}"));
    f->publisher = publisher_new(f->loop, f->config, on_snapshot, f);
    f->logins = logins_new(f->loop, f->home, f->publisher);
    turns(f);
}

static void end(struct fixture *f)
{
    logins_free(f->logins);
    publisher_free(f->publisher);
    config_free(f->config);
    snapshot_unref(f->snapshot);
    f->snapshot = NULL;
    loop_free(f->loop);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    (void)snprintf(f->home, sizeof f->home, "/tmp/wos-logins-XXXXXX");
    assert_non_null(mkdtemp(f->home));
    begin(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    end(f);
    (void)path_remove_all(f->home, NULL);
    free(f);
    return 0;
}

static void restart(struct fixture *f)
{
    end(f);
    begin(f);
}

static void happens(struct fixture *f, const char *text)
{
    struct err err = {.msg = ""};
    autojson cJSON *event = json_parse(str_of(text), "event", &err);
    assert_non_null(event);
    logins_on_event(f->logins, event);
    turns(f);
}

static void log_in(struct fixture *f, uint64_t id)
{
    autofree char *text = xasprintf("{\"event\":\"login\",\"id\":\"%016llx\",\"host\":\"a.d.test\","
                                    "\"address\":\"192.0.2.1\",\"agent\":\"curl\\u001b[2J\"}",
                                    (unsigned long long)id);
    happens(f, text);
}

static mode_t mode_of(const struct fixture *f, const char *name)
{
    struct stat st;
    autofree char *path = path_join(f->home, name);
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

static bool is_revoked(const struct fixture *f, uint64_t id)
{
    const struct snapshot_access *access = &f->snapshot->spec.access;
    for (uint32_t i = 0; i < access->revoked_count; i++) {
        if (access->revoked[i] == id) {
            return true;
        }
    }
    return false;
}

static void test_files_are_private(void **state)
{
    struct fixture *f = *state;
    log_in(f, 1);
    restart(f);
    assert_int_equal(mode_of(f, "access"), 0700);
    assert_int_equal(mode_of(f, "access/key"), 0600);
    assert_int_equal(mode_of(f, "access/logins.json"), 0600);
}

static void test_a_login_is_kept(void **state)
{
    struct fixture *f = *state;
    log_in(f, UINT64_C(0xfedcba9876543210));
    log_in(f, 7);
    restart(f);
    autojson cJSON *list = logins_json(f->logins);
    assert_int_equal(cJSON_GetArraySize(list), 2);
    const cJSON *newest = cJSON_GetArrayItem(list, 0);
    const cJSON *first = cJSON_GetArrayItem(list, 1);
    assert_string_equal(json_get_str(newest, "id", ""), "0000000000000007");
    assert_string_equal(json_get_str(first, "id", ""), "fedcba9876543210");
    assert_string_equal(json_get_str(first, "host", ""), "a.d.test");
    assert_string_equal(json_get_str(first, "address", ""), "192.0.2.1");
    assert_string_equal(json_get_str(first, "userAgent", ""), "curl?[2J");
    assert_non_null(json_get(first, "createdAt"));
    assert_non_null(json_get(first, "expiresAt"));
}

static void test_revoked_stays_revoked(void **state)
{
    struct fixture *f = *state;
    struct err err = {.msg = ""};
    uint8_t key[SNAPSHOT_ACCESS_KEY];
    memcpy(key, f->snapshot->spec.access.key, sizeof key);
    log_in(f, 30);
    log_in(f, 20);
    log_in(f, 10);
    assert_int_equal(logins_revoke(f->logins, "0000000000000014", &err), 0);
    assert_int_equal(logins_revoke(f->logins, "0000000000000014", &err), 0); /* again: the same */
    turns(f);
    assert_true(is_revoked(f, 20));
    happens(f, "{\"event\":\"logout\",\"id\":\"000000000000000a\"}");
    assert_true(is_revoked(f, 10));
    assert_false(is_revoked(f, 30));
    restart(f);
    assert_true(is_revoked(f, 10));
    assert_true(is_revoked(f, 20));
    assert_int_equal(f->snapshot->spec.access.revoked_count, 2);
    assert_memory_equal(f->snapshot->spec.access.key, key, sizeof key);
    autojson cJSON *list = logins_json(f->logins);
    assert_int_equal(cJSON_GetArraySize(list), 1);
}

static void test_nobody_and_nonsense(void **state)
{
    struct fixture *f = *state;
    struct err err = {.msg = ""};
    assert_int_equal(logins_revoke(f->logins, "0000000000000099", &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    static const char *const ids[] = {"", "1", "000000000000000G", "00000000000000991", "-1"};
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        assert_int_equal(logins_revoke(f->logins, ids[i], &err), -1);
        assert_int_equal(err.code, ERR_USAGE);
    }
    happens(f, "{}");
    happens(f, "{\"event\":\"login\"}");
    happens(f, "{\"event\":\"login\",\"id\":7}");
    happens(f, "{\"event\":[],\"id\":\"000000000000000a\"}");
    happens(f, "{\"event\":\"denied\",\"id\":\"000000000000000a\",\"host\":\"x\"}");
    happens(f, "{\"event\":\"seen\",\"ids\":[\"000000000000000a\",\"x\",7]}");
    autojson cJSON *list = logins_json(f->logins);
    assert_int_equal(cJSON_GetArraySize(list), 0);
    assert_int_equal(f->snapshot->spec.access.revoked_count, 0);
}

static void test_revoke_all_is_a_new_key(void **state)
{
    struct fixture *f = *state;
    struct err err = {.msg = ""};
    uint8_t key[SNAPSHOT_ACCESS_KEY];
    uint8_t digest[SNAPSHOT_ACCESS_KEY];
    memcpy(key, f->snapshot->spec.access.key, sizeof key);
    memcpy(digest, f->snapshot->spec.access.digest, sizeof digest);
    log_in(f, 1);
    log_in(f, 2);
    assert_int_equal(logins_revoke(f->logins, "0000000000000001", &err), 0);
    assert_int_equal(logins_revoke_all(f->logins, &err), 0);
    turns(f);
    assert_memory_not_equal(f->snapshot->spec.access.key, key, sizeof key);
    assert_memory_not_equal(f->snapshot->spec.access.digest, digest, sizeof digest);
    assert_int_equal(f->snapshot->spec.access.revoked_count, 0);
    memcpy(key, f->snapshot->spec.access.key, sizeof key);
    restart(f);
    assert_memory_equal(f->snapshot->spec.access.key, key, sizeof key);
    autojson cJSON *list = logins_json(f->logins);
    assert_int_equal(cJSON_GetArraySize(list), 0);
}

static void test_the_list_is_bounded(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 1; i <= LOGINS_MAX + 5; i++) {
        log_in(f, i);
    }
    autojson cJSON *list = logins_json(f->logins);
    assert_int_equal(cJSON_GetArraySize(list), LOGINS_MAX);
    assert_string_equal(json_get_str(cJSON_GetArrayItem(list, LOGINS_MAX - 1), "id", ""),
                        "0000000000000006");
}

static void put_file(const struct fixture *f, const char *name, const char *text, mode_t mode)
{
    struct err err = {.msg = ""};
    autofree char *path = path_join(f->home, name);
    if (file_write_atomic(path, str_of(text), mode, &err) < 0) {
        fail_msg("%s", err.msg);
    }
}

/* What ended by itself is forgotten. */
static void test_old_ones_are_pruned(void **state)
{
    struct fixture *f = *state;
    put_file(f, "access/logins.json",
             "{\"logins\":[{\"id\":\"0000000000000001\",\"createdMs\":1000},"
             "{\"id\":\"0000000000000002\",\"createdMs\":99999999999999}],"
             "\"revoked\":[{\"id\":\"0000000000000003\",\"untilMs\":1000},"
             "{\"id\":\"0000000000000004\",\"untilMs\":99999999999999}]}",
             0600);
    restart(f);
    assert_int_equal(f->snapshot->spec.access.revoked_count, 1);
    assert_true(is_revoked(f, 4));
    autojson cJSON *list = logins_json(f->logins);
    assert_int_equal(cJSON_GetArraySize(list), 1);
}

/* A list that cannot be read could have held a revocation: a new key. */
static void test_a_broken_list_ends_every_login(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = {"{", "[]", "{\"logins\":[]}",
                                        "{\"revoked\":[{\"id\":\"x\",\"untilMs\":1}]}",
                                        "{\"revoked\":[{\"id\":\"0000000000000004\"}]}"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        uint8_t key[SNAPSHOT_ACCESS_KEY];
        memcpy(key, f->snapshot->spec.access.key, sizeof key);
        put_file(f, "access/logins.json", texts[i], 0600);
        restart(f);
        assert_memory_not_equal(f->snapshot->spec.access.key, key, sizeof key);
        memcpy(key, f->snapshot->spec.access.key, sizeof key);
        restart(f); /* only once */
        assert_memory_equal(f->snapshot->spec.access.key, key, sizeof key);
    }
}

static void test_a_bad_key_is_replaced(void **state)
{
    struct fixture *f = *state;
    uint8_t key[SNAPSHOT_ACCESS_KEY];
    memcpy(key, f->snapshot->spec.access.key, sizeof key);
    put_file(f, "access/key", "short", 0600);
    restart(f);
    assert_memory_not_equal(f->snapshot->spec.access.key, key, sizeof key);
    put_file(f, "access/key", "0123456789abcdef0123456789abcdefX", 0600);
    restart(f);
    assert_memory_not_equal(f->snapshot->spec.access.key, "0123456789abcdef", 16);
    /* Others could have read it. */
    put_file(f, "access/key", "0123456789abcdef0123456789abcdef", 0644);
    restart(f);
    assert_memory_not_equal(f->snapshot->spec.access.key, "0123456789abcdef", 16);
    assert_int_equal(mode_of(f, "access/key"), 0600);
    assert_null(logins_error(f->logins));
}

/* HMAC-SHA256, RFC 4231's second case with its key padded by zeros, which changes nothing. */
static void test_digest(void **state)
{
    (void)state;
    static const uint8_t key[SNAPSHOT_ACCESS_KEY] = "Jefe";
    static const uint8_t expected[SNAPSHOT_ACCESS_KEY] = {
        0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24,
        0x26, 0x08, 0x95, 0x75, 0xc7, 0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27,
        0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43};
    uint8_t digest[SNAPSHOT_ACCESS_KEY];
    accesskey_digest(key, "what do ya want for nothing?", digest);
    assert_memory_equal(digest, expected, sizeof expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_files_are_private, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_login_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_revoked_stays_revoked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_and_nonsense, setup, teardown),
        cmocka_unit_test_setup_teardown(test_revoke_all_is_a_new_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_list_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_old_ones_are_pruned, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_broken_list_ends_every_login, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_bad_key_is_replaced, setup, teardown),
        cmocka_unit_test(test_digest),
    };
    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
