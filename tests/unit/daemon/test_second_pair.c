/* rsaCert and rsaKey: when they are read, and when they are offered beside the first pair. */
#include "daemon/second_pair.h"

#include <stdio.h>

#include "base/file.h"
#include "tests/unit/certs/pairs.h"

static const char *const names[] = {"*.example.com", "example.com"};

struct fixture {
    char dir[64];
    struct config config;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    memcpy(f->dir, "/tmp/wos-second-XXXXXX", sizeof("/tmp/wos-second-XXXXXX"));
    assert_non_null(mkdtemp(f->dir));
    f->config.home = f->dir;
    f->config.tunnel_ssl = (struct config_ssl){
        .source = SSL_FILES, .rsa_cert = xstrdup("rsa.crt"), .rsa_key = xstrdup("rsa.key")};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(path_remove_all(f->dir, NULL), 0);
    free(f->config.tunnel_ssl.rsa_cert);
    free(f->config.tunnel_ssl.rsa_key);
    free(f);
    return 0;
}

static void write_pair(const struct fixture *f, const struct pair *pair)
{
    autofree char *cert = path_join(f->dir, "rsa.crt");
    autofree char *key = path_join(f->dir, "rsa.key");
    assert_int_equal(file_write_atomic(key, buf_str(&pair->key), 0600, NULL), 0);
    assert_int_equal(file_write_atomic(cert, buf_str(&pair->chain), 0600, NULL), 0);
}

/* What second_pair_fault says of these two; "" when they are offered together. */
static const char *fault_of(struct fixture *f, const struct pair *first, const struct pair *second)
{
    static char text[256];
    struct second_pair pair;
    struct cert *cert = cert_parse(buf_str(&first->chain), NULL);
    write_pair(f, second);
    second_pair_init(&pair, &f->config.tunnel_ssl, f->dir);
    assert_true(second_pair_look(&pair, NOW));
    const char *fault = second_pair_fault(&pair, cert);
    (void)snprintf(text, sizeof(text), "%s", fault == NULL ? "" : fault);
    second_pair_fini(&pair);
    cert_free(cert);
    return text;
}

static void test_when_it_is_offered(void **state)
{
    struct fixture *f = *state;
    static const char *const reversed[] = {"example.com", "*.example.com"};
    struct pair ec = pair_make(names, 2);
    struct pair ec_again = pair_make(names, 2);
    struct pair rsa = pair_with_key(reversed, 2, EVP_RSA_gen(2048));
    struct pair rsa_less = pair_with_key(names, 1, EVP_RSA_gen(2048));
    assert_string_equal(fault_of(f, &ec, &rsa), "");
    assert_non_null(strstr(fault_of(f, &ec, &rsa_less), "does not have the same names"));
    assert_non_null(strstr(fault_of(f, &ec, &ec_again), "has the same kind of key"));
    pair_fini(&ec);
    pair_fini(&ec_again);
    pair_fini(&rsa);
    pair_fini(&rsa_less);
}

static void test_bad_files_change_nothing(void **state)
{
    struct fixture *f = *state;
    struct second_pair pair;
    struct pair rsa = pair_with_key(names, 2, EVP_RSA_gen(2048));
    second_pair_init(&pair, &f->config.tunnel_ssl, f->dir);
    assert_false(second_pair_look(&pair, NOW));
    assert_non_null(strstr(second_pair_fault(&pair, NULL), "rsa.crt"));
    write_pair(f, &rsa);
    assert_true(second_pair_look(&pair, NOW));
    assert_null(second_pair_fault(&pair, NULL));
    assert_false(second_pair_look(&pair, NOW)); /* nothing changed */
    autofree char *path = path_join(f->dir, "rsa.crt");
    assert_int_equal(file_write_atomic(path, STR("garbage"), 0600, NULL), 0);
    assert_false(second_pair_look(&pair, NOW));
    assert_non_null(strstr(second_pair_fault(&pair, NULL), "rsa.crt"));
    assert_true(str_eq(buf_str(&pair.chain_pem), buf_str(&rsa.chain)));
    second_pair_fini(&pair);
    pair_fini(&rsa);
}

static void test_none_is_wanted(void **state)
{
    struct fixture *f = *state;
    struct second_pair pair;
    f->config.tunnel_ssl.source = SSL_SELF_SIGNED;
    second_pair_init(&pair, &f->config.tunnel_ssl, f->dir);
    assert_false(second_pair_look(&pair, NOW));
    assert_null(second_pair_fault(&pair, NULL));
    second_pair_fini(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_when_it_is_offered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_files_change_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_none_is_wanted, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
