/* request_id: form, order, uniqueness, and what is accepted from a proxy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"
#include "gateway/request_id.h"

static void test_form_and_order(void **state)
{
    (void)state;
    struct request_ids ids = {.left = 0};
    char before[REQUEST_ID_LEN + 1] = "";
    char id[REQUEST_ID_LEN + 1] = "";
    for (int64_t ms = 1; ms < (int64_t)1 << 48; ms *= 3) {
        request_id_make(&ids, ms, id);
        assert_int_equal(strspn(id, "0123456789abcdefghjkmnpqrstvwxyz"), REQUEST_ID_LEN);
        assert_true(request_id_is_sane((struct str){id, REQUEST_ID_LEN}));
        assert_true(strcmp(before, id) < 0);
        memcpy(before, id, sizeof id);
    }
    request_id_make(&ids, 0, id);
    assert_memory_equal(id, "0000000000", 10);
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, REQUEST_ID_LEN);
}

static void test_unique(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    struct request_ids ids = {.left = 0};
    char *all = malloc((size_t)COUNT * REQUEST_ID_LEN);
    assert_non_null(all);
    for (size_t i = 0; i < COUNT; i++) {
        request_id_make(&ids, 1763640000000, all + i * REQUEST_ID_LEN);
    }
    qsort(all, COUNT, REQUEST_ID_LEN, compare);
    for (size_t i = 1; i < COUNT; i++) {
        assert_true(compare(all + (i - 1) * REQUEST_ID_LEN, all + i * REQUEST_ID_LEN) != 0);
    }
    free(all);
}

static void test_sane(void **state)
{
    (void)state;
    char text[REQUEST_ID_MAX + 1];
    memset(text, 'x', sizeof text);
    assert_true(request_id_is_sane(STR("a")));
    assert_true(request_id_is_sane(STR("AZaz09._~+/=-")));
    assert_true(request_id_is_sane((struct str){text, REQUEST_ID_MAX}));
    assert_false(request_id_is_sane((struct str){text, REQUEST_ID_MAX + 1}));
    assert_false(request_id_is_sane(STR("")));
    for (int c = 0; c < 256; c++) {
        text[1] = (char)c;
        bool legal = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     (c != 0 && strchr("._~+/=-", c) != NULL);
        assert_int_equal(request_id_is_sane((struct str){text, 3}), legal);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form_and_order),
        cmocka_unit_test(test_unique),
        cmocka_unit_test(test_sane),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
