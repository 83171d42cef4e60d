/* publish_options: to JSON and back, and everything that is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/publish_options.h"

static void same_again(const char *text)
{
    struct err err = {.msg = ""};
    struct publish_options options;
    autojson cJSON *in = json_parse(str_of(text), "test", &err);
    if (in == NULL || publish_options_read(in, &options, &err) < 0) {
        fail_msg("%s: %s", text, err.msg);
    }
    struct publish_options copy;
    publish_options_copy(&copy, &options);
    publish_options_fini(&options);
    autojson cJSON *out = cJSON_CreateObject();
    publish_options_add(&copy, out);
    publish_options_fini(&copy);
    autofree char *again = json_print(out);
    assert_string_equal(again, text);
}

static void test_there_and_back(void **state)
{
    (void)state;
    same_again("{\"host\":\"default\"}");
    same_again("{\"host\":\"preserve\",\"access\":\"public\"}");
    same_again("{\"host\":\"rewrite\",\"access\":\"private\",\"backend\":\"h2c\"}");
    same_again("{\"host\":\"default\",\"access\":\"secret\",\"backend\":\"https\","
               "\"insecure\":true,\"whitelistIps\":[\"10.0.0.0/8\",\"2001:db8::1\"],"
               "\"rateLimit\":{\"requestsPerSecond\":5,\"burst\":9},\"maxConcurrent\":3}");
    same_again("{\"host\":\"default\",\"backend\":\"https\","
               "\"rateLimit\":{\"requestsPerSecond\":1000000}}");
}

static void test_short_forms(void **state)
{
    (void)state;
    struct publish_options options;
    autojson cJSON *in = json_parse(STR("{\"access\": null, \"backend\": \"http\", \"insecure\": "
                                        "false, \"whitelistIps\": [], \"rateLimit\": 7}"),
                                    "test", NULL);
    assert_int_equal(publish_options_read(in, &options, NULL), 0);
    assert_int_equal(options.rate_per_second, 7);
    assert_int_equal(options.access, PUBLISH_ACCESS_DEFAULT);
    assert_null(options.whitelist);
    publish_options_fini(&options);
    /* No object at all: all defaults. */
    assert_int_equal(publish_options_read(NULL, &options, NULL), 0);
    assert_int_equal(options.rate_per_second, 0);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"{\"host\": \"keep\"}", "host must be"},
        {"{\"host\": 1}", "host must be"},
        {"{\"access\": \"PUBLIC\"}", "access must be public, secret or private"},
        {"{\"access\": true}", "access must be"},
        {"{\"backend\": \"https-insecure\"}", "backend must be http, https or h2c"},
        {"{\"backend\": \"\"}", "backend must be"},
        {"{\"insecure\": true}", "insecure is for backend https only"},
        {"{\"insecure\": true, \"backend\": \"h2c\"}", "insecure is for"},
        {"{\"insecure\": \"yes\"}", "insecure must be true or false"},
        {"{\"whitelistIps\": \"10.0.0.1\"}", "whitelistIps must be a list"},
        {"{\"whitelistIps\": [\"10.0.0.1\", \"x\"]}", "whitelistIps[1]: x: not an IP"},
        {"{\"whitelistIps\": [5]}", "whitelistIps[0]"},
        {"{\"rateLimit\": 0}", "rateLimit must be an integer from 1 to 1000000"},
        {"{\"rateLimit\": 1.5}", "rateLimit must be"},
        {"{\"rateLimit\": \"5\"}", "rateLimit must be a number or"},
        {"{\"rateLimit\": {\"burst\": 5}}", "rateLimit must be a number or"},
        {"{\"rateLimit\": {\"requestsPerSecond\": 1, \"burst\": -1}}", "rateLimit: burst must be"},
        {"{\"maxConcurrent\": 1000001}", "maxConcurrent must be"},
        {"{\"maxConcurrent\": [1]}", "maxConcurrent must be"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct err err = {.msg = ""};
        struct publish_options options = {.exchanges_max = 77};
        autojson cJSON *in = json_parse(str_of(cases[i].text), "test", &err);
        assert_non_null(in);
        assert_int_equal(publish_options_read(in, &options, &err), -1);
        if (strstr(err.msg, cases[i].says) == NULL) {
            fail_msg("%s: %s", cases[i].text, err.msg);
        }
        assert_int_equal(err.code, ERR_USAGE);
        assert_int_equal(options.exchanges_max, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_short_forms),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
