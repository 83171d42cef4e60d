/* Which certificate a name gets, and what a new set takes over from the old. */
#include "certs/certset.h"

#include "tests/unit/certs/pairs.h"

static struct certset_pair as_pair(const struct pair *pair)
{
    return (struct certset_pair){buf_str(&pair->chain), buf_str(&pair->key)};
}

static void finds(const struct certset *set, struct str name, const char *subject)
{
    X509 *leaf = SSL_CTX_get0_certificate(certset_find(set, name));
    char text[256];
    assert_true(X509_NAME_get_text_by_NID(X509_get_subject_name(leaf), NID_commonName, text,
                                          sizeof(text)) > 0);
    if (strcmp(text, subject) != 0) {
        fail_msg("%.*s gave %s, not %s", STR_ARG(name), text, subject);
    }
}

static void test_find(void **state)
{
    (void)state;
    static const char *const wild[] = {"*.wos.localhost", "wos.localhost"};
    struct pair pairs[3] = {pair_for("default.example"), pair_make(wild, 2),
                            pair_for("special.wos.localhost")};
    struct certset_pair in[3] = {as_pair(&pairs[0]), as_pair(&pairs[1]), as_pair(&pairs[2])};
    struct err err;
    struct certset *set = certset_new(in, 3, NULL, &err);
    assert_non_null(set);
    finds(set, STR("a-web.wos.localhost"), "*.wos.localhost");
    finds(set, STR("A-WEB.Wos.Localhost"), "*.wos.localhost");
    finds(set, STR("a-web.wos.localhost."), "*.wos.localhost");
    finds(set, STR("wos.localhost"), "*.wos.localhost");
    finds(set, STR("special.wos.localhost"), "special.wos.localhost");
    finds(set, STR("a.b.wos.localhost"), "default.example");
    finds(set, STR("*.wos.localhost"), "default.example");
    finds(set, STR("default.example"), "default.example");
    finds(set, STR("other.example"), "default.example");
    finds(set, STR(".wos.localhost"), "default.example");
    finds(set, STR("."), "default.example");
    finds(set, STR(""), "default.example");
    finds(set, STR_NONE, "default.example");
    char most[300];
    memset(most, 'a', sizeof(most));
    finds(set, (struct str){most, 255}, "default.example");
    finds(set, (struct str){most, sizeof(most)}, "default.example");
    certset_unref(set);
    for (size_t i = 0; i < 3; i++) {
        pair_fini(&pairs[i]);
    }
}

static void test_reuse(void **state)
{
    (void)state;
    struct pair one = pair_for("one.example");
    struct pair two = pair_for("two.example");
    struct pair two_renewed = pair_for("two.example");
    struct certset_pair first[2] = {as_pair(&one), as_pair(&two)};
    struct certset_pair second[2] = {as_pair(&two_renewed), as_pair(&one)};
    struct certset *old = certset_new(first, 2, NULL, NULL);
    assert_non_null(old);
    struct certset *new = certset_new(second, 2, old, NULL);
    assert_non_null(new);
    assert_ptr_equal(certset_find(new, STR("one.example")), certset_find(old, STR("one.example")));
    assert_ptr_not_equal(certset_find(new, STR("two.example")),
                         certset_find(old, STR("two.example")));
    certset_unref(old); /* what is shared lives on */
    finds(new, STR("one.example"), "one.example");
    assert_ptr_equal(certset_ref(new), new);
    certset_unref(new);
    finds(new, STR(""), "two.example");
    certset_unref(new);
    certset_unref(NULL);
    pair_fini(&one);
    pair_fini(&two);
    pair_fini(&two_renewed);
}

static bool has_key(SSL_CTX *ctx, int type)
{
    bool found = false;
    for (long more = SSL_CTX_set_current_cert(ctx, SSL_CERT_SET_FIRST); more == 1;
         more = SSL_CTX_set_current_cert(ctx, SSL_CERT_SET_NEXT)) {
        found = found || EVP_PKEY_get_base_id(SSL_CTX_get0_privatekey(ctx)) == type;
    }
    return found;
}

/* An ECDSA and an RSA certificate of the same names are one context; others are not. */
static void test_two_keys(void **state)
{
    (void)state;
    static const char *const names[] = {"*.wos.localhost", "wos.localhost"};
    static const char *const reversed[] = {"wos.localhost", "*.wos.localhost"};
    struct pair ec = pair_make(names, 2);
    struct pair ec_renewed = pair_make(names, 2);
    struct pair rsa = pair_with_key(reversed, 2, EVP_RSA_gen(2048));
    struct pair rsa_other = pair_with_key(names, 1, EVP_RSA_gen(2048));
    struct certset_pair in[3] = {as_pair(&ec), as_pair(&rsa_other), as_pair(&rsa)};
    struct certset *set = certset_new(in, 3, NULL, NULL);
    assert_non_null(set);
    SSL_CTX *both = certset_find(set, STR("a.wos.localhost"));
    assert_ptr_equal(certset_find(set, STR("wos.localhost")), both);
    assert_true(has_key(both, EVP_PKEY_EC) && has_key(both, EVP_PKEY_RSA));
    assert_true(certset_covers(set, both, STR("B.wos.localhost")));
    assert_false(certset_covers(set, both, STR("b.example")));
    /* The same again is the same context; with one of the two renewed it is not. */
    struct certset *same = certset_new(in, 3, set, NULL);
    assert_ptr_equal(same, set); /* nothing changed */
    assert_ptr_equal(certset_find(same, STR("wos.localhost")), both);
    in[0] = as_pair(&ec_renewed);
    struct certset *renewed = certset_new(in, 3, same, NULL);
    SSL_CTX *next = certset_find(renewed, STR("wos.localhost"));
    assert_ptr_not_equal(next, both);
    assert_true(has_key(next, EVP_PKEY_EC) && has_key(next, EVP_PKEY_RSA));
    /* Without its partner a certificate gets a context of its own. */
    struct certset *alone = certset_new(in, 1, renewed, NULL);
    assert_ptr_not_equal(certset_find(alone, STR("wos.localhost")), next);
    assert_false(has_key(certset_find(alone, STR("wos.localhost")), EVP_PKEY_RSA));
    certset_unref(set);
    certset_unref(same);
    certset_unref(renewed);
    certset_unref(alone);
    pair_fini(&ec);
    pair_fini(&ec_renewed);
    pair_fini(&rsa);
    pair_fini(&rsa_other);
}

static void test_errors(void **state)
{
    (void)state;
    struct pair one = pair_for("one.example");
    struct pair two = pair_for("two.example");
    struct err err;
    assert_null(certset_new(NULL, 0, NULL, &err));
    assert_non_null(strstr(err.msg, "no certificate"));
    struct certset_pair mixed[2] = {as_pair(&one), {buf_str(&two.chain), buf_str(&one.key)}};
    assert_null(certset_new(mixed, 2, NULL, &err));
    assert_string_equal(err.msg, "certificate 2 (CN = two.example): the private key does not "
                                 "belong to the certificate (CN = two.example)");
    mixed[1].chain_pem = STR("nothing");
    assert_null(certset_new(mixed, 2, NULL, &err));
    assert_non_null(strstr(err.msg, "certificate 2: no certificate in PEM form"));
    pair_fini(&one);
    pair_fini(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_two_keys),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
