/* The local CA on disk: made once, trusted by whoever imports it, and its leaf
 * remade when it must be.
 */
#include "certs/localca.h"

#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/unit/certs/pairs.h"

struct fixture {
    char root[64];
    char *dir; /* owned: does not exist yet */
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    memcpy(f->root, "/tmp/wos-localca-XXXXXX", sizeof("/tmp/wos-localca-XXXXXX"));
    assert_non_null(mkdtemp(f->root));
    f->dir = path_join(f->root, "certs");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(path_remove_all(f->root, NULL), 0);
    free(f->dir);
    free(f);
    return 0;
}

static struct localca_leaf ensure(struct fixture *f, const char *domain, int64_t now)
{
    struct localca_leaf leaf;
    struct err err;
    if (localca_ensure(f->dir, "tunnel", domain, now, &leaf, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    return leaf;
}

static void mode_is(struct fixture *f, const char *name, mode_t mode)
{
    autofree char *path = path_join(f->dir, name);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, mode);
}

static void replace(struct fixture *f, const char *name, const char *text)
{
    autofree char *path = path_join(f->dir, name);
    assert_int_equal(file_write_atomic(path, str_of(text), 0600, NULL), 0);
}

static void ca_read(struct fixture *f, struct buf *out)
{
    autofree char *path = localca_ca_path(f->dir);
    assert_int_equal(file_read(path, CERT_PEM_LIMIT, out, NULL), 0);
}

/* As a client would that has imported ca.crt: X509_V_OK or why not. */
static int verify(struct fixture *f, const struct localca_leaf *leaf, int64_t now,
                  const char *hostname, const char *ip)
{
    struct buf ca_pem = {0};
    ca_read(f, &ca_pem);
    struct cert *ca = cert_parse(buf_str(&ca_pem), NULL);
    struct cert *cert = cert_parse(buf_str(&leaf->chain_pem), NULL);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    assert_true(ca != NULL && cert != NULL && store != NULL && ctx != NULL);
    assert_int_equal(X509_STORE_add_cert(store, ca->leaf), 1);
    assert_int_equal(X509_STORE_CTX_init(ctx, store, cert->leaf, cert->chain), 1);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_time(param, (time_t)now);
    X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
    X509_VERIFY_PARAM_set_auth_level(param, 2);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
    if (hostname != NULL) {
        assert_int_equal(X509_VERIFY_PARAM_set1_host(param, hostname, 0), 1);
    }
    if (ip != NULL) {
        assert_int_equal(X509_VERIFY_PARAM_set1_ip_asc(param, ip), 1);
    }
    int result = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    cert_free(cert);
    cert_free(ca);
    buf_fini(&ca_pem);
    return result;
}

static void test_first(void **state)
{
    struct fixture *f = *state;
    struct localca_leaf leaf = ensure(f, "wos.localhost", NOW);
    assert_true(leaf.reissued);
    assert_true(leaf.ca_made);
    assert_string_equal(leaf.reissue_reason, "there was none");
    mode_is(f, "", 0700);
    mode_is(f, "ca.key", 0600);
    mode_is(f, "tunnel-self-signed.key", 0600);
    struct cert *cert =
        cert_check_pair(buf_str(&leaf.chain_pem), buf_str(&leaf.key_pem), NOW, NULL);
    assert_non_null(cert);
    assert_int_equal(sk_X509_num(cert->chain), 1);
    assert_int_equal(cert->name_count, 5);
    assert_string_equal(cert->names[0], "wos.localhost");
    assert_string_equal(cert->names[1], "*.wos.localhost");
    assert_string_equal(cert->names[2], "localhost");
    assert_string_equal(cert->names[3], "127.0.0.1");
    assert_string_equal(cert->names[4], "::1");
    assert_int_equal(cert->not_after, leaf.not_after);
    /* browsers count both ends in */
    assert_true(cert->not_after - cert->not_before + 1 <= 397 * DAY);
    assert_int_equal(X509_get_extended_key_usage(cert->leaf), XKU_SSL_SERVER);
    assert_int_equal(X509_get_key_usage(cert->leaf), KU_DIGITAL_SIGNATURE);
    assert_non_null(X509_get0_subject_key_id(cert->leaf));
    assert_non_null(X509_get0_authority_key_id(cert->leaf));
    X509 *ca = sk_X509_value(cert->chain, 0);
    assert_int_equal(X509_check_ca(ca), 1);
    assert_int_equal(X509_get_pathlen(ca), 0);
    assert_int_equal(X509_get_key_usage(ca), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    assert_true(X509_get_ext(ca, X509_get_ext_by_critical(ca, 1, -1)) != NULL);
    assert_non_null(strstr(cert->issuer, "CN = wos local CA "));
    cert_free(cert);
    localca_leaf_fini(&leaf);
}

static void test_clients_accept(void **state)
{
    struct fixture *f = *state;
    struct localca_leaf leaf = ensure(f, "wos.localhost", NOW);
    assert_int_equal(verify(f, &leaf, NOW, "foo.wos.localhost", NULL), X509_V_OK);
    assert_int_equal(verify(f, &leaf, NOW, "wos.localhost", NULL), X509_V_OK);
    assert_int_equal(verify(f, &leaf, NOW, "localhost", NULL), X509_V_OK);
    assert_int_equal(verify(f, &leaf, NOW, NULL, "127.0.0.1"), X509_V_OK);
    assert_int_equal(verify(f, &leaf, NOW, NULL, "::1"), X509_V_OK);
    assert_int_equal(verify(f, &leaf, NOW + 396 * DAY, "foo.wos.localhost", NULL), X509_V_OK);
    assert_int_equal(verify(f, &leaf, NOW, "a.b.wos.localhost", NULL),
                     X509_V_ERR_HOSTNAME_MISMATCH);
    assert_int_equal(verify(f, &leaf, NOW, "foo.example", NULL), X509_V_ERR_HOSTNAME_MISMATCH);
    assert_int_equal(verify(f, &leaf, NOW + 398 * DAY, "foo.wos.localhost", NULL),
                     X509_V_ERR_CERT_HAS_EXPIRED);
    localca_leaf_fini(&leaf);
}

static void test_kept(void **state)
{
    struct fixture *f = *state;
    struct localca_leaf first = ensure(f, "wos.localhost", NOW);
    struct localca_leaf again = ensure(f, "wos.localhost", NOW + 200 * DAY);
    assert_false(again.reissued);
    assert_false(again.ca_made);
    assert_null(again.reissue_reason);
    assert_true(str_eq(buf_str(&first.chain_pem), buf_str(&again.chain_pem)));
    assert_true(str_eq(buf_str(&first.key_pem), buf_str(&again.key_pem)));
    assert_int_equal(first.not_after, again.not_after);
    localca_leaf_fini(&first);
    localca_leaf_fini(&again);
}

/* The next ensure remakes the leaf for this reason, and keeps the CA. */
static void reissued(struct fixture *f, const char *domain, int64_t now, const char *reason)
{
    struct buf before = {0};
    struct buf after = {0};
    ca_read(f, &before);
    struct localca_leaf leaf = ensure(f, domain, now);
    ca_read(f, &after);
    assert_true(leaf.reissued);
    assert_false(leaf.ca_made);
    assert_string_equal(leaf.reissue_reason, reason);
    assert_true(str_eq(buf_str(&before), buf_str(&after)));
    assert_int_equal(verify(f, &leaf, now, domain, NULL), X509_V_OK);
    localca_leaf_fini(&leaf);
    leaf = ensure(f, domain, now);
    assert_false(leaf.reissued);
    localca_leaf_fini(&leaf);
    buf_fini(&before);
    buf_fini(&after);
}

static void test_reissued(void **state)
{
    struct fixture *f = *state;
    struct localca_leaf leaf = ensure(f, "wos.localhost", NOW);
    localca_leaf_fini(&leaf);
    reissued(f, "dev.example.com", NOW, "the domain changed");
    reissued(f, "dev.example.com", NOW + 270 * DAY, "it nears its end");
    replace(f, "tunnel-self-signed.crt", "nonsense");
    reissued(f, "dev.example.com", NOW + 270 * DAY, "the stored pair is damaged");
    replace(f, "tunnel-self-signed.key", "");
    reissued(f, "dev.example.com", NOW + 270 * DAY, "the stored pair is damaged");
    reissued(f, "dev.example.com", NOW, "it is not valid yet"); /* the clock was set back */
    struct pair other = pair_for("dev.example.com");
    replace(f, "tunnel-self-signed.key", buf_cstr(&other.key));
    reissued(f, "dev.example.com", NOW, "the stored pair is damaged");
    replace(f, "tunnel-self-signed.key", buf_cstr(&other.key));
    replace(f, "tunnel-self-signed.crt", buf_cstr(&other.chain));
    reissued(f, "dev.example.com", NOW, "it was not issued by the present local CA");
    pair_fini(&other);
    autofree char *key = path_join(f->dir, "tunnel-self-signed.key");
    assert_int_equal(unlink(key), 0);
    reissued(f, "dev.example.com", NOW, "there was none");
}

static void ca_remade(struct fixture *f, int64_t now)
{
    struct localca_leaf leaf = ensure(f, "wos.localhost", now);
    assert_true(leaf.ca_made);
    assert_true(leaf.reissued);
    assert_int_equal(verify(f, &leaf, now, "foo.wos.localhost", NULL), X509_V_OK);
    localca_leaf_fini(&leaf);
}

static void test_ca_remade(void **state)
{
    struct fixture *f = *state;
    ca_remade(f, NOW);
    replace(f, "ca.crt", "nonsense");
    ca_remade(f, NOW);
    replace(f, "ca.key", "nonsense");
    ca_remade(f, NOW);
    struct pair other = pair_for("wos.localhost");
    replace(f, "ca.key", buf_cstr(&other.key));
    ca_remade(f, NOW);
    replace(f, "ca.crt", buf_cstr(&other.chain)); /* matching, but no CA */
    replace(f, "ca.key", buf_cstr(&other.key));
    ca_remade(f, NOW);
    pair_fini(&other);
    ca_remade(f, NOW + 3640 * DAY);
}

static void test_leaf_within_ca(void **state)
{
    struct fixture *f = *state;
    int64_t late = NOW + 3500 * DAY;
    struct localca_leaf leaf = ensure(f, "wos.localhost", NOW);
    localca_leaf_fini(&leaf);
    leaf = ensure(f, "wos.localhost", late);
    assert_true(leaf.reissued);
    assert_false(leaf.ca_made);
    assert_int_equal(leaf.not_after, NOW + 3650 * DAY);
    localca_leaf_fini(&leaf);
}

/* With an address beside the local ones: named, and made anew when it is another. */
static void test_address(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *address;
        bool reissued;
    } steps[] = {{"192.0.2.7", true}, {"192.0.2.7", false}, {"2001:db8::7", true}, {NULL, false}};
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        struct localca_leaf leaf;
        assert_int_equal(localca_ensure_at(f->dir, "web", "", steps[i].address, NOW, &leaf, NULL),
                         0);
        assert_int_equal(leaf.reissued, steps[i].reissued);
        assert_int_equal(verify(f, &leaf, NOW, NULL, "127.0.0.1"), X509_V_OK);
        if (steps[i].address != NULL) {
            assert_int_equal(verify(f, &leaf, NOW, NULL, steps[i].address), X509_V_OK);
        }
        localca_leaf_fini(&leaf);
    }
}

