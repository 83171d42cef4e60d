/* What needs no server: Retry-After, problem documents, requests for certificates, keys made in
 * a thread. The rest of the client is tested against pebble (tests/integration). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "acme/acme_client.h"
#include "acme/csr.h"
#include "acme/keygen.h"
#include "base/auto.h"
#include "base/json.h"

static void test_retry_after(void **state)
{
    (void)state;
    static const int64_t now = 784111777; /* Sun, 06 Nov 1994 08:49:37 GMT */
    static const struct {
        const char *text;
        int64_t at;
    } table[] = {
        {"120", 784111897},
        {" 0 ", 784111777},
        {"Sun, 06 Nov 1994 08:50:37 GMT", 784111837},
        {"Sun, 06 Nov 1994 08:00:00 GMT", 784111777},
        {"99999999999", 784111777 + 8 * 86400},
        {"Sun, 06 Nov 2094 08:50:37 GMT", 784111777 + 8 * 86400},
        {"", 0},
        {"soon", 0},
        {"-5", 0},
        {"1.5", 0},
        {"999999999999999999999999", 0},
        {"Sun, 06 Nov 1994 08:50:37 GMT and more than that, to be sure that it is long", 0},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        int64_t at = acme_client_retry_after(str_of(table[i].text), now);
        if (at != table[i].at) {
            fail_msg("%s: %lld, expected %lld", table[i].text, (long long)at,
                     (long long)table[i].at);
        }
    }
    assert_int_equal(acme_client_retry_after(STR_NONE, now), 0);
}

static void problem_is(const char *text, const char *type, const char *says, bool permanent)
{
    struct failure f;
    autojson cJSON *json = text == NULL ? NULL : json_parse(str_of(text), "problem", NULL);
    acme_client_problem(&f, "order", 403, json);
    assert_string_equal(f.phase, "order");
    assert_string_equal(f.type, type);
    if (strstr(f.message, says) == NULL) {
        fail_msg("expected \"%s\", got: %s", says, f.message);
    }
    assert_int_equal(f.is_permanent, permanent);
}

static void test_problems(void **state)
{
    (void)state;
    problem_is(NULL, "", "HTTP 403 without saying why", false);
    problem_is("[]", "", "HTTP 403 without saying why", false);
    problem_is("{\"type\":\"urn:ietf:params:acme:error:rateLimited\",\"detail\":\"wait\"}",
               "rateLimited", "wait (rateLimited)", false);
    problem_is("{\"type\":\"about:blank\",\"detail\":\"x\"}", "", "the CA says: x", false);
    problem_is("{\"type\":\"urn:x:\\u0007\\n\",\"detail\":\"x\"}", "", "the CA says: x", false);
    problem_is("{\"type\":7,\"detail\":{}}", "", "without saying why", false);
    problem_is("{\"type\":\"urn:ietf:params:acme:error:rejectedIdentifier\"}", "rejectedIdentifier",
               "no detail", true);
    problem_is("{\"type\":\"urn:ietf:params:acme:error:caa\",\"detail\":\"no\"}", "caa",
               "CAA record that allows this CA", false);
    problem_is("{\"detail\":\"several\",\"subproblems\":[{\"type\":\"urn:a:dns\",\"detail\":\"d\","
               "\"identifier\":{\"value\":\"a.example\"}},7,null]}",
               "", "a.example: d (dns)", false);
}

static void test_csr(void **state)
{
    (void)state;
    char lengthy[] = "a-name-that-is-too-long-for-a-common-name.but-not-for-a-dns-name.example.org";
    const char *names[] = {lengthy, "example.org", "*.example.org"};
    EVP_PKEY *key = keygen_now(ACME_KEY_ECDSA_P384, NULL);
    struct buf der = {0};
    assert_int_equal(csr_make(key, names, 3, &der, NULL), 0);
    const unsigned char *at = (const unsigned char *)der.ptr;
    X509_REQ *request = d2i_X509_REQ(NULL, &at, (long)der.len);
    assert_non_null(request);
    assert_int_equal(X509_REQ_verify(request, key), 1);
    char common[80];
    assert_true(X509_NAME_get_text_by_NID(X509_REQ_get_subject_name(request), NID_commonName,
                                          common, sizeof common) > 0);
    assert_string_equal(common, "example.org");
    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(request);
    GENERAL_NAMES *list = X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL);
    assert_int_equal(sk_GENERAL_NAME_num(list), 3);
    for (int i = 0; i < 3; i++) {
        const ASN1_IA5STRING *text = sk_GENERAL_NAME_value(list, i)->d.dNSName;
        assert_int_equal(ASN1_STRING_length(text), strlen(names[i]));
        assert_memory_equal(ASN1_STRING_get0_data(text), names[i], strlen(names[i]));
    }
    GENERAL_NAMES_free(list);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    X509_REQ_free(request);
    buf_fini(&der);
    EVP_PKEY_free(key);
}

struct made {
    struct loop *loop;
    EVP_PKEY *key;
    int calls;
};

static void on_key(void *arg, EVP_PKEY *key, const struct err *err)
{
    (void)err;
    struct made *made = arg;
    made->key = key;
    made->calls++;
    loop_stop(made->loop);
}

static void test_keygen(void **state)
{
    (void)state;
    struct made made = {.loop = loop_new(NULL)};
    assert_non_null(keygen_start(made.loop, ACME_KEY_RSA_2048, on_key, &made, NULL));
    assert_int_equal(made.calls, 0);
    loop_run(made.loop);
    assert_int_equal(made.calls, 1);
    assert_int_equal(EVP_PKEY_get_bits(made.key), 2048);
    EVP_PKEY_free(made.key);
    /* Cancelled: nobody is called. The loop may go while threads still run. */
    keygen_cancel(keygen_start(made.loop, ACME_KEY_ECDSA_P256, on_key, &made, NULL));
    assert_non_null(keygen_start(made.loop, ACME_KEY_RSA_2048, on_key, &made, NULL));
    keygen_cancel(keygen_start(made.loop, ACME_KEY_RSA_2048, on_key, &made, NULL));
    keygen_cancel(NULL);
    loop_free(made.loop);
    assert_int_equal(made.calls, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_problems),
        cmocka_unit_test(test_csr),
        cmocka_unit_test(test_keygen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
