/* test_print: the status table, letter by letter; links, colours, hostile text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/json.h"
#include "cli/print.h"

static const struct print_style plain = {0};

/* The status table of a WorktreeDetail; malloc'ed. */
static char *status_text(const char *json, const struct print_style *style)
{
    autojson cJSON *detail = json_parse(str_of(json), "test", NULL);
    assert_non_null(detail);
    struct buf out = {0};
    print_status(detail, style, &out);
    return buf_take(&out);
}

static void expect_status(const char *json, const char *expected)
{
    autofree char *text = status_text(json, &plain);
    assert_string_equal(text, expected);
}

static void no_services(void **state)
{
    (void)state;
    expect_status("{\"services\":[]}", "(no services)\n");
    expect_status("{}", "(no services)\n");
}

static void table_without_tunnels(void **state)
{
    (void)state;
    expect_status("{\"services\":["
                  "{\"service\":\"web\",\"state\":\"running\",\"ports\":[{\"containerPort\":3000,"
                  "\"hostPort\":20001,\"protocol\":\"tcp\"}]},"
                  "{\"service\":\"worker\",\"state\":\"stopped\",\"ports\":[]}],"
                  "\"appPortHealthchecks\":[{\"service\":\"web\",\"containerPort\":3000,"
                  "\"state\":\"healthy\",\"observedStatus\":200}],\"tunnels\":[]}",
                  "SERVICE  STATUS   ADDRESS                             HEALTH\n"
                  "web      running  http://localhost:20001 -> 3000/tcp  healthy 200\n"
                  "worker   stopped  (no published ports)                \xe2\x80\x94\n");
}

static void one_row_per_port_with_tunnels(void **state)
{
    (void)state;
    expect_status(
        "{\"services\":[{\"service\":\"api\",\"state\":\"failed\",\"ports\":["
        "{\"containerPort\":80,\"hostPort\":20000,\"hostIp\":\"192.0.2.7\"},"
        "{\"containerPort\":81,\"hostPort\":20001,\"hostIp\":\"2001:db8::7\"},"
        "{\"containerPort\":82}]}],"
        "\"appPortHealthchecks\":["
        "{\"service\":\"api\",\"containerPort\":80,\"state\":\"failed\",\"observedStatus\":500,"
        "\"message\":\"unexpected status\"},"
        "{\"service\":\"api\",\"containerPort\":81,\"state\":\"failed-allowed\","
        "\"message\":\"Operation timed out after 2000 ms\"}],"
        "\"tunnels\":[{\"service\":\"api\",\"containerPort\":80,\"state\":\"active\","
        "\"url\":\"https://main-api.example.com\"},"
        "{\"service\":\"api\",\"containerPort\":81,\"state\":\"failed\",\"message\":\"taken\"}]}",
        "SERVICE  STATUS  ADDRESS                               HEALTH                      "
        "TUNNEL\n"
        "api      failed  http://192.0.2.7:20000 -> 80/tcp      FAILED \xe2\x80\x94 got 500        "
        "    "
        "https://main-api.example.com\n"
        "api      failed  http://[2001:db8::7]:20001 -> 81/tcp  failed (allowed) \xe2\x80\x94 "
        "timeout  "
        "FAILED \xe2\x80\x94 taken\n");
}

