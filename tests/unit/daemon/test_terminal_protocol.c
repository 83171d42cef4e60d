/* Messages of terminals: what is read, what is said, and that any byte survives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/base64.h"
#include "daemon/terminal_protocol.h"

static void assert_takes(char *said, const char *expected)
{
    autofree char *text = said;
    assert_string_equal(text == NULL ? "nothing" : text, expected);
}

static void test_messages(void **state)
{
    (void)state;
    struct terminal_message m;
    assert_int_equal(
        terminal_message_parse(STR("{\"type\":\"hello\",\"v\":1,\"cols\":9999,\"rows\":3,"
                                   "\"since\":7,\"encoding\":\"base64\"}"),
                               &m, NULL),
        0);
    assert_true(m.kind == TERMINAL_MESSAGE_HELLO && m.base64 && m.since == 7 && m.rows == 3);
    assert_int_equal(m.cols, TERMINAL_SIZE_MAX);
    assert_int_equal(
        terminal_message_parse(STR("{\"type\":\"input\",\"dataBase64\":\"AP8=\"}"), &m, NULL), 0);
    assert_int_equal(m.data.len, 2);
    assert_memory_equal(m.data.ptr, "\0\xff", 2);
    terminal_message_fini(&m);
    assert_int_equal(terminal_message_parse(STR("{\"type\":\"eof\"}"), &m, NULL), 0);
    assert_int_equal(m.kind, TERMINAL_MESSAGE_EOF);
    assert_int_equal(terminal_message_parse(STR("{\"type\":\"later\"}"), &m, NULL), 0);
    assert_int_equal(m.kind, TERMINAL_MESSAGE_OTHER);
    static const char *const bad[] = {"",
                                      "[]",
                                      "{}",
                                      "{\"type\":\"input\"}",
                                      "{\"type\":1}",
                                      "{\"type\":\"hello\",\"v\":2}",
                                      "{\"type\":\"input\",\"dataBase64\":\"AP8\"}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct err err = {0};
        assert_int_equal(terminal_message_parse(str_of(bad[i]), &m, &err), -1);
        assert_true(err.msg[0] != '\0');
        terminal_message_fini(&m);
    }
}

static void test_output(void **state)
{
    (void)state;
    struct terminal_speaker s = {0};
    assert_takes(terminal_say_output(&s, 0, TERMINAL_STDOUT, STR("a\xe2\x82")),
                 "{\"type\":\"output\",\"seq\":0,\"data\":\"a\"}");
    assert_takes(
        terminal_say_output(&s, 3, TERMINAL_STDERR, STR("\xac!")),
        "{\"type\":\"output\",\"seq\":1,\"stream\":\"stderr\",\"data\":\"\xe2\x82\xac!\"}");
    assert_takes(terminal_say_output(&s, 5, TERMINAL_STDOUT, STR("\xf0")), "nothing");
    assert_takes(terminal_say_rest(&s, 6),
                 "{\"type\":\"output\",\"seq\":5,\"data\":\"\xef\xbf\xbd\"}");
    assert_takes(terminal_say_rest(&s, 6), "nothing");
    s.base64 = true;
    assert_takes(terminal_say_output(&s, 6, TERMINAL_STDOUT, STR("\xff")),
                 "{\"type\":\"output\",\"seq\":6,\"dataBase64\":\"/w==\"}");
    assert_takes(terminal_say_exit(3 << 8), "{\"type\":\"exit\",\"exit\":{\"exitCode\":3}}");
    assert_takes(terminal_say_exit(9), "{\"type\":\"exit\",\"exit\":{\"signal\":9}}");
    assert_takes(terminal_say_error("why"),
                 "{\"type\":\"error\",\"fatal\":true,\"message\":\"why\"}");
}

static void test_base64(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct buf b = {0};
        base64_encode(str_of(pairs[i][0]), &b);
        assert_string_equal(buf_cstr(&b), pairs[i][1]);
        struct buf back = {0};
        assert_true(base64_decode(buf_str(&b), &back));
        assert_string_equal(buf_cstr(&back), pairs[i][0]);
        buf_fini(&b);
        buf_fini(&back);
    }
    static const char *const bad[] = {"Z", "Zg=", "Z===", "Zg==Zg==", "Zm9\n", "Z=9v", "Zm-_"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct buf b = {0};
        assert_false(base64_decode(str_of(bad[i]), &b));
        assert_int_equal(b.len, 0);
        buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_output),
        cmocka_unit_test(test_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
