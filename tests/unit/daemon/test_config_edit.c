/* config_edit and config_adopt: what is refused, what is kept, what applies. */
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
#include "daemon/config.h"
#include "daemon/config_edit.h"

struct fixture {
    char home[32];
    char *path; /* owned: its config.json */
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    (void)snprintf(f->home, sizeof f->home, "/tmp/wos-edit-XXXXXX");
    assert_non_null(mkdtemp(f->home));
    f->path = path_join(f->home, "config.json");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    (void)path_remove_all(f->home, NULL);
    free(f->path);
    free(f);
    return 0;
}

static void put(const struct fixture *f, const char *text)
{
    assert_int_equal(file_write_atomic(f->path, str_of(text), 0644, NULL), 0);
}

/* The file, compact. */
static char *file_text(const struct fixture *f)
{
    struct buf text = {0};
    assert_int_equal(file_read(f->path, 1 << 20, &text, NULL), 0);
    autojson cJSON *root = json_parse(buf_str(&text), "file", NULL);
    assert_non_null(root);
    buf_fini(&text);
    return json_print(root);
}

static struct config_edit *open_edit(const struct fixture *f)
{
    struct err err = {.msg = ""};
    struct config_edit *e = config_edit_open(f->home, &err);
    if (e == NULL) {
        fail_msg("%s", err.msg);
    }
    return e;
}

static int set(struct config_edit *e, const char *key, const char *json, struct err *err)
{
    autojson cJSON *value = json_parse(str_of(json), "value", err);
    assert_non_null(value);
    return config_edit_set(e, key, value, err);
}

/* Sets one key; what is said against it, or "". malloc'ed. */
static char *objection(struct config_edit *e, const char *key, const char *json)
{
    struct err err = {.msg = ""};
    if (set(e, key, json, &err) < 0) {
        return xstrdup(err.msg);
    }
    autojson cJSON *errors = config_edit_errors(e);
    const cJSON *first = cJSON_GetArrayItem(errors, 0);
    return first == NULL ? xstrdup("")
                         : xasprintf("%s: %s", json_get_str(first, "field", ""),
                                     json_get_str(first, "message", ""));
}

static void test_set_and_unset(void **state)
{
    struct fixture *f = *state;
    struct err err = {.msg = ""};
    struct stat st;
    struct config_edit *e = open_edit(f); /* there is no file */
    assert_int_equal(set(e, "tunnel.hsts", "5", &err), 0);
    assert_int_equal(set(e, "tunnel.serviceTunnels.rateLimit.burst", "7", &err), 0);
    assert_int_equal(set(e, "web.port", "4950", &err), 0);
    assert_int_equal(config_edit_save(e, &err), 0);
    config_edit_close(e);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    autofree char *text = file_text(f);
    assert_string_equal(text, "{\"tunnel\":{\"hsts\":5,\"serviceTunnels\":{\"rateLimit\":"
                              "{\"burst\":7}}},\"web\":{\"port\":4950}}");
    e = open_edit(f);
    assert_int_equal(config_edit_unset(e, "tunnel.serviceTunnels", &err), 0);
    assert_int_equal(config_edit_unset(e, "web.port", &err), 0);
    assert_int_equal(config_edit_unset(e, "web.host", &err), 0); /* not there */
    assert_int_equal(set(e, "tunnel.hsts", "null", &err), 0);
    assert_int_equal(config_edit_save(e, &err), 0);
    config_edit_close(e);
    autofree char *after = file_text(f);
    assert_string_equal(after, "{\"tunnel\":{},\"web\":{}}");
}

