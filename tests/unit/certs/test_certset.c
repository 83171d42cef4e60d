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
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
