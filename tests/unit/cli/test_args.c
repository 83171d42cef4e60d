/* test_args: options, words, what stands before the command, durations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"
#include "cli/args.h"

static const struct arg_option options[] = {
    {"--target", "-t", true},
    {"--arg", NULL, true},
    {"--detach", "-d", false},
};

/* argv as main gets it: writable array of pointers. */
#define WORDS(...)                                                                                 \
    (char *[])                                                                                     \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static int count(char **words)
{
    int n = 0;
    while (words[n] != NULL) {
        n++;
    }
    return n;
}

static int parse(struct args *args, char **words, struct err *err)
{
    return args_parse(args, options, COUNT_OF(options), count(words), words, err);
}

static void options_and_words_in_any_order(void **state)
{
    (void)state;
    struct args args;
    assert_int_equal(parse(&args, WORDS("a,b", "--arg", "X=1", "-d", "--arg=Y=2"), NULL), 0);
    assert_int_equal(args.word_count, 1);
    assert_string_equal(args.words[0], "a,b");
    assert_true(args_has(&args, "--detach"));
    assert_false(args_has(&args, "--target"));
    assert_null(args_value(&args, "--target"));
    assert_int_equal(args.given_count, 3);
    assert_string_equal(args.given[0].value, "X=1");
    assert_string_equal(args_value(&args, "--arg"), "Y=2");
    args_fini(&args);
}

static void alias_reports_the_long_name(void **state)
{
    (void)state;
    struct args args;
    assert_int_equal(parse(&args, WORDS("-t", "web"), NULL), 0);
    assert_string_equal(args_value(&args, "--target"), "web");
    args_fini(&args);
}

static void two_dashes_end_the_options(void **state)
{
    (void)state;
    struct args args;
    assert_int_equal(parse(&args, WORDS("--", "--detach", "-"), NULL), 0);
    assert_int_equal(args.word_count, 2);
    assert_string_equal(args.words[0], "--detach");
    assert_false(args_has(&args, "--detach"));
    args_fini(&args);
}

static void wrong_options_are_usage_errors(void **state)
{
    (void)state;
    struct args args = {0};
    struct err err = {0};
    assert_int_equal(parse(&args, WORDS("--nope"), &err), -1);
    assert_int_equal(err.code, ERR_USAGE);
    assert_non_null(strstr(err.msg, "--nope"));
    assert_int_equal(parse(&args, WORDS("--target"), &err), -1);
    assert_int_equal(parse(&args, WORDS("--target="), &err), -1);
    assert_int_equal(parse(&args, WORDS("--detach=yes"), &err), -1);
    assert_int_equal(parse(&args, WORDS("-x"), &err), -1);
    assert_int_equal(parse(&args, WORDS("--targetx=1"), &err), -1);
    assert_null(args.words); /* untouched on failure */
}

static bool is_command(const char *name)
{
    return strcmp(name, "up") == 0 || strcmp(name, "status") == 0;
}

static int globals(struct arg_globals *out, char **words, struct err *err)
{
    return args_globals(out, count(words), words, is_command, err);
}

static void cwd_stands_before_the_command(void **state)
{
    (void)state;
    struct arg_globals g;
    assert_int_equal(globals(&g, WORDS("wos", "--cwd", "/x", "up", "-d"), NULL), 0);
    assert_string_equal(g.cwd, "/x");
    assert_string_equal(g.command, "up");
    assert_int_equal(g.argc, 1);
    assert_string_equal(g.argv[0], "-d");
    assert_int_equal(globals(&g, WORDS("wos", "--cwd=rel/path", "status"), NULL), 0);
    assert_string_equal(g.cwd, "rel/path");
    assert_int_equal(globals(&g, WORDS("wos", "up", "--cwd", "/x"), NULL), 0);
    assert_null(g.cwd); /* behind the command it is the command's business */
    assert_int_equal(g.argc, 2);
}

static void cwd_refuses_what_looks_like_a_mistake(void **state)
{
    (void)state;
    char **const wrong[] = {
        WORDS("wos", "--cwd"),        WORDS("wos", "--cwd="),      WORDS("wos", "--cwd", "", "up"),
        WORDS("wos", "--cwd", "-d"),  WORDS("wos", "--cwd", "up"), WORDS("wos", "--cwd=-x", "up"),
        WORDS("wos", "--cwd=status"),
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct arg_globals g;
        struct err err = {0};
        assert_int_equal(globals(&g, wrong[i], &err), -1);
        assert_int_equal(err.code, ERR_USAGE);
    }
}

static void unknown_leading_option_is_an_unknown_command(void **state)
{
    (void)state;
    struct arg_globals g;
    struct err err = {0};
    assert_int_equal(globals(&g, WORDS("wos", "--bogus"), &err), -1);
    assert_string_equal(err.msg, "unknown command: --bogus");
}

static void json_and_help_are_taken_anywhere(void **state)
{
    (void)state;
    struct arg_globals g;
    assert_int_equal(globals(&g, WORDS("wos", "up", "a", "--json", "--force"), NULL), 0);
    assert_true(g.json);
    assert_false(g.help);
    assert_int_equal(g.argc, 2);
    assert_string_equal(g.argv[1], "--force");
    assert_int_equal(globals(&g, WORDS("wos", "--json", "up", "-h"), NULL), 0);
    assert_true(g.json && g.help);
    assert_int_equal(globals(&g, WORDS("wos", "up", "--", "--json"), NULL), 0);
    assert_false(g.json);
    assert_int_equal(g.argc, 2);
    assert_int_equal(globals(&g, WORDS("wos"), NULL), 0);
    assert_null(g.command);
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"1500", 1500}, {"1500ms", 1500}, {"2s", 2000},   {"1.5m", 90000},
                {" 3S ", 3000}, {"0.5s", 500},    {"0.0006s", 1}, {"10M", 600000}};
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        uint64_t ms = 0;
        assert_int_equal(args_duration(good[i].text, &ms, NULL), 0);
        assert_int_equal(ms, good[i].ms);
    }
    static const char *const bad[] = {
        "",    "0",    "-1",  "1h",  "s",    ".5s",     "1.s",
        "1e3", "0x10", "nan", "inf", "1 2s", "0.0001s", "99999999999999"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        uint64_t ms = 7;
        struct err err = {0};
        assert_int_equal(args_duration(bad[i], &ms, &err), -1);
        assert_int_equal(err.code, ERR_USAGE);
        assert_int_equal(ms, 7);
    }
}

static void ports(void **state)
{
    (void)state;
    uint16_t port = 0;
    assert_int_equal(args_port("65535", &port, NULL), 0);
    assert_int_equal(port, 65535);
    static const char *const bad[] = {"0", "65536", "-1", "80x", "", " 80"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(args_port(bad[i], &port, NULL), -1);
    }
    assert_int_equal(port, 65535);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_words_in_any_order),
        cmocka_unit_test(alias_reports_the_long_name),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(wrong_options_are_usage_errors),
        cmocka_unit_test(cwd_stands_before_the_command),
        cmocka_unit_test(cwd_refuses_what_looks_like_a_mistake),
        cmocka_unit_test(unknown_leading_option_is_an_unknown_command),
        cmocka_unit_test(json_and_help_are_taken_anywhere),
        cmocka_unit_test(durations),
        cmocka_unit_test(ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
