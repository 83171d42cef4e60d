/* Whom the gateway trusts as a client. Handshakes: tests/integration/test_https_upstream.py. */
#include "certs/tlspeer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/file.h"
#include "certs/localca.h"
#include "certs/tlsctx.h"

static void make_ca(struct buf *out)
{
    char dir[] = "/tmp/wos-tlspeer-XXXXXX";
    struct localca_leaf leaf;
    struct err err;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(localca_ensure(dir, "tunnel", "wos.localhost", 1700000000, &leaf, &err), 0);
    autofree char *path = localca_ca_path(dir);
    assert_int_equal(file_read(path, 65536, out, &err), 0);
    localca_leaf_fini(&leaf);
    assert_int_equal(path_remove_all(dir, &err), 0);
}

static void test_authorities(void **state)
{
    (void)state;
    struct buf pem = {0};
    struct err err;
    make_ca(&pem);
    buf_add_text(&pem, "some words between them\n");
    make_ca(&pem);
    SSL_CTX *ctx = tlsctx_client_new(buf_str(&pem), &err);
    assert_non_null(ctx);
    assert_int_equal(SSL_CTX_get_verify_mode(ctx), SSL_VERIFY_PEER);
    assert_int_equal(sk_X509_OBJECT_num(X509_STORE_get0_objects(SSL_CTX_get_cert_store(ctx))), 2);
    SSL_CTX_free(ctx);
    buf_fini(&pem);
}

static void test_no_authorities(void **state)
{
    (void)state;
    struct err err;
    assert_null(tlsctx_client_new(STR(""), &err));
    assert_string_equal(err.msg, "certificate authorities: no certificate");
    assert_null(tlsctx_client_new(STR("hello\n"), &err));
    assert_string_equal(err.msg, "certificate authorities: no certificate");
}

static void test_cut_authority(void **state)
{
    (void)state;
    struct buf pem = {0};
    struct err err;
    make_ca(&pem);
    size_t whole = buf_str(&pem).len;
    make_ca(&pem);
    struct str cut = {buf_str(&pem).ptr, whole + 200};
    assert_null(tlsctx_client_new(cut, &err));
    assert_string_equal(err.msg, "certificate authorities: one of the certificates cannot be read");
    buf_fini(&pem);
}

/* Without a handshake there is nothing to find fault with, and nothing to crash on. */
static void test_no_handshake(void **state)
{
    (void)state;
    struct buf pem = {0};
    struct err err;
    make_ca(&pem);
    SSL_CTX *ctx = tlsctx_client_new(buf_str(&pem), &err);
    SSL *ssl = SSL_new(ctx);
    assert_non_null(ssl);
    assert_null(tlspeer_fault(ssl));
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    buf_fini(&pem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_authorities),
        cmocka_unit_test(test_no_authorities),
        cmocka_unit_test(test_cut_authority),
        cmocka_unit_test(test_no_handshake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
