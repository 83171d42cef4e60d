/* Reading certificates and keys, and every refusal with its sentence. */
#include "tests/unit/certs/pairs.h"

#include <openssl/pem.h>

static void test_fields(void **state)
{
    (void)state;
    static const char *const names[] = {"Wos.Localhost", "*.wos.localhost"};
    struct pair pair = pair_make(names, 2);
    struct err err;
    struct cert *cert = cert_check_pair(buf_str(&pair.chain), buf_str(&pair.key), NOW, &err);
    assert_non_null(cert);
    assert_int_equal(cert->name_count, 4);
    assert_string_equal(cert->names[0], "wos.localhost");
    assert_string_equal(cert->names[1], "*.wos.localhost");
    assert_string_equal(cert->names[2], "127.0.0.1");
    assert_string_equal(cert->names[3], "::1");
    assert_string_equal(cert->subject, "CN = Wos.Localhost");
    assert_string_equal(cert->issuer, "CN = Wos.Localhost");
    assert_int_equal(cert->not_before, NOW - DAY);
    assert_int_equal(cert->not_after, NOW + 90 * DAY);
    assert_false(cert->is_ca);
    uint8_t digest[32];
    assert_int_equal(X509_digest(cert->leaf, EVP_sha256(), digest, NULL), 1);
    assert_memory_equal(digest, cert->fingerprint, 32);
    cert_free(cert);
    cert_free(NULL);
    pair_fini(&pair);
}

static void test_covers(void **state)
{
    (void)state;
    static const char *const names[] = {"wos.localhost", "*.wos.localhost"};
    struct pair pair = pair_make(names, 2);
    struct cert *cert = cert_parse(buf_str(&pair.chain), NULL);
    assert_non_null(cert);
    assert_true(cert_covers(cert, STR("wos.localhost")));
    assert_true(cert_covers(cert, STR("A-Web.WOS.localhost")));
    assert_false(cert_covers(cert, STR("a.b.wos.localhost")));
    assert_false(cert_covers(cert, STR(".wos.localhost")));
    assert_false(cert_covers(cert, STR("localhost")));
    assert_false(cert_covers(cert, STR("xwos.localhost")));
    assert_false(cert_covers(cert, STR("")));
    assert_true(cert_covers(cert, STR("127.0.0.1")));
    assert_true(cert_covers(cert, STR("0:0::1")));
    assert_false(cert_covers(cert, STR("127.0.0.2")));
    cert_free(cert);
    pair_fini(&pair);
}

static void pair_refused(struct str chain, struct str key, int64_t now, const char *says)
{
    struct err err;
    if (cert_check_pair(chain, key, now, &err) != NULL) {
        fail_msg("accepted, expected: %s", says);
    }
    if (strstr(err.msg, says) == NULL) {
        fail_msg("expected \"%s\", got: %s", says, err.msg);
    }
}

static void test_refused(void **state)
{
    (void)state;
    struct pair one = pair_for("one.example");
    struct pair two = pair_for("two.example");
    struct str chain = buf_str(&one.chain);
    struct str key = buf_str(&one.key);
    pair_refused(STR_NONE, key, NOW, "no certificate in PEM form");
    pair_refused(STR("hello\n"), key, NOW, "no certificate in PEM form");
    pair_refused(key, key, NOW, "no certificate in PEM form");
    pair_refused(STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), key, NOW,
                 "damaged certificate");
    pair_refused((struct str){chain.ptr, chain.len / 2}, key, NOW, "damaged certificate");
    pair_refused(chain, STR_NONE, NOW, "no usable private key");
    pair_refused(chain, (struct str){key.ptr, key.len / 2}, NOW, "no usable private key");
    pair_refused(chain, chain, NOW, "no usable private key");
    pair_refused(chain, buf_str(&two.key), NOW,
                 "does not belong to the certificate (CN = one.example)");
    pair_refused(chain, key, NOW + 91 * DAY, "(CN = one.example) expired on 2027-04-15T08:00:00Z");
    pair_refused(chain, key, NOW - 2 * DAY, "is not valid before 2027-01-14T08:00:00Z");
    struct buf both = {0};
    buf_add_str(&both, chain);
    buf_add_str(&both, buf_str(&two.chain));
    pair_refused(buf_str(&both), buf_str(&two.key), NOW, "belongs to certificate 2 of the chain");
    buf_fini(&both);
    for (int i = 0; i <= CERT_CHAIN_MAX; i++) {
        buf_add_str(&both, chain);
    }
    pair_refused(buf_str(&both), key, NOW, "more than 16 certificates");
    buf_fini(&both);
    pair_fini(&one);
    pair_fini(&two);
}

