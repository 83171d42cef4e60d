/* Tests of base/build: the id is there, stable, and made of the version. */
#include "base/build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
// clang-format off
#include <cmocka.h>
// clang-format on

static void test_id_is_version_and_hash(void **state)
{
    (void)state;
    const char *id = build_id();
    size_t len = strlen(build_version());
    assert_true(len > 0);
    assert_int_equal(strncmp(id, build_version(), len), 0);
    assert_int_equal(id[len], '+');
    assert_int_equal(strlen(id), len + 1 + 40); /* the linker's SHA-1, in hex */
    assert_int_equal(strspn(id + len + 1, "0123456789abcdef"), 40);
    assert_ptr_equal(build_id(), id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_id_is_version_and_hash)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