static void test_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *key;
        const char *json;
        const char *says; /* NULL: accepted */
    } cases[] = {
        {"tunnel.prot", "1", "did you mean tunnel.port?"},
        {"", "1", "not a key"},
        {"tunnel.port", "0", "tunnel.port: must be an integer"},
        {"tunnel.port", "\"5858\"", "tunnel.port: must be an integer"},
        {"tunnel.enabled", "true", "tunnel.domain: is needed"},
        {"tunnel", "{\"prot\": 1}", "tunnel.prot: unknown key"},
        {"tunnel", "3", "tunnel: must be an object"},
        {"tunnel.serviceTunnels.access", "\"all\"", "public|secret|private"},
        {"tunnel.serviceTunnels.whitelistIps", "[\"::1\", \"x\"]", "entry 2"},
        {"tunnel.serviceTunnels.secret", "\"short\"", NULL}, /* a warning only */
        {"tunnel.serviceTunnels.access", "\"secret\"", NULL},
        {"tunnel", "{\"enabled\": true, \"domain\": \"d.test\"}", NULL},
        {"aiProviders", "[{\"type\": \"openai\"}]", "apiKey"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct config_edit *e = open_edit(f);
        autofree char *said = objection(e, cases[i].key, cases[i].json);
        if (cases[i].says == NULL ? *said != '\0' : strstr(said, cases[i].says) == NULL) {
            fail_msg("%s = %s: \"%s\"", cases[i].key, cases[i].json, said);
        }
        config_edit_close(e);
    }
}

/* A file with a mistake can still be changed elsewhere, and made right. */
static void test_old_mistakes_are_no_objection(void **state)
{
    struct fixture *f = *state;
    put(f, "{\"web\": {\"port\": 0}, \"tunnle\": {\"x\": 1}}");
    struct config_edit *e = open_edit(f);
    autofree char *elsewhere = objection(e, "tunnel.hsts", "5");
    autofree char *other_wrong = objection(e, "web.port", "-1");
    autofree char *right = objection(e, "web.port", "80");
    assert_string_equal(elsewhere, "");
    assert_non_null(strstr(other_wrong, "web.port"));
    assert_string_equal(right, "");
    struct err err = {.msg = ""};
    assert_int_equal(config_edit_unset(e, "tunnle", &err), 0);
    assert_int_equal(config_edit_unset(e, "nothing", &err), -1);
    assert_int_equal(err.code, ERR_USAGE);
    config_edit_close(e);
}

static void test_unreadable_files(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = {"", "{", "[]", "7", "{} x"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct err err = {.msg = ""};
        put(f, texts[i]);
        assert_null(config_edit_open(f->home, &err));
        assert_int_equal(err.code, ERR_CONFIG);
        assert_non_null(strstr(err.msg, "repair"));
    }
}

static void test_replace(void **state)
{
    struct fixture *f = *state;
    put(f, "{\"web\": {\"port\": 1}, \"mine\": [1], \"logging\": {\"enabled\": true}, \"tunnel\": "
           "{\"hsts\": 1, \"mine\": 2, \"serviceTunnels\": {\"secret\": \"s1\", \"host\": "
           "\"rewrite\"}, \"webUi\": {\"secret\": \"s2\"}}}");
    struct config_edit *e = open_edit(f);
    autojson cJSON *shown = config_edit_json(e);
    autofree char *text = json_print(shown);
    assert_string_equal(text, "{\"config\":{\"web\":{\"port\":1},\"tunnel\":{\"hsts\":1,"
                              "\"serviceTunnels\":{\"host\":\"rewrite\"}},"
                              "\"logging\":{\"enabled\":true}},\"secrets\":["
                              "\"tunnel.serviceTunnels.secret\",\"tunnel.webUi.secret\"]}");
    autojson cJSON *draft = json_parse(
        STR("{\"tunnel\": {\"port\": 5, \"webUi\": {\"secret\": null}}, \"mine\": null}"), "draft",
        NULL);
    config_edit_replace(e, draft);
    assert_int_equal(config_edit_save(e, NULL), 0);
    config_edit_close(e);
    autofree char *after = file_text(f);
    assert_string_equal(after, "{\"web\":{},\"logging\":{\"enabled\":true},\"tunnel\":{\"mine\":2,"
                               "\"serviceTunnels\":{\"secret\":\"s1\"},\"webUi\":{},\"port\":5}}");
}