static void test_damaged_second_certificate(void **state)
{
    (void)state;
    struct pair pair = pair_for("one.example");
    struct buf both = {0};
    buf_add_str(&both, buf_str(&pair.chain));
    buf_add_text(&both, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    pair_refused(buf_str(&both), buf_str(&pair.key), NOW, "damaged certificate");
    buf_fini(&both);
    pair_fini(&pair);
}

static void test_text_around(void **state)
{
    (void)state;
    struct pair pair = pair_for("one.example");
    struct buf text = {0};
    buf_add_text(&text, "subject=CN = one.example\n\n");
    buf_add_str(&text, buf_str(&pair.key));
    buf_add_str(&text, buf_str(&pair.chain));
    buf_add_text(&text, "the end\n");
    struct err err;
    struct cert *cert = cert_check_pair(buf_str(&text), buf_str(&text), NOW, &err);
    if (cert == NULL) {
        fail_msg("%s", err.msg);
    }
    cert_free(cert);
    buf_fini(&text);
    pair_fini(&pair);
}

static void test_ca_first(void **state)
{
    (void)state;
    struct issue_request request = {
        .common_name = "Some CA", .not_before = NOW - DAY, .not_after = NOW + DAY};
    EVP_PKEY *key = issue_key(NULL);
    X509 *ca = issue_ca(&request, key, NULL);
    assert_non_null(ca);
    struct buf pem = {0};
    struct buf key_pem = {0};
    assert_int_equal(issue_cert_pem(ca, &pem, NULL), 0);
    assert_int_equal(issue_key_pem(key, &key_pem, NULL), 0);
    /* alone it is what `openssl req -x509` makes, and people use that */
    struct cert *cert = cert_check_pair(buf_str(&pem), buf_str(&key_pem), NOW, NULL);
    assert_non_null(cert);
    assert_true(cert->is_ca);
    cert_free(cert);
    struct pair pair = pair_for("one.example");
    buf_add_str(&pem, buf_str(&pair.chain));
    pair_refused(buf_str(&pem), buf_str(&key_pem), NOW,
                 "no leaf: the first certificate "
                 "(CN = Some CA) is a CA");
    pair_fini(&pair);
    buf_fini(&pem);
    issue_buf_wipe(&key_pem);
    X509_free(ca);
    EVP_PKEY_free(key);
}

static void encrypted_refused(bool traditional)
{
    EVP_PKEY *key = issue_key(NULL);
    BIO *bio = BIO_new(BIO_s_mem());
    unsigned char pass[] = "secret";
    int done = traditional ? PEM_write_bio_PrivateKey_traditional(bio, key, EVP_aes_128_cbc(), pass,
                                                                  6, NULL, NULL)
                           : PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_128_cbc(),
                                                           (char *)pass, 6, NULL, NULL);
    assert_int_equal(done, 1);
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    struct err err;
    assert_null(cert_key_parse((struct str){data, (size_t)len}, &err));
    assert_non_null(strstr(err.msg, "the private key is encrypted"));
    BIO_free(bio);
    EVP_PKEY_free(key);
}

static void test_encrypted_key(void **state)
{
    (void)state;
    encrypted_refused(true);
    encrypted_refused(false);
}

static void test_traditional_key(void **state)
{
    (void)state;
    EVP_PKEY *key = issue_key(NULL);
    BIO *bio = BIO_new(BIO_s_mem());
    /* `openssl ecparam -genkey` puts the parameters in front */
    BIO_puts(bio, "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n");
    assert_int_equal(PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    struct err err;
    EVP_PKEY *read = cert_key_parse((struct str){data, (size_t)len}, &err);
    if (read == NULL) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(EVP_PKEY_eq(key, read), 1);
    EVP_PKEY_free(read);
    BIO_free(bio);
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),        cmocka_unit_test(test_covers),
        cmocka_unit_test(test_refused),       cmocka_unit_test(test_damaged_second_certificate),
        cmocka_unit_test(test_text_around),   cmocka_unit_test(test_ca_first),
        cmocka_unit_test(test_encrypted_key), cmocka_unit_test(test_traditional_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
