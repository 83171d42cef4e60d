/* Tests of base/map: set, get, delete, order, growth, and removal while iterating. */
#include "base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
// clang-format off
#include <cmocka.h>
// clang-format on

static int values[4];

static void test_empty(void **state)
{
    (void)state;
    struct map m = {0};
    size_t at = 0;
    assert_null(map_get(&m, STR("a")));
    assert_null(map_del(&m, STR("a")));
    assert_null(map_next(&m, &at));
    map_fini(&m);
}

static void test_set_replace_delete(void **state)
{
    (void)state;
    struct map m = {0};
    char key[] = "key";
    assert_null(map_set(&m, str_of(key), &values[0]));
    key[0] = 'X'; /* the map has a copy */
    assert_ptr_equal(map_get(&m, STR("key")), &values[0]);
    assert_ptr_equal(map_set(&m, STR("key"), &values[1]), &values[0]);
    assert_int_equal(m.count, 1);
    assert_null(map_get(&m, STR("Key")));
    assert_null(map_set(&m, STR(""), &values[2]));
    assert_ptr_equal(map_get(&m, STR_NONE), &values[2]);
    assert_null(map_set(&m, STR("a\0b"), &values[3]));
    assert_null(map_get(&m, STR("a")));
    assert_ptr_equal(map_get(&m, STR("a\0b")), &values[3]);
    assert_ptr_equal(map_del(&m, STR("key")), &values[1]);
    assert_null(map_get(&m, STR("key")));
    assert_null(map_del(&m, STR("key")));
    assert_int_equal(m.count, 2);
    map_fini(&m);
}

static struct str name_of(size_t i, char *text, size_t size)
{
    return (struct str){text, (size_t)snprintf(text, size, "entry-%zu", i)};
}

static void test_many_in_order(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    static int slots[MANY];
    struct map m = {0};
    char text[32];
    for (size_t i = 0; i < MANY; i++) {
        assert_null(map_set(&m, name_of(i, text, sizeof text), &slots[i]));
    }
    for (size_t i = 0; i < MANY; i += 3) {
        assert_ptr_equal(map_del(&m, name_of(i, text, sizeof text)), &slots[i]);
    }
    for (size_t i = 0; i < MANY; i++) {
        void *want = i % 3 == 0 ? NULL : &slots[i];
        assert_ptr_equal(map_get(&m, name_of(i, text, sizeof text)), want);
    }
    size_t at = 0;
    size_t expect = 1;
    const struct map_entry *entry;
    while ((entry = map_next(&m, &at)) != NULL) {
        assert_ptr_equal(entry->value, &slots[expect]);
        expect += expect % 3 == 1 ? 1 : 2;
    }
    assert_int_equal(m.count, MANY - (MANY + 2) / 3);
    map_fini(&m);
}

/* A queue that comes and goes must not grow for ever. */
static void test_churn_stays_small(void **state)
{
    (void)state;
    struct map m = {0};
    char text[32];
    for (size_t i = 0; i < 10000; i++) {
        assert_null(map_set(&m, name_of(i, text, sizeof text), &values[0]));
        if (i >= 3) {
            assert_ptr_equal(map_del(&m, name_of(i - 3, text, sizeof text)), &values[0]);
        }
    }
    assert_int_equal(m.count, 3);
    assert_true(m.cap <= 16);
    map_fini(&m);
}

static void test_delete_while_iterating(void **state)
{
    (void)state;
    struct map m = {0};
    char text[32];
    for (size_t i = 0; i < 100; i++) {
        assert_null(map_set(&m, name_of(i, text, sizeof text), &values[0]));
    }
    size_t seen = 0;
    size_t at = 0;
    const struct map_entry *entry;
    while ((entry = map_next(&m, &at)) != NULL) {
        seen++;
        assert_ptr_equal(map_del(&m, (struct str){entry->key, entry->key_len}), &values[0]);
    }
    assert_int_equal(seen, 100);
    assert_int_equal(m.count, 0);
    map_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_set_replace_delete),
        cmocka_unit_test(test_many_in_order),
        cmocka_unit_test(test_churn_stays_small),
        cmocka_unit_test(test_delete_while_iterating),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
