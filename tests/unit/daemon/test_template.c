/* `${…}` in environment values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"
#include "daemon/deploy/template.h"

static struct manifest *manifest;

static int setup(void **state)
{
    (void)state;
    manifest = manifest_parse(STR("mode: shell\n"
                                  "arguments: [REGION, EMPTY]\n"
                                  "app: {services: {web: {script: [x],\n"
                                  "  ports: [3000, 3001, {port: 3002, backend: https}]},\n"
                                  "  my.api: {script: [x], ports: [8000]}}}\n"),
                              "deploy.yaml");
    return manifest_ok(manifest) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    manifest_free(manifest);
    return 0;
}

static const struct template_port ports[] = {
    {"web", 3000, 20001, "x-web.example.com", "https://x-web.example.com:5858"},
    {"web", 3001, 20002, NULL, NULL},
    {"web", 3002, 20003, NULL, NULL},
};
static const struct template_argument arguments[] = {{"REGION", "eu"}, {"EMPTY", ""}};

static void assert_expands(const char *bind, const char *text, const char *expected)
{
    struct template_scope scope = {.manifest = manifest,
                                   .ports = ports,
                                   .port_count = COUNT_OF(ports),
                                   .arguments = arguments,
                                   .argument_count = 2,
                                   .service_bind = bind};
    struct buf out = {0};
    struct err err = {0};
    if (template_expand(str_of(text), &scope, &out, &err) < 0) {
        fail_msg("%s: %s", text, err.msg);
    }
    assert_string_equal(buf_cstr(&out), expected);
    buf_fini(&out);
}

static void assert_fails(const char *text, const char *part)
{
    struct template_scope scope = {.manifest = manifest,
                                   .ports = ports,
                                   .port_count = COUNT_OF(ports),
                                   .arguments = arguments,
                                   .argument_count = 2};
    struct buf out = {0};
    struct err err = {0};
    assert_int_equal(template_expand(str_of(text), &scope, &out, &err), -1);
    if (strstr(err.msg, part) == NULL) {
        fail_msg("\"%s\" not in: %s", part, err.msg);
    }
    buf_fini(&out);
}

static void test_expressions(void **state)
{
    (void)state;
    assert_expands(NULL, "", "");
    assert_expands(NULL, "plain $HOME $", "plain $HOME $");
    assert_expands(NULL, "a${app.services.web.hostPort[3000]}b", "a20001b");
    assert_expands(NULL, "${app.services.web.hostname[3000]}", "x-web.example.com");
    assert_expands(NULL, "${app.services.web.url[3000]}/x", "https://x-web.example.com:5858/x");
    assert_expands(NULL, "${REGION}-${REGION:-us}", "eu-eu");
    assert_expands(NULL, "${EMPTY:-us}${EMPTY:-}", "us");
}

static void test_fallbacks(void **state)
{
    (void)state;
    assert_expands(NULL, "${app.services.web.hostname[3001]}", "localhost");
    assert_expands("10.0.0.5", "${app.services.web.hostname[3001]}", "10.0.0.5");
    assert_expands(NULL, "${app.services.web.url[3001]}", "http://localhost:20002");
    assert_expands("::1", "${app.services.web.url[3002]}", "https://[::1]:20003");
    assert_expands("::1", "${app.services.web.url[3001]}", "http://[::1]:20002");
    /* Not selected: no port, but a host name can still be told. */
    assert_expands(NULL, "${app.services.my.api.hostname[8000]}", "localhost");
}

static void test_errors(void **state)
{
    (void)state;
    assert_fails("${", "without");
    assert_fails("${}", "unknown expression");
    assert_fails("${hostname[8000]}", "unknown expression");
    assert_fails("${app.services.web.hostPort}", "unknown expression");
    assert_fails("${app.services.web.hostPort[x]}", "unknown expression");
    assert_fails("${app.services.web.containerName}", "unknown expression");
    assert_fails("${app.services.web.url[9]}", "declares no port 9");
    assert_fails("${app.services.no.url[9]}", "no service named no");
    assert_fails("${OTHER}", "no argument named OTHER; declared: REGION, EMPTY");
    assert_fails("${EMPTY}", "--arg EMPTY=VALUE");
    assert_fails("${app.services.my.api.url[8000]}", "not among the services to start");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_expressions),
                                       cmocka_unit_test(test_fallbacks),
                                       cmocka_unit_test(test_errors)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
