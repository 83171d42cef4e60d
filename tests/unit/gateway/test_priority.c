/* The priority field of RFC 9218: members, types, and what is no dictionary. */
#include "gateway/priority.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"

struct row {
    const char *text;
    bool legal;
    uint8_t urgency;
    bool incremental;
};

static const struct row rows[] = {
    {"", true, 3, false},
    {"u=0", true, 0, false},
    {"u=7, i", true, 7, true},
    {"i", true, 3, true},
    {"i=?1", true, 3, true},
    {"i=?0", true, 3, false},
    {"i, i=?0", true, 3, false},
    {"u=1,u=5", true, 5, false},
    {" u=2 \t,\t i ", true, 2, true},
    {"u=4;x;y=1;z=\"a,b\", i;q=?0", true, 4, true},
    /* Skipped: unknown, of another type, out of range. */
    {"u=8", true, 3, false},
    {"u=-1", true, 3, false},
    {"u=1.5", true, 3, false},
    {"u=\"1\"", true, 3, false},
    {"u=?1, i=1", true, 3, false},
    {"u, i=a", true, 3, false},
    {"a=(1 2);b, *x=tok/en, c=:aGk=:, d=\"\\\"\\\\\", u=1", true, 1, false},
    {"a=(  ), b=(\"x\";y  z), i", true, 3, true},
    /* No dictionaries: nothing changes. */
    {"u=0,", false, 3, false},
    {"u=0,,i", false, 3, false},
    {"u=0 i", false, 3, false},
    {"U=0", false, 3, false},
    {"=0", false, 3, false},
    {"u=", false, 3, false},
    {"u =0", false, 3, false},
    {"u=0;", false, 3, false},
    {"i, a=\"x", false, 3, false},
    {"i, a=\"\\x\"", false, 3, false},
    {"i, a=?2", false, 3, false},
    {"i, a=?", false, 3, false},
    {"i, a=:x", false, 3, false},
    {"i, a=(1", false, 3, false},
    {"i, a=(1\"x\")", false, 3, false},
    {"i, a=1.", false, 3, false},
    {"i, a=-", false, 3, false},
    {"i, a=\x80", false, 3, false},
    {"i, a=12345678901234567890", false, 3, false},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct priority p = {PRIORITY_URGENCY_DEFAULT, false};
        bool legal = priority_parse(str_of(rows[i].text), &p);
        if (legal != rows[i].legal || p.urgency != rows[i].urgency ||
            p.incremental != rows[i].incremental) {
            fail_msg("\"%s\": legal %d, u=%u, i=%d", rows[i].text, legal, p.urgency, p.incremental);
        }
    }
}

static void test_merge(void **state)
{
    (void)state;
    struct priority p = {6, true};
    assert_true(priority_parse(STR("u=1"), &p));
    assert_int_equal(p.urgency, 1);
    assert_true(p.incremental);
    assert_false(priority_parse(STR("u=5, i=?0, ("), &p));
    assert_int_equal(p.urgency, 1);
    assert_true(p.incremental);
}

/* Every cut of every row, in memory of just that size. */
static void test_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (size_t len = 1; len <= strlen(rows[i].text); len++) {
            struct priority p = {PRIORITY_URGENCY_DEFAULT, false};
            char *part = xmalloc(len);
            memcpy(part, rows[i].text, len);
            (void)priority_parse((struct str){part, len}, &p);
            assert_true(p.urgency <= PRIORITY_URGENCY_MAX);
            free(part);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
