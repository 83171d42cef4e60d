/* What the gateway is given to check services' certificates with. */
#include "daemon/trust.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/file.h"

static const struct route routes[] = {
    {.backend = BACKEND_HTTPS_INSECURE}, {.backend = BACKEND_H2C}, {.backend = BACKEND_HTTPS}};

static void test_only_when_needed(void **state)
{
    (void)state;
    struct buf out = {0};
    trust_read("/nonexistent", routes, 2, &out);
    assert_int_equal(buf_str(&out).len, 0);
    buf_fini(&out);
}

static void test_local_ca_comes_first(void **state)
{
    (void)state;
    char home[] = "/tmp/wos-trust-XXXXXX";
    struct buf out = {0};
    struct err err;
    assert_non_null(mkdtemp(home));
    autofree char *dir = path_join(home, "certs");
    autofree char *path = path_join(dir, "ca.crt");
    assert_int_equal(dir_make(dir, 0700, &err), 0);
    assert_int_equal(file_write_atomic(path, STR("the local one"), 0600, &err), 0);
    trust_read(home, routes, COUNT_OF(routes), &out);
    assert_memory_equal(buf_cstr(&out), "the local one\n", 14);
    buf_fini(&out);
    assert_int_equal(path_remove_all(home, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_when_needed),
        cmocka_unit_test(test_local_ca_comes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
