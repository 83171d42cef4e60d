/* The key and accept fields of RFC 6455. */
#include "gateway/wskey.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"

static void test_accept_of_the_rfc(void **state)
{
    (void)state;
    char out[WSKEY_ACCEPT_SIZE];
    struct str accept = wskey_accept(STR("dGhlIHNhbXBsZSBub25jZQ=="), out);
    assert_true(str_eq(accept, STR("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
}

static void test_keys_differ(void **state)
{
    (void)state;
    char first[WSKEY_SIZE];
    char second[WSKEY_SIZE];
    wskey_make(first);
    wskey_make(second);
    assert_int_equal(strlen(first), 24);
    assert_string_not_equal(first, second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept_of_the_rfc),
        cmocka_unit_test(test_keys_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