static void every_health_state_has_its_word(void **state)
{
    (void)state;
    static const struct {
        const char *health;
        const char *shown;
    } cases[] = {
        {"\"state\":\"disabled\"", "disabled"},
        {"\"state\":\"waiting\"", "waiting"},
        {"\"state\":\"healthy\",\"observedStatus\":204", "healthy 204"},
        {"\"state\":\"failed\",\"message\":\"nothing listens on port 2: a hint\"",
         "FAILED \xe2\x80\x94 no answer"},
        {"\"state\":\"failed\",\"message\":\"request timeout\"", "FAILED \xe2\x80\x94 timeout"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        autofree char *json = xasprintf("{\"services\":[{\"service\":\"s\",\"state\":\"running\","
                                        "\"ports\":[{\"containerPort\":1,"
                                        "\"hostPort\":2}]}],\"appPortHealthchecks\":[{\"service\":"
                                        "\"s\",\"containerPort\":1,%s}]}",
                                        cases[i].health);
        autofree char *text = status_text(json, &plain);
        autofree char *ending = xasprintf("  %s\n", cases[i].shown);
        assert_true(str_ends(str_of(text), str_of(ending)));
    }
}

static const char one_service[] =
    "{\"services\":[{\"service\":\"w\",\"state\":\"running\",\"ports\":[{\"containerPort\":1,"
    "\"hostPort\":2}]}],\"appPortHealthchecks\":[{\"service\":\"w\",\"containerPort\":1,"
    "\"state\":\"healthy\"}]}";

static void links_and_colors_do_not_shift_columns(void **state)
{
    (void)state;
    struct print_style links = {.links = true};
    autofree char *linked = status_text(one_service, &links);
    assert_non_null(strstr(linked, "\033]8;;http://localhost:2\033\\http://localhost:2 -> 1/tcp"
                                   "\033]8;;\033\\  healthy\n"));
    assert_null(strstr(linked, "\033["));
    struct print_style both = {.links = true, .color = true};
    autofree char *colored = status_text(one_service, &both);
    assert_non_null(strstr(colored, "\033[32mhealthy\033[0m\n"));
    autofree char *bare = status_text(one_service, &plain);
    assert_null(strchr(bare, '\033'));
}

static void control_characters_are_not_obeyed(void **state)
{
    (void)state;
    autofree char *text = status_text("{\"services\":[{\"service\":\"a\\u001b[2J\\nb\\u009bc\","
                                      "\"state\":\"running\",\"ports\":[]}]}",
                                      &plain);
    assert_non_null(strstr(text, "\na?[2J?b??c  running"));
    assert_null(strchr(text, '\033'));
}

static void wide_text_counts_code_points(void **state)
{
    (void)state;
    struct print_table table;
    struct buf out = {0};
    print_table_init(&table, 2);
    print_table_add(&table, "\xc3\xa4\xc3\xb6", NULL, TINT_NONE);
    print_table_add(&table, "x", NULL, TINT_NONE);
    print_table_add(&table, "abc", NULL, TINT_NONE);
    print_table_add(&table, NULL, NULL, TINT_NONE);
    print_table_render(&table, &plain, &out);
    assert_string_equal(buf_cstr(&out), "\xc3\xa4\xc3\xb6   x\nabc  \n");
    buf_fini(&out);
    print_table_fini(&table);
}

static void secret_and_private_ones_are_marked(void **state)
{
    (void)state;
    autofree char *text = status_text(
        "{\"services\":[{\"service\":\"w\",\"state\":\"running\",\"ports\":["
        "{\"containerPort\":1,\"hostPort\":11},{\"containerPort\":2,\"hostPort\":12},"
        "{\"containerPort\":3,\"hostPort\":13}]}],\"tunnels\":["
        "{\"service\":\"w\",\"containerPort\":1,\"state\":\"active\",\"access\":\"public\","
        "\"url\":\"https://a\"},"
        "{\"service\":\"w\",\"containerPort\":2,\"state\":\"active\",\"access\":\"secret\","
        "\"url\":\"https://b\",\"backend\":\"h2c\",\"whitelistCount\":2,\"warning\":\"it "
        "is\\nclosed\"},"
        "{\"service\":\"w\",\"containerPort\":3,\"state\":\"private\",\"access\":\"private\","
        "\"hostname\":\"c\"}]}",
        &plain);
    assert_non_null(strstr(text, "  https://a\n"));
    assert_non_null(strstr(text, "  https://b (secret, h2c, whitelist 2)\n"));
    assert_non_null(strstr(text, "  private\n"));
    assert_non_null(strstr(text, "\nwarning: it is?closed\n"));
}

static void web_links_are_encoded(void **state)
{
    (void)state;
    autofree char *link = print_web_link("http://127.0.0.1:4949/", "/home/u/a b&c\xc3\xa4");
    assert_string_equal(link, "http://127.0.0.1:4949/worktree?path=%2Fhome%2Fu%2Fa%20b%26c%C3%A4");
    assert_null(print_web_link(NULL, "/x"));
}

static void overview_names_what_is_wrong(void **state)
{
    (void)state;
    autojson cJSON *all = json_parse(
        STR("{\"daemon\":{\"pid\":7,\"home\":\"/h\",\"webUrl\":null},"
            "\"web\":{\"state\":\"failed\",\"error\":\"port 4949 is in use\"},"
            "\"tunnel\":{\"enabled\":true,\"state\":\"failed\",\"error\":\"port 5858 is in use\","
            "\"scheme\":\"https\",\"domain\":\"wos.localhost\",\"port\":5858,\"workers\":2},"
            "\"certificate\":{\"source\":\"files\",\"state\":\"stale\","
            "\"lastError\":{\"message\":\"key does not match\"}},"
            "\"config\":{\"problems\":[{\"key\":\"web.port\",\"message\":\"must be an integer\"}]},"
            "\"sessions\":[{\"sessionName\":\"s\",\"status\":\"running\",\"worktreePath\":\"/w\","
            "\"services\":[{\"state\":\"running\"},{\"state\":\"stopped\"}]}],"
            "\"routes\":[{\"url\":\"https://a.wos.localhost:5858\",\"state\":\"live\",\"port\":3,"
            "\"class\":\"published\",\"hostMode\":\"rewrite\",\"owner\":\"publish\"}]}"),
        "test", NULL);
    assert_non_null(all);
    struct buf out = {0};
    print_overview(all, &plain, &out);
    static const char *const expected[] = {
        "port 4949 is in use",
        "port 5858 is in use",
        "key does not match",
        "web.port: must be an integer",
        "1/2",
        "https://a.wos.localhost:5858  live",
    };
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        assert_non_null(strstr(buf_cstr(&out), expected[i]));
    }
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_services),
        cmocka_unit_test(table_without_tunnels),
        cmocka_unit_test(one_row_per_port_with_tunnels),
        cmocka_unit_test(every_health_state_has_its_word),
        cmocka_unit_test(links_and_colors_do_not_shift_columns),
        cmocka_unit_test(control_characters_are_not_obeyed),
        cmocka_unit_test(wide_text_counts_code_points),
        cmocka_unit_test(secret_and_private_ones_are_marked),
        cmocka_unit_test(web_links_are_encoded),
        cmocka_unit_test(overview_names_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