static void value_is(const char *key, const char *text, const char *expected)
{
    struct err err = {.msg = ""};
    autojson cJSON *value = config_edit_value(key, text, &err);
    autofree char *json = value == NULL ? xstrdup(err.msg) : json_print(value);
    if (expected == NULL ? value != NULL || err.code != ERR_USAGE : strcmp(json, expected) != 0) {
        fail_msg("%s %s: %s", key, text, json);
    }
}

static void test_values_of_a_command_line(void **state)
{
    (void)state;
    value_is("tunnel.port", "80", "80");
    value_is("tunnel.port", "x", NULL);
    value_is("tunnel.enabled", "true", "true");
    value_is("tunnel.enabled", "yes", NULL);
    value_is("tunnel.domain", "80", "\"80\"");
    value_is("tunnel.serviceTunnels.access", "secret", "\"secret\"");
    value_is("tunnel.limits.idleTimeout", "5s", "\"5s\"");
    value_is("tunnel.limits.idleTimeout", "500", "500");
    value_is("tunnel.trustedProxies", "10.0.0.1, ::1", "[\"10.0.0.1\",\"::1\"]");
    value_is("tunnel.trustedProxies", "[\"10.0.0.1\"]", "[\"10.0.0.1\"]");
    value_is("tunnel.trustedProxies", "", "[]");
    value_is("tunnel.tls", "{\"minVersion\": \"1.3\"}", "{\"minVersion\":\"1.3\"}");
    value_is("tunnel.tls", "1.3 or so", NULL);
    value_is("nonsense", "1", NULL);
    assert_true(config_edit_is_secret("tunnel.serviceTunnels.secret"));
    assert_true(config_edit_is_secret("tunnel.serviceTunnels"));
    assert_true(config_edit_is_secret("tunnel"));
    assert_true(config_edit_is_secret("aiProviders"));
    assert_false(config_edit_is_secret("tunnel.serviceTunnels.access"));
    assert_false(config_edit_is_secret("tunnel.limits"));
    assert_false(config_edit_is_secret("tunnel.serviceTunnels.sec"));
}

static void test_adopt(void **state)
{
    (void)state;
    struct config *running = config_parse(
        "/nowhere", STR("{\"web\": {\"port\": 80}, \"tunnel\": {\"enabled\": true, \"domain\": "
                        "\"d.test\", \"serviceTunnels\": {\"secret\": \"one\", \"whitelistIps\": "
                        "[\"10.0.0.1\"]}}}"));
    struct config *fresh = config_parse(
        "/nowhere", STR("{\"web\": {\"port\": 81}, \"tunnel\": {\"enabled\": true, \"domain\": "
                        "\"e.test\", \"hsts\": 9, \"limits\": {\"streamsMax\": 3}, "
                        "\"webUi\": {\"whitelistIps\": [\"::1\"]}, "
                        "\"serviceTunnels\": {\"enabled\": true, \"secret\": \"a longer secret\", "
                        "\"access\": \"secret\", \"whitelistIps\": [\"::1\", \"::2\"]}}}"));
    autojson cJSON *restart = config_restart_json(running, fresh);
    autofree char *keys = json_print(restart);
    assert_string_equal(keys, "[\"web.port\",\"tunnel.domain\"]");
    assert_int_equal(running->problem_count, 1); /* the short secret */
    config_adopt(running, fresh);
    config_free(fresh);
    assert_int_equal(running->web_port, 80);
    assert_string_equal(running->tunnel_domain, "d.test");
    assert_int_equal(running->hsts_seconds, 9);
    assert_int_equal(running->limits.streams_max, 3);
    assert_true(running->service_tunnels_enabled);
    assert_string_equal(running->service_secret, "a longer secret");
    assert_int_equal(running->service_access, 1);
    assert_int_equal(running->service_whitelist.count, 2);
    assert_int_equal(running->web_ui_whitelist.count, 1);
    assert_int_equal(running->problem_count, 0);
    config_free(running);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_set_and_unset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_old_mistakes_are_no_objection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unreadable_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replace, setup, teardown),
        cmocka_unit_test(test_values_of_a_command_line),
        cmocka_unit_test(test_adopt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