static void test_odd_domains(void **state)
{
    struct fixture *f = *state;
    struct localca_leaf leaf = ensure(f, "localhost", NOW);
    struct cert *cert = cert_parse(buf_str(&leaf.chain_pem), NULL);
    assert_int_equal(cert->name_count, 4); /* localhost once */
    cert_free(cert);
    localca_leaf_fini(&leaf);
    leaf = ensure(f, "", NOW);
    assert_int_equal(verify(f, &leaf, NOW, "localhost", NULL), X509_V_OK);
    localca_leaf_fini(&leaf);
    char label[64];
    memset(label, 'a', 63);
    label[63] = '\0';
    autofree char *longest = xasprintf("%s.%s.%s.example", label, label, label);
    leaf = ensure(f, longest, NOW); /* longer than a common name may be */
    assert_int_equal(verify(f, &leaf, NOW, longest, NULL), X509_V_OK);
    localca_leaf_fini(&leaf);
}

static void test_unwritable(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(file_write_atomic(f->dir, STR("a file"), 0600, NULL), 0);
    struct localca_leaf leaf = {.not_after = 7};
    struct err err;
    assert_int_equal(localca_ensure(f->dir, "tunnel", "wos.localhost", NOW, &leaf, &err), -1);
    assert_non_null(strstr(err.msg, "local CA: "));
    assert_non_null(strstr(err.msg, f->dir));
    assert_int_equal(leaf.not_after, 7);
}

static void test_self_signed(void **state)
{
    (void)state;
    struct buf chain = {0};
    struct buf key = {0};
    assert_int_equal(issue_self_signed("wos.localhost", NOW, &chain, &key, NULL), 0);
    struct cert *cert = cert_check_pair(buf_str(&chain), buf_str(&key), NOW, NULL);
    assert_non_null(cert);
    assert_true(cert_covers(cert, STR("foo.wos.localhost")));
    assert_true(cert_covers(cert, STR("::1")));
    assert_int_equal(cert->not_after, NOW + 7 * DAY);
    cert_free(cert);
    buf_fini(&chain);
    issue_buf_wipe(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clients_accept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reissued, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ca_remade, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leaf_within_ca, setup, teardown),
        cmocka_unit_test_setup_teardown(test_address, setup, teardown),
        cmocka_unit_test_setup_teardown(test_odd_domains, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unwritable, setup, teardown),
        cmocka_unit_test(test_self_signed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
